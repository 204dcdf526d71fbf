"""The WooCommerce plugin's flow, request by request, and what it reads of each answer.

It takes nothing but 200 for success, sends lower-case header names to the checkout host alone, updates sessions without
a lock, and adds a line for rounding to what it captures. Source: checkout reference, sections 9 and 13.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.recorded import Answer, ShopServer, basic, events_of, send, shop_server
from tests.running import Json, Running, Shop

AGENT = "WordPress/6.4.1; https://shop.example - WooCommerce: 8.2.1 - PHP Version: 8.1.2 - Krokedil"
CART_LINE: Json = {
    **{"id": "BL-9", "line_id": "8c7bbbba95c1025975e548cee86dfadc", "description": "Blanket", "quantity": 2},
    **{"amount": 89820, "vat_amount": 17964, "vat": 25, "thumbnail_url": "https://shop.example/blanket.jpg"},
}
SHIPPING: Json = {
    **{"id": "flat_rate:1", "line_id": "a87ff679a2f3e71d9181a67b7542122c", "amount": 7500, "vat_amount": 1500},
    **{"vat": 25, "operator": "", "description": "", "title": "Flat rate", "delivery_method": "unspecified"},
    **{"quantity": 1, "type": "shipping", "thumbnail_url": ""},
}
ROUNDING: Json = {
    **{"id": "rounding-fee", "line_id": "rounding-fee", "description": "Rounding fee", "quantity": 1},
    **{"amount": 1, "vat_amount": 0, "vat": 0},
}
TOTAL = 89820 + 7500 + 1


class WooCommerce:
    """The plugin: what it sends, and in which form."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._token = ""

    def _headers(self, authorization: str) -> list[tuple[str, str]]:
        return [
            ("Host", "checkout.dintero.com"),
            ("user-agent", AGENT),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("authorization", authorization),
            ("content-type", "application/json; charset=utf-8"),
            ("dintero-system-name", "woocommerce"),
            ("dintero-system-version", "8.2.1"),
            ("dintero-system-plugin-name", "Dintero.Checkout.WooCommerce.V2"),
            ("dintero-system-plugin-version", "1.11.3"),
            ("connection", "close"),
        ]

    def log_in(self) -> Json:
        account = self._shop.account_id
        body = {
            "grant_type": "client_credentials",
            "audience": f"https://api.dintero.com/v1/accounts/{account}",
        }
        headers = self._headers(basic(self._shop.client_id, self._shop.client_secret))
        answer = send(self._shop.base_url, "POST", f"/v1/accounts/{account}/auth/token", headers, json.dumps(body))
        assert answer.status == 200, answer
        self._token = f"{answer.body['token_type']} {answer.body['access_token']}"
        found: Json = answer.body
        return found

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        text = None if body is None else json.dumps(body, separators=(",", ":"))
        return send(self._shop.base_url, method, f"/v1/{path}", self._headers(self._token), text)

    def ok(self, method: str, path: str, body: Any = None) -> Json:
        """What it takes for success: 200 and no other status."""
        answer = self.ask(method, path, body)
        assert answer.status == 200, answer
        found: Json = answer.body
        return found


@pytest.fixture
def woo(shop: Shop) -> WooCommerce:
    plugin = WooCommerce(shop)
    plugin.log_in()
    return plugin


@pytest.fixture
def site() -> Iterator[ShopServer]:
    with shop_server() as found:
        yield found


def session_body(site: ShopServer, **more: Any) -> Json:
    switches = (
        "delay_callback=1&report_error=true&sid_parameter_name=sid"
        "&report_event=CAPTURE&report_event=REFUND&report_event=VOID"
    )
    return {
        "url": {
            "return_url": "https://shop.example?gateway=dintero",
            "callback_url": f"{site.url}/wc-api/dintero_callback/?{switches}",
        },
        "order": {
            "amount": TOTAL,
            "currency": "NOK",
            "merchant_reference": "dwc65f1a2b3c4d5e6.12345678",
            "vat_amount": 19464,
            "items": [CART_LINE, ROUNDING],
            "store": {"id": "shop.example"},
            "shipping_option": SHIPPING,
        },
        "profile_id": "default",
        "configuration": {"allow_different_billing_shipping_address": ["b2c", "b2b"]},
        **more,
    }


