"""Paid elsewhere and confirmed by the merchant: the external method's whole life over real HTTP."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api.test_methods import EXTERNAL, enable, pay
from tests.running import Json, Running, Shop


class Invoice:
    """An order with a payment that waits on hold."""

    def __init__(self, server: Running, shop: Shop, *amounts: int, **url: str) -> None:
        enable(server, shop, EXTERNAL)
        self.shop = shop
        self.order = shop.order(*amounts)
        self.session = shop.session(self.order, url=url)
        self.id = str(pay(shop, self.session, EXTERNAL)["transaction_id"])

    def path(self, step: str) -> str:
        return f"/v1/transactions/{self.id}/{step}"

    def ask(self, step: str, body: Any = None) -> Json:
        return self.shop.ok("POST", self.path(step), body)

    def callbacks(self) -> list[str]:
        found = self.shop.ok("GET", f"/v1/sessions/{self.session['id']}/callbacks")["callbacks"]
        return [each["url"] for each in found]


@pytest.fixture
def invoice(server: Running, shop: Shop) -> Invoice:
    return Invoice(server, shop, 1000, 500)


def test_a_merchant_confirms_and_captures_and_refunds(invoice: Invoice) -> None:
    items = [{"line_id": "1", "amount": 1000}, {"line_id": "2", "amount": 500}]
    held = invoice.shop.transaction(invoice.id)
    assert [(each["event"], each["transaction_status"]) for each in held["events"]] == [("INITIALIZE", "ON_HOLD")]
    confirmed = invoice.ask("authorization", {"amount": 1500, "items": items, "reference": "bank-7", "reason": "paid"})
    assert confirmed["status"] == "AUTHORIZED"
    event = confirmed["events"][-1]
    assert (event["event"], event["amount"], event["event_reference"], event["reason"]) == (
        *("AUTHORIZE", 1500, "bank-7", "paid"),
    )
    assert invoice.shop.read_order(invoice.order)["authorizations"][0]["amount"] == 1500
    names = [each["name"] for each in invoice.shop.read_session(invoice.session)["events"]]
    assert names == ["INITIATED", "ADD_PAYMENT_INFORMATION", "COMPLETED", "AUTHORIZED"]
    assert invoice.ask("capture", {"amount": 600})["status"] == "PARTIALLY_CAPTURED"
    assert invoice.ask("void")["status"] == "CAPTURED"
    assert invoice.ask("refund", {"amount": 600})["status"] == "REFUNDED"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"amount": 1499}, "/amount"),
        ({"amount": 1500, "items": [{"line_id": "1", "amount": 999}]}, "/items/0"),
        ({"items": [{"line_id": "9", "amount": 1000}]}, "/items/0"),
        ({"items": [{"line_id": "1", "amount": 1000}]}, "/items"),
    ],
)
def test_what_is_not_of_the_order_is_not_confirmed(invoice: Invoice, body: Json, path: str) -> None:
    problem = invoice.shop.refused(400, "amount_mismatch", "POST", invoice.path("authorization"), body)
    assert problem["path"] == path
    assert invoice.shop.transaction(invoice.id)["status"] == "ON_HOLD"


def test_a_confirmation_in_the_wrong_state_tells_which_and_what_is_possible(invoice: Invoice) -> None:
    invoice.ask("authorization")
    problem = invoice.shop.refused(409, "wrong_state", "POST", invoice.path("authorization"), {})
    assert "AUTHORIZED" in problem["message"]
    assert "capture, void" in problem["message"]


def test_a_payment_by_card_is_not_confirmed(shop: Shop) -> None:
    paid = shop.pay(shop.session(shop.order(1000)))["transaction_id"]
    problem = shop.refused(400, "wrong_status", "POST", f"/v1/transactions/{paid}/authorization", {})
    assert "dintero_psp.creditcard" in problem["message"]
    shop.refused(404, "transaction_not_found", "POST", f"/v1/transactions/{shop.account_id}.x/authorization", {})


def test_nothing_else_is_possible_on_hold(invoice: Invoice) -> None:
    for step in ("capture", "refund"):
        problem = invoice.shop.refused(400, "wrong_status", "POST", invoice.path(step), {"amount": 1})
        assert "ON_HOLD" in problem["message"]
    invoice.shop.refused(409, "session_paid", "POST", f"/v1/sessions/{invoice.session['id']}/cancel")


def test_a_merchant_calls_it_off_and_the_lines_are_free(invoice: Invoice) -> None:
    ended = invoice.ask("void")
    assert ended["status"] == "FAILED"
    assert (ended["events"][-1]["success"], ended["events"][-1]["error"]["code"]) == (False, "called_off")
    assert invoice.shop.read_session(invoice.session)["events"][-1]["name"] == "FAILED"
    assert invoice.shop.pay(invoice.shop.session(invoice.order))["status"] == "AUTHORIZED"
    invoice.shop.refused(409, "wrong_state", "POST", invoice.path("authorization"), {})
    # Cancelling a session that is over changes nothing.
    assert invoice.shop.ok("POST", f"/v1/sessions/{invoice.session['id']}/cancel")["transaction_id"] == invoice.id


def test_two_callbacks_tell_of_the_hold_and_of_how_it_ended(server: Running, shop: Shop) -> None:
    confirmed = Invoice(server, shop, 100)
    assert len(confirmed.callbacks()) == 1
    confirmed.ask("authorization")
    assert len(confirmed.callbacks()) == 2
    called_off = Invoice(server, shop, 100)
    called_off.ask("void")
    first, second = called_off.callbacks()
    assert "error=" not in first
    assert "error=failed" in second
    assert f"transaction_id={called_off.id}" in second


def test_confirming_and_calling_off_at_once_does_one_of_them(server: Running, shop: Shop) -> None:
    for _ in range(5):
        invoice = Invoice(server, shop, 700)
        steps = ("authorization", "void", "authorization", "void")
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda step: shop.call("POST", invoice.path(step), {}), steps))  # noqa: B023
        it = shop.transaction(invoice.id)
        line = shop.read_order(invoice.order)
        assert {answer.status_code for answer in answers} <= {200, 400, 409}
        authorized = sum(each["event"] == "AUTHORIZE" and each["success"] for each in it["events"])
        assert it["status"] in ("AUTHORIZED", "FAILED", "AUTHORIZATION_VOIDED")
        assert authorized == (it["status"] != "FAILED")
        assert len(line["authorizations"]) == authorized


def test_an_external_payment_is_captured_by_itself_where_the_session_says_so(server: Running, shop: Shop) -> None:
    enable(server, shop, EXTERNAL)
    order = shop.order(1000)
    session = shop.session(order, configuration={"auto_capture": True})
    paid = pay(shop, session, EXTERNAL)["transaction_id"]
    confirmed = shop.ok("POST", f"/v1/transactions/{paid}/authorization", {})
    assert [each["event"] for each in confirmed["events"]] == ["INITIALIZE", "AUTHORIZE", "CAPTURE"]
    assert shop.read_order(order)["payment_status"] == "paid"
