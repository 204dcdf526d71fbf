"""Checkout sessions with an order of their own, over real HTTP. Source: checkout reference, sections 3 to 5."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.api.test_express import POST, Page, names
from tests.running import PATIENCE_S, Json, Running, Shop

CARDS = {"dintero_psp": {"type": "payment_type", "creditcard": {"type": "payment_product_type", "enabled": True}}}
ZERO = {"dintero": {"type": "payment_type", "zero": {"type": "payment_product_type", "enabled": True}}}


def body(**more: Any) -> Json:
    order = {"amount": 1000, "currency": "NOK", "merchant_reference": "web-1", **more.pop("order", {})}
    url = {"return_url": "https://shop.example/done?cart=7", **more.pop("url", {})}
    return {"url": url, "order": order, "profile_id": "default", **more}


def made(shop: Shop, **more: Any) -> Json:
    found: Json = shop.ok("POST", "/v1/sessions-profile?include_session=true", body(**more))["session"]
    return found


# -- opening


def test_a_session_needs_no_profile_when_it_brings_its_configuration(shop: Shop) -> None:
    request = {**body(), "configuration": {**CARDS, "auto_capture": False}}
    del request["profile_id"]
    created = shop.ok("POST", "/v1/sessions?include_session=true", request)
    assert created["url"] == f"{shop.base_url}/v1/view/{created['id']}"
    session = created["session"]
    assert "profile_id" not in session
    assert session["metadata"] == {}
    assert session["configuration"]["dintero_psp"] == CARDS["dintero_psp"]
    assert shop.pay(session)["status"] == "AUTHORIZED"
    del request["configuration"]
    problem = shop.refused(400, "missing_field", "POST", "/v1/sessions", request)
    assert problem["path"] == "/configuration"


def test_a_session_without_a_method_that_is_enabled_cannot_be_paid(shop: Shop) -> None:
    request = {**body(), "configuration": {}}
    del request["profile_id"]
    session = shop.ok("POST", "/v1/sessions", request)
    shop.refused(409, "not_payable", "POST", shop.pay_path(session), {})


def test_all_that_is_said_is_kept_and_sent_back(shop: Shop) -> None:
    more: Json = {
        "customer": {"email": "a@b.example", "phone_number": "+4799999999"},
        "checkboxes": [{"id": 7, "label": "News", "checked": True, "link": {"url": "https://x.example", "text": "x"}}],
        "metadata": {"number_x": 3, "system_x_id": "magento"},
        "merchant": {"name": "Tea & Co", "logo_url": "https://shop.example/logo.svg"},
        "our_own": [{"deep": [1, 2.5, None]}],
    }
    order: Json = {
        "vat_amount": 200.0,
        "merchant_reference_2": "second",
        "items": [
            {
                "line_id": 1,
                "amount": 999.9999999999,
                "quantity": 1.5,
                "tax_rate": 25,
                "groups": [{"id": "a", "name": "A"}],
            }
        ],
        "store": {"id": "oslo"},
        "shipping_address": {"country": "NO", "latitude": 59.9, "comment": "ring twice"},
    }
    session = made(shop, order=order, **more)
    assert {name: session[name] for name in more if name != "metadata"} == {
        name: value for name, value in more.items() if name != "metadata"
    }
    assert session["metadata"] == {**more["metadata"], "session:profile_id": "default"}
    assert session["order"] == {
        **{"amount": 1000, "currency": "NOK", "merchant_reference": "web-1"},
        **order,
        "vat_amount": 200,
        "items": [{**order["items"][0], "line_id": "1", "amount": 1000, "version": 1}],
    }


def test_discount_codes_sent_beside_the_order_belong_to_it(shop: Shop) -> None:
    session = made(shop, discount_codes=["TEA"])
    assert session["order"]["discount_codes"] == ["TEA"]
    assert "discount_codes" not in session


UNTITLED: Json = {"id": "post", "line_id": "post-1", "amount": 100, "operator": "Posten"}


@pytest.mark.parametrize(
    ("more", "keyword", "path"),
    [
        ({"order": {"amount": -1}}, "amount_not_positive", "/order/amount"),
        ({"order": {"partial_payment": True, "items": [{"amount": 999}]}}, "amount_mismatch", "/order/amount"),
        ({"order": {"store": {"name": "Oslo"}}}, "missing_field", "/order/store/id"),
        ({"order": {"discount_codes": "TEA"}}, "wrong_type", "/order/discount_codes"),
        ({"order": {"items": [{"amount": 1000, "type": "animal"}]}}, "wrong_value", "/order/items/0/type"),
        ({"order": {"shipping_option": UNTITLED}}, "missing_field", "/order/shipping_option/title"),
        ({"merchant": {"name": "Tea"}}, "missing_field", "/merchant/logo_url"),
        ({"merchant": {"logo_url": "https://x.example/l.svg"}}, "missing_field", "/merchant/name"),
        ({"checkboxes": [{"id": 1}]}, "missing_field", "/checkboxes/0/label"),
        ({"metadata": {"ext_a": True}}, "wrong_type", "/metadata/ext_a"),
        (
            {"express": {"shipping_options": [POST, {**POST, "id": "other"}]}},
            "duplicate_line",
            "/express/shipping_options/1/line_id",
        ),
        ({"express": {"customer_types": ["b2x"]}}, "wrong_value", "/express/customer_types/0"),
        ({"express": {"discount_codes": {"max_count": -1}}}, "wrong_value", "/express/discount_codes/max_count"),
        ({"express": {"discount_codes": {"callback_url": "x"}}}, "bad_url", "/express/discount_codes/callback_url"),
        ({"url": {"return_url": "myapp://done"}}, "bad_url", "/url/return_url"),
        (
            {"url": {"return_url": "javascript:alert(1)"}, "configuration": {"channel": "in_app"}},
            "bad_url",
            "/url/return_url",
        ),
    ],
)
def test_a_wrong_field_is_named(shop: Shop, more: Json, keyword: str, path: str) -> None:
    assert shop.refused(400, keyword, "POST", "/v1/sessions-profile", body(**more))["path"] == path


def test_an_app_may_be_returned_to_by_its_own_scheme(shop: Shop) -> None:
    session = made(shop, url={"return_url": "myapp://done?a=b"}, configuration={"channel": "in_app"})
    assert session["url"]["return_url"] == "myapp://done?a=b"


def test_a_session_of_amount_0_is_paid_by_the_zero_method(shop: Shop) -> None:
    session = made(shop, order={"amount": 0, "items": [{"amount": 0}]}, configuration=ZERO)
    answer = requests.post(
        f"{shop.base_url}/v1/sessions/{session['id']}/pay",
        json={"payment_product_type": "dintero.zero"},
        headers={"If-Unmodified-Since": session["updated_at"]},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 200, answer.text
    paid = shop.read_session(session)
    transaction = shop.transaction(paid["transaction_id"])
    assert (transaction["amount"], transaction["payment_product_type"]) == (0, "dintero.zero")
    assert answer.json() == {
        **{"success": True, "actions": []},
        "redirect_url": "https://shop.example/done?cart=7&merchant_reference=web-1&"
        f"transaction_id={paid['transaction_id']}",
    }


# -- reading


def test_the_clients_own_headers_are_given_back_on_request(shop: Shop) -> None:
    headers = {"Dintero-System-Name": "Shop", "DINTERO-SYSTEM-VERSION": "2.4", "User-Agent": "shop/1", "X-Other": "no"}
    session = shop.ok("POST", "/v1/sessions-profile", body(), headers=headers)
    noted = {"dintero-system-name": "Shop", "dintero-system-version": "2.4", "user-agent": "shop/1"}
    plain = shop.read_session(session)
    assert "initiating_system_request_headers" not in plain
    assert "request_headers" not in plain["events"][0]
    asked = "includes=events.request_headers&includes=initiating_system_request_headers"
    full = shop.ok("GET", f"/v1/sessions/{session['id']}?{asked}")
    assert full["initiating_system_request_headers"] == noted
    assert full["events"][0]["request_headers"] == noted


def test_each_event_has_the_headers_of_the_call_it_comes_from(shop: Shop) -> None:
    def headers_of(session: Json, *names: str) -> list[Json]:
        read = shop.ok("GET", f"/v1/sessions/{session['id']}?includes=events.request_headers")
        return [event["request_headers"] for event in read["events"] if event["name"] in names]

    paid = made(shop, order={"amount": 0, "items": [{"amount": 0}]}, configuration=ZERO)
    answer = requests.post(
        f"{shop.base_url}/v1/sessions/{paid['id']}/pay",
        json={"payment_product_type": "dintero.zero"},
        headers={"User-Agent": "browser/1"},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 200, answer.text
    assert headers_of(paid, "ADD_PAYMENT_INFORMATION", "AUTHORIZED") == [{"user-agent": "browser/1"}] * 2

    ended = made(shop)
    order = {"amount": 900, "currency": "NOK", "items": [{"id": "a", "line_id": "1", "quantity": 1, "amount": 900}]}
    path = f"/v1/sessions/{ended['id']}"
    shop.ok("PUT", f"{path}?update_without_lock=true", {"order": order}, headers={"User-Agent": "shop/2"})
    shop.ok("POST", f"{path}/cancel", headers={"User-Agent": "shop/3"})
    assert headers_of(ended, "UPDATE_SESSION") == [{"user-agent": "shop/2"}]
    assert headers_of(ended, "CANCELLED") == [{"user-agent": "shop/3"}]


def test_who_opened_the_page_is_told(shop: Shop) -> None:
    session = made(shop)
    requests.get(f"{shop.base_url}/v1/view/{session['id']}", headers={"User-Agent": "Payer/1"}, timeout=PATIENCE_S)
    read = shop.read_session(session)
    assert (read["customer_ip"], read["user_agent"]) == ("127.0.0.1", "Payer/1")
    assert names(read) == ["INITIATED", "VISITED"]


# -- the page's own calls


def test_the_page_sees_the_session_without_the_merchants_addresses(shop: Shop) -> None:
    express = {
        "shipping_options": [POST],
        "shipping_address_callback_url": "https://shop.example/ask?secret=1",
        "discount_codes": {"max_count": 2, "callback_url": "https://shop.example/codes?secret=1"},
    }
    session = made(shop, url={"callback_url": "https://shop.example/told?secret=1"}, express=express)
    answer = Page(shop, session).call("GET", "")
    seen = answer.json()
    assert "secret" not in answer.text
    assert seen["url"] == {"return_url": "https://shop.example/done?cart=7"}
    assert seen["express"] == {"shipping_options": [POST], "discount_codes": {"max_count": 2}}
    assert {name: seen[name] for name in seen if name not in ("url", "express")} == {
        name: session[name] for name in session if name not in ("url", "express")
    }
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/lock"),
        ("DELETE", "/lock"),
        ("PUT", "/order/addresses"),
        ("PUT", "/order/shipping_address"),
        ("PUT", "/order/shipping_option"),
        ("PUT", "/order/discount_codes"),
        ("POST", "/publish/scc"),
    ],
)
@pytest.mark.parametrize("id", ["T12345678.nobody", "nobody", "T12345678"])
def test_whoever_has_no_sessions_id_gets_nothing(shop: Shop, method: str, path: str, id: str) -> None:
    sent = {"shipping_address": {}, "id": "post", "discount_codes": []} if method == "PUT" else None
    Page(shop, {"id": id}).refused(404, "session_not_found", method, path, sent)


def test_text_messages_are_not_sent(shop: Shop) -> None:
    Page(shop, made(shop)).refused(400, "not_supported", "POST", "/publish/scc")


class Payer:
    """Pays by the page's JSON call."""

    def __init__(self, shop: Shop, session: Json) -> None:
        self._url = f"{shop.base_url}/v1/sessions/{session['id']}/pay"

    def pay(self, number: str = "4000000000000002", seen: str | None = None, **more: Any) -> requests.Response:
        card = {"number": number, "expiry": "12/2035", "cvc": "123"}
        headers = {} if seen is None else {"If-Unmodified-Since": seen}
        sent = {"payment_product_type": "dintero_psp.creditcard", "card": card, **more}
        return requests.post(self._url, json=sent, headers=headers, timeout=PATIENCE_S)


