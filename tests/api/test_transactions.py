"""Capture, refund and void over real HTTP, on the transaction and on the order; both always agree."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from tests.running import Json, Shop, line, running

T = TypeVar("T")
PATIENCE_S = 10

TIME_OUTS = {
    "capture": ("4100000000000019", "5100000000000016"),
    "refund": ("4100000000000027", "5100000000000024"),
    "void": ("4100000000000043", "5100000000000040"),
}


class Payment:
    """A paid order with lines 1 to n, and a look at its transaction and its ledger at once."""

    def __init__(self, shop: Shop, *amounts: int, card: str | None = None) -> None:
        self.shop = shop
        self.order = shop.order(*amounts)
        self.session = shop.session(self.order)
        self.id = str(shop.pay(self.session, card)["transaction_id"])

    def ask(self, kind: str, body: Any = None, **more: Any) -> Json:
        return self.shop.ok("POST", f"/v1/transactions/{self.id}/{kind}", body, **more)

    def refused(self, status: int, keyword: str, kind: str, body: Any = None) -> Json:
        before = self.shop.transaction(self.id), self.shop.read_order(self.order)
        problem = self.shop.refused(status, keyword, "POST", f"/v1/transactions/{self.id}/{kind}", body)
        assert (self.shop.transaction(self.id), self.shop.read_order(self.order)) == before
        return problem

    def record(self, plural: str, *items: tuple[int, int], **more: Any) -> Json:
        body = {"items": [{"line_id": line_id, "amount": amount} for line_id, amount in items], **more}
        return self.shop.ok("POST", f"orders/{self.order['order_id']}/{plural}", body)

    def agrees(self, status: str, payment_status: str) -> Json:
        """Check both statuses, and that transaction and order tell the same story; answers the transaction."""
        transaction, order = self.shop.transaction(self.id), self.shop.read_order(self.order)
        assert (transaction["status"], order["payment_status"]) == (status, payment_status)
        told = {"AUTHORIZE": "authorizations", "CAPTURE": "captures", "REFUND": "refunds", "VOID": "cancellations"}
        for name, plural in told.items():
            events = [each["amount"] for each in transaction["events"] if each["event"] == name and each["success"]]
            assert events == [entry["amount"] for entry in order[plural]], name
        assert {entry["payment_details"]["payment_id"] for entry in order["authorizations"]} == {self.id}
        return transaction

    def entries(self, plural: str) -> list[list[tuple[int, int]]]:
        found = self.shop.ok("GET", f"orders/{self.order['order_id']}/{plural}")[plural]
        return [[(item["line_id"], item["amount"]) for item in entry["items"]] for entry in found]


def item(line_id: Any, amount: float, **more: Any) -> Json:
    return {"line_id": line_id, "amount": amount, **more}


def eventually(look: Callable[[], T], good: Callable[[T], bool]) -> T:
    deadline = time.monotonic() + PATIENCE_S
    while not good(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


# -- the whole way


def test_everything_in_parts_and_both_sides_agree_after_each(shop: Shop) -> None:
    payment = Payment(shop, 1000, 500, 300)
    payment.agrees("AUTHORIZED", "pending")
    captured = payment.ask("capture", {"amount": 1000, "items": [item("1", 1000)], "capture_reference": "c-1"})
    assert captured == payment.agrees("PARTIALLY_CAPTURED", "partially_paid")
    refunded = payment.ask("refund", {"amount": 400, "refund_reference": "r-1", "reason": "Too small"})
    assert refunded == payment.agrees("PARTIALLY_CAPTURED_REFUNDED", "partially_refunded")
    payment.ask("capture", {"amount": 500, "items": [item(2, 500)]})
    payment.agrees("PARTIALLY_CAPTURED_REFUNDED", "partially_refunded")
    voided = payment.ask("void")
    assert voided == payment.agrees("PARTIALLY_REFUNDED", "partially_refunded")
    payment.ask("refund", {"amount": 1100})
    transaction = payment.agrees("REFUNDED", "refunded")
    assert transaction["amount"] == 1800
    assert [(event["event"], event["amount"], event["transaction_status"]) for event in transaction["events"]] == [
        ("AUTHORIZE", 1800, "AUTHORIZED"),
        ("CAPTURE", 1000, "PARTIALLY_CAPTURED"),
        ("REFUND", 400, "PARTIALLY_CAPTURED_REFUNDED"),
        ("CAPTURE", 500, "PARTIALLY_CAPTURED_REFUNDED"),
        ("VOID", 300, "PARTIALLY_REFUNDED"),
        ("REFUND", 1100, "REFUNDED"),
    ]
    assert [event["id"] for event in transaction["events"]] == ["1", "2", "3", "4", "5", "6"]
    assert payment.entries("captures") == [[(1, 1000)], [(2, 500)]]
    assert payment.entries("cancellations") == [[(3, 300)]]
    assert payment.entries("refunds") == [[(1, 400)], [(1, 600), (2, 500)]]


def test_references_reason_items_and_metadata_come_back_on_the_event(shop: Shop) -> None:
    payment = Payment(shop, 1000)
    items = [item("1", 600, quantity=2, discount_lines=[{"amount": 1}], title="x")]
    body = {"amount": 600, "items": items, "capture_reference": "c-1", "metadata": {"ext_note": "x" * 256}}
    event = payment.ask("capture", body)["events"][-1]
    assert (event["event"], event["amount"], event["event_reference"]) == ("CAPTURE", 600, "c-1")
    assert event["items"] == items
    assert event["metadata"] == {"ext_note": "x" * 256}
    assert event["success"] is True
    assert event["created_by"]
    body = {"amount": 100, "refund_reference": "r-1", "reason": "", "metadata": {}}
    event = payment.ask("refund", body)["events"][-1]
    assert (event["event"], event["amount"], event["event_reference"], event["reason"]) == ("REFUND", 100, "r-1", "")
    assert "error" not in event


def test_the_last_event_of_a_kind_tells_its_own_amount(shop: Shop) -> None:
    payment = Payment(shop, 1000)
    for kind in ("capture", "refund"):
        for amount in (100, 250, 300):
            event = payment.ask(kind, {"amount": amount})["events"][-1]
            assert (event["event"], event["amount"]) == (kind.upper(), amount)


# -- what clients send


def test_items_may_name_lines_that_nobody_knows(shop: Shop) -> None:
    payment = Payment(shop, 1000, 500)
    items = [item("1", 990), item("rounding-fee", 10), item("flat_rate:2", 0, delivery_method="delivery")]
    event = payment.ask("capture", {"id": payment.id, "amount": 1000, "items": items})["events"][-1]
    assert event["items"] == items
    assert sum(amount for _, amount in payment.entries("captures")[0]) == 1000
    assert (1, 990) in payment.entries("captures")[0] or payment.entries("captures")[0] == [(1, 1000)]
    payment.agrees("PARTIALLY_CAPTURED", "partially_paid")


@pytest.mark.parametrize("items", [[], None, [item("2", 500)], [item("1", 5)], [item("1", 99_999)], [item(99, 500)]])
def test_it_is_the_amount_that_counts_whatever_the_items_add_up_to(shop: Shop, items: Any) -> None:
    payment = Payment(shop, 1000, 500)
    payment.ask("capture", {"amount": 700, "items": items})
    payment.agrees("PARTIALLY_CAPTURED", "partially_paid")
    payment.ask("refund", {"amount": 200, "items": items})
    payment.agrees("PARTIALLY_CAPTURED_REFUNDED", "partially_refunded")
    for kind, amount in (("capture", 800), ("refund", 1300)):
        payment.ask(kind, {"amount": amount})
    payment.agrees("REFUNDED", "refunded")
    for plural in ("captures", "refunds"):
        sums: dict[int, int] = {}
        for line_id, amount in (each for entry in payment.entries(plural) for each in entry):
            sums[line_id] = sums.get(line_id, 0) + amount
        assert sums == {1: 1000, 2: 500}


def test_amounts_may_be_integral_floats(shop: Shop) -> None:
    payment = Payment(shop, 33_890)
    answer = shop.call(
        *("POST", f"/v1/transactions/{payment.id}/capture"),
        data=b'{"amount": 33890.0, "items": [{"line_id": "1", "amount": 3.389e4}]}',
    )
    assert answer.status_code == 200
    event = answer.json()["events"][-1]
    assert isinstance(event["amount"], int)
    assert isinstance(event["items"][0]["amount"], int)
    payment.agrees("CAPTURED", "paid")


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b'{"id": "x", "amount": 1}', b" \n", b'"x"'])
def test_a_void_takes_any_body_or_none_and_answers_200(shop: Shop, body: bytes) -> None:
    payment = Payment(shop, 1000)
    for headers in ({}, {"Content-Type": "application/json"}):
        if headers:
            payment = Payment(shop, 1000)
        answer = shop.http.post(
            f"{shop.base_url}/v1/transactions/{payment.id}/void", data=body, headers=headers, timeout=20
        )
        assert answer.status_code == 200, answer.text
        payment.agrees("AUTHORIZATION_VOIDED", "pending")


def test_bodies_in_chunks_are_read_to_their_end(shop: Shop) -> None:
    payment = Payment(shop, 1000)
    for kind, status in (("capture", "CAPTURED"), ("refund", "REFUNDED")):
        body = json.dumps({"amount": 1000, "items": [item("1", 1000)]}).encode()
        chunks = (body[n : n + 7] for n in range(0, len(body), 7))
        url = f"{shop.base_url}/v1/transactions/{payment.id}/{kind}"
        answer = shop.http.post(url, data=chunks, headers={"Content-Type": "application/json"}, timeout=20)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == status


# -- void


def test_a_void_of_what_is_not_captured_frees_the_lines(shop: Shop) -> None:
    payment = Payment(shop, 1000, 500)
    payment.ask("void")
    transaction = payment.agrees("AUTHORIZATION_VOIDED", "pending")
    assert transaction["events"][-1]["amount"] == 1500
    assert payment.entries("cancellations") == [[(1, 1000), (2, 500)]]
    assert shop.session(payment.order)["amount"] == 1500


def test_a_void_after_part_of_it_is_captured_keeps_the_capture(shop: Shop) -> None:
    payment = Payment(shop, 1000, 500)
    payment.ask("capture", {"amount": 600, "items": [item("1", 600)]})
    payment.ask("void")
    transaction = payment.agrees("CAPTURED", "paid")
    assert (transaction["amount"], transaction["events"][-1]["amount"]) == (1500, 900)
    assert payment.entries("cancellations") == [[(1, 400), (2, 500)]]


def test_part_of_it_is_voided_by_cancelling_lines_on_the_order(shop: Shop) -> None:
    payment = Payment(shop, 1000, 500)
    payment.record("cancellations", (2, 200), (1, 1000))
    payment.agrees("AUTHORIZED", "pending")
    payment.ask("capture", {"amount": 300})
    transaction = payment.agrees("CAPTURED", "paid")
    assert [(event["event"], event["amount"]) for event in transaction["events"][1:]] == [
        ("VOID", 1200),
        ("CAPTURE", 300),
    ]
    assert payment.entries("captures") == [[(2, 300)]]


# -- refusals


def test_more_than_is_left_is_not_captured(shop: Shop) -> None:
    payment = Payment(shop, 1000)
    problem = payment.refused(400, "amount_above_left", "capture", {"amount": 1001})
    assert "1000 left to capture, 1001 was asked for" in problem["message"]
    payment.ask("capture", {"amount": 999})
    problem = payment.refused(400, "amount_above_left", "capture", {"amount": 2})
    assert "1 left to capture, 2 was asked for" in problem["message"]


def test_more_than_is_captured_is_not_refunded(shop: Shop) -> None:
    payment = Payment(shop, 1000)
    payment.ask("capture", {"amount": 600})
    problem = payment.refused(400, "amount_above_left", "refund", {"amount": 601})
    assert "600 left to refund, 601 was asked for" in problem["message"]
    payment.ask("refund", {"amount": 600})
    problem = payment.refused(400, "amount_above_left", "refund", {"amount": 1})
    assert "0 left to refund" in problem["message"]


def test_what_a_status_does_not_allow_is_refused_naming_both(shop: Shop) -> None:
    payment = Payment(shop, 1000)
    problem = payment.refused(400, "wrong_status", "refund", {"amount": 1})
    assert "it is AUTHORIZED" in problem["message"]
    payment.ask("capture", {"amount": 1000})
    problem = payment.refused(400, "wrong_status", "void")
    assert "it is CAPTURED" in problem["message"]
    assert "AUTHORIZED, PARTIALLY_CAPTURED" in problem["message"]
    payment.refused(400, "wrong_status", "capture", {"amount": 1})
    payment.ask("refund", {"amount": 1000})
    for kind in ("capture", "refund"):
        problem = payment.refused(400, "wrong_status", kind, {"amount": 1})
        assert "it is REFUNDED" in problem["message"]
    voided = Payment(shop, 1000)
    voided.ask("void")
    for kind, body in (("capture", {"amount": 1}), ("refund", {"amount": 1}), ("void", None)):
        problem = voided.refused(400, "wrong_status", kind, body)
        assert "it is AUTHORIZATION_VOIDED" in problem["message"]


def test_a_declined_payment_can_neither_be_captured_nor_voided(shop: Shop) -> None:
    declined = shop.pay(shop.session(shop.order(1000)), "4000300000000006")["transaction_id"]
    for kind, body in (("capture", {"amount": 1}), ("refund", {"amount": 1}), ("void", {})):
        problem = shop.refused(400, "wrong_status", "POST", f"/v1/transactions/{declined}/{kind}", body)
        assert "it is DECLINED" in problem["message"]


# -- the order's side


def test_entries_on_the_order_drive_the_gateway(shop: Shop) -> None:
    payment = Payment(shop, 1000, 500)
    entry = payment.record("captures", (1, 1000), processed_by="warehouse", metadata={"parcel": 1})
    assert (entry["processed_by"], entry["metadata"]) == ("warehouse", {"parcel": 1})
    assert entry["authorization_id"] == shop.read_order(payment.order)["authorizations"][0]["id"]
    payment.agrees("PARTIALLY_CAPTURED", "partially_paid")
    path = f"orders/{payment.order['order_id']}/refunds"
    refund = shop.ok("POST", path, {"items": [item("1", 300, original_currency="SEK", conversion_rate_ppm=1)]})
    assert refund["items"] == [item(1, 300, original_currency="SEK", conversion_rate_ppm=1)]
    payment.agrees("PARTIALLY_CAPTURED_REFUNDED", "partially_refunded")
    payment.record("cancellations", (2, 500))
    transaction = payment.agrees("PARTIALLY_REFUNDED", "partially_refunded")
    assert [event["items"] for event in transaction["events"][1:]] == [
        [item("1", 1000)],
        [item("1", 300)],
        [item("2", 500)],
    ]
    assert shop.read_order(payment.order)["captures"] == [entry]


def test_what_the_transaction_did_already_is_not_counted_twice(shop: Shop) -> None:
    payment = Payment(shop, 1000, 500)
    details = {"payment_details": {"payment_id": payment.id}, "success": True}
    first = payment.record("authorizations", (1, 1000), (2, 500), **details)
    assert first == shop.read_order(payment.order)["authorizations"][0]
    payment.ask("capture", {"amount": 1500})
    again = payment.record("captures", (2, 500), (1, 1000), **details)
    assert again == shop.read_order(payment.order)["captures"][0]
    payment.ask("refund", {"amount": 500, "items": [item("2", 500)]})
    payment.record("refunds", (2, 500), **details)
    transaction = payment.agrees("PARTIALLY_REFUNDED", "partially_refunded")
    assert [event["event"] for event in transaction["events"]] == ["AUTHORIZE", "CAPTURE", "REFUND"]


def test_an_authorization_from_elsewhere_moves_no_money_of_ours(shop: Shop) -> None:
    order = shop.order(1000)
    path = f"orders/{order['order_id']}"
    body = {"items": [item(1, 1000)], "payment_details": {"payment_id": "PID_123"}}
    shop.ok("POST", f"{path}/authorizations", body)
    shop.ok("POST", f"{path}/captures", body)
    shop.ok("POST", f"{path}/refunds", body)
    assert shop.read_order(order)["payment_status"] == "refunded"


def test_lines_of_two_payments_are_captured_one_payment_at_a_time(shop: Shop) -> None:
    order = shop.order(1000, 500)
    paid = [shop.pay(shop.session(order, line_id))["transaction_id"] for line_id in (1, 2)]
    authorizations = [entry["id"] for entry in shop.read_order(order)["authorizations"]]
    path = f"orders/{order['order_id']}/captures"
    both = {"items": [item(1, 1000), item(2, 500)]}
    problem = shop.refused(409, "ambiguous_authorization", "POST", path, both)
    assert all(authorization in problem["message"] for authorization in authorizations)
    for authorization, each in zip(authorizations, both["items"], strict=True):
        shop.ok("POST", path, {"items": [each], "authorization_id": authorization})
    assert [shop.transaction(each)["status"] for each in paid] == ["CAPTURED", "CAPTURED"]
    assert shop.read_order(order)["payment_status"] == "paid"


def test_a_reversal_line_is_captured_with_the_rest(shop: Shop) -> None:
    order = shop.order(items=[line(1, 1000), line(2, -300)])
    paid = shop.pay(shop.session(order))
    path = f"orders/{order['order_id']}/captures"
    shop.ok("POST", path, {"items": [item(1, 1000), item(2, -300)]})
    assert shop.transaction(paid["transaction_id"])["status"] == "CAPTURED"
    assert shop.read_order(order)["payment_status"] == "paid"


# -- time-outs


@pytest.fixture(scope="module")
def waiting() -> Iterator[Shop]:
    """A merchant of a server that does not look up what became of a call before the test is over."""
    with running(look_up_after=600) as server:
        yield server.shop()


CASES = [(kind, card) for kind, cards in TIME_OUTS.items() for card in cards]
ENDS = {
    "capture": ("CAPTURED", "paid"),
    "refund": ("REFUNDED", "refunded"),
    "void": ("AUTHORIZATION_VOIDED", "pending"),
}


@pytest.mark.parametrize(("kind", "card"), CASES)
def test_a_call_without_an_answer_is_202_and_settles_later(shop: Shop, kind: str, card: str) -> None:
    payment = Payment(shop, 1000, 500, card=card)
    if kind == "refund":
        payment.ask("capture", {"amount": 1500})
    body = None if kind == "void" else {"amount": 1500, f"{kind}_reference": "ref-1"}
    answer = shop.call("POST", f"/v1/transactions/{payment.id}/{kind}", body)
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert told["status"] == ("CAPTURED" if kind == "refund" else "AUTHORIZED")
    assert told["events"][-1]["event"] == f"INITIATE_{kind.upper()}"
    asked = answer.headers["event-request-id"]
    assert told["events"][-1]["request_id"] == asked
    status, payment_status = ENDS[kind]
    settled = eventually(lambda: shop.transaction(payment.id), lambda found: found["status"] == status)
    event = settled["events"][-1]
    assert (event["event"], event["amount"], event["success"]) == (kind.upper(), 1500, True)
    assert event["correlation_request_id"] == asked
    assert body is None or event["event_reference"] == "ref-1"
    payment.agrees(status, payment_status)
    assert len([each for each in settled["events"] if each["event"] == kind.upper()]) == 1


@pytest.mark.parametrize(("kind", "card"), CASES)
def test_while_the_answer_is_missing_the_same_money_is_not_taken_again(waiting: Shop, kind: str, card: str) -> None:
    payment = Payment(waiting, 1000, 500, card=card)
    if kind == "refund":
        payment.ask("capture", {"amount": 1500})
    body = None if kind == "void" else {"amount": 1000}
    assert waiting.call("POST", f"/v1/transactions/{payment.id}/{kind}", body).status_code == 202
    before = waiting.read_order(payment.order)
    problem = payment.refused(409, "outcome_unknown", "refund" if kind == "refund" else "capture", {"amount": 1500})
    assert "1500 was asked for" in problem["message"]
    assert waiting.read_order(payment.order) == before


@pytest.mark.parametrize(
    ("plural", "kind"), [("captures", "capture"), ("refunds", "refund"), ("cancellations", "void")]
)
def test_an_entry_whose_gateway_does_not_answer_appears_when_it_is_settled(shop: Shop, plural: str, kind: str) -> None:
    payment = Payment(shop, 1000, card=TIME_OUTS[kind][0])
    if kind == "refund":
        payment.record("captures", (1, 1000))
    path = f"orders/{payment.order['order_id']}/{plural}"
    body = {"items": [item(1, 1000)], "metadata": {"parcel": 7}}
    problem = shop.refused(409, "outcome_unknown", "POST", path, body)
    [entry] = eventually(lambda: shop.ok("GET", path)[plural], lambda found: len(found) > 0)
    assert entry["id"] in problem["message"]
    assert (entry["amount"], entry["metadata"]) == (1000, {"parcel": 7})
    payment.agrees(*ENDS[kind])


def test_a_session_that_is_paid_and_cancelled_is_voided(shop: Shop) -> None:
    payment = Payment(shop, 1000)
    shop.ok("POST", f"/v1/sessions/{payment.session['id']}/cancel")
    payment.agrees("AUTHORIZATION_VOIDED", "pending")


def test_a_session_whose_payment_is_captured_is_not_cancelled(shop: Shop) -> None:
    payment = Payment(shop, 1000)
    payment.ask("capture", {"amount": 1})
    shop.refused(409, "session_paid", "POST", f"/v1/sessions/{payment.session['id']}/cancel")
    payment.agrees("PARTIALLY_CAPTURED", "partially_paid")
