"""What the guide to operating says that the log shows when something is wrong: it does."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.faults.outside import ROOT, Outside, outside_of
from tests.faults.servers import PATIENCE_S, Server, free_port, look, make_client
from tests.running import Json
from tests.store.postgres_server import PostgresServer, postgres_server

GUIDE = ROOT / "docs" / "how-to" / "operate.md"
SHOWN = {
    "store_unavailable",
    "look_up_failed",
    "deliveries_not_claimed",
    "gateway_did_not_answer",
    "gateway_look_up_not_answered",
    "gateway_call_failed",
    "gateway_look_up_failed",
    "delivery_tried",
    "not_started",
}
"""What the tests below see in the log."""
NOT_OF_THE_LOG = {"status_code", "kasse_outbox_overdue_seconds"}


def _lines(server: Server) -> list[Json]:
    assert server.log is not None
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def _shown(server: Server, event: str, **fields: str) -> Json:
    """The first line of the log about this, once it is there."""
    assert event in SHOWN
    deadline = time.monotonic() + PATIENCE_S
    while True:
        for line in _lines(server):
            if line["event"] == event and fields.items() <= line.items():
                return line
        assert time.monotonic() < deadline, f"the log does not show {event} with {fields}"
        time.sleep(0.05)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    with ExitStack() as stack:
        found = outside_of(f"sqlite:///{tmp_path}/kasse.db", tmp_path, stack)
        found.server.log, found.server.settings = tmp_path / "log", {"log_level": "info"}
        yield found


def _pay(outside: Outside, **url: str) -> Json:
    shop = outside.server.shop(*outside.client)
    session = shop.session(shop.order(5000), url=url)
    return dict(shop.call("POST", shop.pay_path(session), {"card": "4000000000000002"}).json())


def test_a_gateway_that_does_not_answer(outside: Outside) -> None:
    outside.start()
    outside.acquirer.send_signal(signal.SIGSTOP)
    paid = _pay(outside)
    named = {"gateway": "far", "kind": "authorize", "key": paid["transaction_id"]}
    assert _shown(outside.server, "gateway_did_not_answer", **named)["level"] == "warning"
    assert _shown(outside.server, "gateway_look_up_not_answered", **named)["level"] == "warning"
    outside.acquirer.send_signal(signal.SIGCONT)
    _until_done(outside)


def test_a_gateway_that_answers_nonsense(outside: Outside) -> None:
    outside.start()
    outside.tell("wrong", {"often": 1, "wrongly": ["answers nonsense"]})
    paid = _pay(outside)
    named = {"gateway": "far", "kind": "authorize", "key": paid["transaction_id"]}
    for event in ("gateway_call_failed", "gateway_look_up_failed"):
        assert "JSONDecodeError" in _shown(outside.server, event, **named)["exception"]
    outside.tell("wrong", {"often": 0})
    _until_done(outside)


def _until_done(outside: Outside) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while set(look(outside.server.database).calls.values()) != {"done"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_receiver_that_is_away(outside: Outside) -> None:
    outside.start()
    receiver = f"http://127.0.0.1:{free_port()}"
    _pay(outside, callback_url=f"{receiver}/callback")
    line = _shown(outside.server, "delivery_tried", status="waiting")
    assert line["error"]
    assert line["account_id"] == "T12345678"
    assert line["receiver"] == receiver


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as found:
        yield found


@pytest.mark.postgres
def test_a_database_that_is_away(postgres: PostgresServer, tmp_path: Path) -> None:
    with postgres.kasse_database() as name:
        server = Server(postgres.url(name), settings={"log_level": "info"}, log=tmp_path / "log")
        client = make_client(server.database)
        server.start()
        try:
            server.wait_until_it_answers()
            shop = server.shop(*client)
            postgres.stop()
            shop.refused(503, "unavailable", "POST", "draft_orders", {"order": {"currency": "NOK", "items": []}})
            for event in ("store_unavailable", "look_up_failed", "deliveries_not_claimed"):
                line = _shown(server, event)
                assert line["level"] == "error"
                assert line["error"]
            ready = f"{server.base_url}/health/ready"
            assert requests.get(ready, timeout=PATIENCE_S).status_code == 503
            postgres.start()
            deadline = time.monotonic() + PATIENCE_S
            while requests.get(ready, timeout=PATIENCE_S).status_code != 200:
                assert time.monotonic() < deadline, "it does not go on"
                time.sleep(0.1)
        finally:
            server.end(signal.SIGKILL)


def test_a_start_that_fails(tmp_path: Path) -> None:
    (tmp_path / "kasse.db").write_text("This is no database. " * 100)
    server = Server(f"sqlite:///{tmp_path}/kasse.db", log=tmp_path / "log")
    server.start()
    assert server.process is not None
    assert server.process.wait(PATIENCE_S) == 3
    assert "file is not a database" in _shown(server, "not_started")["error"]


def test_the_guide_names_nothing_that_is_not_tried_here() -> None:
    table = GUIDE.read_text().split("**At three in the morning.**")[1].split("\n\n")[1]
    shows = " ".join(row.split(" | ")[1] for row in table.splitlines())
    assert set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", shows)) - NOT_OF_THE_LOG == SHOWN
