"""Drafts over real HTTP: made, filled, completed once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.running import Json, Running, Shop, line

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def draft(shop: Shop, *items: Json, options: Json | None = None, **order: Any) -> Json:
    body: Json = {"order": {"currency": "NOK", "items": list(items), **order}}
    if options is not None:
        body["options"] = options
    return shop.ok("POST", "draft_orders", body)


def complete(shop: Shop, made: Json, body: Any = None) -> Json:
    [order] = shop.ok("PUT", f"draft_orders/{made['id']}/complete", {} if body is None else body)["orders"]
    found: Json = order
    return found


def test_a_draft_has_an_id_sums_and_a_first_event(shop: Shop) -> None:
    made = draft(shop, line(1, 1000), {**line(2, 500), "discount_lines": [{"amount": 100}]})
    assert UUID.fullmatch(made["id"])
    assert made["status"] == "open"
    assert made["options"] == {}
    assert TIME.fullmatch(made["created_at"])
    assert made["updated_at"] == made["created_at"]
    order = made["order"]
    assert (order["currency"], order["gross_amount"], order["net_amount"], order["total_discount"]) == (
        *("NOK", 1500, 1400),
        100,
    )
    assert [item["net_amount"] for item in order["items"]] == [1000, 400]
    [event] = made["events"]
    assert (event["event_type"], event["version"]) == ("api-event", 1)
    assert event["created_by"] == made["created_by"]
    assert event["request"]["method"] == "POST"
    assert event["request"]["path"] == f"/v1/accounts/{shop.account_id}/shopping/draft_orders"
    assert event["request"]["body"]["order"]["currency"] == "NOK"
    assert made["_links"] == [{"href": f"{shop.shopping}/draft_orders/{made['id']}", "rel": "self"}]
    assert shop.ok("GET", f"draft_orders/{made['id']}") == made


def test_unknown_fields_are_kept_and_sent_back(shop: Shop) -> None:
    item = {
        **line(1, 1000),
        "barcode": "7038010000",
        "groups": [{"id": "g1", "name": "Textiles"}],
        "original_currency": "SEK",
        "conversion_rate_ppm": 1_099_000,
        "store": {"id": "oslo"},
        "tax_lines": [{"amount": 200, "percentage": 25, "tax_code": "3", "amount_dwh": "200.00"}],
    }
    order = {
        "merchant_reference": "web-7001",
        "customer": {"first_name": "Åse", "email": "ase@example.no", "metadata": {"x": [1, None, True, 1.5]}},
        "shipping_address": {"address_line": "Storgata 1", "postal_code": "0155", "country": "NO", "comment": "Ring"},
        "external_ids": [{"id": "77", "source": "erp"}],
        "our_own": {"deep": {"er": "😀"}},
    }
    options = {"split_draft": False, "something": {"new": 1}}
    made = draft(shop, item, options=options, **order)
    assert {name: made["order"][name] for name in order} == order
    assert made["options"] == options
    assert made["order"]["items"] == [{**item, "net_amount": 1000, "version": 1}]
    done = complete(shop, made)
    assert {name: done[name] for name in order} == order
    assert done["items"] == [{**item, "net_amount": 1000, "version": 1}]
    assert shop.read_order(done) == done


def test_what_only_the_server_says_is_not_taken_from_the_client(shop: Shop) -> None:
    forged: Json = {
        **{"id": "mine", "status": "closed", "payment_status": "paid", "gross_amount": 1, "net_amount": 1},
        **{"total_discount": 9, "version": 7, "created_at": "then", "created_by": "me", "events": [1], "captures": [1]},
        **{"cancelled_at": "then", "closed_by": "me", "sessions": [1], "comments": [1], "_links": [1]},
    }
    made = draft(shop, {**line(1, 1000), "version": 9}, **forged)
    assert (made["order"]["gross_amount"], made["order"]["net_amount"], made["order"]["total_discount"]) == (
        *(1000, 1000),
        0,
    )
    assert not set(made["order"]) & {"id", "status", "events", "captures", "cancelled_at", "comments", "version"}
    done = complete(shop, made)
    assert (done["status"], done["payment_status"], done["captures"], done["comments"]) == ("open", "pending", [], [])
    assert done["sessions"] == []
    assert not set(done) & {"events", "cancelled_at", "closed_by"}
    assert done["items"][0]["version"] == 1


def test_items_are_added_changed_and_removed(shop: Shop) -> None:
    made = draft(shop, line(1, 1000))
    path = f"draft_orders/{made['id']}/items"
    added = shop.ok("POST", path, line(2, 500))
    assert [item["line_id"] for item in added["order"]["items"]] == [1, 2]
    assert added["order"]["net_amount"] == 1500
    changed = shop.ok("PUT", f"{path}/2", {**line(2, 700), "description": "Tea"})
    assert [(item["line_id"], item["gross_amount"]) for item in changed["order"]["items"]] == [(1, 1000), (2, 700)]
    assert [item["version"] for item in changed["order"]["items"]] == [1, 3]
    removed = shop.ok("DELETE", f"{path}/1")
    assert [item["line_id"] for item in removed["order"]["items"]] == [2]
    assert removed["order"]["net_amount"] == 700
    assert [event["version"] for event in removed["events"]] == [1, 2, 3, 4]
    assert [event["request"]["method"] for event in removed["events"]] == ["POST", "POST", "PUT", "DELETE"]
    assert shop.ok("GET", f"draft_orders/{made['id']}") == removed


@pytest.mark.parametrize("line_id", [7, "7", 7.0])
def test_a_line_id_may_be_an_integer_or_the_same_as_text(shop: Shop, line_id: Any) -> None:
    made = draft(shop, {**line(1, 1000), "line_id": line_id})
    assert made["order"]["items"][0]["line_id"] == 7
    path = f"draft_orders/{made['id']}/items"
    shop.refused(400, "duplicate_line", "POST", path, line(7, 1))
    assert shop.ok("PUT", f"{path}/7", {**line(1, 900), "line_id": line_id})["order"]["net_amount"] == 900


def test_integral_floats_are_integers(shop: Shop) -> None:
    body = (
        b'{"order": {"currency": "NOK", "items": [{"id": "A", "line_id": 1.0, "gross_amount": 33890.0,'
        b' "net_amount": 3.389e4, "quantity": 2.5, "tax_lines": [{"amount": 6778.0, "percentage": 25.0}]}]}}'
    )
    answer = shop.call("POST", "draft_orders", data=body)
    assert answer.status_code == 200, answer.text
    [item] = answer.json()["order"]["items"]
    assert answer.json()["order"]["gross_amount"] == 33890
    assert item["gross_amount"] == 33890
    assert isinstance(item["gross_amount"], int)
    assert item["quantity"] == 2.5
    assert '"gross_amount":33890,' in answer.text


@pytest.mark.parametrize(("sent", "kept"), [("29989.999999999996", 29990), ("33890.00000000001", 33890)])
def test_what_misses_an_integer_by_noise_is_one(shop: Shop, sent: str, kept: int) -> None:
    """Some clients multiply by a hundred in floating point."""
    body = '{"order": {"currency": "NOK", "items": [{"id": "A", "line_id": 1, "gross_amount": %s, "tax_lines": []}]}}'
    answer = shop.call("POST", "draft_orders", data=body.replace("%s", sent).encode())
    assert answer.status_code == 200, answer.text
    assert answer.json()["order"]["items"][0]["gross_amount"] == kept
    answer = shop.call("POST", "draft_orders", data=body.replace("%s", f"{kept}.01").encode())
    assert answer.status_code == 400
    assert answer.json()["error"]["errors"][0]["path"] == "/order/items/0/gross_amount"


@pytest.mark.parametrize("amount", [1, -1, 2**53, -(2**53)])
def test_the_largest_and_the_smallest_amount_come_back_exactly(shop: Shop, amount: int) -> None:
    made = draft(shop, {**line(1, amount), "tax_lines": []})
    assert made["order"]["net_amount"] == amount
    assert complete(shop, made)["items"][0]["gross_amount"] == amount


@pytest.mark.parametrize("currency", ["NOK", "JPY", "KWD", "CLF"])
def test_every_currency_keeps_its_minor_units(shop: Shop, currency: str) -> None:
    made = draft(shop, line(1, 12345), currency=currency)
    assert complete(shop, made)["net_amount"] == 12345


def test_a_body_may_come_with_a_byte_order_mark_in_chunks_and_without_a_content_type(shop: Shop) -> None:
    chunks = [b"\xef\xbb\xbf", b'{"order": {"curre', b'ncy": "NOK", "merchant_reference": "\xc3', b'\xa5"}}']
    answer = shop.http.post(f"{shop.shopping}/draft_orders", data=iter(chunks), timeout=20)
    assert answer.status_code == 200, answer.text
    assert answer.json()["order"]["merchant_reference"] == "å"


# -- completing


def test_an_order_is_named_by_its_own_id_unless_told_otherwise(shop: Shop) -> None:
    done = complete(shop, draft(shop, line(1, 1000)))
    assert done["order_id"] == done["id"]
    assert UUID.fullmatch(done["id"])


def test_a_generated_order_id_has_nine_characters_and_comes_with_the_order(shop: Shop) -> None:
    made = draft(shop, line(1, 1000), options={"generate_order_id": "ALPHANUMERIC_9"})
    assert "order_id" not in made["order"]
    done = complete(shop, made)
    assert re.fullmatch(r"[A-Z0-9]{9}", done["order_id"])
    assert done["id"] != done["order_id"]
    assert shop.ok("GET", f"orders/{done['id']}") == shop.ok("GET", f"orders/{done['order_id']}") == done


def test_a_reserved_order_id_is_on_the_draft_already(shop: Shop) -> None:
    made = draft(shop, line(1, 1000), options={"generate_order_id": "ALPHANUMERIC_9_RESERVE"})
    assert re.fullmatch(r"[A-Z0-9]{9}", made["order"]["order_id"])
    assert complete(shop, made)["order_id"] == made["order"]["order_id"]


@pytest.mark.parametrize("order_id", ["web-7001", "A", "a.b_c-d", "0" * 40])
def test_an_order_may_have_an_id_of_the_merchants_own(shop: Shop, order_id: str) -> None:
    made = draft(shop, line(1, 1000), order_id=order_id, options={"split_draft": False})
    assert made["order"]["order_id"] == order_id
    done = complete(shop, made)
    assert done["order_id"] == order_id
    assert shop.ok("GET", f"orders/{order_id}")["id"] == done["id"]


def test_an_order_id_that_is_taken_is_refused_early_or_late(shop: Shop, server: Running) -> None:
    first, second = draft(shop, line(1, 1), order_id="web-1"), draft(shop, line(1, 2), order_id="web-1")
    complete(shop, first)
    late = shop.refused(409, "already_exists", "PUT", f"draft_orders/{second['id']}/complete", {})
    body = {"order": {"currency": "NOK", "order_id": "web-1"}}
    early = shop.refused(409, "already_exists", "POST", "draft_orders", body)
    for problem in (late, early):
        assert problem["path"] == "/order/order_id"
        assert "'web-1'" in problem["message"]
    assert shop.ok("GET", f"draft_orders/{second['id']}") == second
    assert len(shop.ok("GET", "orders")["orders"]) == 1
    another = server.shop()
    assert complete(another, draft(another, line(1, 3), order_id="web-1"))["order_id"] == "web-1"


def test_completing_twice_gives_the_same_orders_and_adds_nothing(shop: Shop) -> None:
    made = draft(shop, line(1, 1000), options={"generate_order_id": "ALPHANUMERIC_9"})
    first = complete(shop, made)
    after = shop.ok("GET", f"draft_orders/{made['id']}")
    assert after["status"] == "completed"
    assert complete(shop, made) == first
    assert shop.ok("GET", f"draft_orders/{made['id']}") == after
    assert len(shop.ok("GET", "orders")["orders"]) == 1
    assert first["version"] == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"unknown": 1}', b" "])
def test_completing_takes_any_body_or_none(shop: Shop, body: bytes) -> None:
    made = draft(shop, line(1, 1000))
    answer = shop.call("PUT", f"draft_orders/{made['id']}/complete", data=body)
    assert answer.status_code == 200, answer.text


def test_a_completed_draft_stays_as_it_is(shop: Shop) -> None:
    made = draft(shop, line(1, 1000))
    complete(shop, made)
    path = f"draft_orders/{made['id']}/items"
    for method, place, body in (
        ("POST", path, line(2, 1)),
        ("PUT", f"{path}/1", line(1, 1)),
        ("DELETE", path + "/1", None),
    ):
        problem = shop.refused(409, "draft_not_open", method, place, body)
        assert "completed" in problem["message"]


def test_a_draft_without_items_makes_no_order(shop: Shop) -> None:
    made = draft(shop)
    problem = shop.refused(409, "wrong_state", "PUT", f"draft_orders/{made['id']}/complete", {})
    assert "at least one item" in problem["message"]
    assert shop.ok("GET", f"draft_orders/{made['id']}") == made
    shop.ok("POST", f"draft_orders/{made['id']}/items", line(1, 5))
    assert complete(shop, made)["net_amount"] == 5


def test_an_order_with_a_reversal_line_sums_with_signs(shop: Shop) -> None:
    reversal = {
        **line(2, -400),
        "reversed_reason": "returned",
        "related_item": {"line_id": 1, "type": "reversed"},
        "quantity": 1,
        "discount_lines": [{"amount": -100}],
    }
    done = complete(shop, draft(shop, line(1, 1000), reversal))
    assert (done["gross_amount"], done["net_amount"], done["total_discount"]) == (600, 700, -100)
    assert done["items"][1]["net_amount"] == -300