def test_the_payer_pays_what_he_saw(shop: Shop) -> None:
    session = made(shop)
    shop.ok("PUT", f"/v1/sessions/{session['id']}?update_without_lock=true", {"order": {"amount": 5000}})
    answer = Payer(shop, session).pay(seen=session["updated_at"])
    assert (answer.status_code, answer.json()["error"]["errors"][0]["keyword"]) == (412, "session_changed")
    now = Page(shop, session).session()
    assert "transaction_id" not in now
    answer = Payer(shop, session).pay(seen=now["updated_at"])
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert shop.transaction(shop.read_session(session)["transaction_id"])["amount"] == 5000


def test_a_declined_payer_may_try_again(shop: Shop) -> None:
    session = made(shop, order={"amount": 9950100})
    answer = Payer(shop, session).pay()
    assert answer.status_code == 200
    reply = answer.json()
    assert (reply["success"], reply["error"]) == (False, "Rejected")
    assert "redirect_url" not in reply
    assert Payer(shop, session).pay().json()["error"] == "Rejected"


def test_a_payer_who_has_to_confirm_is_sent_to_his_bank(shop: Shop) -> None:
    session = made(shop)
    reply = Payer(shop, session).pay("4000 1000 0000 0000").json()
    assert reply["success"] is True
    assert reply["redirect_url"].startswith(f"{shop.base_url}/sandbox/challenge/")
    assert [action["type"] for action in reply["actions"]] == ["redirect"]