def test_its_token_is_cached_for_as_long_as_it_is_told(shop: Shop) -> None:
    token = WooCommerce(shop).log_in()
    assert token["token_type"] == "Bearer"
    assert isinstance(token["expires_in"], int)
    assert token["expires_in"] > 600


def test_it_finds_what_the_profile_offers(woo: WooCommerce) -> None:
    """It walks the configuration for the first product that is enabled."""
    profile = woo.ok("GET", "admin/session/profiles/default")
    assert profile["id"] == "default"
    providers = [each for each in profile["configuration"].values() if isinstance(each, dict)]
    products = [
        product
        for provider in providers
        if provider.get("type") == "payment_type"
        for product in provider.values()
        if isinstance(product, dict) and product.get("type") == "payment_product_type" and product["enabled"] is True
    ]
    assert products


def test_a_cart_is_paid_captured_and_refunded(woo: WooCommerce, shop: Shop, site: ShopServer) -> None:
    made = woo.ok("POST", "sessions-profile", session_body(site))
    assert made["url"].endswith(f"/v1/view/{made['id']}")
    assert woo.ok("GET", f"sessions/{made['id']}")["order"]["amount"] == TOTAL

    # The cart changes: one blanket less, the order's own fields left out.
    half = {**CART_LINE, "quantity": 1, "amount": 44910, "vat_amount": 8982}
    update = {
        "order": {
            **{"amount": 44910 + 7500, "currency": "NOK", "vat_amount": 10482, "items": [half]},
            **{"store": {"id": "shop.example"}, "shipping_option": SHIPPING},
        },
        "remove_lock": True,
    }
    updated = woo.ok("PUT", f"sessions/{made['id']}?update_without_lock=true", update)
    assert updated["order"]["amount"] == 52410
    assert updated["order"]["merchant_reference"] == "dwc65f1a2b3c4d5e6.12345678"
    assert updated["events"][-1]["name"] == "UPDATE_SESSION"

    shop.pay(made)
    [told] = site.wait_for(1)
    transaction_id = told.query["transaction_id"][0]
    assert (told.method, told.path) == ("GET", "/wc-api/dintero_callback/")
    assert told.query["merchant_reference"] == ["dwc65f1a2b3c4d5e6.12345678"]
    assert told.query["sid"] == [made["id"]]
    assert "error" not in told.query

    transaction = woo.ok("GET", f"transactions/{transaction_id}?includes=card.payment_token")
    assert (transaction["status"], transaction["amount"], transaction["currency"]) == ("AUTHORIZED", 52410, "NOK")
    assert transaction["shipping_option"]["id"] == "flat_rate:1"
    assert transaction["merchant_reference"] == "dwc65f1a2b3c4d5e6.12345678"
    named = woo.ok("PUT", f"transactions/{transaction_id}", {"merchant_reference_2": "4711"})
    assert named["merchant_reference_2"] == "4711"

    shipping = {name: value for name, value in SHIPPING.items() if name not in ("operator", "vat")}
    items = [half, shipping, {**ROUNDING, "amount": 52410 - 44910 - 7500}]
    capture = {"amount": 52410, "capture_reference": "4711", "items": items}
    captured = woo.ok("POST", f"transactions/{transaction_id}/capture", capture)
    assert captured["status"] == "CAPTURED"
    assert (captured["amount"], captured["currency"]) == (52410, "NOK")
    assert events_of(captured, "CAPTURE")[-1]["amount"] == 52410
    assert events_of(captured, "CAPTURE")[-1]["event_reference"] == "4711"

    refund = {"amount": 7500, "refund_reference": "4711", "reason": "", "items": [shipping]}
    refunded = woo.ok("POST", f"transactions/{transaction_id}/refund", refund)
    assert refunded["status"] == "PARTIALLY_REFUNDED"
    assert events_of(refunded, "REFUND")[-1]["amount"] == 7500

    reported = site.wait_for(2, lambda came: "event" in came.query)
    assert {came.query["event"][0] for came in reported} == {"CAPTURE", "REFUND"}


