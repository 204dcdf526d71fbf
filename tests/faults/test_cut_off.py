"""The server is killed while merchants capture with an ``Idempotency-Key``: sent again, each capture is answered, and
each was made once. On both engines.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.faults.servers import Server, make_client, verified
from tests.running import Json, Shop
from tests.store.postgres_server import postgres_server

ROUNDS = 4
MERCHANTS = 6
PATIENCE_S = 60
CARDS = ("4000000000000002", "4100000000000019", "5100000000000016")  # the last two lose captures and their answers


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def killed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if request.param == "sqlite":
        server = Server(f"sqlite:///{tmp_path}/kasse.db", gateway_timeout=0.5)
        yield server
        server.end(signal.SIGKILL)
        return
    with postgres_server() as postgres, postgres.kasse_database() as name:
        server = Server(postgres.url(name), gateway_timeout=0.5)
        yield server
        server.end(signal.SIGKILL)


@dataclass
class Capture:
    """A capture that is asked for with a key of its own; its amount tells it from the others."""

    path: str
    body: Json
    key: str
    amount: int

    def send(self, shop: Shop) -> requests.Response:
        return shop.call("POST", self.path, self.body, headers={"Idempotency-Key": self.key})


def captures(order: Json, transaction: str, start: int) -> Iterator[Capture]:
    """On the order and on its transaction in turn, without end."""
    for n in range(start, start + 1000):
        amount = 100 + n
        if n % 2:
            body: Json = {"items": [{"line_id": 1, "amount": amount}]}
            yield Capture(f"orders/{order['order_id']}/captures", body, f"key-{n}", amount)
        else:
            yield Capture(f"/v1/transactions/{transaction}/capture", {"amount": amount}, f"key-{n}", amount)


@pytest.mark.slow
def test_every_capture_is_answered_in_the_end_and_made_once(killed: Server) -> None:
    client = make_client(killed.database)
    chance = random.Random(20261125)
    killed.start()
    killed.wait_until_it_answers()
    shop = killed.shop(*client)
    paid = []
    for n in range(MERCHANTS):
        order = shop.order(10_000_000)
        paid.append((order, shop.pay(shop.session(order), CARDS[n % 3])["transaction_id"]))
    sent: dict[str, list[Capture]] = {transaction: [] for _, transaction in paid}

    def capture(order: Json, transaction: str) -> None:
        try:
            shop = killed.shop(*client)
            for one in captures(order, transaction, len(sent[transaction])):
                sent[transaction].append(one)
                one.send(shop)
        except requests.RequestException:
            return

    for _ in range(ROUNDS):
        threads = [threading.Thread(target=capture, args=each) for each in paid]
        for thread in threads:
            thread.start()
        before = sum(map(len, sent.values()))
        deadline = time.monotonic() + PATIENCE_S
        while sum(map(len, sent.values())) < before + 2 * MERCHANTS and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.03))  # somewhere in the middle of a request
        killed.end(signal.SIGKILL)
        for thread in threads:
            thread.join(PATIENCE_S)
        killed.start()
        killed.wait_until_it_answers()
    shop = killed.shop(*client)
    for order, transaction in paid:
        for one in sent[transaction]:
            told = _told(shop, one)
            assert told.status_code == 200, told.text
            assert _told(shop, one).content == told.content
        entries = [entry["amount"] for entry in shop.read_order(order)["captures"]]
        events = [event["amount"] for event in shop.transaction(transaction)["events"] if event["event"] == "CAPTURE"]
        assert sorted(entries) == sorted(events) == [one.amount for one in sent[transaction]]
    assert sum(map(len, sent.values())) >= 2 * ROUNDS * MERCHANTS
    assert verified(killed.database).difference is None


def _told(shop: Shop, one: Capture) -> requests.Response:
    """What it is answered when the outcome is known."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        told = one.send(shop)
        if told.status_code == 200:
            return told
        waits = told.status_code == 202 or told.json()["error"]["errors"][0]["keyword"] in (
            "request_under_way",
            "outcome_unknown",
        )
        if not waits or time.monotonic() > deadline:
            return told
        time.sleep(0.05)
