"""The Magento plugin's flow, request by request, and what it reads of each answer.

It multiplies by a hundred in floating point, asks for a token before every call, ignores the status and reads the JSON,
sends ``null`` or nothing where no body is needed, and locks sessions that are not express ones too.
Source: checkout reference, sections 3.6, 3.7, 4, 9, 10 and 13.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.clients.recorded import Came, ShopServer, basic, events_of, send, shop_server
from tests.running import Json, Shop

NOTHING = object()
UNUSABLE = {"FAILED", "DECLINED", "UNKNOWN", "CANCELLED", "COMPLETED"}
# What 338.90 and 299.90 become in PHP, and in its JSON.
BLANKET, COFFEE = 33890.0, 29989.999999999996
ADDRESS: Json = {
    **{"first_name": "Kari", "last_name": "Nordmann", "address_line": "Storgata 1", "postal_code": "0155"},
    **{"postal_place": "Oslo", "country": "NO", "phone_number": "%2B4799999999"},
}


class Magento:
    """The plugin: what it sends, and in which form. No body at all differs from ``null``."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def _headers(self, host: str, authorization: str) -> list[tuple[str, str]]:
        return [
            ("Host", host),
            ("Connection", "close"),
            ("Accept-encoding", "gzip, deflate"),
            ("User-Agent", "Zend_Http_Client"),
            ("Content-type", "application/json; charset=utf-8"),
            ("Accept", "application/json"),
            ("Dintero-System-Name", "Magento"),
            ("Dintero-System-Version", "2.4.6"),
            ("Dintero-System-Plugin-Name", "Dintero.Checkout.Magento.V2"),
            ("Dintero-System-Plugin-Version", "1.8.20"),
            ("Authorization", authorization),
        ]

    def _token(self) -> str:
        account = self._shop.account_id
        body = {"grant_type": "client_credentials", "audience": f"https://api.dintero.com/v1/accounts/{account}"}
        headers = self._headers("api.dintero.com", basic(self._shop.client_id, self._shop.client_secret))
        path = f"/v1/accounts/{account}/auth/token"
        token = send(self._shop.base_url, "POST", path, headers, json.dumps(body)).body
        return f"{token['token_type']} {token['access_token']}"

    def ask(self, method: str, path: str, body: Any = NOTHING) -> Json:
        """The JSON of the answer, whatever its status: that is all the plugin looks at."""
        headers = self._headers("checkout.dintero.com", self._token())
        text = None if body is NOTHING else json.dumps(body)
        found: Json = send(self._shop.base_url, method, f"/v1/{path}", headers, text).body
        return found


@pytest.fixture
def magento(shop: Shop) -> Magento:
    return Magento(shop)


@pytest.fixture
def site() -> Iterator[ShopServer]:
    with shop_server() as found:
        yield found


def items(quantity: int = 1) -> list[Json]:
    return [
        {
            **{"id": "BL-9", "description": "Blanket (BL-9)", "quantity": quantity, "amount": BLANKET},
            **{"line_id": "11", "vat_amount": 6778.0, "vat": 25},
        },
        {
            **{"id": "CF-1", "description": "Coffee (CF-1)", "quantity": 1, "amount": COFFEE},
            **{"line_id": "12", "vat_amount": 3911.7391304347825, "vat": 15},
        },
    ]


def session_body(site: ShopServer, **more: Any) -> Json:
    """The body that opens a session; ``z`` of PHP's date is the day of the year, where a fraction belongs."""
    expires = datetime.now(UTC) + timedelta(hours=4)
    switches = "method=POST&delay_callback=1&report_error=true&includes=session"
    return {
        "profile_id": "default",
        "expires_at": f"{expires:%Y-%m-%dT%H:%M:%S}.{expires.timetuple().tm_yday - 1}Z",
        "url": {
            "return_url": "https://shop.example/dintero/payment/response",
            "callback_url": f"{site.url}/rest/V1/dintero/embedded/callback?{switches}",
        },
        "order": {
            "amount": 63880.00000000001,
            "currency": "NOK",
            "merchant_reference": "000000042",
            "items": items(),
            "billing_address": {**ADDRESS, "email": "kari@shop.example"},
        },
        "customer": {"phone_number": "+4799999999", "email": "kari@shop.example"},
        "metadata": {"system_x_id": "Magento Community", "number_x": "2.4.6"},
        **more,
    }