def test_a_cancelled_order_is_voided(woo: WooCommerce, shop: Shop, site: ShopServer) -> None:
    made = woo.ok("POST", "sessions-profile", session_body(site))
    paid = shop.pay(made)
    voided = woo.ok("POST", f"transactions/{paid['transaction_id']}/void", {"id": paid["transaction_id"]})
    assert voided["status"] == "AUTHORIZATION_VOIDED"


def test_what_fails_is_told_with_a_message(woo: WooCommerce, shop: Shop, site: ShopServer) -> None:
    made = woo.ok("POST", "sessions-profile", session_body(site))
    transaction_id = shop.pay(made)["transaction_id"]
    for path, body in (
        (f"transactions/{transaction_id}/capture", {"amount": TOTAL + 1, "items": []}),
        (f"transactions/{transaction_id}/refund", {"amount": 1, "items": [], "reason": ""}),
    ):
        answer = woo.ask("POST", path, body)
        assert answer.status == 400, answer
        assert isinstance(answer.body["error"]["message"], str)
        assert isinstance(answer.body["error"]["code"], str)


def test_its_order_is_not_there_yet_and_the_callback_comes_again(
    woo: WooCommerce, shop: Shop, site: ShopServer
) -> None:
    left = [500]
    site.respond = lambda came: (left.pop() if left else 200, None)
    made = woo.ok("POST", "sessions-profile", session_body(site))
    shop.pay(made)
    first, second = site.wait_for(2)
    assert first.query == second.query
    assert first.headers["event-delivery"] == second.headers["event-delivery"]


def test_express_in_the_frame(woo: WooCommerce, site: ShopServer) -> None:
    """Shipping is chosen in the payment page; a cart without shipping says so."""
    body = session_body(site)
    del body["order"]["shipping_option"]
    body["order"]["amount"] = TOTAL - 7500
    with_shipping = {
        "customer_types": ["b2c", "b2b"],
        "shipping_options": [SHIPPING],
        "shipping_mode": "shipping_required",
    }
    made = woo.ok("POST", "sessions-profile", {**body, "express": with_shipping})
    assert woo.ok("GET", f"sessions/{made['id']}")["express"]["shipping_options"] == [SHIPPING]

    without = {"customer_types": ["b2c"], "shipping_options": [], "shipping_mode": "shipping_not_required"}
    order = {**{"amount": 89820, "currency": "NOK", "vat_amount": 17964, "items": [CART_LINE]}}
    updated = woo.ok(
        "PUT",
        f"sessions/{made['id']}?update_without_lock=true",
        {"order": order, "express": without, "remove_lock": True},
    )
    assert updated["express"]["shipping_mode"] == "shipping_not_required"
    assert updated["order"]["amount"] == 89820


def test_a_shop_on_a_laptop_sends_no_callback_url(woo: WooCommerce, shop: Shop, site: ShopServer) -> None:
    body = session_body(site)
    del body["url"]["callback_url"]
    made = woo.ok("POST", "sessions-profile", body)
    assert shop.pay(made)["status"] == "AUTHORIZED"


def test_a_server_by_another_name_answers_the_same(server: Running, shop: Shop) -> None:
    """The plugin's host name is a constant; here it is this server that it reaches."""
    for host in ("checkout.dintero.com", "api.dintero.com", "till.example:8443"):
        answer = send(server.base_url, "GET", "/v1/sessions/nothing", [("Host", host)])
        assert answer.status == 401
        assert answer.body["error"]["message"]
