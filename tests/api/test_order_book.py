"""Orders over real HTTP: made without a draft, updated, opened, closed, cancelled, commented and reported on."""

from __future__ import annotations

from typing import Any

import pytest

from kasse.operations import accounts
from tests.running import Json, Running, Shop, line, session_request

SESSION = session_request([1])
EVENTS_READ = "read:shopping:/orders/ANY/events"
EVENTS_WRITE = "write:shopping:/orders/ANY/events"


def at(order: Json, *parts: str) -> str:
    return "/".join(("orders", order["order_id"], *parts))


def entry(amount: int, line_id: int = 1, **more: Any) -> Json:
    return {"items": [{"line_id": line_id, "amount": amount}], **more}


def put(shop: Shop, order: Json, **patch: Any) -> Json:
    return shop.ok("PUT", at(order), patch)


# -- made without a draft


def test_an_order_is_made_without_a_draft(shop: Shop) -> None:
    body = {
        "currency": "NOK",
        "items": [line(1, 1000), {**line("2", 500), "discount_lines": [{"amount": 100}]}],  # type: ignore[arg-type]
        "merchant_reference": "web-1",
        "customer": {"id": "c-1"},
        "our_own": {"deep": [1]},
    }
    order = shop.ok("POST", "orders", body)
    assert (order["gross_amount"], order["net_amount"], order["total_discount"]) == (1500, 1400, 100)
    assert (order["status"], order["payment_status"], order["version"]) == ("open", "pending", 1)
    assert order["order_id"] == order["id"]
    assert (order["merchant_reference"], order["our_own"]) == ("web-1", {"deep": [1]})
    assert [item["line_id"] for item in order["items"]] == [1, 2]
    assert [link["rel"] for link in order["_links"]] == ["self"]
    assert shop.read_order(order) == order
    [event] = shop.ok("GET", at(order, "events"))["events"]
    assert event["name"] == "order_created"
    assert "draft_id" not in event
    assert shop.pay(shop.session(order))["transaction_id"]


def test_an_order_made_directly_may_have_an_id_of_the_merchants_own(shop: Shop, server: Running) -> None:
    body = {"currency": "NOK", "items": [line(1, 1000)], "order_id": "web-7"}
    order = shop.ok("POST", "orders", body)
    assert order["order_id"] == "web-7"
    assert shop.ok("GET", "orders/web-7") == order
    assert shop.refused(409, "already_exists", "POST", "orders", body)["path"] == "/order_id"
    taken = {**body, "order_id": order["id"]}
    shop.refused(409, "already_exists", "POST", "orders", taken)
    assert server.shop().ok("POST", "orders", body)["order_id"] == "web-7"


@pytest.mark.parametrize("order_id", ["", ".", "..", "-a", "a b", "a\n", "a/b", "x" * 41, "å"])
def test_an_order_id_fits_in_an_address(shop: Shop, order_id: str) -> None:
    body = {"currency": "NOK", "items": [line(1, 1000)], "order_id": order_id}
    assert shop.refused(400, "wrong_value", "POST", "orders", body)["path"] == "/order_id"


@pytest.mark.parametrize(
    ("change", "keyword", "path"),
    [
        ({"items": []}, "wrong_value", "/items"),
        ({"items": [line(1, 1), line(1, 2)]}, "duplicate_line", "/items/1/line_id"),
        ({"items": [{**line(1, 100), "net_amount": 99}]}, "amount_mismatch", "/items/0/net_amount"),
        ({"items": [line(1, 2**53), line(2, -1)]}, "wrong_value", "/items"),
        (
            {"items": [{**line(1, 100), "tax_lines": [{"amount": 1, "included_in_price": False}]}]},
            *("wrong_value", "/items/0/tax_lines/0/included_in_price"),
        ),
        ({"currency": "XYZ"}, "unknown_currency", "/currency"),
    ],
)
def test_an_order_that_does_not_add_up_is_not_made(shop: Shop, change: Json, keyword: str, path: str) -> None:
    body = {"currency": "NOK", "items": [line(1, 1000)], **change}
    assert shop.refused(400, keyword, "POST", "orders", body)["path"] == path
    assert shop.ok("GET", "orders") == {"orders": []}