def usable(session: Json, quantities: dict[str, int]) -> bool:
    """The plugin's own check, before it shows a session again."""
    items = {item["line_id"]: item["quantity"] for item in session["order"]["items"]}
    return (
        bool(session.get("id"))
        and session["order"]["merchant_reference"] == "000000042"
        and not UNUSABLE & {event["name"] for event in session["events"]}
        and all(items.get(line_id) == quantity for line_id, quantity in quantities.items())
    )


def test_a_session_of_float_amounts_is_paid_and_told(magento: Magento, shop: Shop, site: ShopServer) -> None:
    made = magento.ask("POST", "sessions-profile", session_body(site))
    assert made["url"]
    session = magento.ask("GET", f"sessions/{made['id']}")
    assert usable(session, {"11": 1, "12": 1})
    assert not session.get("express")
    assert session["order"]["amount"] == 63880
    assert [item["amount"] for item in session["order"]["items"]] == [33890, 29990]
    assert all(isinstance(item["amount"], int) for item in session["order"]["items"])

    shop.pay(made)
    [told] = site.wait_for(1)
    assert told.method == "POST"
    assert told.query["merchant_reference"] == ["000000042"]
    assert told.query["session_id"] == [made["id"]]
    assert (told.body["merchant_reference"], told.body["session_id"]) == ("000000042", made["id"])
    assert told.body["session"]["id"] == made["id"]

    transaction = magento.ask("GET", f"transactions/{told.body['id']}")
    session = magento.ask("GET", f"sessions/{made['id']}")
    assert transaction["status"] == "AUTHORIZED"
    assert transaction["id"] == session["transaction_id"] == told.query["transaction_id"][0]

    part_of_it = [{"id": "BL-9", "line_id": "11", "amount": BLANKET}]
    part = magento.ask(
        "POST",
        f"transactions/{transaction['id']}/capture",
        {"id": transaction["id"], "amount": BLANKET, "items": part_of_it},
    )
    assert part["status"] == "PARTIALLY_CAPTURED"
    rest = magento.ask("POST", f"transactions/{transaction['id']}/capture", {"amount": COFFEE, "items": []})
    assert rest["status"] == "CAPTURED"
    assert [event["amount"] for event in events_of(rest, "CAPTURE")] == [33890, 29990]
    refund = {"id": transaction["id"], "amount": BLANKET, "items": part_of_it}
    refunded = magento.ask("POST", f"transactions/{transaction['id']}/refund", refund)
    assert refunded["status"] == "PARTIALLY_REFUNDED"
    again = magento.ask("POST", f"transactions/{transaction['id']}/refund", {"amount": 1000000.0, "items": []})
    assert again["error"]["message"]


def test_a_session_in_the_frame_is_locked_updated_and_unlocked(magento: Magento, shop: Shop, site: ShopServer) -> None:
    made = magento.ask("POST", "sessions-profile", session_body(site))
    lock = send(shop.base_url, "POST", f"/v1/view/{made['id']}/session/lock", [("Host", "checkout.dintero.com")], "")
    assert lock.status == 200
    assert lock.body["pay_lock"]["pay_lock_id"]
    update = {
        "remove_lock": True,
        "order": {
            **{"amount": 63880.0, "currency": "NOK", "merchant_reference": "000000042", "items": items(quantity=2)},
        },
    }
    updated = magento.ask("PUT", f"sessions/{made['id']}", update)
    assert updated["id"] == made["id"]
    assert usable(updated, {"11": 2, "12": 1})
    seen = send(shop.base_url, "GET", f"/v1/view/{made['id']}/session", [("Host", "checkout.dintero.com")])
    assert "pay_lock" not in seen.body

    unlocked = magento.ask("PUT", f"sessions/{made['id']}", update)
    assert unlocked["error"]["message"]


