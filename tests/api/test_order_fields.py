"""Every field that the reference names on orders, items, entries and sessions: kept, sent back, and refused when wrong.

Source: orders reference, sections 4 to 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.running import Json, Shop, line, session_request

ADDRESS = {
    **{"first_name": "Kari", "last_name": "Nordmann", "address_line": "Gata 1", "address_line_2": "H0101"},
    **{"postal_code": "0150", "postal_place": "Oslo", "country": "NO", "latitude": 59.9, "longitude": 10.7},
    "comment": "Ring twice",
}
CUSTOMER = {
    **{"id": "c-1", "first_name": "Kari", "last_name": "Nordmann", "gender": "F", "email": "kari@example.no"},
    **{"phone_number": "+4791000000", "addresses": [{**ADDRESS, "type": "other", "custom_type": "cabin"}]},
    **{"pays_tax": True, "date_of_birth": "1990-01-01", "enrolled_by": {"value": "1", "type": "shop"}},
    **{"favorite_store": "oslo", "company": {"bussiness_name": "Fjord", "number_of_employees": 3}},
    **{"marketing_consent": {"sms": {"consent": True, "updated_at": "2026-01-01T00:00:00Z"}}},
    **{"status": "active", "term": {"id": "t"}, "type": "customer", "metadata": {"x": 1}},
}
STORE = {
    **{"id": "oslo", "name": "Oslo", "business_name": "Fjord AS", "address": ADDRESS, "chain": "fjord"},
    **{"email": "oslo@example.no", "gln": "7", "organization_number": "9", "phone_number": "+4791000001"},
    **{"mcc": "5999", "bax": "1", "terminal_id": "t-1", "payout_destination_id": "p-1"},
}
RATE = {
    **{"original_currency": "SEK", "original_gross_amount": 39_800, "conversion_rate_ppm": 1_099_000},
    **{"conversion_rate_timestamp": "2026-06-01T10:00:00Z", "conversion_rate_source": "ecb"},
}
TAX = {
    **{"amount": 180, "amount_dwh": "179.64", "percentage": 25, "included_in_price": True, "exempt": False},
    **{"tax_basis": 900, "tax_basis_dwh": "900.1", "tax_code": "1", "tax_group": "g"},
}
DISCOUNT = {
    **{"amount": 100, "amount_dwh": "99.6", "percentage": 10, "discount_type": "manual", "discount_subtype": "s"},
    **{"discount_id": "d", "description": "Spring", "line_id": 1},
}
ITEM = {
    **{"id": "BL-9", "line_id": 1, "gross_amount": 1000, "net_amount": 900, "tax_lines": [TAX]},
    **{"quantity": 2.5, "unit": "kg", "unit_price": 400, "unit_gross_price": 400, "description": "Blanket"},
    **{"description_alias": "B", "groups": [{"id": "g", "name": "Wool"}], "discount_lines": [DISCOUNT]},
    **{"eligible_for_discount": True, "is_changed": False, "external_id": "e", "store": {"id": "oslo"}},
    **{"status": "new", "reversed_reason": "r", "related_item": {"line_id": 1, "type": "reversed"}},
    **{"manual_payout": {"rule": 1}, "barcode": "1", "cost_price": 3, "serial_id": "s", "comment": "c", **RATE},
}
TRIP = {
    **{"travel_mode": "CUSTOM", "arrival_address": {"id": "a", "name": "A", "external_ids": [{"id": "1"}]}},
    **{"departure_address": {"id": "d"}, "operator": "o", "route_id": "r", "vehicle_id": "v", "line_ids": ["1"]},
}
ORDER: Json = {
    **{"currency": "NOK", "items": [ITEM], "customer": CUSTOMER, "store": STORE, "merchant_reference": "web-1"},
    **{"shipping_address": ADDRESS, "billing_address": ADDRESS, "external_ids": [{"id": "1"}]},
    **{"external_links": [{"href": "https://example.no"}], "itinerary": [TRIP], "attachments": [{"id": "a"}]},
    **{"courier_id": "bike", "pickup_at": "2026-02-03T09:00:00Z", "delivery_id": "d", "pre_order": True},
    **{"type": "web", "discounts": [{"discount_id": "d"}], "payment_details": {"psp": "x"}, "metadata": {"m": 1}},
    "our_own": {"deep": [1]},
}
DETAILS = {
    **{"psp": "Bambora", "payment_id": "P1", "payment_product": "bambora"},
    "payment_product_type": "bambora.creditcard",
    "card": {"masked_pan": "4***", "type": "Credit", "brand": "Visa", "metadata": {"x": 1}},
}
ENTRY = {
    **{"processed_at": "2026-02-01T00:00:00Z", "processed_by": "dintero-checkout", "payment_details": DETAILS},
    **{"metadata": {"m": 1}, "success": True, "fee_split": {"type": "proportional", "destinations": []}, "own": 1},
}


def entry_item(amount: int) -> Json:
    return {"line_id": 1, "amount": amount, "splits": [{"payout_destination_id": "p", "amount": amount}], **RATE}


def lost(sent: Any, got: Any, path: str = "") -> Iterator[str]:
    """What was sent and did not come back, wherever it is."""
    if isinstance(sent, dict) and isinstance(got, dict):
        for name, value in sent.items():
            yield from lost(value, got.get(name, "nothing"), f"{path}/{name}")
    elif isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        for n, (one, other) in enumerate(zip(sent, got, strict=True)):
            yield from lost(one, other, f"{path}/{n}")
    elif sent != got:
        yield path


def test_every_field_of_an_order_comes_back_on_drafts_and_orders(shop: Shop) -> None:
    draft = shop.ok("POST", "draft_orders", {"order": ORDER, "options": {"payout": True}})
    assert list(lost(ORDER, draft["order"])) == []
    assert draft["options"] == {"payout": True}
    [completed] = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"]
    direct = shop.ok("POST", "orders", ORDER)
    for order in (completed, direct, shop.read_order(completed), *shop.ok("GET", "orders")["orders"]):
        assert list(lost(ORDER, order)) == []
        assert (order["gross_amount"], order["net_amount"], order["total_discount"]) == (1000, 900, 100)


def test_what_was_taken_off_by_hand_is_added_up(shop: Shop) -> None:
    discounts = [{"amount": 30, "discount_type": "manual"}, {"amount": 7, "discount_type": "loyalty"}, {"amount": 1}]
    items = [{**line(1, 100), "discount_lines": discounts}, {**line(2, 100), "discount_lines": discounts[:1]}]
    draft = shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": items}})
    order = shop.ok("POST", "orders", {"currency": "NOK", "items": items, "total_manual_discount_amount": 5})
    for found in (draft["order"], order, shop.read_order(order)):
        assert (found["total_manual_discount_amount"], found["total_discount"]) == (60, 68)


def test_every_field_of_an_entry_comes_back(shop: Shop) -> None:
    order = shop.ok("POST", "orders", ORDER)
    amounts = {"authorizations": 900, "captures": 500, "refunds": 200, "cancellations": 400}
    for plural, amount in amounts.items():
        sent = {"items": [entry_item(amount)], **ENTRY}
        made = shop.ok("POST", f"orders/{order['id']}/{plural}", sent)
        assert list(lost(sent, made)) == []
        assert made["amount"] == amount
        assert shop.ok("GET", f"orders/{order['id']}/{plural}/{made['id']}") == made
        assert shop.ok("GET", f"orders/{order['id']}/{plural}") == {plural: [made]}
        assert shop.read_order(order)[plural] == [made]


def test_every_field_of_a_session_comes_back(shop: Shop) -> None:
    order = shop.order(1000, 500)
    split = [{"payout_destination_id": "p", "amount": 600}, {"payout_destination_id": "q", "amount": 400}]
    sent = {
        **session_request([1, 2], items=[{"line_id": "1", "splits": split}, {"line_id": "2", "amount": 300, "own": 1}]),
        **{"processed_at": "2026-02-01T00:00:00Z", "metadata": {"m": 1}, "merchant_reference": "web-9"},
        **{"fee_split": {"type": "proportional"}, "options": {"o": 1}, "our_own": [1]},
    }
    session = shop.ok("POST", f"orders/{order['id']}/sessions", sent)
    assert list(lost({name: value for name, value in sent.items() if name != "url"}, session)) == []
    assert session["items"][0] == {"line_id": "1", "amount": 1000, "splits": split}
    assert shop.ok("GET", f"orders/{order['id']}/sessions") == {"sessions": [session]}
    assert shop.read_session(session)["order"]["items"][0]["splits"] == split


WRONG: list[tuple[str, Any]] = [
    *(("itinerary", "x"), ("itinerary", ["x"]), ("external_ids", {}), ("external_links", 1), ("attachments", "x")),
    *(("courier_id", 7), ("pickup_at", 7), ("delivery_id", []), ("customer", "x"), ("metadata", [])),
    *(("shipping_address", []), ("billing_address", 1), ("merchant_reference", "")),
]
WRONG_IF_NEW = [("store", "x"), ("discounts", {}), ("payment_details", "x"), ("order_id", 7), ("currency", None)]
WRONG_ON_ITEMS: list[tuple[str, Any]] = [
    *(("unit", 7), ("unit_price", "4"), ("groups", "x"), ("groups", ["x"]), ("eligible_for_discount", "no")),
    *(("is_changed", 1), ("external_id", 7), ("store", "oslo"), ("status", 7), ("reversed_reason", {})),
    *(("related_item", 1), ("manual_payout", True), ("description_alias", 1), ("quantity", 0), ("quantity", "1")),
    *(("original_currency", "nok"), ("original_currency", "NOKK"), ("original_gross_amount", 1.5)),
    *(("conversion_rate_ppm", 0), ("conversion_rate_timestamp", "now"), ("conversion_rate_source", 1)),
    *(("tax_lines", None), ("tax_lines", [{}]), ("discount_lines", [{}]), ("gross_amount", "1"), ("id", "")),
]
WRONG_IN_LINES = [
    *(("tax_lines", "amount_dwh", 1.5), ("tax_lines", "exempt", "no"), ("tax_lines", "tax_basis", "9")),
    *(("tax_lines", "tax_code", 1), ("tax_lines", "tax_group", 1), ("tax_lines", "percentage", "25")),
    *(("discount_lines", "amount_dwh", 9), ("discount_lines", "discount_type", 1), ("discount_lines", "amount", "1")),
    *(("discount_lines", "discount_subtype", 1), ("discount_lines", "discount_id", 1)),
]


def told(shop: Shop, method: str, path: str, body: Json) -> str:
    """The field that a refusal blames."""
    answer = shop.call(method, path, body)
    assert answer.status_code == 400, answer.text
    [problem] = answer.json()["error"]["errors"]
    assert "expected" in problem["message"]
    return str(problem["path"])


@pytest.mark.parametrize(("name", "value"), WRONG + WRONG_IF_NEW)
def test_a_wrong_field_of_an_order_is_named(shop: Shop, name: str, value: Any) -> None:
    new = {"currency": "NOK", "items": [line(1, 1000)], name: value}
    assert told(shop, "POST", "orders", new).startswith(f"/{name}")
    assert told(shop, "POST", "draft_orders", {"order": new}).startswith(f"/order/{name}")
    assert shop.ok("GET", "orders") == {"orders": []}
    if (name, value) in WRONG:
        order = shop.order(1000)
        assert told(shop, "PUT", f"orders/{order['id']}", {name: value}).startswith(f"/{name}")
        assert shop.read_order(order) == order


def test_a_wrong_field_of_an_item_is_named(shop: Shop) -> None:
    draft = shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": [line(1, 1000)]}})
    items = f"draft_orders/{draft['id']}/items"
    cases: list[tuple[str, Json]] = [(f"/{name}", {name: value}) for name, value in WRONG_ON_ITEMS]
    cases += [(f"/{lines}/0/{name}", {lines: [{"amount": 1, name: value}]}) for lines, name, value in WRONG_IN_LINES]
    for path, change in cases:
        assert told(shop, "POST", items, {**line(2, 1000), **change}).startswith(path), change
        assert told(shop, "PUT", f"{items}/1", {**line(1, 1000), **change}).startswith(path), change
        new = {"currency": "NOK", "items": [{**line(1, 1000), **change}]}
        assert told(shop, "POST", "orders", new).startswith(f"/items/0{path}"), change
    assert shop.ok("GET", f"draft_orders/{draft['id']}") == draft


WRONG_ON_ENTRIES: list[tuple[str, Callable[[Json], Json]]] = [
    ("/items", lambda body: {**body, "items": []}),
    ("/items/0/amount", lambda body: {**body, "items": [{"line_id": 1}]}),
    ("/items/0/conversion_rate_ppm", lambda body: {"items": [{**entry_item(1), "conversion_rate_ppm": -1}]}),
    ("/items/0/original_currency", lambda body: {"items": [{**entry_item(1), "original_currency": "kr"}]}),
    ("/items/0/splits", lambda body: {"items": [{**entry_item(1), "splits": "x"}]}),
    ("/items/0/splits", lambda body: {"items": [{**entry_item(2), "splits": entry_item(1)["splits"]}]}),
    (
        "/items/0/splits/0/amount",
        lambda body: {"items": [{**entry_item(1), "splits": [{"payout_destination_id": "p"}]}]},
    ),
    ("/processed_at", lambda body: {**body, "processed_at": "now"}),
    ("/processed_by", lambda body: {**body, "processed_by": 1}),
    ("/payment_details", lambda body: {**body, "payment_details": "x"}),
    ("/payment_details/psp", lambda body: {**body, "payment_details": {"psp": 1}}),
    ("/payment_details/card", lambda body: {**body, "payment_details": {"card": "4***"}}),
    ("/metadata", lambda body: {**body, "metadata": []}),
    ("/success", lambda body: {**body, "success": "yes"}),
    ("/fee_split", lambda body: {**body, "fee_split": 1}),
    ("/authorization_id", lambda body: {**body, "authorization_id": "x" * 41}),
]


def test_a_wrong_field_of_an_entry_is_named(shop: Shop) -> None:
    order = shop.ok("POST", "orders", ORDER)
    shop.ok("POST", f"orders/{order['id']}/authorizations", {"items": [entry_item(800)]})
    shop.ok("POST", f"orders/{order['id']}/captures", {"items": [entry_item(400)]})
    before = shop.read_order(order)
    for plural in ("authorizations", "captures", "refunds", "cancellations"):
        for path, wrong in WRONG_ON_ENTRIES:
            body = wrong({"items": [entry_item(1)]})
            assert told(shop, "POST", f"orders/{order['id']}/{plural}", body) == path, body
    assert shop.read_order(order) == before


def test_splits_of_a_session_add_up_to_what_is_left_of_the_line(shop: Shop) -> None:
    order = shop.order(1000)
    wrong = session_request([1], items=[{"line_id": 1, "splits": [{"payout_destination_id": "p", "amount": 999}]}])
    problem = shop.refused(400, "amount_mismatch", "POST", f"orders/{order['id']}/sessions", wrong)
    assert (problem["path"], problem["message"]) == ("/items/0/splits", "expected splits that add up to 1000, got 999")


def test_yes_and_no_in_an_address(shop: Shop) -> None:
    order = shop.order(1000)
    at = f"orders/{order['id']}"
    for word, there in (("true", True), ("True", True), ("1", True), ("false", False), ("0", False)):
        assert ("events" in shop.ok("GET", f"{at}?include_events={word}")) is there
        assert all(("events" in each) is there for each in shop.ok("GET", f"orders?include_events={word}")["orders"])
    for path in (at, "orders", "customers/c/orders", "stores/s/orders"):
        assert shop.refused(400, "wrong_value", "GET", f"{path}?include_events=maybe")["path"] == "/include_events"
    assert "events" in shop.ok("PUT", at, {"metadata": {}, "include_events": True})
    assert "events" not in shop.ok("PUT", at, {"metadata": {}})


def test_events_lead_to_their_order_and_draft(shop: Shop) -> None:
    order = shop.order(1000)
    at = f"orders/{order['order_id']}"
    body = {"service": "warehouse", "service_status": "packed"}
    made, noted = shop.ok("GET", f"{at}/events")["events"][0], shop.ok("POST", f"{at}/events", body)
    own, draft = order["_links"]
    assert made["_links"] == [{**own, "rel": "order"}, draft]
    assert noted["_links"] == [{**own, "rel": "order"}]


def test_a_deleted_draft_says_when_and_by_whom(shop: Shop) -> None:
    draft = shop.ok("POST", "draft_orders", {"order": {"currency": "NOK"}})
    assert "deleted_at" not in draft
    deleted = shop.ok("DELETE", f"draft_orders/{draft['id']}")
    assert (deleted["deleted_at"], deleted["deleted_by"]) == (deleted["updated_at"], draft["created_by"])
    assert shop.ok("GET", f"draft_orders/{draft['id']}") == deleted


def test_orders_are_found_by_their_ids(shop: Shop) -> None:
    first, second = shop.order(1000), shop.order(500)
    both = f"{first['order_id']},{second['order_id']}"
    for query, expected in (
        (f"order_id={first['order_id']}", [first]),
        (f"order_id={both},none&status=open", [second, first]),
        (f"order_id={both}&limit=1", [second]),
        (f"order_id={both}&status=closed", []),
        ("order_id=none", []),
    ):
        assert shop.ok("GET", f"orders?{query}")["orders"] == expected
    many = ",".join(["x"] * 101)
    assert shop.refused(400, "wrong_value", "GET", f"orders?order_id={many}")["path"] == "/order_id"


def test_an_order_made_directly_may_have_several_authorizations(shop: Shop) -> None:
    body = {"currency": "NOK", "items": [line(1, 1000)], "options": {"multiple_authorizations": True}}
    order = shop.ok("POST", "orders", body)
    item = {"items": [{"line_id": 1, "amount": 400}]}
    made = shop.ok("POST", f"orders/{order['id']}/authorizations", item)
    shop.refused(400, "missing_field", "POST", f"orders/{order['id']}/captures", item)
    shop.ok("POST", f"orders/{order['id']}/captures", {**item, "authorization_id": made["id"]})


@pytest.mark.parametrize(
    "more",
    [
        {"customer": {"id": {"a": 1}}},
        {"store": {"id": []}},
        {"itinerary": [{"travel_mode": ["train"], "arrival_address": {"id": {}}}]},
    ],
)
def test_an_id_that_is_no_word_is_kept_and_nothing_is_found_by_it(shop: Shop, more: Json) -> None:
    order = shop.ok("POST", "orders", {"currency": "NOK", "items": [line(1, 1000)], **more})
    assert list(lost(more, shop.read_order(order))) == []