def test_what_only_the_server_says_is_not_taken_from_a_new_order(shop: Shop) -> None:
    forged = {
        **{"id": "mine", "status": "closed", "payment_status": "paid", "gross_amount": 1, "net_amount": 1},
        **{"version": 7, "captures": [1], "comments": [1], "events": [1], "state": "success", "cancelled_reason": "x"},
        **{"deleted_at": "then", "closed_by": "me", "cancelled_at": "then"},
    }
    order = shop.ok("POST", "orders", {"currency": "NOK", "items": [line(1, 1000)], **forged})
    assert (order["status"], order["payment_status"], order["net_amount"], order["version"]) == (
        *("open", "pending", 1000),
        1,
    )
    assert order["id"] != "mine"
    assert order["captures"] == order["comments"] == []
    assert not set(order) & {"events", "state", "cancelled_reason", "deleted_at", "closed_by", "cancelled_at"}


# -- updated


def test_what_may_change_is_merged(shop: Shop) -> None:
    order = shop.order(1000)
    customer = {"id": "c-1", "email": "a@example.no", "metadata": {"a": 1, "b": {"c": 2}}}
    first = put(
        shop,
        order,
        merchant_reference="web-2",
        customer=customer,
        external_ids=[{"id": "7"}],
        itinerary=[{"travel_mode": "FERRY"}],
        courier_id="bike-1",
        pickup_at="2026-02-03T09:00:00Z",
        delivery_id="d-1",
        metadata={"x": 1},
    )
    assert (first["version"], first["merchant_reference"], first["customer"]) == (2, "web-2", customer)
    second = put(shop, order, customer={"email": None, "metadata": {"b": {"d": 3}}}, external_ids=[], courier_id=None)
    assert second["customer"] == {"id": "c-1", "metadata": {"a": 1, "b": {"c": 2, "d": 3}}}
    assert second["external_ids"] == []
    assert "courier_id" not in second
    assert (second["delivery_id"], second["metadata"], second["version"]) == ("d-1", {"x": 1}, 3)
    assert shop.read_order(order) == second
    *_, event = shop.ok("GET", at(order, "events"))["events"]
    assert (event["name"], event["request"]["method"]) == ("order_updated", "PUT")


def test_an_update_answers_with_events_when_asked_to(shop: Shop) -> None:
    order = shop.order(1000)
    updated = shop.ok("PUT", at(order) + "?include_events=true", {"metadata": {"x": 1}})
    assert [event["name"] for event in updated["events"]] == ["order_created", "order_updated"]
    assert updated == shop.ok("GET", at(order) + "?include_events=true")


def test_amounts_currency_and_ids_never_change(shop: Shop) -> None:
    order = shop.order(1000, 500)
    for patch, keyword, path in (
        ({"currency": "SEK"}, "amount_mismatch", "/currency"),
        ({"items": [{"line_id": 1, "gross_amount": 900}]}, "amount_mismatch", "/items"),
        ({"items": [{"line_id": 1, "net_amount": 900}]}, "amount_mismatch", "/items"),
        ({"items": [{"line_id": 1, "discount_lines": [{"amount": 1}]}]}, "amount_mismatch", "/items"),
        ({"items": [{"line_id": 1}, {"line_id": "1"}]}, "duplicate_line", "/items/1/line_id"),
    ):
        assert shop.refused(400, keyword, "PUT", at(order), patch)["path"] == path
    shop.refused(404, "line_not_found", "PUT", at(order), {"items": [{"line_id": 3}]})
    assert shop.read_order(order) == order
    ignored = put(
        shop,
        order,
        **{
            "id": "x",
            "order_id": "y",
            "gross_amount": 1,
            "net_amount": 2,
            "status": "closed",
            "payment_status": "paid",
        },
        **{"version": 70, "created_by": "me", "captures": [1], "comments": [1], "store": {"id": "s"}, "our_own": 1},
        items=[{"line_id": 1, "quantity": 9, "id": "other", "version": 70, "gross_amount": 1000, "net_amount": 1000}],
        currency="NOK",
    )
    assert {**ignored, "version": 1, "updated_at": order["updated_at"]} == order


