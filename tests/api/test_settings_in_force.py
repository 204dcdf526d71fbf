"""Settings that change what merchants may send, each with and without: what docs/reference/settings.md says of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.running import PATIENCE_S, Json, Running, Shop, running, session_request

LOCAL = "http://127.0.0.1:1/callback"


@pytest.fixture(scope="module")
def other() -> Iterator[Running]:
    """A server whose operator has chosen something else than the defaults."""
    with running(max_body=2048, relaxed_urls=True, private_targets=True, token_lifetime=1234) as found:
        yield found


def direct(**more: Json) -> Json:
    order = {"amount": 1000, "currency": "NOK", "merchant_reference": "web-1"}
    url = {"return_url": "https://shop.example/done", "callback_url": LOCAL}
    return {"profile_id": "default", "order": order, "url": url, **more}


def test_the_largest_body(server: Running, other: Running) -> None:
    body = direct(metadata={"ext_note": "x" * 2048})
    assert server.shop().ok("POST", "/v1/sessions-profile", body)["id"]
    problem = other.shop().refused(413, "body_too_large", "POST", "/v1/sessions-profile", body)
    assert "2048" in problem["message"]


def test_which_urls_the_session_of_an_order_needs(server: Running, other: Running) -> None:
    body = {**session_request([1]), "url": {"return_url": "https://shop.example/done"}}

    def path(shop: Shop) -> str:
        return f"orders/{shop.order(1000)['order_id']}/sessions"

    strict, relaxed = server.shop(), other.shop()
    strict.refused(400, "missing_field", "POST", path(strict), body)
    assert relaxed.ok("POST", path(relaxed), body)["id"]


def test_where_a_production_account_may_be_called(server: Running, other: Running) -> None:
    server.shop(account_id="P31415926").refused(400, "bad_url", "POST", "/v1/sessions-profile", direct())
    assert other.shop(account_id="P31415926").ok("POST", "/v1/sessions-profile", direct())["id"]


@pytest.mark.parametrize(("which", "lifetime"), [("server", 86400), ("other", 1234)])
def test_how_long_a_token_lives(request: pytest.FixtureRequest, which: str, lifetime: int) -> None:
    shop = request.getfixturevalue(which).shop()
    answer = requests.post(
        f"{shop.base_url}/v1/accounts/{shop.account_id}/auth/token",
        auth=(shop.client_id, shop.client_secret),
        json={"grant_type": "client_credentials", "audience": f"https://any/v1/accounts/{shop.account_id}"},
        timeout=PATIENCE_S,
    )
    assert answer.json()["expires_in"] == lifetime
