"""The server is asked to stop under load: what it took on is done and answered, and nothing else is done."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import requests

from kasse.domain.order import Draft
from kasse.domain.paging import Filters, Page
from kasse.operations.house import House
from kasse.store.port import Loads
from tests.faults.servers import ACCOUNT, PATIENCE_S, Server, inside, make_client
from tests.running import Shop, line
from tests.store.postgres_server import postgres_server

CLIENTS = 8
AT_LEAST = 100


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if request.param == "sqlite":
        found = Server(f"sqlite:///{tmp_path}/kasse.db", settings={"workers": "2"})
        yield found
        found.end(signal.SIGKILL)
        return
    with postgres_server() as postgres, postgres.kasse_database() as name:
        found = Server(postgres.url(name), settings={"workers": "2"})
        yield found
        found.end(signal.SIGKILL)


def _order_until_it_is_gone(shop: Shop, answered: list[str], enough: threading.Event) -> None:
    body = {"order": {"currency": "NOK", "items": [line(1, 1000)]}}
    try:
        while True:
            answered.append(shop.ok("POST", "draft_orders", body)["id"])
            if len(answered) == AT_LEAST // CLIENTS:
                enough.set()
    except requests.RequestException:
        return


async def _stored(house: House) -> list[str]:
    found: list[str] = []
    while part := await house.store.read(partial(_next, found[-1] if found else None)):
        found += [draft.id for draft in part]
    return found


def _next(after: str | None, loads: Loads) -> Awaitable[list[Draft]]:
    return loads.drafts(ACCOUNT, Filters(), Page(100, after))


@pytest.mark.slow
def test_whatever_is_stored_was_answered_and_whatever_was_answered_is_stored(server: Server) -> None:
    client = make_client(server.database)
    server.start()
    server.wait_until_it_answers()
    answered: list[list[str]] = [[] for _ in range(CLIENTS)]
    enough = [threading.Event() for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        ordering = [
            pool.submit(_order_until_it_is_gone, server.shop(*client), *each)
            for each in zip(answered, enough, strict=True)
        ]
        assert all(event.wait(60) for event in enough)
        assert server.end(signal.SIGTERM) == 0
        for one in ordering:
            one.result(60)
    told = sorted(id for each in answered for id in each)
    assert len(told) >= AT_LEAST - CLIENTS
    assert sorted(inside(server.database, _stored)) == told


def test_workers_do_not_outlive_the_server_that_started_them(server: Server) -> None:
    server.start()
    server.wait_until_it_answers()
    assert server.process is not None
    group = server.process.pid
    server.process.kill()
    server.process.wait(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while _is_alive(group):
        assert time.monotonic() < deadline, "its workers go on without it"
        time.sleep(0.05)
    # Nobody holds the port, so it can be started again at once.
    server.start()
    server.wait_until_it_answers()


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