def test_an_items_status_and_exchange_rate_change_and_nothing_is_worked_out_of_them(shop: Shop) -> None:
    order = shop.order(1000, 500)
    rate = {
        "original_currency": "SEK",
        "original_gross_amount": 39_800,
        "conversion_rate_ppm": 1_099_000,
        "conversion_rate_timestamp": "2026-02-03T09:00:00Z",
        "conversion_rate_source": "ecb",
    }
    updated = put(shop, order, items=[{"line_id": "2", "status": "packed", **rate}])
    assert updated["items"][0] == order["items"][0]
    assert updated["items"][1] == {**order["items"][1], "status": "packed", **rate, "version": 2}
    assert (updated["net_amount"], updated["gross_amount"]) == (1500, 1500)
    removed = put(shop, order, items=[{"line_id": 2, "conversion_rate_source": None}])
    assert "conversion_rate_source" not in removed["items"][1]
    assert removed["items"][1]["conversion_rate_ppm"] == 1_099_000
    for name, value in (
        *(("conversion_rate_ppm", 0), ("conversion_rate_ppm", -5), ("original_gross_amount", "1")),
        ("conversion_rate_timestamp", "yesterday"),
    ):
        answer = shop.call("PUT", at(order), {"items": [{"line_id": 2, name: value}]})
        assert (answer.status_code, answer.json()["error"]["errors"][0]["path"]) == (400, f"/items/0/{name}")
    assert shop.read_order(order) == removed


def test_discounts_are_described_anew_and_stay_the_same_in_sum(shop: Shop) -> None:
    order = shop.order(items=[{**line(1, 1000), "discount_lines": [{"amount": 100}]}])
    told = [{"amount": 60, "discount_type": "loyalty"}, {"amount": 40, "discount_subtype": "x"}]
    updated = put(shop, order, items=[{"line_id": 1, "discount_lines": told}])
    assert updated["items"][0]["discount_lines"] == told
    assert updated["net_amount"] == 900
    assert [found["id"] for found in listed(shop, "items_discount_lines_discount_type=loyalty")] == [order["id"]]


def listed(shop: Shop, query: str) -> list[Json]:
    found: list[Json] = shop.ok("GET", f"orders?{query}")["orders"]
    return found


def test_an_order_is_found_by_what_it_says_now(shop: Shop) -> None:
    order = shop.order(1000)
    put(shop, order, merchant_reference="old", customer={"id": "c-1"})
    put(shop, order, merchant_reference="new", customer=None)
    assert listed(shop, "merchant_reference=old") == listed(shop, "customer_id=c-1") == []
    assert [found["id"] for found in listed(shop, "merchant_reference=new")] == [order["id"]]


# -- opened, closed, cancelled


def test_an_order_is_closed_and_opened_again_as_often_as_one_likes(shop: Shop) -> None:
    order = shop.order(1000)
    assert shop.ok("POST", at(order, "open")) == order
    closed = shop.ok("POST", at(order, "close"))
    assert (closed["status"], closed["version"]) == ("closed", 2)
    assert closed["closed_by"] == order["created_by"]
    assert closed["closed_at"]
    assert shop.ok("POST", at(order, "close"), {}) == closed
    opened = shop.ok("POST", at(order, "open"))
    assert (opened["status"], opened["version"]) == ("open", 3)
    assert "closed_at" not in opened
    names = [event["name"] for event in shop.ok("GET", at(order, "events"))["events"]]
    assert names == ["order_created", "order_closed", "order_opened"]
    assert shop.pay(shop.session(order))["transaction_id"]


