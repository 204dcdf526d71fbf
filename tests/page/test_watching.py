"""An open page is told what happens: by server-sent events, from one look at the database for all of them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from kasse.domain.session import LIFETIME
from kasse.page import watching
from kasse.store.sqlite_reads import SqliteLoads
from tests.faults.servers import Server, make_client
from tests.page.states import Shopping
from tests.running import PATIENCE_S, Json, Running, Shop


@contextmanager
def listening(base_url: str, session: Json) -> Iterator[Iterator[Json]]:
    """What an open page hears, as it comes."""
    address = f"{base_url}/v1/view/{session['id']}/events"
    with requests.get(address, stream=True, timeout=PATIENCE_S) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        lines = map(bytes.decode, answer.iter_lines(chunk_size=1))
        yield (json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: "))


def test_a_page_hears_of_each_change_until_the_end(server: Running, shop: Shop) -> None:
    session = shop.session(shop.order())
    with listening(server.base_url, session) as heard:
        assert next(heard)["state"] == "ready"
        shop.pay(session, "4000300000000006")
        assert next(heard)["state"] == "declined"
        shop.ok("POST", f"/v1/sessions/{session['id']}/cancel")
        last = next(heard)
        assert last["state"] == "cancelled"
        assert last["href"].endswith("error=cancelled")


def test_a_page_hears_that_its_lines_are_paid_in_another_session(server: Running, shop: Shop) -> None:
    order = shop.order()
    with listening(server.base_url, shop.session(order)) as heard:
        assert next(heard)["state"] == "ready"
        shop.pay(shop.session(order))
        assert "paid_elsewhere" in (each["state"] for each in heard)


def test_a_page_hears_that_its_time_is_over(shopping: Shopping) -> None:
    session = shopping.session()
    with listening(shopping.server.base_url, session) as heard:
        assert next(heard)["state"] == "ready"
        shopping.move_time(2 * LIFETIME)
        assert next(heard)["state"] == "expired"


def test_many_pages_cost_one_look(server: Running, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    versions = SqliteLoads.versions

    async def counted(loads: SqliteLoads, sessions: Collection[tuple[str, str]]) -> Any:
        sizes.append(len(sessions))
        return await versions(loads, sessions)

    monkeypatch.setattr(SqliteLoads, "versions", counted)
    order = shop.order()
    with ExitStack() as pages:
        heard = [pages.enter_context(listening(server.base_url, shop.session(order))) for _ in range(20)]
        assert [next(each)["state"] for each in heard] == ["ready"] * 20
        sizes.clear()
        shop.pay(shop.session(order), "4000100000000000")
        assert [next(each)["state"] for each in heard] == ["locked_elsewhere"] * 20
        assert set(sizes) == {20}


def test_a_server_that_has_no_room_says_so(server: Running, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST", 0)
    answer = requests.get(
        f"{server.base_url}/v1/view/{shop.session(shop.order())['id']}/events", stream=True, timeout=PATIENCE_S
    )
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"


def test_nobody_hears_of_a_session_that_is_not_there(server: Running, shop: Shop) -> None:
    answer = requests.get(f"{server.base_url}/v1/view/{shop.account_id}.nothing/events", timeout=PATIENCE_S)
    assert answer.status_code == 404


@pytest.mark.slow
def test_an_open_page_does_not_keep_a_server_from_stopping(tmp_path: Path) -> None:
    server = Server(f"sqlite:///{tmp_path}/kasse.db", settings={"stop_timeout": "60"})
    client = make_client(server.database)
    try:
        server.start()
        server.wait_until_it_answers()
        shop = server.shop(*client)
        with listening(server.base_url, shop.session(shop.order())) as heard:
            assert next(heard)["state"] == "ready"
            started = time.monotonic()
            assert server.end(signal.SIGTERM) == 0
            assert time.monotonic() - started < 50, "it waited for the page"
    finally:
        server.end(signal.SIGKILL)
