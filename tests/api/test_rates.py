"""Limits that an operator sets: by client, by account, for failed log-ins; told with the limit and the time."""

from __future__ import annotations

import pytest
import requests

from kasse.operations import accounts
from kasse.settings import SettingsError, read_settings
from tests.running import PATIENCE_S, SCOPES, Running, Shop, running


def second_client(server: Running, shop: Shop) -> Shop:
    client, secret = server.run(accounts.create_client(server.house, "test", shop.account_id, scopes=SCOPES))
    return Shop(server.base_url, shop.account_id, client.client_id, secret)


def statuses(shop: Shop, times: int) -> list[int]:
    return [shop.call("GET", "orders").status_code for _ in range(times)]


def test_a_client_above_its_limit_is_told_which_and_when_and_others_go_on() -> None:
    with running(rate_per_client="3/hour") as server:
        shop = server.shop()
        other = second_client(server, shop)
        assert statuses(shop, 5) == [200, 200, 200, 429, 429]
        assert statuses(other, 1) == [200]
        answer = shop.call("GET", "orders")
        assert 1 <= int(answer.headers["retry-after"]) <= 3600
        error = answer.json()["error"]
        assert error["code"] == "too_many_requests"
        assert error["errors"][0]["keyword"] == "rate_limited"
        for part in ("a client may make 3 requests in 1 hour", "rate_per_client", answer.headers["retry-after"]):
            assert part in error["message"]


def test_all_clients_of_an_account_share_its_limit_and_other_accounts_do_not() -> None:
    with running(rate_per_account="4/hour") as server:
        shop = server.shop()
        other, stranger = second_client(server, shop), server.shop()
        assert statuses(shop, 3) == [200, 200, 200]
        assert statuses(other, 2) == [200, 429]
        assert statuses(stranger, 1) == [200]


def test_the_tightest_of_several_limits_holds() -> None:
    with running(rate_per_client="100/second;2/hour") as server:
        assert statuses(server.shop(), 3) == [200, 200, 429]


def test_a_refused_request_changes_nothing() -> None:
    with running(rate_per_client="2/hour") as server:
        shop = server.shop()
        body = {"order": {"currency": "NOK", "items": []}}
        assert [shop.call("POST", "draft_orders", body).status_code for _ in range(3)] == [200, 200, 429]
        assert len(second_client(server, shop).ok("GET", "draft_orders")["draft_orders"]) == 2


def test_an_address_that_fails_to_log_in_too_often_has_to_wait_and_good_log_ins_do_not_count() -> None:
    with running(rate_of_failed_logins="2/hour") as server:
        shop = server.shop()

        def log_in(secret: str) -> int:
            path = f"{server.base_url}/v1/accounts/{shop.account_id}/auth/token"
            body = {"grant_type": "client_credentials", "audience": f"{server.base_url}/v1/accounts/{shop.account_id}"}
            return requests.post(path, auth=(shop.client_id, secret), json=body, timeout=PATIENCE_S).status_code

        assert [log_in(shop.client_secret) for _ in range(4)] == [200] * 4
        assert [log_in(secret) for secret in ("wrong", "wrong", "wrong", shop.client_secret)] == [401, 401, 429, 429]
        # Whoever has a token goes on.
        assert statuses(shop, 1) == [200]


def test_what_needs_no_token_knows_no_such_limit() -> None:
    with running(rate_per_client="1/hour", rate_per_account="1/hour", rate_of_failed_logins="1/hour") as server:
        for path in ("/health/ready", "/openapi.json"):
            found = {requests.get(f"{server.base_url}{path}", timeout=PATIENCE_S).status_code for _ in range(5)}
            assert found == {200}


@pytest.mark.parametrize("value", ["many", "0.5/second", "10/fortnight", "10/second;"])
def test_a_limit_that_cannot_be_read_is_told(value: str) -> None:
    with pytest.raises(SettingsError, match="rate_per_client: expected such as 100/second"):
        read_settings({"rate_per_client": value}, {})
