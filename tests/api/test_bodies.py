"""Bodies as unlike clients send them: in chunks without a length, or none where none is needed. Real bytes."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.running import PATIENCE_S, Json, Shop


def in_chunks(shop: Shop, path: str, body: Json, authorization: str | None = None) -> Json:
    """One POST with ``Transfer-Encoding: chunked`` and no ``Content-Length``, seven bytes at a time, as the Node
    client sends everything; the answer must be 200 and JSON."""
    place = urlsplit(shop.base_url)
    raw = json.dumps(body, ensure_ascii=False).encode()

    def parts() -> Iterator[bytes]:
        yield from (raw[n : n + 7] for n in range(0, len(raw), 7))

    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=PATIENCE_S)
    try:
        headers = {
            "Authorization": authorization or str(shop.http.headers["Authorization"]),
            "Content-Type": "application/json",
            "Transfer-Encoding": "chunked",
            "User-Agent": "Dintero.Node.SDK/0.0.0 (+https://shop.example)",
        }
        connection.request("POST", path, parts(), headers, encode_chunked=True)
        reply = connection.getresponse()
        text = reply.read()
        assert reply.status == 200, text
        found: Json = json.loads(text)
        return found
    finally:
        connection.close()


def test_a_client_that_sends_chunks_only_goes_the_whole_way(shop: Shop) -> None:
    login = base64.b64encode(f"{shop.client_id}:{shop.client_secret}".encode()).decode()
    audience = f"https://api.dintero.com/v1/accounts/{shop.account_id}"
    asked = {"grant_type": "client_credentials", "audience": audience}
    token = in_chunks(shop, f"/v1/accounts/{shop.account_id}/auth/token", asked, f"Basic {login}")
    assert (token["token_type"], token["expires_in"] > 600) == ("Bearer", True)
    bearer = f"Bearer {token['access_token']}"

    order = {"amount": 3000, "currency": "NOK", "merchant_reference": "blåbær-1"}
    body = {"profile_id": "default", "url": {"return_url": "https://shop.example/done"}, "order": order}
    made = in_chunks(shop, "/v1/sessions-profile", body, bearer)
    paid = shop.pay(made)
    at = f"/v1/transactions/{paid['transaction_id']}"
    captured = in_chunks(shop, f"{at}/capture", {"amount": 3000, "capture_reference": "c"}, bearer)
    assert (captured["status"], captured["merchant_reference"]) == ("CAPTURED", "blåbær-1")
    refunded = in_chunks(shop, f"{at}/refund", {"amount": 1000, "refund_reference": "r", "reason": ""}, bearer)
    assert refunded["status"] == "PARTIALLY_REFUNDED"


@pytest.mark.parametrize(
    "body", [None, b"", b"{}", b"[]", b"null", b" \n", b'{"id": "T12345678.x"}', b'{"unknown": [1]}']
)
@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
def test_calls_that_need_no_body_take_any(shop: Shop, body: bytes | None, content_type: str | None) -> None:
    more: dict[str, Any] = {"data": body, "headers": {"Content-Type": content_type}}

    def ok(path: str) -> Json:
        return shop.ok("POST", path, **more)

    direct = {
        "profile_id": "default",
        "url": {"return_url": "https://shop.example/done"},
        "order": {"amount": 100, "currency": "NOK", "merchant_reference": "1"},
    }
    first, second = (shop.ok("POST", "/v1/sessions-profile", direct) for _ in range(2))
    assert ok(f"/v1/view/{second['id']}/session/lock")["pay_lock"]
    assert "pay_lock" not in shop.ok("PUT", f"/v1/sessions/{second['id']}", **more)
    assert ok(f"/v1/sessions/{second['id']}/cancel")["cancelled_at"]
    paid = shop.pay(first)
    assert ok(f"/v1/transactions/{paid['transaction_id']}/void")["status"] == "AUTHORIZATION_VOIDED"
    assert ok("/v1/admin/signature")["signature"]["secret"]
    assert ok(f"/v1/view/{first['id']}/payments/dintero_psp.creditcard")["operations"]


def test_a_whole_amount_may_be_a_float_and_comes_back_as_an_integer(shop: Shop) -> None:
    body = {
        "profile_id": "default",
        "url": {"return_url": "https://shop.example/done"},
        "order": {
            **{"amount": 29990.0, "currency": "NOK", "merchant_reference": "1"},
            "items": [{"line_id": "1", "amount": 29989.999999999996, "quantity": 1}],
        },
    }
    raw = shop.call("POST", "/v1/sessions-profile?include_session=true", body).text
    assert '"amount":29990,' in raw
    assert "29990.0" not in raw
    assert "29989" not in raw
    paid = shop.pay(json.loads(raw))
    captured = shop.ok("POST", f"/v1/transactions/{paid['transaction_id']}/capture", {"amount": 29990.0})
    assert captured["events"][-1]["amount"] == 29990
    assert isinstance(captured["events"][-1]["amount"], int)
