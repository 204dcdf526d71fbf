"""A merchant changes a session before it is paid, over real HTTP. Source: checkout reference, sections 3.7 and 6.2."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.test_express import CABIN, GONE, HOME, PICK_UP, POST, Page, adds_up, asking, names, opened, request
from tests.asking import MerchantServer
from tests.running import Json, Running, Shop

FREELY = "?update_without_lock=true"


def plain(shop: Shop) -> Json:
    body = request()
    del body["express"]
    made: Json = shop.ok("POST", "/v1/sessions-profile?include_session=true", body)["session"]
    return made


def path(session: Json, query: str = FREELY) -> str:
    return f"/v1/sessions/{session['id']}{query}"


# -- the lock


def test_the_page_is_locked_the_session_changed_and_the_lock_gone(shop: Shop) -> None:
    session = plain(shop)
    page = Page(shop, session)
    shop.refused(409, "wrong_state", "PUT", path(session, ""), {"order": {"amount": 900}})
    lock = page.ok("POST", "/lock")["pay_lock"]
    assert page.session()["pay_lock"] == lock
    assert "pay_lock" not in shop.read_session(session)
    assert page.ok("POST", "/lock")["pay_lock"] == lock
    shop.refused(409, "session_locked", "POST", shop.pay_path(session), {})
    items = [{"line_id": "1", "id": "tea", "amount": 900.0}]
    changed = shop.ok("PUT", path(session, ""), {"order": {"items": items, "amount": 900}})
    assert (changed["order"]["amount"], changed["order"]["items"][0]["amount"]) == (900, 900)
    assert "pay_lock" not in page.session()
    assert names(changed) == ["INITIATED", "PAY_LOCK_START", "UPDATE_SESSION", "PAY_LOCK_END"]
    shop.refused(409, "wrong_state", "PUT", path(session, ""), {"order": {"amount": 900}})
    assert shop.transaction(shop.pay(session)["transaction_id"])["amount"] == 900


def test_a_lock_stays_when_the_merchant_says_so(shop: Shop) -> None:
    session = plain(shop)
    page = Page(shop, session)
    lock = page.ok("POST", "/lock")["pay_lock"]
    shop.ok("PUT", path(session, ""), {"order": {"merchant_reference_2": "second"}, "remove_lock": False})
    assert page.session()["pay_lock"] == lock
    shop.ok("PUT", path(session, ""), {})
    assert "pay_lock" not in page.session()


def test_the_page_can_take_its_own_lock_off(shop: Shop) -> None:
    session = plain(shop)
    page = Page(shop, session)
    lock = page.ok("POST", "/lock")["pay_lock"]["pay_lock_id"]
    assert "pay_lock" in page.ok("DELETE", "/lock?pay_lock_id=another")
    assert "pay_lock" not in page.ok("DELETE", f"/lock?pay_lock_id={lock}")
    assert names(shop.read_session(session))[1:] == ["PAY_LOCK_START", "PAY_LOCK_END"]
    assert shop.pay(session)["status"] == "AUTHORIZED"


def test_a_locked_session_is_not_changed_by_its_payer(shop: Shop) -> None:
    page = Page(shop, opened(shop, POST))
    page.ok("POST", "/lock")
    page.refused(409, "session_locked", "PUT", "/order/shipping_option", POST)
    page.refused(409, "session_locked", "PUT", "/order/addresses", {"shipping_address": HOME})


@pytest.mark.parametrize("over", ["paid", "being paid", "cancelled"])
def test_nothing_is_locked_or_changed_once_paying_has_begun(shop: Shop, over: str) -> None:
    session = plain(shop)
    page = Page(shop, session)
    if over == "cancelled":
        shop.ok("POST", f"/v1/sessions/{session['id']}/cancel")
    else:
        shop.pay(session, None if over == "paid" else "4000100000000000")
    keyword = {"paid": "session_paid", "being paid": "session_being_paid", "cancelled": "session_cancelled"}[over]
    page.refused(409, keyword, "POST", "/lock")
    before = shop.read_session(session)
    shop.refused(409, keyword, "PUT", path(session), {"order": {"merchant_reference_2": "late"}})
    assert shop.read_session(session) == before


# -- what is changed


def test_an_update_is_noted_with_what_was_there_before(shop: Shop) -> None:
    session = plain(shop)
    changed = shop.ok("PUT", path(session), {"order": {"shipping_address": HOME}, "customer": {"email": "a@b.example"}})
    event = changed["events"][-1]
    assert event["details"]["previous_order"] == session["order"]
    assert event["details"]["updated_order"] == changed["order"]
    assert event["details"]["updated_order_result"] == {"status": "MODIFIED"}
    assert changed["customer"] == {"email": "a@b.example"}
    same = shop.ok("PUT", path(session), {"order": {"shipping_address": HOME}})
    assert same["events"][-1]["details"] == {"updated_order_result": {"status": "NOT_MODIFIED"}}
    assert "express" not in same


@pytest.mark.parametrize(
    ("body", "keyword", "where"),
    [
        ({"order": {"amount": "900"}}, "wrong_type", "/order/amount"),
        ({"order": {"amount": 9.5}}, "wrong_type", "/order/amount"),
        ({"order": {"amount": -1}}, "amount_not_positive", "/order/amount"),
        ({"order": {"items": [{"line_id": "1"}]}}, "missing_field", "/order/items/0/amount"),
        ({"order": {"items": [{"line_id": "1", "amount": 1}] * 2}}, "duplicate_line", "/order/items/1/line_id"),
        ({"order": {"merchant_reference": "other"}}, "wrong_value", "/order/merchant_reference"),
        ({"order": {"currency": "SEK"}}, "wrong_value", "/order/currency"),
        ({"order": {"shipping_option": {"id": "x", "amount": 1}}}, "missing_field", "/order/shipping_option/line_id"),
        ({"order": []}, "wrong_type", "/order"),
        ({"remove_lock": "no"}, "wrong_type", "/remove_lock"),
        ({"express": {"shipping_options": [{}]}}, "missing_field", "/express/shipping_options/0/id"),
    ],
)
def test_a_wrong_update_changes_nothing(shop: Shop, body: Any, keyword: str, where: str) -> None:
    session = plain(shop)
    assert shop.refused(400, keyword, "PUT", path(session), body)["path"] == where
    assert shop.read_session(session) == session


def test_an_amount_that_leaves_the_shipping_out_is_added_up_or_refused(shop: Shop) -> None:
    session = opened(shop, POST)
    body = {"order": {"amount": 1000, "items": session["order"]["items"], "shipping_option": POST}}
    strict = {"Dintero-Feature-Toggles": "other, strict-session-amounts"}
    problem = shop.refused(400, "amount_mismatch", "PUT", path(session), body, headers=strict)
    assert "1490, got 1000" in problem["message"]
    changed = shop.ok("PUT", path(session), body)
    assert (changed["order"]["amount"], adds_up(changed)) == (1490, True)


def test_options_said_by_the_merchant_need_no_question_to_him(shop: Shop, merchant: MerchantServer) -> None:
    session = asking(shop, merchant)
    merchant.say = lambda asked: {"shipping_options": [PICK_UP]}
    told = {"order": {"shipping_address": HOME}, "express": {"shipping_options": [POST], "customer_types": ["b2c"]}}
    changed = shop.ok("PUT", path(session), told)
    assert merchant.asked == []
    assert changed["express"]["shipping_options"] == [POST]
    assert changed["express"]["shipping_address_callback_url"] == merchant.url
    forced = shop.ok("PUT", path(session, f"{FREELY}&force_shipping_address_callback=true"), told)
    assert forced["express"]["shipping_options"] == [PICK_UP]
    asked = shop.ok("PUT", path(session), {"order": {"shipping_address": CABIN}})
    assert [one["order"]["shipping_address"] for one in merchant.asked] == [HOME, CABIN]
    assert asked["express"]["shipping_options"] == [PICK_UP]
    merchant.say = lambda asked: (500, b"")
    before = shop.read_session(session)
    shop.refused(500, "callback_failed", "PUT", path(session), {"order": {"shipping_address": HOME}})
    assert shop.read_session(session) == before


def test_a_session_of_an_order_gets_other_shipping_but_no_other_lines(shop: Shop) -> None:
    order = shop.order(700, 300)
    session = shop.session(order)
    changed = shop.ok("PUT", path(session), {"order": {"shipping_option": POST, "shipping_address": HOME}})
    assert changed["order"]["amount"] == 1490
    problem = shop.refused(
        400, "wrong_value", "PUT", path(session), {"order": {"items": [{"line_id": "1", "amount": 1}], "amount": 1}}
    )
    assert order["order_id"] in problem["message"]
    shop.refused(400, "amount_mismatch", "PUT", path(session), {"order": {"amount": 500}})
    shop.pay(session)
    [authorization] = shop.read_order(order)["authorizations"]
    assert authorization["amount"] == 1000
    assert shop.ok("GET", f"orders/{order['order_id']}/sessions/{session['id']}")["amount"] == 1490


def test_a_session_is_changed_by_its_own_account_only(shop: Shop, server: Running) -> None:
    session = plain(shop)
    server.shop().refused(404, "session_not_found", "PUT", path(session), {})
    server.shop("read:checkout", account_id=None).refused(403, "missing_scope", "PUT", path(session), {})
    Page(shop, session).refused(412, "session_changed", "POST", "/lock", None, GONE)


# -- the version of the session that an item is from


def versions(session: Json) -> dict[str, int]:
    return {item["line_id"]: item["version"] for item in session["order"]["items"]}


def test_an_item_tells_which_version_of_the_session_added_or_changed_it(shop: Shop) -> None:
    session = plain(shop)
    tea, pot = session["order"]["items"]
    assert versions(session) == {"1": 1, "2": 1}
    cup = {"line_id": "3", "id": "cup", "amount": 300, "version": 77}
    changed = shop.ok("PUT", path(session), {"order": {"items": [tea, pot, cup]}})
    assert versions(changed) == {"1": 1, "2": 1, "3": 2}
    same = shop.ok("PUT", path(session), {"order": {"items": changed["order"]["items"]}})
    assert versions(same) == {"1": 1, "2": 1, "3": 2}
    assert same["events"][-1]["details"]["updated_order_result"] == {"status": "NOT_MODIFIED"}
    cheaper = shop.ok("PUT", path(session), {"order": {"items": [tea, {**cup, "amount": 200}]}})
    assert versions(cheaper) == {"1": 1, "3": 4}
    assert versions(shop.ok("GET", path(session, ""))) == {"1": 1, "3": 4}
    transaction = shop.transaction(shop.pay(session)["transaction_id"])
    assert [item["amount"] for item in transaction["items"]] == [tea["amount"], 200]


def test_a_correction_is_of_the_version_that_needed_it(shop: Shop, merchant: MerchantServer) -> None:
    merchant.say = lambda asked: {"shipping_options": [POST], "order": {"amount": 1025}}
    at_home = Page(shop, asking(shop, merchant)).live_at(HOME)
    assert [item["version"] for item in at_home["order"]["items"]] == [1, 1, 2]
