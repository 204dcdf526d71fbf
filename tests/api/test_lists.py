"""Lists over real HTTP: filters, and pages by token. Source: orders reference, section 10 and O-11, O-12."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.running import Json, Running, Shop, line


def make(shop: Shop, amount: int = 1000, item: Json | None = None, **order: Any) -> Json:
    return shop.ok("POST", "orders", {"currency": "NOK", "items": [{**line(1, amount), **(item or {})}], **order})


def found(shop: Shop, *query: tuple[str, Any], path: str = "orders") -> list[str]:
    """The ids of what a list holds, the newest first."""
    name = path.rpartition("/")[2]
    return [each["id"] for each in shop.ok("GET", path, params=list(query))[name]]


def ids(*orders: Json) -> list[str]:
    return [order["id"] for order in orders]


# -- filters


def test_orders_by_status(shop: Shop) -> None:
    opened, closed, cancelled = (make(shop) for _ in range(3))
    shop.ok("POST", f"orders/{closed['id']}/close")
    shop.ok("POST", f"orders/{cancelled['id']}/cancel", {})
    assert found(shop, ("status", "open")) == ids(opened)
    assert found(shop, ("status", "closed")) == ids(closed)
    assert found(shop, ("status", "cancelled")) == ids(cancelled)
    both = ids(cancelled, opened)
    assert found(shop, ("status", "open,cancelled")) == both
    assert found(shop, ("status", "open"), ("status", "cancelled")) == both
    assert found(shop, ("status", "cancelled,open,open,")) == both
    assert found(shop, ("status", "")) == ids(cancelled, closed, opened)
    shop.ok("POST", f"orders/{closed['id']}/open")
    assert found(shop, ("status", "closed")) == []


def test_orders_by_payment_status(shop: Shop) -> None:
    pending, partly, paid, partly_refunded, refunded = (make(shop) for _ in range(5))

    def record(order: Json, kind: str, amount: int) -> None:
        shop.ok("POST", f"orders/{order['id']}/{kind}", {"items": [{"line_id": 1, "amount": amount}]})

    for order in (partly, paid, partly_refunded, refunded):
        record(order, "authorizations", 1000)
    for order, captured, back in ((partly, 400, 0), (paid, 1000, 0), (partly_refunded, 900, 1), (refunded, 700, 700)):
        record(order, "captures", captured)
        if back:
            record(order, "refunds", back)
    statuses = ("pending", "partially_paid", "paid", "partially_refunded", "refunded")
    orders = (pending, partly, paid, partly_refunded, refunded)
    for status, order in zip(statuses, orders, strict=True):
        assert found(shop, ("payment_status", status)) == ids(order)
    assert found(shop, ("payment_status", ",".join(statuses))) == ids(*orders[::-1])
    assert found(shop, ("payment_status", "paid,pending"), ("status", "open")) == ids(paid, pending)
    assert found(shop, ("payment_status", "paid"), ("status", "closed")) == []


MARKED: dict[str, tuple[Json, Json, str, str]] = {
    "merchant_reference": ({"merchant_reference": "web-1"}, {"merchant_reference": "web-2"}, "web-1", "web-2"),
    "customer_id": ({"customer": {"id": "c 1"}}, {"customer": {"id": "ø/2"}}, "c 1", "ø/2"),
    "store_id": ({"store": {"id": "oslo"}}, {"item": {"store": {"id": "bergen"}}}, "oslo", "bergen"),
    "itinerary_travel_mode": (
        {"itinerary": [{"travel_mode": "FERRY"}, {"travel_mode": "BUS"}]},
        {"itinerary": {"travel_mode": "CUSTOM"}},
        *("BUS", "CUSTOM"),
    ),
    "itinerary_arrival_address": (
        {"itinerary": [{"arrival_address": {"id": "quay-1", "name": "Moss"}}]},
        {"itinerary": [{"arrival_address": {"name": "Horten"}}]},
        *("quay-1", "Horten"),
    ),
    "itinerary_departure_address": (
        {"itinerary": [{"departure_address": {"id": "quay-1"}}]},
        {"itinerary": [{"departure_address": {"id": "quay-2"}}]},
        *("quay-1", "quay-2"),
    ),
    "items_discount_lines_discount_type": (
        {"item": {"discount_lines": [{"amount": 1, "discount_type": "manual"}]}},
        {"item": {"discount_lines": [{"amount": 1, "discount_type": "loyalty"}, {"amount": 1}]}},
        *("manual", "loyalty"),
    ),
}


@pytest.mark.parametrize("name", MARKED)
def test_orders_by_what_was_said_of_them(shop: Shop, server: Running, name: str) -> None:
    one, other, first, second = MARKED[name]
    make(shop)
    a, b, again = make(shop, **one), make(shop, **other), make(shop, **one)
    make(server.shop(), **one)
    assert found(shop, (name, first)) == ids(again, a)
    assert found(shop, (name, second)) == ids(b)
    assert found(shop, (name, first), (name, second)) == ids(again, b, a)
    assert found(shop, (name, f"{first},{second}"), ("limit", 2)) == ids(again, b)
    assert found(shop, (name, "none")) == []
    assert found(shop, (name, first), ("status", "closed")) == []
    assert found(shop, (name, first), ("starting_after", again["id"])) == ids(a)


def test_every_filter_must_fit(shop: Shop) -> None:
    make(shop, customer={"id": "c"})
    make(shop, store={"id": "s"})
    both = make(shop, customer={"id": "c"}, store={"id": "s"}, merchant_reference="r")
    assert found(shop, ("customer_id", "c"), ("store_id", "s")) == ids(both)
    assert found(shop, ("store_id", "s,t"), ("customer_id", "c,d"), ("merchant_reference", "r,x")) == ids(both)
    assert found(shop, ("store_id", "s,t"), ("merchant_reference", "x")) == []
    assert found(shop, ("customer_id", "c"), path="stores/s/orders") == ids(both)


def test_created_at_bounds_are_part_of_what_they_bound(shop: Shop) -> None:
    first, second, third = (make(shop) for _ in range(3))
    low, high = first["created_at"], third["created_at"]
    everything = ids(third, second, first)
    assert found(shop, ("created_at.gte", low), ("created_at.lte", high)) == everything
    assert found(shop, ("created_at.gte", low.replace("Z", "+00:00"))) == everything
    assert shop.ok("GET", f"orders?created_at.gte={low.replace('Z', '+00:00')}")["orders"]  # the plus sign unescaped
    times = {order["id"]: order["created_at"] for order in (first, second, third)}
    middle = second["created_at"]
    assert found(shop, ("created_at.gte", middle)) == [id for id in everything if times[id] >= middle]
    assert found(shop, ("created_at.lte", middle)) == [id for id in everything if times[id] <= middle]
    assert found(shop, ("created_at.lte", "2026-01-01T00:00:00Z")) == []
    assert found(shop, ("created_at.gte", "2100-01-01T02:00:00.5+02:00")) == []


def test_events_come_when_asked_for(shop: Shop) -> None:
    order = make(shop)
    [plain] = shop.ok("GET", "orders")["orders"]
    [full] = shop.ok("GET", "orders?include_events=true")["orders"]
    assert plain == order
    assert [event["name"] for event in full["events"]] == ["order_created"]
    assert full["state"] == "pending"


@pytest.mark.parametrize("path", ["orders", "customers/c/orders", "stores/s/orders"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("status", value) for value in ("opened", "OPEN", "open,nothing", "open;closed", "completed", "😀")),
        *(("payment_status", value) for value in ("authorized", "PAID", "paid,open")),
        *(
            (f"created_at.{end}", value)
            for end in ("gte", "lte")
            for value in ("", "now", "2026-02-30", "2026-02-03T25:00:00", "1770109200", "2026-13-03T09:00:00Z")
        ),
        *(("limit", value) for value in ("0", "101", "-1", "", "x", "1.5", "\u0661", "9" * 30)),
        ("starting_after", "nothing"),
        ("starting_after", ""),
        ("page_token", "x"),
        ("page_token", ""),
    ],
)
def test_a_list_asked_for_in_a_wrong_way_says_so(shop: Shop, path: str, name: str, value: str) -> None:
    problem = shop.refused(400, "wrong_value", "GET", path, params={name: value})
    assert problem["path"] == f"/{name}"


def test_limits_are_from_one_to_a_hundred(shop: Shop) -> None:
    made = [make(shop) for _ in range(12)][::-1]
    assert found(shop) == ids(*made[:10])
    assert found(shop, ("limit", 1)) == ids(*made[:1])
    assert found(shop, ("limit", 100)) == ids(*made)
    assert "next_page_token" not in shop.ok("GET", "orders?limit=12")
    assert "next_page_token" in shop.ok("GET", "orders?limit=11")


# -- pages


def pages(shop: Shop, path: str, between: Any = None) -> list[str]:
    """Read a list to its end, three at a time."""
    name = path.partition("?")[0].rpartition("/")[2]
    sign = "&" if "?" in path else "?"
    seen: list[str] = []
    token: str | None = ""
    while token is not None:
        page = shop.ok("GET", f"{path}{sign}limit=3" + (f"&page_token={token}" if token else ""))
        assert page[name]
        seen += [each["id"] for each in page[name]]
        token = page.get("next_page_token")
        if between is not None:
            between()
    return seen


def test_pages_hold_everything_once_while_orders_are_added(shop: Shop) -> None:
    marks: Json = {"merchant_reference": "r", "customer": {"id": "c"}}
    made = [make(shop, **marks) for _ in range(10)][::-1]
    for path in (
        *("orders", "orders?merchant_reference=r", "orders?merchant_reference=r,q&status=open", "orders?status=open"),
        *("customers/c/orders", "orders?created_at.gte=2026-01-01T00:00:00Z&payment_status=pending"),
    ):
        expected = ids(*made)
        assert pages(shop, path, lambda: made.insert(0, make(shop, **marks))) == expected


def test_drafts_and_sessions_come_in_pages_too(shop: Shop) -> None:
    body = {"order": {"currency": "NOK", "items": [line(1, 5)]}}
    drafts = [shop.ok("POST", "draft_orders", body) for _ in range(7)][::-1]
    assert pages(shop, "draft_orders", lambda: shop.ok("POST", "draft_orders", body)) == ids(*drafts)
    order = make(shop)
    sessions = [shop.session(order) for _ in range(7)][::-1]
    assert pages(shop, f"orders/{order['id']}/sessions", lambda: shop.session(order)) == ids(*sessions)


def test_an_order_that_no_longer_fits_is_still_a_place_to_go_on_from(shop: Shop) -> None:
    made = [make(shop) for _ in range(4)][::-1]
    first = shop.ok("GET", "orders?status=open&limit=2")
    shop.ok("POST", f"orders/{made[1]['id']}/close")
    rest = shop.ok("GET", f"orders?status=open&limit=2&page_token={first['next_page_token']}")
    assert ids(*rest["orders"]) == ids(*made[2:])


def test_a_token_that_was_tampered_with_is_refused(shop: Shop) -> None:
    first, second = make(shop), make(shop)
    token = shop.ok("GET", "orders?limit=1")["next_page_token"]
    assert ids(*shop.ok("GET", f"orders?page_token={token}")["orders"]) == ids(first)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    assert raw[24:].decode() == second["id"]
    forged = [
        raw[:24] + first["id"].encode(),
        raw[:16] + bytes(8) + raw[24:],
        bytes([raw[0] ^ 1]) + raw[1:],
        raw[:16],
        raw[16:],
        raw + b"x",
        b"\xff" * 40,
    ]
    for each in forged:
        text = base64.urlsafe_b64encode(each).decode().rstrip("=")
        shop.refused(400, "wrong_value", "GET", "orders", params={"page_token": text})
    for text in ("", "=", "====", "å", "a b", token[:-1], token[1:], "A" * 5000):
        shop.refused(400, "wrong_value", "GET", "orders", params={"page_token": text})


def test_a_token_is_good_for_the_list_it_came_from(shop: Shop, server: Running) -> None:
    another = server.shop()
    for who in (shop, another):
        make(who, customer={"id": "c"}, store={"id": "c"})
        make(who, customer={"id": "c"}, store={"id": "c"})
        for _ in range(2):
            who.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": []}})
    lists = ("orders", "customers/c/orders", "stores/c/orders", "draft_orders")
    tokens = {path: shop.ok("GET", f"{path}?limit=1")["next_page_token"] for path in lists}
    for path, token in tokens.items():
        for other in lists:
            if other == path:
                shop.ok("GET", f"{other}?page_token={token}")
            else:
                shop.refused(400, "wrong_value", "GET", f"{other}?page_token={token}")
        another.refused(400, "wrong_value", "GET", f"{path}?page_token={token}")


def test_a_token_goes_with_the_filters_it_was_given_for(shop: Shop) -> None:
    first, *_ = [make(shop, customer={"id": "c"}) for _ in range(3)]
    shop.ok("POST", f"orders/{first['id']}/close")

    def token(query: str) -> str:
        return str(shop.ok("GET", f"orders?{query}limit=1")["next_page_token"])

    plain = token("")
    for query in ("status=closed", "customer_id=c", "created_at.gte=2026-01-01T00:00:00Z", "payment_status=pending"):
        problem = shop.refused(400, "wrong_value", "GET", f"orders?{query}&page_token={plain}")
        assert problem["path"] == "/page_token"
        assert f"got it with {query}" in problem["message"]
    both = token("status=open,closed&customer_id=c&")
    problem = shop.refused(400, "wrong_value", "GET", f"orders?page_token={both}")
    assert problem["message"].endswith("got it with none")
    shop.refused(400, "wrong_value", "GET", f"orders?status=open&customer_id=c&page_token={both}")
    # The same filters in other words, and what is no filter.
    for query in ("customer_id=c&status=closed&status=open&status=open", "status=open,,closed&customer_id=c&x=y"):
        again = shop.ok("GET", f"orders?{query}&limit=2&include_events=true&page_token={both}")
        assert len(again["orders"]) == 2


def test_a_list_does_not_start_after_what_is_not_in_the_account(shop: Shop, server: Running) -> None:
    make(shop)
    theirs = make(server.shop())
    draft = shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": []}})
    for id in (theirs["id"], draft["id"]):
        shop.refused(400, "wrong_value", "GET", f"orders?starting_after={id}")
