"""The rules of the checkout reference, section 5: each refusal, and what is taken beside it, to one minor unit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
import requests

from tests.asking import merchant_server
from tests.running import PATIENCE_S, Json, Shop

ITEM: Json = {"line_id": "1", "id": "tea", "amount": 1000, "quantity": 1}
POST: Json = {"id": "post", "line_id": "ship-1", "amount": 100, "title": "Post", "operator": ""}
STRICT = {"Dintero-Feature-Toggles": "strict-session-amounts"}
FREELY = "?update_without_lock=true"


def request(order: Json, **more: object) -> Json:
    return {
        **{"profile_id": "default", "url": {"return_url": "https://shop.example/done"}},
        "order": {"amount": 1000, "currency": "NOK", "merchant_reference": "web-1", "items": [ITEM], **order},
        **more,
    }


def opened(shop: Shop, order: Json | None = None, headers: Json | None = None, **more: object) -> Json:
    body = request(order or {}, **more)
    made: Json = shop.ok("POST", "/v1/sessions-profile?include_session=true", body, headers=headers)["session"]
    return made


def refused(shop: Shop, keyword: str, path: str, order: Json, **more: object) -> None:
    problem = shop.refused(400, keyword, "POST", "/v1/sessions-profile", request(order), **more)
    assert problem["path"] == path


def updated(shop: Shop, session: Json, body: Json, **more: object) -> Json:
    return shop.ok("PUT", f"/v1/sessions/{session['id']}{FREELY}", body, **more)


def not_updated(shop: Shop, session: Json, keyword: str, path: str, body: Json, **more: object) -> None:
    problem = shop.refused(400, keyword, "PUT", f"/v1/sessions/{session['id']}{FREELY}", body, **more)
    assert problem["path"] == path
    assert shop.read_session(session) == session


@pytest.mark.parametrize("shipping", [{}, {"shipping_option": POST}])
def test_1_a_strict_amount_is_that_of_items_and_shipping(shop: Shop, shipping: Json) -> None:
    total = 1100 if shipping else 1000
    session = opened(shop, {**shipping, "amount": total}, STRICT)
    for off in (total - 1, total + 1):
        refused(shop, "amount_mismatch", "/order/amount", {**shipping, "amount": off}, headers=STRICT)
        order = {**shipping, "items": [ITEM], "amount": off}
        not_updated(shop, session, "amount_mismatch", "/order/amount", {"order": order}, headers=STRICT)
        assert updated(shop, opened(shop), {"order": order})["order"]["amount"] == total
    assert updated(shop, session, {"order": {**shipping, "items": [ITEM], "amount": total}}, headers=STRICT)


@pytest.mark.parametrize("amount", [999, 1001])
def test_2_another_amount_is_what_is_charged(shop: Shop, amount: int) -> None:
    session = opened(shop, {"amount": amount})
    assert shop.transaction(shop.pay(session)["transaction_id"])["amount"] == amount


def test_4_a_partial_payment_is_at_most_what_the_items_cost(shop: Shop) -> None:
    partial = {"partial_payment": True}
    refused(shop, "amount_mismatch", "/order/amount", {**partial, "amount": 1001})
    session = opened(shop, {**partial, "amount": 1000})
    not_updated(shop, session, "amount_mismatch", "/order/amount", {"order": {"amount": 1001}})
    assert updated(shop, session, {"order": {"amount": 300}})["order"]["amount"] == 300


def test_4_other_items_leave_the_amount_of_a_partial_payment_alone(shop: Shop) -> None:
    session = opened(shop, {"partial_payment": True, "amount": 300})
    not_updated(shop, session, "amount_mismatch", "/order/amount", {"order": {"items": [{**ITEM, "amount": 299}]}})
    for items in (300, 5000):
        body = {"order": {"items": [{**ITEM, "amount": items}]}}
        assert updated(shop, session, body)["order"]["amount"] == 300


def test_5_a_line_id_stands_once(shop: Shop) -> None:
    for other in ("1", 1):
        refused(shop, "duplicate_line", "/order/items/1/line_id", {"items": [ITEM, {**ITEM, "line_id": other}]})
    refused(shop, "duplicate_line", "/order/shipping_option/line_id", {"shipping_option": {**POST, "line_id": 1}})
    opened(shop, {"items": [ITEM, {**ITEM, "line_id": "2"}]})


def test_5_nor_does_an_update_give_an_option_the_line_id_of_an_item(shop: Shop) -> None:
    session = opened(shop, express={"shipping_options": [POST]})
    option = {"express": {"shipping_options": [POST, {**POST, "id": "van", "line_id": 1}]}}
    not_updated(shop, session, "duplicate_line", "/express/shipping_options/1/line_id", option)
    items = {"order": {"items": [ITEM, {**ITEM, "line_id": POST["line_id"]}]}}
    not_updated(shop, session, "duplicate_line", "/order/items/1/line_id", items)
    option["express"]["shipping_options"][1]["line_id"] = "ship-2"
    items["order"]["items"][1]["line_id"] = "2"
    assert updated(shop, session, {**option, **items})["order"]["amount"] == 2000


def test_10_metadata_of_captures_and_refunds(shop: Shop) -> None:
    transaction = f"/v1/transactions/{shop.pay(opened(shop))['transaction_id']}"
    key = "ext_" + "k" * 124
    for step in ("capture", "refund"):
        for metadata in ({"x": "v"}, {f"{key}k": "v"}, {key: "v" * 257}):
            body = {"amount": 1, "metadata": metadata}
            problem = shop.refused(400, "wrong_value", "POST", f"{transaction}/{step}", body)
            assert problem["path"] == f"/metadata/{next(iter(metadata))}"
        shop.refused(400, "wrong_type", "POST", f"{transaction}/{step}", {"amount": 1, "metadata": {key: 1}})
        done = shop.ok("POST", f"{transaction}/{step}", {"amount": 1, "metadata": {key: "v" * 256}})
        assert done["events"][-1]["metadata"] == {key: "v" * 256}


# -- what else a session is told


def test_times_are_told_in_utc_whatever_zone_they_came_in(shop: Shop) -> None:
    at = datetime(2035, 1, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert opened(shop, expires_at=at.isoformat())["expires_at"] == "2035-01-01T07:00:15.123Z"
    assert at.astimezone(UTC).hour == 7
    body = request({}, expires_at="9999-12-31T23:59:59-12:00")
    assert shop.refused(400, "wrong_value", "POST", "/v1/sessions-profile", body)["path"] == "/expires_at"


def test_what_is_null_is_no_express_and_no_profile_is_no_profile(shop: Shop) -> None:
    assert "express" not in opened(shop, express=None)
    plain = request({}, configuration={"dintero_psp": {"creditcard": {"enabled": True}}})
    del plain["profile_id"]
    session = shop.ok("POST", "/v1/sessions", plain)
    paid = shop.transaction(shop.pay(session)["transaction_id"])
    assert "session:profile_id" not in paid["metadata"]
    assert "session:profile_id" not in shop.read_session(session)["metadata"]


def test_what_is_null_says_nothing(shop: Shop) -> None:
    nothing = {provider: None for provider in ("swish", "vipps", "dintero")}
    session = opened(shop, {"items": [{**ITEM, "quantity": None}]}, configuration=nothing)
    assert "swish" not in session["configuration"]
    assert "quantity" not in session["order"]["items"][0]
    assert requests.get(f"{shop.base_url}/v1/view/{session['id']}", timeout=PATIENCE_S).status_code == 200
    page = f"/v1/view/{session['id']}/session"
    shop.ok("POST", f"{page}/lock")
    shop.ok("PUT", f"/v1/sessions/{session['id']}", {"remove_lock": None})
    assert "pay_lock" not in shop.ok("GET", page)


def test_a_quantity_that_the_merchants_server_leaves_open_is_shown_as_one(shop: Shop) -> None:
    item = {"line_id": "1", "amount": 1000, "description": "Tea", "quantity": None}
    with merchant_server() as merchant:
        merchant.say = lambda asked: {"shipping_options": [], "order": {"amount": 1000, "items": [item]}}
        express = {"shipping_options": [], "shipping_address_callback_url": merchant.url}
        session = opened(shop, express=express)
        page = f"{shop.base_url}/v1/view/{session['id']}"
        address = {"shipping_address": {"country": "NO", "postal_code": "0150"}}
        answer = requests.put(f"{page}/session/order/addresses", json=address, timeout=PATIENCE_S)
        assert answer.status_code == 200
        assert "quantity" not in answer.json()["order"]["items"][0]
        assert requests.get(page, timeout=PATIENCE_S).status_code == 200


def test_a_session_that_is_cancelled_while_it_is_locked_is_locked_no_more(shop: Shop) -> None:
    session = opened(shop)
    page = f"/v1/view/{session['id']}/session"
    shop.ok("POST", f"{page}/lock")
    shop.ok("POST", f"/v1/sessions/{session['id']}/cancel")
    assert "pay_lock" not in shop.ok("GET", page)
