"""Everything outside goes wrong at once: an acquirer in a process of its own acts and loses the answer, is late, stands
still, acts twice, answers nonsense; nobody listens where callbacks go, for hours; the servers' clocks jump.

Two processes of ``kasse serve``, on both engines. Then all is well again, and nothing must be missing anywhere.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from kasse.domain.transaction import amounts
from tests.faults.acquirer import moved
from tests.faults.outside import Outside, outside_of
from tests.faults.servers import PATIENCE_S, Found, look, verified
from tests.running import Json, Shop, session_request
from tests.store.postgres_server import postgres_server

MERCHANTS = 4
SHORT, LONG = 4, 60
OFTEN = 0.4
CARD = "4000000000000002"
_WAIT = ("outcome_unknown", "request_under_way", "session_being_paid", "line_being_paid")
_NO = ("nothing_left_to_pay", "amount_above_left", "session_paid", "wrong_status")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outside]:
    with ExitStack() as stack:
        database = f"sqlite:///{tmp_path}/kasse.db"
        if request.param != "sqlite":
            postgres = stack.enter_context(postgres_server())
            database = postgres.url(stack.enter_context(postgres.kasse_database()))
        yield outside_of(database, tmp_path, stack)


@contextmanager
def listening(port: int) -> Iterator[list[dict[str, str]]]:
    """A receiver of callbacks until the end of the block; what it hears."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append({name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()})
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield heard
        server.shutdown()
        thread.join(PATIENCE_S)


def _ask(shop: Shop, chance: random.Random, path: str, body: Json) -> Json | None:
    """Once and, where that had no clear answer, perhaps a few times more with the same key."""
    key = {"Idempotency-Key": str(chance.random())}
    for _ in range(chance.randrange(1, 4)):
        answer = shop.call("POST", path, body, headers=key)
        told: Json = answer.json()
        if answer.status_code == 200:
            return told
        keyword = None if answer.status_code == 202 else told["error"]["errors"][0]["keyword"]
        if answer.status_code != 202 and keyword not in _WAIT:
            assert keyword in _NO, answer.text
            return None
        time.sleep(0.1)
    return None


def _trade(shop: Shop, chance: random.Random, callback: str, times: int) -> None:
    """Order, pay perhaps twice, capture, refund and void, whatever comes of it."""
    for _ in range(times):
        amount = chance.randrange(100, 90_000)
        order = shop.order(amount, 500)
        for _ in range(chance.randrange(1, 3)):
            # A second session for the same lines, while or after somebody pays.
            asked = _ask(
                shop,
                chance,
                f"orders/{order['order_id']}/sessions",
                session_request([1, 2], url={"callback_url": callback}),
            )
            if asked is None:
                continue
            paid = _ask(shop, chance, shop.pay_path(asked), {"card": CARD})
            if paid is None or paid["status"] != "AUTHORIZED":
                continue
            path = f"/v1/transactions/{paid['transaction_id']}"
            if chance.random() < 0.2:
                _ask(shop, chance, f"{path}/void", {})
            for kind in ("capture", "capture", "refund"):
                _ask(shop, chance, f"{path}/{kind}", {"amount": chance.randrange(1, amount + 2)})


@pytest.mark.slow
def test_whatever_goes_wrong_outside_both_books_agree_and_every_callback_comes(
    outside: Outside, times: Callable[[int, int], int], record_property: Callable[[str, object], None]
) -> None:
    server = outside.server
    outside.start()
    outside.tell("wrong", {"often": OFTEN})
    callback = f"http://127.0.0.1:{outside.receiver_port}/callback"
    with ThreadPoolExecutor(MERCHANTS + 1) as pool:
        shops = [server.shop(*outside.client) for _ in range(MERCHANTS)]
        trading = [
            pool.submit(_trade, shop, random.Random(n), callback, times(SHORT, LONG)) for n, shop in enumerate(shops)
        ]
        over = threading.Event()
        beside = pool.submit(_go_wrong, outside, over)
        try:
            for each in trading:
                each.result()
        finally:
            over.set()
        beside.result()
    tried = outside.tell("book", {})["ways"]
    outside.tell("wrong", {"often": 0})
    # Hours go by in which nobody listens, then somebody does.
    for _ in range(3):
        outside.jump(5)
        time.sleep(0.7)
    with listening(outside.receiver_port) as heard:
        found = _wait_until_all_is_done(outside)
        _all_is_well(found, outside.tell("book", {})["book"], heard)
    assert len(tried) > 4, tried
    assert verified(server.database).difference is None
    record_property("payments", len(found.transactions))


def _go_wrong(outside: Outside, over: threading.Event) -> None:
    """The clock jumps, and the acquirer stands still, again and again."""
    chance = random.Random(7)
    while not over.wait(chance.uniform(0.2, 1.0)):
        outside.jump(chance.choice((-1, -0.01, 0.01, 1)))
        if chance.random() < 0.3:
            outside.acquirer.send_signal(signal.SIGSTOP)
            over.wait(0.7)
            outside.acquirer.send_signal(signal.SIGCONT)


def _wait_until_all_is_done(outside: Outside) -> Found:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = look(outside.server.database)
        if set(found.calls.values()) <= {"done"} and not found.waiting:
            return found
        assert time.monotonic() < deadline, f"never done: {found.calls}, {found.waiting} callbacks"
        outside.jump(1)
        time.sleep(0.3)


def _all_is_well(found: Found, book: dict[str, Json], heard: list[dict[str, str]]) -> None:
    assert found.claimed == 0
    assert set(found.sessions.values()) <= {"open", "paid", "expired"}
    nobody: Json = {"state": "unseen", "amount": 0, "steps": {}}
    for transaction in found.transactions:
        assert transaction.gateway == "far"
        assert not transaction.pending
        ours, entry = amounts(transaction), book.pop(transaction.id, nobody)
        theirs = tuple(moved(entry, kind) for kind in ("capture", "refund", "void"))
        if not ours.authorized and entry["state"] == "approved":
            # It came after it was given up: closed again, whole.
            assert theirs in ((0, 0, entry["amount"]), (entry["amount"], entry["amount"], 0)), transaction
            continue
        assert (ours.authorized or 0) == (entry["amount"] if entry["state"] == "approved" else 0), transaction
        assert (ours.captured, ours.refunded, ours.voided) == theirs, transaction
    assert book == {}, "the acquirer has what is no payment of ours"
    paid = {each.id for each in found.transactions if amounts(each).authorized}
    assert paid, "nothing was paid"
    assert {each["transaction_id"] for each in heard} == paid
