"""The official Python client, unmodified, against this server: only its two base URLs are ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dintero import Dintero
from dintero.error import AuthError, InvalidFieldError, InvalidRequestBody, UnexpectedError

from tests.running import Json, Running, Shop

ITEMS: list[Json] = [
    {
        **{"id": "BL-9", "line_id": "1", "description": "Blanket", "quantity": 2},
        **{"amount": 89820, "vat_amount": 17964, "vat": 25},
    },
    {
        **{"id": "CF-1", "line_id": "2", "description": "Coffee", "quantity": 1},
        **{"amount": 11500, "vat_amount": 1500, "vat": 15},
    },
]
SHIPPING: Json = {"id": "post", "line_id": "post-1", "amount": 7500, "operator": "Posten", "title": "Home delivery"}
SESSION: Json = {
    "url": {"return_url": "https://shop.example/done?cart=7", "callback_url": "http://127.0.0.1:1/callback"},
    "order": {
        "amount": 108820,
        "currency": "NOK",
        "merchant_reference": "web-7001",
        "vat_amount": 20964,
        "items": ITEMS,
        "shipping_option": SHIPPING,
    },
    "profile_id": "default",
}


def client(shop: Shop, **more: str) -> Any:
    settings = {
        "account_id": shop.account_id,
        "client_id": shop.client_id,
        "client_secret": shop.client_secret,
        "application_name": "kasse-tests",
        "application_version": "1.0.0",
        "api_url": shop.base_url,
        "checkout_url": shop.base_url,
        **more,
    }
    return Dintero(**settings).checkout()


def paid(shop: Shop, checkout: Any, session: Json = SESSION) -> str:
    return str(shop.pay(checkout.create_session(session))["transaction_id"])


def test_a_session_is_made_and_read(shop: Shop) -> None:
    checkout = client(shop)
    made = checkout.create_session(SESSION)
    assert made == {"id": made["id"], "url": f"{shop.base_url}/v1/view/{made['id']}"}
    read = checkout.get_session(made["id"])
    items = [{**item, "version": 1} for item in SESSION["order"]["items"]]
    assert read["order"] == {**SESSION["order"], "items": items}
    assert read["url"] == SESSION["url"]
    assert "transaction_id" not in read
    assert "express" not in read


def test_a_payment_is_captured_and_refunded_in_parts(shop: Shop) -> None:
    checkout = client(shop)
    made = checkout.create_session(SESSION)
    shop.pay(made)
    transaction_id = checkout.get_session(made["id"])["transaction_id"]
    transaction = checkout.get_transaction(transaction_id)
    assert (transaction["status"], transaction["amount"]) == ("AUTHORIZED", 108820)
    assert [item["line_id"] for item in transaction["items"]] == ["1", "2", "post-1"]
    assert transaction["shipping_option"] == SHIPPING

    captured = checkout.capture_transaction(transaction_id, 89820, ITEMS[:1], "ship-1")
    assert captured["status"] == "PARTIALLY_CAPTURED"
    assert captured["events"][-1]["event_reference"] == "ship-1"
    assert captured["events"][-1]["items"] == ITEMS[:1]
    shipping = {**SHIPPING, "quantity": 1}
    captured = checkout.capture_transaction(transaction_id, 19000, [ITEMS[1], shipping])
    assert captured["status"] == "CAPTURED"

    refunded = checkout.refund_transaction(transaction_id, 44910, ITEMS[:1], "return-1", "One came back")
    assert refunded["status"] == "PARTIALLY_REFUNDED"
    assert (refunded["events"][-1]["event_reference"], refunded["events"][-1]["reason"]) == (
        "return-1",
        "One came back",
    )
    refunded = checkout.refund_transaction(transaction_id, 63910, [])
    assert refunded["status"] == "REFUNDED"
    assert checkout.get_transaction(transaction_id) == refunded
    assert [(event["event"], event["amount"]) for event in refunded["events"]] == [
        ("AUTHORIZE", 108820),
        ("CAPTURE", 89820),
        ("CAPTURE", 19000),
        ("REFUND", 44910),
        ("REFUND", 63910),
    ]


def test_a_payment_is_voided_whole_or_what_is_left_of_it(shop: Shop) -> None:
    checkout = client(shop)
    assert checkout.void_transaction(paid(shop, checkout))["status"] == "AUTHORIZATION_VOIDED"
    transaction_id = paid(shop, checkout)
    checkout.capture_transaction(transaction_id, 100, ITEMS)
    voided = checkout.void_transaction(transaction_id)
    assert (voided["status"], voided["events"][-1]["amount"]) == ("CAPTURED", 108720)


def test_the_session_of_an_order_is_the_same_to_the_client(shop: Shop) -> None:
    checkout = client(shop)
    order = shop.order(1000, 500)
    session = shop.session(order)
    assert checkout.get_session(session["id"])["order"]["amount"] == 1500
    transaction_id = shop.pay(session)["transaction_id"]
    lines = [{"line_id": "1", "amount": 1000}]
    assert checkout.capture_transaction(transaction_id, 1000, lines)["status"] == "PARTIALLY_CAPTURED"
    assert shop.read_order(order)["captures"][0]["items"] == [{"line_id": 1, "amount": 1000}]


def test_the_client_keeps_its_token(shop: Shop) -> None:
    checkout = client(shop)
    checkout.create_session(SESSION)
    token = checkout.auth_token
    checkout.create_session(SESSION)
    assert checkout.auth_token == token


CALLS: dict[str, Callable[[Any, str], Any]] = {
    "create a session": lambda checkout, id: checkout.create_session(SESSION),
    "read a session": lambda checkout, id: checkout.get_session(id),
    "read a transaction": lambda checkout, id: checkout.get_transaction(id),
    "capture": lambda checkout, id: checkout.capture_transaction(id, 1, ITEMS),
    "refund": lambda checkout, id: checkout.refund_transaction(id, 1, ITEMS),
    "void": lambda checkout, id: checkout.void_transaction(id),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_secret_is_an_auth_error(shop: Shop, call: str) -> None:
    with pytest.raises(AuthError) as raised:
        CALLS[call](client(shop, client_secret="wrong"), f"{shop.account_id}.x")
    assert raised.value.status_code == 401
    assert '"unauthorized"' in raised.value.body


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_scope_is_an_auth_error(server: Running, call: str) -> None:
    shop = server.shop("read:accounts")
    with pytest.raises(AuthError) as raised:
        CALLS[call](client(shop), f"{shop.account_id}.x")
    assert raised.value.status_code == 403
    assert "admin:checkout" in raised.value.body


@pytest.mark.parametrize("call", [name for name in CALLS if name != "create a session"])
def test_what_is_not_there_is_an_unexpected_error(shop: Shop, call: str) -> None:
    with pytest.raises(UnexpectedError) as raised:
        CALLS[call](client(shop), f"{shop.account_id}.x")
    assert raised.value.status_code == 404
    assert '"not_found"' in raised.value.body


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"profile_id": "summer"}, "/profile_id"),
        ({"url": {"return_url": "shop.example"}}, "/url/return_url"),
        ({"url": {}}, "/url/return_url"),
        ({"order": {**SESSION["order"], "currency": "XYZ"}}, "/order/currency"),
        ({"order": {**SESSION["order"], "merchant_reference": 7}}, "/order/merchant_reference"),
    ],
)
def test_a_wrong_field_is_an_invalid_request_body(shop: Shop, change: Json, path: str) -> None:
    with pytest.raises(InvalidRequestBody) as raised:
        client(shop).create_session({**SESSION, **change})
    assert raised.value.status_code == 400
    assert f'"path":"{path}"' in raised.value.body


def test_an_amount_above_what_is_left_is_an_invalid_request_body(shop: Shop) -> None:
    checkout = client(shop)
    transaction_id = paid(shop, checkout)
    with pytest.raises(InvalidRequestBody) as raised:
        checkout.capture_transaction(transaction_id, 108821, ITEMS)
    assert "108820 left to capture" in raised.value.body
    checkout.capture_transaction(transaction_id, 500, ITEMS)
    with pytest.raises(InvalidRequestBody) as raised:
        checkout.refund_transaction(transaction_id, 501, ITEMS)
    assert "500 left to refund" in raised.value.body


def test_sums_that_do_not_fit_never_leave_the_client(shop: Shop) -> None:
    with pytest.raises(InvalidFieldError):
        client(shop).create_session({**SESSION, "order": {**SESSION["order"], "amount": 1}})