@pytest.mark.parametrize(
    ("more", "status", "keyword"),
    [
        ({"card": None}, 400, "missing_field"),
        ({"payment_product_type": "swish.swish"}, 409, "not_payable"),
        ({"payment_product_type": 1}, 400, "wrong_type"),
        ({"phone_number": "call me"}, 400, "wrong_value"),
        ({"card": {"number": "4111111111111111", "expiry": "12/2035", "cvc": "123"}}, 400, "card_refused"),
    ],
)
def test_a_wrong_payment_is_refused_and_can_be_made_again(shop: Shop, more: Json, status: int, keyword: str) -> None:
    session = made(shop)
    answer = Payer(shop, session).pay(**more)
    assert (answer.status_code, answer.json()["error"]["errors"][0]["keyword"]) == (status, keyword)
    assert Payer(shop, session).pay().json()["success"] is True


def test_the_page_is_told_how_a_method_is_paid_by(shop: Shop) -> None:
    session = made(shop)
    base = f"{shop.base_url}/v1/view/{session['id']}/payments"
    answer = requests.post(f"{base}/dintero_psp.creditcard", timeout=PATIENCE_S)
    operations = {each["rel"]: each for each in answer.json()["operations"]}
    assert operations["create-payment"] == {
        **{"href": f"{shop.base_url}/v1/sessions/{session['id']}/pay", "method": "POST", "rel": "create-payment"},
        "content_type": "application/json",
    }
    assert requests.post(f"{base}/swish.swish", timeout=PATIENCE_S).status_code == 404