def test_a_closed_order_takes_refunds_only(shop: Shop) -> None:
    order = shop.order(1000)
    waiting = shop.session(order)
    shop.ok("POST", at(order, "authorizations"), entry(600))
    shop.ok("POST", at(order, "captures"), entry(400))
    shop.ok("POST", at(order, "close"))
    for name in ("authorizations", "captures", "cancellations"):
        shop.refused(409, "order_not_open", "POST", at(order, name), entry(100))
    shop.refused(409, "order_not_open", "POST", at(order, "sessions"), SESSION)
    shop.refused(409, "order_not_open", "POST", shop.pay_path(waiting), {})
    assert shop.ok("POST", at(order, "refunds"), entry(100))["amount"] == 100
    assert put(shop, order, metadata={"x": 1})["status"] == "closed"
    problem = shop.refused(409, "wrong_state", "POST", at(order, "cancel"), {})
    assert "closed" in problem["message"]
    shop.ok("POST", at(order, "open"))
    assert shop.ok("POST", at(order, "captures"), entry(200))["amount"] == 200


def test_a_cancelled_order_stays_cancelled(shop: Shop) -> None:
    order = shop.order(1000)
    waiting = shop.session(order)
    cancelled = shop.ok("POST", at(order, "cancel"), {"cancelled_reason": "out of stock"})
    assert (cancelled["status"], cancelled["cancelled_reason"]) == ("cancelled", "out of stock")
    assert cancelled["cancelled_by"] == order["created_by"]
    assert cancelled["cancelled_at"]
    assert cancelled["cancellations"] == []
    assert shop.ok("POST", at(order, "cancel"), {"cancelled_reason": "another"}) == cancelled
    for step in ("open", "close"):
        assert "cancelled" in shop.refused(409, "wrong_state", "POST", at(order, step))["message"]
    for name in ("authorizations", "captures", "refunds", "cancellations"):
        shop.refused(409, "order_not_open", "POST", at(order, name), entry(100))
    shop.refused(409, "order_not_open", "POST", at(order, "sessions"), SESSION)
    shop.refused(409, "order_not_open", "POST", shop.pay_path(waiting), {})
    shop.refused(409, "order_not_open", "PUT", at(order), {"metadata": {}})
    assert shop.read_order(order) == cancelled


@pytest.mark.parametrize("body", [None, {}, {"unknown": 1}])
def test_an_order_is_cancelled_by_its_customer_unless_one_says_otherwise(shop: Shop, body: Any) -> None:
    assert shop.ok("POST", at(shop.order(1000), "cancel"), body)["cancelled_reason"] == "customer"


def test_an_order_that_was_paid_in_kasse_is_released_through_the_gateway(shop: Shop) -> None:
    order = shop.order(1000, 500, 200)
    first = shop.pay(shop.session(order, 1))["transaction_id"]
    second = shop.pay(shop.session(order, 2))["transaction_id"]
    shop.ok("POST", at(order, "authorizations"), entry(200, 3))
    cancelled = shop.ok("POST", at(order, "cancel"), {})
    assert {shop.transaction(id)["status"] for id in (first, second)} == {"AUTHORIZATION_VOIDED"}
    assert [entry["amount"] for entry in cancelled["cancellations"]] == [1000, 500, 200]
    assert (cancelled["status"], cancelled["payment_status"]) == ("cancelled", "pending")
    assert shop.read_order(order) == cancelled
    names = [event["name"] for event in shop.ok("GET", at(order, "events"))["events"]]
    assert names[-3:] == ["cancellation_added", "cancellation_added", "order_cancelled"]


