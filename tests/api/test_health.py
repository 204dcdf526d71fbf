"""Health: asked without a token, answered however full the server is, and true."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from kasse.operations import health
from tests.running import PATIENCE_S, Json, Running, running
from tests.store.postgres_server import PostgresServer, postgres_server


def get(server: Running, path: str) -> requests.Response:
    return requests.get(f"{server.base_url}/health/{path}", timeout=PATIENCE_S)


@pytest.mark.parametrize("path", ["live", "ready"])
def test_a_server_at_work_is_alive_and_ready(server: Running, path: str) -> None:
    answer = get(server, path)
    assert answer.status_code == 200
    assert answer.json()["status"] == path
    assert answer.headers["request-id"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as found:
        yield found


@pytest.mark.postgres
def test_without_its_database_it_lives_and_says_why_it_is_not_ready(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "KEEP_S", 0.0)
    with postgres.kasse_database() as name, running(database=postgres.url(name)) as server:
        assert get(server, "ready").status_code == 200
        monkeypatch.setattr(health, "ASK_WITHIN_S", 0.3)
        postgres.stop()
        try:
            assert get(server, "live").status_code == 200
            answer = get(server, "ready")
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            error: Json = answer.json()["error"]
            assert error["errors"][0]["keyword"] == "unavailable"
            assert error["message"].startswith("not ready: the database ")
            assert all(part not in answer.text for part in (postgres.password, "127.0.0.1", str(postgres.port), name))
        finally:
            monkeypatch.setattr(health, "ASK_WITHIN_S", 20.0)
            postgres.start()
        assert get(server, "ready").status_code == 200


def test_hammering_it_does_not_reach_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "KEEP_S", 600.0)
    asked = 0
    with running() as server:
        read = server.house.store.read

        async def counted(query: Any) -> Any:
            nonlocal asked
            asked += 1
            return await read(query)

        monkeypatch.setattr(server.house.store, "read", counted)
        assert {get(server, "ready").status_code for _ in range(50)} == {200}
    assert asked == 1


def test_a_full_server_refuses_with_a_time_to_come_back_and_its_health_can_still_be_asked(tmp_path: Path) -> None:
    with running(max_under_way=1, max_waiting=0) as server:
        shop = server.shop()
        order = shop.order(1000)
        # Two requests, of which one holds the only place: its change waits until the other has been answered.
        change, entered, leave = server.house.store.change, asyncio.Event(), asyncio.Event()

        async def held(decide: Any) -> Any:
            entered.set()
            await leave.wait()
            return await change(decide)

        server.house.store.change = held  # type: ignore[method-assign]
        with socket.create_connection(("127.0.0.1", server.house.settings.port), PATIENCE_S) as slow:
            body = b'{"items": [{"line_id": 1, "amount": 1000}]}'
            path = f"/v1/accounts/{shop.account_id}/shopping/orders/{order['order_id']}/authorizations"
            head = f"POST {path} HTTP/1.1\r\nauthorization: {shop.http.headers['Authorization']!s}\r\n"
            slow.sendall(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body)
            server.run(asyncio.wait_for(entered.wait(), PATIENCE_S))
            refused = shop.call("GET", "orders")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) in (1, 2, 3)
            assert refused.headers["request-id"]
            assert refused.json()["error"]["errors"][0]["keyword"] == "overloaded"
            assert get(server, "live").status_code == 200
            assert get(server, "ready").status_code == 200
            server.loop.call_soon_threadsafe(leave.set)
            assert slow.recv(1000).startswith(b"HTTP/1.1 200 ")
        server.house.store.change = change  # type: ignore[method-assign]
        # And then everything is as before.
        assert shop.call("GET", "orders").status_code == 200


def test_whoever_sends_slowly_holds_no_place() -> None:
    with running(max_under_way=1, max_waiting=0) as server:
        shop = server.shop()
        with socket.create_connection(("127.0.0.1", server.house.settings.port), PATIENCE_S) as slow:
            path = f"/v1/accounts/{shop.account_id}/shopping/draft_orders"
            head = f"POST {path} HTTP/1.1\r\nauthorization: {shop.http.headers['Authorization']!s}\r\n"
            slow.sendall(head.encode() + b"content-length: 1000\r\n\r\n{")
            for _ in range(20):
                assert shop.call("GET", "orders").status_code == 200
