"""An account's sessions, listed over real HTTP. Source: checkout reference, section 2, row 4b."""

from __future__ import annotations

import pytest

from tests.api.test_sessions import made
from tests.running import Json, Running, Shop


def listed(shop: Shop, query: str = "") -> list[str]:
    answer = shop.call("GET", f"/v1/sessions{query}")
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()
    assert isinstance(found, list)
    return [each["id"] for each in found]


def test_sessions_are_listed_newest_first_page_by_page(shop: Shop, server: Running) -> None:
    ids = [made(shop)["id"] for _ in range(12)][::-1]
    made(server.shop())
    assert listed(shop) == ids[:10]
    assert listed(shop, "?limit=100") == ids
    assert listed(shop, f"?limit=5&starting_after={ids[4]}") == ids[5:10]
    assert listed(shop, f"?starting_after={ids[-1]}") == []
    of_order = shop.session(shop.order(1000))["id"]
    assert listed(shop, "?limit=1") == [of_order]


def test_a_carts_session_is_found_by_what_the_merchant_knows(shop: Shop) -> None:
    address = {"first_name": "Kari", "last_name": "Nordmann"}
    cart = made(shop, order={"merchant_reference": "cart-7", "merchant_reference_2": "web-1", "store": {"id": "oslo"}})
    named = made(shop, order={"merchant_reference": "cart-8", "shipping_address": address, "store": {"id": "bergen"}})
    paid = shop.pay(cart)["transaction_id"]
    for query in ("search=cart-7", "search=WEB-1", "store_id=oslo", f"transaction_id={paid}", f"id={cart['id']}"):
        assert listed(shop, f"?{query}") == [cart["id"]], query
    assert listed(shop, "?search=kari nordmann") == [named["id"]]
    both = [named["id"], cart["id"]]
    for query in (
        "store_id=oslo&store_id=bergen",
        "store_id[]=oslo&store_id[]=bergen",
        "store_id=oslo,bergen",
        f"id={cart['id']}&id={named['id']}&id=T12345678.nobody",
        f"created_at.gte={cart['created_at']}&created_at.lte={named['created_at']}",
    ):
        assert listed(shop, f"?{query}") == both, query
    assert listed(shop, "?search=nothing") == []
    assert listed(shop, "?created_at.lte=2020-01-01T00:00:00Z") == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "created_at.gte=yesterday"])
def test_a_wrong_filter_is_refused(shop: Shop, query: str) -> None:
    problem = shop.refused(400, "wrong_value", "GET", f"/v1/sessions?{query}")
    assert problem["path"] == f"/{query.partition('=')[0]}"


def test_a_list_needs_a_token_that_may_read_and_a_session_to_start_after(shop: Shop, server: Running) -> None:
    server.shop("admin:shopping").refused(403, "missing_scope", "GET", "/v1/sessions")
    theirs = made(server.shop())["id"]
    shop.refused(404, "session_not_found", "GET", f"/v1/sessions?starting_after={theirs}")
