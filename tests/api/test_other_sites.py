"""What a browser asks before a script of another site may call the API."""

from __future__ import annotations

import pytest
import requests

from tests.running import PATIENCE_S, Shop

SITE = {"Origin": "https://tool.example"}


@pytest.mark.parametrize(
    "path", ["/v1/sessions-profile", "/v1/accounts/T12345678/auth/token", "/v1/transactions/x/capture"]
)
def test_scripts_of_other_sites_may_call_the_api(shop: Shop, path: str) -> None:
    asks = {
        **SITE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    answer = requests.options(f"{shop.base_url}{path}", headers=asks, timeout=PATIENCE_S)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers


def test_answers_and_refusals_may_be_read_by_other_sites(shop: Shop) -> None:
    for path, status in (("/v1/sessions", 200), ("/v1/nope", 404), ("/v1/sessions?limit=0", 400)):
        answer = shop.call("GET", path, headers=SITE)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "request-id" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in shop.call("GET", "/v1/sessions").headers


def test_what_is_no_api_stays_closed_to_them(shop: Shop) -> None:
    answer = requests.get(f"{shop.base_url}/docs", headers=SITE, timeout=PATIENCE_S)
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
