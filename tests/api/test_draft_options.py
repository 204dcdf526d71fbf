"""What may be asked of a draft besides its order, over real HTTP. Source: orders reference, section 3 and O-17."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.running import Json, Running, Shop, line, session_request

STORES = [
    line(1, 1000, store={"id": "oslo", "name": "Oslo"}),
    line(2, 500, store={"id": "bergen"}),
    line(3, 200, store={"id": "oslo", "name": "Oslo"}),
    line(4, 70),
]


def draft(shop: Shop, *items: Json, options: Json | None = None, **order: Any) -> Json:
    return shop.ok("POST", "draft_orders", request(*items, options=options, **order))


def request(*items: Json, options: Json | None = None, **order: Any) -> Json:
    return {"order": {"currency": "NOK", "items": list(items), **order}, "options": options or {}}


def complete(shop: Shop, made: Json) -> list[Json]:
    found: list[Json] = shop.ok("PUT", f"draft_orders/{made['id']}/complete", {})["orders"]
    return found


def cannot_complete(shop: Shop, made: Json, status: int, keyword: str) -> Json:
    before = shop.ok("GET", "orders")
    problem = shop.refused(status, keyword, "PUT", f"draft_orders/{made['id']}/complete", {})
    assert shop.ok("GET", f"draft_orders/{made['id']}")["status"] == "open"
    assert shop.ok("GET", "orders") == before
    return problem


def line_ids(order: Json) -> list[int]:
    return [item["line_id"] for item in order["items"]]


# -- one order for each store


def test_a_draft_of_several_stores_becomes_an_order_for_each(shop: Shop) -> None:
    made = draft(shop, *STORES, merchant_reference="web-1")
    orders = complete(shop, made)
    assert [line_ids(order) for order in orders] == [[1, 3], [2], [4]]
    assert [order["net_amount"] for order in orders] == [1200, 500, 70]
    assert [order.get("store") for order in orders] == [{"id": "oslo", "name": "Oslo"}, {"id": "bergen"}, None]
    assert {order["merchant_reference"] for order in orders} == {"web-1"}
    assert len({order["order_id"] for order in orders}) == 3
    for order in orders:
        assert shop.read_order(order) == order
        assert order["_links"][1]["href"].endswith(made["id"])
    assert complete(shop, made) == orders
    assert shop.ok("GET", "stores/oslo/orders")["orders"] == orders[:1]
    assert len(shop.ok("GET", "orders")["orders"]) == 3


def test_a_line_without_a_store_is_the_orders_stores(shop: Shop) -> None:
    orders = complete(shop, draft(shop, *STORES, store={"id": "bergen"}))
    assert [line_ids(order) for order in orders] == [[1, 3], [2, 4]]


def test_generated_ids_are_one_for_each_order(shop: Shop) -> None:
    orders = complete(shop, draft(shop, *STORES, options={"generate_order_id": "ALPHANUMERIC_9"}))
    assert all(re.fullmatch(r"[A-Z0-9]{9}", order["order_id"]) for order in orders)
    assert len({order["order_id"] for order in orders}) == 3


@pytest.mark.parametrize("options", [{"split_draft": False}, {"split_draft": False, "payout": True}])
def test_a_draft_is_kept_in_one_piece_when_asked_to(shop: Shop, options: Json) -> None:
    [order] = complete(shop, draft(shop, *STORES, options=options, order_id="web-1"))
    assert (order["order_id"], line_ids(order)) == ("web-1", [1, 2, 3, 4])


def test_one_order_id_is_not_for_several_orders(shop: Shop) -> None:
    made = draft(shop, *STORES, order_id="web-1")
    problem = cannot_complete(shop, made, 400, "wrong_value")
    assert problem["path"] == "/options/split_draft"
    assert "3 orders" in problem["message"]
    shop.ok("PUT", f"draft_orders/{made['id']}", request(*STORES, order_id="web-1", options={"split_draft": False}))
    assert [order["order_id"] for order in complete(shop, made)] == ["web-1"]
    one_store = draft(shop, *STORES[::2][:2], order_id="web-2")
    assert [order["order_id"] for order in complete(shop, one_store)] == ["web-2"]


# -- order ids


def test_a_reserved_id_survives_that_the_draft_is_replaced(shop: Shop) -> None:
    made = draft(shop, line(1, 1000), options={"generate_order_id": "ALPHANUMERIC_9_RESERVE"})
    reserved = made["order"]["order_id"]
    replaced = shop.ok("PUT", f"draft_orders/{made['id']}", {"order": {"currency": "NOK", "items": [line(2, 5)]}})
    assert replaced["order"]["order_id"] == reserved
    assert replaced["options"] == made["options"]
    assert [order["order_id"] for order in complete(shop, made)] == [reserved]


def test_a_reserved_id_is_not_for_several_orders(shop: Shop) -> None:
    made = draft(shop, *STORES, options={"generate_order_id": "ALPHANUMERIC_9_RESERVE"})
    cannot_complete(shop, made, 400, "wrong_value")


@pytest.mark.parametrize("way", ["ALPHANUMERIC_9", "ALPHANUMERIC_9_RESERVE"])
def test_a_generated_id_ends_as_asked_for(shop: Shop, way: str) -> None:
    made = draft(shop, line(1, 1000), options={"generate_order_id": way, "serial_order_number_suffix": "-NO"})
    [order] = complete(shop, made)
    assert re.fullmatch(r"[A-Z0-9]{9}-NO", order["order_id"])
    assert shop.read_order(order) == order
    if way.endswith("RESERVE"):
        assert order["order_id"] == made["order"]["order_id"]


@pytest.mark.parametrize("suffix", ["", "a b", "/", "x" * 21, "a\n", 7])
def test_a_suffix_fits_in_an_address(shop: Shop, suffix: Any) -> None:
    body = request(options={"serial_order_number_suffix": suffix})
    answer = shop.call("POST", "draft_orders", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["errors"][0]["path"] == "/options/serial_order_number_suffix"


def test_an_id_is_ones_own_or_generated(shop: Shop) -> None:
    body = request(order_id="web-1", options={"generate_order_id": "ALPHANUMERIC_9"})
    assert shop.refused(400, "wrong_value", "POST", "draft_orders", body)["path"] == "/options/generate_order_id"
    made = draft(shop, line(1, 1))
    shop.refused(400, "wrong_value", "PUT", f"draft_orders/{made['id']}", body)


# -- drafts that join an order


def linked(shop: Shop, order: Json, *items: Json, currency: str = "NOK", **options: Any) -> Json:
    return draft(shop, *items, currency=currency, options={"order_id": order["order_id"], **options})


def test_a_linked_draft_adds_its_lines_to_the_order(shop: Shop) -> None:
    order = shop.order(1000)
    shop.pay(shop.session(order))
    made = linked(shop, order, line(2, 500), line(-1, -200), line(3, 7))
    [joined] = complete(shop, made)
    assert (joined["id"], joined["order_id"]) == (order["id"], order["order_id"])
    assert line_ids(joined) == [-1, 1, 2, 3]
    assert (joined["gross_amount"], joined["net_amount"]) == (1307, 1307)
    assert joined["version"] == order["version"] + 4
    assert [item["version"] for item in joined["items"]] == [5, 1, 5, 5]
    assert joined["authorizations"]
    assert shop.read_order(order) == joined
    assert complete(shop, made) == [joined]
    *_, event = shop.ok("GET", f"orders/{order['id']}/events")["events"]
    assert (event["name"], event["draft_id"]) == ("lines_added", made["id"])
    assert len(shop.ok("GET", "orders")["orders"]) == 1
    assert shop.session(joined, 2, -1)["amount"] == 300


def test_a_linked_draft_does_not_split(shop: Shop) -> None:
    order = shop.order(1000)
    items = [{**item, "line_id": item["line_id"] + 10} for item in STORES]
    [joined] = complete(shop, linked(shop, order, *items))
    assert line_ids(joined) == [1, 11, 12, 13, 14]
    assert shop.ok("GET", "stores/oslo/orders")["orders"] == [joined]


def test_paid_is_no_longer_paid_when_lines_are_added(shop: Shop) -> None:
    order = shop.order(1000)
    transaction = shop.pay(shop.session(order))["transaction_id"]
    shop.ok("POST", f"/v1/transactions/{transaction}/capture", {"amount": 1000})
    assert shop.read_order(order)["payment_status"] == "paid"
    [joined] = complete(shop, linked(shop, order, line(2, 1)))
    assert joined["payment_status"] == "partially_paid"


def test_a_draft_is_linked_to_an_order_that_is_there(shop: Shop, server: Running) -> None:
    theirs = server.shop().order(1000)
    for order_id in ("none", theirs["order_id"], theirs["id"]):
        body = request(line(1, 1), options={"order_id": order_id})
        assert shop.refused(404, "order_not_found", "POST", "draft_orders", body)["path"] == "/options/order_id"
    made = draft(shop, line(1, 1))
    shop.refused(404, "order_not_found", "PUT", f"draft_orders/{made['id']}", body)


def test_lines_join_in_the_orders_currency(shop: Shop) -> None:
    order = shop.order(1000)
    for more in ({}, {"replace": "order"}):
        problem = cannot_complete(
            shop, linked(shop, order, line(2, 500), currency="SEK", **more), 400, "amount_mismatch"
        )
        assert "NOK" in problem["message"]
        assert "SEK" in problem["message"]


def test_lines_join_under_numbers_that_are_free(shop: Shop) -> None:
    order = shop.order(1000)
    made = linked(shop, order, line(2, 500), line(1, 500))
    cannot_complete(shop, made, 400, "duplicate_line")
    shop.ok("DELETE", f"draft_orders/{made['id']}/items/1")
    assert line_ids(complete(shop, made)[0]) == [1, 2]


def test_lines_together_are_no_more_than_can_be_told_apart(shop: Shop) -> None:
    order = shop.order(2**53)
    cannot_complete(shop, linked(shop, order, line(2, -1)), 400, "wrong_value")


@pytest.mark.parametrize("options", [{}, {"replace": "order"}])
def test_a_linked_draft_without_items_is_not_completed(shop: Shop, options: Json) -> None:
    order = shop.order(1000)
    cannot_complete(shop, linked(shop, order, **options), 409, "wrong_state")
    assert shop.read_order(order) == order


@pytest.mark.parametrize("step", ["close", "cancel"])
def test_only_an_open_order_takes_lines(shop: Shop, step: str) -> None:
    order = shop.order(1000)
    made = linked(shop, order, line(2, 500))
    shop.ok("POST", f"orders/{order['id']}/{step}", {})
    cannot_complete(shop, made, 409, "order_not_open")


# -- drafts that take the place of an order


def test_a_draft_takes_the_place_of_an_order(shop: Shop) -> None:
    order = shop.order(1000, 500)
    shop.ok("PUT", f"orders/{order['id']}", {"merchant_reference": "old", "metadata": {"x": 1}})
    body = request(
        line(2, 70), line(3, 30), merchant_reference="new", options={"order_id": order["id"], "replace": "order"}
    )
    made = shop.ok("POST", "draft_orders", body)
    [replaced] = complete(shop, made)
    assert (replaced["id"], replaced["order_id"], replaced["version"]) == (order["id"], order["order_id"], 3)
    assert (line_ids(replaced), replaced["net_amount"]) == ([2, 3], 100)
    assert replaced["merchant_reference"] == "new"
    assert "metadata" not in replaced
    assert shop.read_order(order) == replaced
    assert shop.ok("GET", "orders?merchant_reference=old")["orders"] == []
    assert shop.ok("GET", "orders?merchant_reference=new")["orders"] == [replaced]
    shop.pay(shop.session(replaced))


def replacing(shop: Shop, order: Json, *items: Json) -> Json:
    return linked(shop, order, *(items or [line(1, 900)]), replace="order")


def test_an_order_is_replaced_before_any_payment_only(shop: Shop) -> None:
    paid, authorized, failed = shop.order(1000), shop.order(1000), shop.order(1000)
    shop.pay(shop.session(paid))
    body = {"items": [{"line_id": 1, "amount": 1}]}
    shop.ok("POST", f"orders/{authorized['id']}/authorizations", body)
    shop.ok("POST", f"orders/{failed['id']}/authorizations", {**body, "success": False})
    for order in (paid, authorized, failed):
        before = shop.read_order(order)
        cannot_complete(shop, replacing(shop, order), 409, "wrong_state")
        assert shop.read_order(order) == before


def test_a_declined_payment_does_not_keep_an_order_from_being_replaced(shop: Shop) -> None:
    order = shop.order(1000)
    shop.pay(shop.session(order), "4000300000000006")
    [replaced] = complete(shop, replacing(shop, order))
    assert replaced["net_amount"] == 900


@pytest.mark.parametrize("items", [[line(2, 1000)], [line(1, 1000)], [line(1, -1000), line(2, 5000)]])
def test_a_session_of_what_an_order_no_longer_is_is_not_paid(shop: Shop, items: list[Json]) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    [replaced] = complete(shop, replacing(shop, order, *items))
    shop.refused(409, "session_cancelled", "POST", shop.pay_path(session), {})
    page = shop.call("GET", f"/v1/view/{session['id']}")
    assert page.status_code == 200
    assert "card_number" not in page.text
    assert "card_number" in shop.call("GET", f"/v1/view/{shop.session(replaced)['id']}").text
    assert shop.read_order(order)["authorizations"] == []
    assert shop.pay(shop.session(replaced))["transaction_id"]


def test_to_replace_one_says_what(shop: Shop) -> None:
    shop.refused(400, "wrong_value", "POST", "draft_orders", request(line(1, 1), options={"replace": "order"}))
    order = shop.order(1)
    answer = shop.call("POST", "draft_orders", request(options={"order_id": order["id"], "replace": "items"}))
    assert answer.status_code == 400


def test_an_id_of_ones_own_beside_a_link_is_no_new_id(shop: Shop) -> None:
    order = shop.order(1000)
    made = draft(shop, line(2, 5), order_id=order["order_id"], options={"order_id": order["order_id"]})
    [joined] = complete(shop, made)
    assert joined["order_id"] == order["order_id"]


# -- drafts replaced and deleted


def test_a_draft_is_replaced_as_a_whole(shop: Shop) -> None:
    made = draft(shop, line(1, 1000), merchant_reference="old", options={"split_draft": False})
    body = {"order": {"currency": "SEK", "items": [line(7, 50)], "our_own": 1}}
    replaced = shop.ok("PUT", f"draft_orders/{made['id']}", body)
    assert (replaced["id"], replaced["status"], replaced["options"]) == (made["id"], "open", made["options"])
    assert (replaced["order"]["currency"], replaced["order"]["net_amount"]) == ("SEK", 50)
    assert replaced["order"]["our_own"] == 1
    assert "merchant_reference" not in replaced["order"]
    assert [event["request"]["method"] for event in replaced["events"]] == ["POST", "PUT"]
    cleared = shop.ok("PUT", f"draft_orders/{made['id']}", {**body, "options": {}})
    assert cleared["options"] == {}
    assert shop.ok("GET", f"draft_orders/{made['id']}") == cleared
    shop.refused(404, "draft_not_found", "PUT", "draft_orders/none", body)
    both = {"order": {"currency": "SEK", "items": [line(1, 1), line(1, 2)]}}
    shop.refused(400, "duplicate_line", "PUT", f"draft_orders/{made['id']}", both)
    taken = shop.order(1)
    problem = shop.refused(
        *(409, "already_exists", "PUT", f"draft_orders/{made['id']}"), request(order_id=taken["order_id"])
    )
    assert problem["path"] == "/order/order_id"


def test_a_deleted_draft_stays_deleted(shop: Shop) -> None:
    made = draft(shop, line(1, 1000))
    path = f"draft_orders/{made['id']}"
    deleted = shop.ok("DELETE", path)
    assert (deleted["status"], deleted["order"]) == ("deleted", made["order"])
    assert [event["request"]["method"] for event in deleted["events"]] == ["POST", "DELETE"]
    for method, place, body in (
        ("DELETE", path, None),
        ("PUT", path, request(line(1, 1))),
        ("PUT", f"{path}/complete", {}),
        ("POST", f"{path}/items", line(2, 1)),
        ("PUT", f"{path}/items/1", line(1, 1)),
        ("DELETE", f"{path}/items/1", None),
    ):
        assert "deleted" in shop.refused(409, "draft_not_open", method, place, body)["message"]
    assert shop.ok("GET", path) == deleted
    shop.refused(404, "draft_not_found", "DELETE", "draft_orders/none")


def test_a_completed_draft_is_neither_replaced_nor_deleted(shop: Shop) -> None:
    made = draft(shop, line(1, 1000))
    complete(shop, made)
    path = f"draft_orders/{made['id']}"
    for method, body in (("PUT", request(line(1, 1))), ("DELETE", None)):
        assert "completed" in shop.refused(409, "draft_not_open", method, path, body)["message"]


def test_drafts_of_another_account_are_not_there(shop: Shop, server: Running) -> None:
    theirs = draft(server.shop(), line(1, 1))
    path = f"draft_orders/{theirs['id']}"
    for method, body in (("GET", None), ("DELETE", None), ("PUT", request(line(1, 1)))):
        shop.refused(404, "draft_not_found", method, path, body)
    assert shop.ok("GET", "draft_orders") == {"draft_orders": []}


# -- lists of drafts


def test_drafts_are_listed_newest_first_by_what_became_of_them(shop: Shop) -> None:
    kept, done, gone = (draft(shop, line(1, n)) for n in (1, 2, 3))
    complete(shop, done)
    shop.ok("DELETE", f"draft_orders/{gone['id']}")

    def listed(query: str) -> list[str]:
        return [found["id"] for found in shop.ok("GET", f"draft_orders?{query}")["draft_orders"]]

    assert listed("") == [gone["id"], done["id"], kept["id"]]
    assert listed("status=open") == [kept["id"]]
    assert listed("status=completed") == [done["id"]]
    assert listed("status=open,deleted") == listed("status=open&status=deleted") == [gone["id"], kept["id"]]
    assert listed(f"created_at.gte={done['created_at']}&status=completed") == [done["id"]]
    assert listed("created_at.lte=2026-01-01T00:00:00Z") == []
    assert shop.ok("GET", "draft_orders?status=open")["draft_orders"] == [kept]
    for query in ("status=cancelled", "created_at.gte=now", "limit=0", "limit=101", "page_token=x", "starting_after=x"):
        shop.refused(400, "wrong_value", "GET", f"draft_orders?{query}")


def test_a_session_needs_an_order_not_a_draft(shop: Shop) -> None:
    made = draft(shop, line(1, 1))
    shop.refused(404, "order_not_found", "POST", f"orders/{made['id']}/sessions", session_request([1]))