def test_only_what_is_left_of_an_authorization_elsewhere_is_cancelled(shop: Shop) -> None:
    order = shop.order(1000, 500, -300)
    shop.ok("POST", at(order, "authorizations"), {"items": [{"line_id": 1, "amount": 600}]})
    shop.ok("POST", at(order, "authorizations"), {"items": [{"line_id": 1, "amount": 400}]})
    shop.ok("POST", at(order, "authorizations"), {"items": [{"line_id": 3, "amount": -300}]})
    shop.ok("POST", at(order, "authorizations"), entry(500, 2, success=False))
    shop.ok("POST", at(order, "cancellations"), entry(250))
    cancelled = shop.ok("POST", at(order, "cancel"), {})
    added = cancelled["cancellations"][1]
    assert added["items"] == [{"line_id": 1, "amount": 750}, {"line_id": 3, "amount": -300}]
    assert added["success"] is True


def test_an_order_with_captured_money_is_not_cancelled_until_it_is_refunded(shop: Shop) -> None:
    order = shop.order(1000)
    transaction = shop.pay(shop.session(order))["transaction_id"]
    shop.ok("POST", at(order, "captures"), entry(400))
    problem = shop.refused(409, "wrong_state", "POST", at(order, "cancel"), {})
    assert "400 captured" in problem["message"]
    shop.ok("POST", at(order, "refunds"), entry(300))
    assert "100 captured" in shop.refused(409, "wrong_state", "POST", at(order, "cancel"), {})["message"]
    assert shop.transaction(transaction)["status"] == "PARTIALLY_CAPTURED_REFUNDED"
    shop.ok("POST", at(order, "refunds"), entry(100))
    cancelled = shop.ok("POST", at(order, "cancel"), {})
    assert [entry["amount"] for entry in cancelled["cancellations"]] == [600]
    assert (cancelled["status"], cancelled["payment_status"]) == ("cancelled", "refunded")


@pytest.mark.parametrize("step", ["open", "close", "cancel", "events", "comments"])
def test_steps_of_an_order_that_is_not_there(shop: Shop, server: Running, step: str) -> None:
    theirs = server.shop().order(1000)
    body = {"service": "s", "service_status": "x", "text": "t"}
    for order_id in ("none", theirs["id"], theirs["order_id"]):
        shop.refused(404, "order_not_found", "POST", f"orders/{order_id}/{step}", body)


# -- several authorizations


def test_an_order_with_several_authorizations_is_told_which_one_to_draw_on(shop: Shop) -> None:
    body = {"order": {"currency": "NOK", "items": [line(1, 1000)]}, "options": {"multiple_authorizations": True}}
    draft = shop.ok("POST", "draft_orders", body)
    [order] = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"]
    first, second = (shop.ok("POST", at(order, "authorizations"), entry(amount))["id"] for amount in (400, 600))
    for name in ("captures", "refunds", "cancellations"):
        for more in ({}, {"success": False}, {"payment_details": {"payment_id": "x"}}, {"authorization_id": None}):
            problem = shop.refused(400, "missing_field", "POST", at(order, name), entry(100, **more))
            assert problem["path"] == "/authorization_id"
        shop.refused(404, "authorization_not_found", "POST", at(order, name), entry(100, authorization_id="none"))
    for name, amount in (("captures", 500), ("refunds", 200), ("cancellations", 100)):
        made = shop.ok("POST", at(order, name), entry(amount, authorization_id=second))
        assert (made["amount"], made["authorization_id"]) == (amount, second)
    shop.refused(400, "amount_above_left", "POST", at(order, "captures"), entry(1, authorization_id=second))
    assert shop.ok("POST", at(order, "captures"), entry(400, authorization_id=first))["authorization_id"] == first


def test_a_payment_in_kasse_is_drawn_on_by_its_authorization(shop: Shop) -> None:
    body = {"order": {"currency": "NOK", "items": [line(1, 1000)]}, "options": {"multiple_authorizations": True}}
    draft = shop.ok("POST", "draft_orders", body)
    [order] = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"]
    transaction = shop.pay(shop.session(order))["transaction_id"]
    [authorization] = shop.read_order(order)["authorizations"]
    shop.refused(400, "missing_field", "POST", at(order, "captures"), entry(400))
    shop.ok("POST", at(order, "captures"), entry(400, authorization_id=authorization["id"]))
    assert shop.transaction(transaction)["status"] == "PARTIALLY_CAPTURED"
    shop.ok("POST", at(order, "cancellations"), entry(600, authorization_id=authorization["id"]))