def test_the_id_of_a_session_is_its_payers_secret_and_no_merchants_key(shop: Shop, server: Running) -> None:
    session = made(shop)
    assert requests.get(f"{shop.base_url}/v1/sessions/{session['id']}", timeout=PATIENCE_S).status_code == 401


@pytest.fixture(scope="module")
def production(server: Running) -> Shop:
    return server.shop(account_id="P43210007")


@pytest.mark.parametrize(
    ("url", "express", "path"),
    [
        ("http://shop.example/told", {}, "/url/callback_url"),
        ("https://localhost/told", {}, "/url/callback_url"),
        ("https://127.0.0.1/told", {}, "/url/callback_url"),
        (None, {"shipping_address_callback_url": "http://shop.example/ask"}, "/express/shipping_address_callback_url"),
        (None, {"discount_codes": {"callback_url": "http://shop.example/ask"}}, "/express/discount_codes/callback_url"),
    ],
)
def test_a_production_session_names_only_addresses_that_may_be_called(
    production: Shop, url: str | None, express: Json, path: str
) -> None:
    secure = "https://shop.example/told"
    body: Json
    urls = {"return_url": "https://shop.example/done", "callback_url": url or secure}
    asked = {"order": {"amount": 100, "currency": "NOK", "merchant_reference": "1"}, "express": express}
    body = {"profile_id": "default", "url": urls, **asked}
    assert production.refused(400, "bad_url", "POST", "/v1/sessions-profile", body)["path"] == path
    body = {"profile_id": "default", "url": {**urls, "callback_url": secure}, "order": asked["order"]}
    made = production.ok("POST", "/v1/sessions-profile", body)
    if express:
        update = f"/v1/sessions/{made['id']}?update_without_lock=true"
        assert production.refused(400, "bad_url", "PUT", update, {"express": express})["path"] == path
    order = production.order(1000)
    body = {"items": [{"line_id": 1}], "profile_id": "default", "express": express, "url": urls}
    body["url"] = {**urls, "merchant_terms_url": "https://shop.example/terms"}
    at = f"orders/{order['order_id']}/sessions"
    assert production.refused(400, "bad_url", "POST", at, body)["path"] == path


def test_the_wildcard_turns_on_what_moves_money_by_itself(shop: Shop) -> None:
    body = {
        "url": {"return_url": "https://shop.example/done"},
        "order": {"amount": 100, "currency": "NOK", "merchant_reference": "1"},
        "configuration": {
            "active_payment_types": {"enabled": True},
            "swish": {"type": "payment_type", "swish": {"type": "payment_product_type", "enabled": False}},
        },
    }
    session = shop.ok("POST", "/v1/sessions?include_session=true", body)["session"]
    configuration = session["configuration"]
    assert configuration["dintero_psp"]["creditcard"]["enabled"] is True
    assert configuration["swish"]["swish"]["enabled"] is False
    assert "external" not in configuration["dintero"]
    assert session["payment_operation"] == "unscheduled_purchase"
    paid = shop.pay(session)
    assert shop.transaction(paid["transaction_id"])["card"]["type"] == "Credit"