@pytest.mark.parametrize("body", [None, [], NOTHING])
def test_a_session_is_cancelled_as_often_as_the_payer_comes_back(magento: Magento, site: ShopServer, body: Any) -> None:
    made = magento.ask("POST", "sessions-profile", session_body(site))
    for _ in range(2):
        cancelled = magento.ask("POST", f"sessions/{made['id']}/cancel", body)
        assert cancelled["id"] == made["id"]
        assert cancelled["cancelled_at"]
        assert not usable(cancelled, {"11": 1})


@pytest.mark.parametrize("body", [[], NOTHING])
def test_an_order_is_voided_without_a_body(magento: Magento, shop: Shop, site: ShopServer, body: Any) -> None:
    made = magento.ask("POST", "sessions-profile", session_body(site))
    transaction_id = shop.pay(made)["transaction_id"]
    voided = magento.ask("POST", f"transactions/{transaction_id}/void", body)
    assert "error" not in voided
    assert voided["status"] == "AUTHORIZATION_VOIDED"


def test_express_asks_the_shop_for_shipping(magento: Magento, shop: Shop, site: ShopServer) -> None:
    """The shop's sum leaves the shipping out until one is chosen; its agreements have numbers for ids."""

    def option(amount: str, code: str) -> Json:
        return {
            **{"amount": float(amount), "vat": 0, "vat_amount": 0, "operator": "Posten", "operator_product_id": code},
            **{"delivery_method": "delivery", "title": code, "description": code, "line_id": code, "id": code},
            **{"countries": ["NO", "SE", "DK"]},
        }

    def respond(came: Came) -> tuple[int, Any]:
        chosen = came.body["order"].get("shipping_option", {}).get("amount", 0)
        order = {
            **{"amount": 63880.0 + chosen, "currency": "NOK", "discount_codes": [], "vat_amount": 0},
            **{"items": items(), "discount_lines": []},
        }
        return 200, {"shipping_options": [option("4900.0", "flat_flat"), option("0", "free_free")], "order": order}

    site.respond = respond
    express = {
        "customer_types": ["b2c", "b2b"],
        "shipping_options": [],
        "shipping_address_callback_url": f"{site.url}/rest/V1/dintero/shipping",
    }
    body = session_body(
        site,
        express=express,
        configuration={"allow_different_billing_shipping_address": ["b2c"]},
        checkboxes=[{"id": 1, "label": "Terms", "checked": False, "required": True}],
    )
    made = magento.ask("POST", "sessions-profile", body)
    host = [("Host", "checkout.dintero.com"), ("Content-Type", "application/json")]
    view = f"/v1/view/{made['id']}/session"

    def change(path: str, body: Json) -> Json:
        seen = send(shop.base_url, "GET", view, host).body
        guarded = [*host, ("If-Unmodified-Since", seen["updated_at"])]
        answer = send(shop.base_url, "PUT", f"{view}/order/{path}", guarded, json.dumps(body))
        assert answer.status == 200, answer
        found: Json = answer.body
        return found

    address = {**ADDRESS, "phone_number": "+4799999999", "email": "kari@shop.example"}
    asked = change("shipping_address", address)
    assert [each["id"] for each in asked["express"]["shipping_options"]] == ["flat_flat", "free_free"]
    [came] = site.wait_for(1)
    assert came.body["order"]["merchant_reference"] == "000000042"
    assert came.body["order"]["shipping_address"]["postal_code"] == "0155"
    chosen = change("shipping_option", asked["express"]["shipping_options"][0])
    assert chosen["order"]["amount"] == 63880 + 4900

    shop.pay(made)
    transaction = magento.ask("GET", f"transactions/{magento.ask('GET', 'sessions/' + made['id'])['transaction_id']}")
    assert transaction["amount"] == 63880 + 4900
    assert transaction["shipping_option"]["id"] == "flat_flat"
    assert transaction["items"][-1]["amount"] == 4900
    assert transaction["checkboxes"][0]["id"] in (1, "1")