@pytest.mark.parametrize("chosen", [False, None])
def test_without_the_option_no_authorization_need_be_named(shop: Shop, chosen: bool | None) -> None:
    body = {"order": {"currency": "NOK", "items": [line(1, 1000)]}, "options": {"multiple_authorizations": chosen}}
    draft = shop.ok("POST", "draft_orders", body)
    [order] = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"]
    shop.ok("POST", at(order, "authorizations"), entry(1000))
    shop.ok("POST", at(order, "captures"), entry(1000))


# -- comments


def test_comments_are_kept_in_their_order_and_removed(shop: Shop) -> None:
    order = shop.order(1000)
    first = shop.ok("POST", at(order, "comments"), {"text": "Ring på døra 😀"})
    second = shop.ok("POST", at(order, "comments"), {"text": "x" * 4000})
    assert first == {**first, "text": "Ring på døra 😀", "created_by": order["created_by"]}
    assert first["created_at"]
    assert shop.read_order(order)["comments"] == [first, second]
    answer = shop.call("DELETE", at(order, "comments", first["id"]))
    assert (answer.status_code, answer.content) == (204, b"")
    assert shop.read_order(order)["comments"] == [second]
    shop.refused(404, "comment_not_found", "DELETE", at(order, "comments", first["id"]))
    another = shop.order(1)
    shop.refused(404, "comment_not_found", "DELETE", at(another, "comments", second["id"]))
    names = [event["name"] for event in shop.ok("GET", at(order, "events"))["events"]]
    assert names == ["order_created", "comment_added", "comment_added", "comment_removed"]


@pytest.mark.parametrize("text", ["", "x" * 4001, None, 7])
def test_a_comment_is_a_text(shop: Shop, text: Any) -> None:
    answer = shop.call("POST", at(shop.order(1000), "comments"), {"text": text})
    assert (answer.status_code, answer.json()["error"]["errors"][0]["path"]) == (400, "/text")


# -- service events


def note(shop: Shop, order: Json, service: str, state: str | None, status: str = "x") -> Json:
    body = {"service": service, "service_status": status, **({"state": state} if state else {})}
    return shop.ok("POST", at(order, "events"), body)


def state(shop: Shop, order: Json) -> str:
    return str(shop.ok("GET", at(order, "events"))["state"])


def test_a_service_event_is_kept_as_it_was_sent(shop: Shop) -> None:
    order = shop.order(1000)
    body = {
        **{"service": "warehouse", "service_status": "ready_for_pickup", "state": "pending"},
        **{"description": "Shelf 7", "metadata": {"shelf": 7}},
    }
    event = shop.ok("POST", at(order, "events"), body)
    assert {name: event[name] for name in body} == body
    assert (event["event_type"], event["version"], event["created_by"]) == ("service-event", 2, order["created_by"])
    assert event["request"]["body"] == body
    assert shop.ok("GET", at(order, "events"))["events"][-1] == event


def test_services_are_as_far_as_their_latest_words_together(shop: Shop) -> None:
    order = shop.order(1000)
    assert state(shop, order) == "pending"
    for service, word, expected in (
        ("warehouse", "pending", "pending"),
        ("warehouse", None, "success"),  # success is what is meant where nothing is said
        ("courier", "pending", "pending"),
        ("warehouse", "success", "pending"),
        ("courier", "success", "success"),
        ("courier", "error", "failure"),
        ("courier", "success", "failure"),  # once failed is failed
    ):
        note(shop, order, service, word)
        assert state(shop, order) == expected, (service, word)
    assert shop.ok("GET", at(order) + "?include_events=true")["state"] == "failure"
    another = shop.order(1)
    note(shop, another, "courier", "failure")
    assert state(shop, another) == "failure"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"service_status": "x"}, "/service"),
        ({"service": "s"}, "/service_status"),
        ({"service": "s", "service_status": "x", "state": "done"}, "/state"),
        ({"service": "s", "service_status": "x", "metadata": [1]}, "/metadata"),
    ],
)
def test_a_service_event_says_who_and_how_far(shop: Shop, body: Json, path: str) -> None:
    answer = shop.call("POST", at(shop.order(1000), "events"), body)
    assert (answer.status_code, answer.json()["error"]["errors"][0]["path"]) == (400, path)


