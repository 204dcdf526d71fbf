"""Both base paths, any host name, and JSON even for the worst request."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from tests.running import PATIENCE_S, Json, Running, Shop, session_request


@pytest.fixture
def shop(server: Running) -> Shop:
    return server.shop()


def direct() -> Json:
    order = {"amount": 10_000, "currency": "NOK", "merchant_reference": "web-1"}
    return {"url": session_request([1])["url"], "order": order, "profile_id": "default"}


def test_a_payment_is_made_below_the_account_as_well(shop: Shop) -> None:
    below = f"/v1/accounts/{shop.account_id}/payments"
    session = shop.ok("POST", f"{below}/sessions-profile", direct())
    assert shop.ok("GET", f"{below}/sessions/{session['id']}") == shop.read_session(session)
    transaction_id = shop.pay(session)["transaction_id"]
    captured = shop.ok("POST", f"{below}/transactions/{transaction_id}/capture", {"amount": 10_000})
    assert captured["status"] == "CAPTURED"
    assert shop.ok("GET", f"{below}/transactions/{transaction_id}") == shop.transaction(transaction_id)
    shop.refused(405, "method_not_allowed", "DELETE", f"{below}/transactions/{transaction_id}")
    shop.refused(404, "unknown_route", "GET", f"{below}/nothing")


def test_the_account_in_the_address_must_be_the_tokens(server: Running, shop: Shop) -> None:
    session = shop.ok("POST", "/v1/sessions-profile", direct())
    other = server.shop()
    for account, status, keyword in (
        (shop.account_id, 403, "other_account"),
        (other.account_id, 404, "session_not_found"),
        ("nobody", 400, "wrong_value"),
    ):
        other.refused(status, keyword, "GET", f"/v1/accounts/{account}/payments/sessions/{session['id']}")
    url = f"{shop.base_url}/v1/accounts/{shop.account_id}/payments/sessions/{session['id']}"
    assert requests.get(url, timeout=PATIENCE_S).status_code == 401


@pytest.mark.parametrize("host", ["checkout.dintero.com", "api.dintero.com:443", "evil.example", "", "a b", "[::1"])
def test_the_name_of_the_host_decides_nothing(shop: Shop, host: str) -> None:
    made = shop.ok("POST", "/v1/sessions-profile", direct(), headers={"Host": host})
    assert made["url"] == f"{shop.base_url}/v1/view/{made['id']}"
    order = shop.order()
    read: Any = shop.ok("GET", f"orders/{order['order_id']}", headers={"Host": host})
    assert all(link["href"].startswith(shop.base_url) for link in read["_links"])
    page = requests.get(f"{shop.base_url}/v1/view/{made['id']}", headers={"Host": host}, timeout=PATIENCE_S)
    assert page.status_code == 200
    assert not host or host not in page.text


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PROPFIND", "get"])
def test_a_method_that_nobody_has_heard_of_gets_json(shop: Shop, method: str) -> None:
    answer = shop.call(method, "/v1/sessions-profile")
    assert answer.status_code in (400, 405)
    if method != "HEAD":
        assert answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "path",
    [
        "profiles/default/variant/colors/color/cecece/width/420/dintero_left_frame.svg",
        "accounts/T12345678/profiles/default/variant/mono/color/000000/width/1/left.svg",
        "logos/visa,vipps/variant/mono/color/fff/width/99999999999/x.svg",
        "profiles/x/variant/x/color/red%22onload%3D%22alert(1)/width/wide/x.svg",
        "logos/%3Cscript%3Ealert(1)%3C%2Fscript%3E,%22%26/variant/x/color/1/width/-1/x.svg",
    ],
)
def test_a_picture_of_what_is_taken_is_well_formed_whatever_the_address(server: Running, path: str) -> None:
    answer = requests.get(f"{server.base_url}/v1/branding/{path}", timeout=PATIENCE_S)
    assert answer.status_code in (200, 404)
    if "script" in path:
        return
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    drawn = ElementTree.fromstring(answer.text)  # noqa: S314 (it is ours)
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert 1 <= int(drawn.attrib["width"]) <= 2000
    assert not any(name.startswith("on") for each in drawn.iter() for name in each.attrib)


def test_words_for_a_picture_are_words_in_it(server: Running) -> None:
    path = "logos/%3Cb%3E%26%22x,vipps/variant/mono/color/fff/width/100/x.svg"
    answer = requests.get(f"{server.base_url}/v1/branding/{path}", timeout=PATIENCE_S)
    assert answer.status_code == 200
    [title] = [each.text for each in ElementTree.fromstring(answer.text) if each.tag.endswith("title")]  # noqa: S314
    assert title == "Secure payment: bx · vipps"