def test_a_service_may_be_let_at_the_events_alone(shop: Shop, server: Running) -> None:
    order = shop.order(1000)

    def client(*scopes: str) -> Shop:
        """Another client of the same account, which has but these scopes."""
        made, secret = server.run(
            accounts.create_client(server.house, "test", shop.account_id, name="Service", scopes=scopes)
        )
        return Shop(server.base_url, shop.account_id, made.client_id, secret)

    reader, writer = client(EVENTS_READ), client(EVENTS_WRITE)
    body = {"service": "warehouse", "service_status": "packed"}
    assert writer.ok("POST", at(order, "events"), body)["service"] == "warehouse"
    assert reader.ok("GET", at(order, "events"))["state"] == "success"
    reader.refused(403, "missing_scope", "POST", at(order, "events"), body)
    assert len(writer.ok("GET", at(order, "events"))["events"]) == 2  # who may write may read
    for narrow in (reader, writer):
        narrow.refused(403, "missing_scope", "GET", at(order))
        narrow.refused(403, "missing_scope", "POST", at(order, "comments"), {"text": "x"})


# -- whose orders


@pytest.mark.parametrize("owner", ["customer", "store"])
def test_the_orders_of_a_customer_or_a_store(shop: Shop, server: Running, owner: str) -> None:
    def make(id: str, seller: Shop = shop) -> Json:
        return seller.ok("POST", "orders", {"currency": "NOK", "items": [line(1, 1000)], owner: {"id": id}})

    mine, other = make("a 1"), make("b")
    later = make("a 1")
    theirs = make("a 1", server.shop())
    path = f"{owner}s/a%201/orders"
    assert shop.ok("GET", path) == {"orders": [later, mine]}
    assert shop.ok("GET", f"{owner}s/none/orders") == {"orders": []}
    assert shop.ok("GET", f"{path}/{mine['order_id']}") == mine
    assert "events" in shop.ok("GET", f"{path}/{mine['id']}?include_events=true")
    for order in (other, theirs):
        shop.refused(404, "order_not_found", "GET", f"{path}/{order['id']}")
    shop.ok("POST", at(later, "close"))
    assert [order["id"] for order in shop.ok("GET", f"{path}?status=open")["orders"]] == [mine["id"]]
    # Whose orders is said in the address, and not to be had otherwise in the query.
    assert len(shop.ok("GET", f"{path}?{owner}_id=b")["orders"]) == 2
    first = shop.ok("GET", f"{path}?limit=1")
    assert [order["id"] for order in first["orders"]] == [later["id"]]
    rest = shop.ok("GET", f"{path}?limit=1&page_token={first['next_page_token']}")
    assert [order["id"] for order in rest["orders"]] == [mine["id"]]
    assert "next_page_token" not in rest
    shop.refused(400, "wrong_value", "GET", f"{owner}s/b/orders?page_token={first['next_page_token']}")


def test_an_order_with_lines_of_several_stores_is_each_stores(shop: Shop) -> None:
    items = [line(1, 1, store={"id": "oslo"}), line(2, 2, store={"id": "bergen"})]
    order = shop.ok("POST", "orders", {"currency": "NOK", "items": items})
    for store in ("oslo", "bergen"):
        assert shop.ok("GET", f"stores/{store}/orders")["orders"] == [order]
