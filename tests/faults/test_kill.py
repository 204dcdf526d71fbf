"""The server or its database is killed in the middle of its work, again and again: whatever it answered is there."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from kasse.domain.transaction import amounts
from tests.faults.servers import Server, differences, look, make_client, verified
from tests.running import Json, Shop
from tests.store.postgres_server import PostgresServer, postgres_server

SHORT, LONG = 3, 20
CLIENTS = 4
CARDS = (
    "4000000000000002",
    "4000000000000002",
    "4100000000000001",  # authorized, but the answer is lost
    "5100000000000008",  # the authorization never arrives
    "4100000000000019",  # captured, but the answer is lost
    "5100000000000016",  # the capture gets lost once
    "4100000000000027",  # refunded, but the answer is lost
)
UNKNOWN = (200, 409)  # with a card that times out, "the outcome is not known yet" is an answer too


@dataclass
class Answered:
    """What a client was told of one order, as far as it got."""

    draft: str | None = None
    order: str | None = None
    session: str | None = None
    paid: Json | None = None
    captures: list[str] = field(default_factory=list)
    refunds: list[str] = field(default_factory=list)


@dataclass
class Customer:
    """Buys one thing after another until the server is gone, and remembers every answer."""

    shop: Shop
    chance: random.Random
    answered: list[Answered] = field(default_factory=list)
    database_dies: bool = False

    def buy_until_it_is_gone(self) -> None:
        try:
            while True:
                self.answered.append(Answered())
                self._buy_or_be_told_that_the_database_is_away(self.answered[-1])
        except requests.RequestException:
            return

    def _buy_or_be_told_that_the_database_is_away(self, answered: Answered) -> None:
        try:
            self._buy(answered)
        except AssertionError:
            if not self.database_dies:
                raise

    def _buy(self, answered: Answered) -> None:
        shop, amount = self.shop, self.chance.randrange(100, 90_000)
        lines = [
            {"id": "A", "line_id": 1, "gross_amount": amount, "tax_lines": []},
            {"id": "B", "line_id": 2, "gross_amount": 500, "tax_lines": []},
        ]
        answered.draft = shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": lines}})["id"]
        order = shop.ok("PUT", f"draft_orders/{answered.draft}/complete", {})["orders"][0]
        answered.order = order["order_id"]
        session = shop.session(order)
        answered.session = session["id"]
        answered.paid = shop.pay(session, self.chance.choice(CARDS))
        if answered.paid["status"] == "AUTHORIZED":
            self._entry(order, "captures", amount, answered.captures)
            self._entry(order, "refunds", amount // 2, answered.refunds)

    def _entry(self, order: Json, kind: str, amount: int, told: list[str]) -> None:
        items = [{"line_id": 1, "amount": amount}]
        reply = self.shop.call("POST", f"orders/{order['order_id']}/{kind}", {"items": items})
        if reply.status_code == 200:
            told.append(reply.json()["id"])
        else:
            # A refund of what may not be captured yet is above what is left.
            assert reply.json()["error"]["errors"][0]["keyword"] in ("outcome_unknown", "amount_above_left"), reply.text


def _is_there(shop: Shop, answered: Answered) -> None:
    """What was answered is found again, and nothing that came after it is missing."""
    if answered.draft:
        shop.ok("GET", f"draft_orders/{answered.draft}")
    if not answered.order:
        return
    order = shop.ok("GET", f"orders/{answered.order}?include_events=true")
    assert [event["version"] for event in order["events"]] == list(range(1, order["version"] + 1))
    assert len(order["items"]) == 2
    if answered.session:
        assert shop.ok("GET", f"orders/{answered.order}/sessions/{answered.session}")["amount"]
    if answered.paid:
        status = shop.transaction(answered.paid["transaction_id"])["status"]
        if answered.paid["status"] == "AUTHORIZED":
            assert status not in ("INITIATED", "UNKNOWN", "DECLINED", "FAILED")
            [authorization] = order["authorizations"]
            assert authorization["success"]
    assert set(answered.captures) <= {entry["id"] for entry in order["captures"]}
    assert set(answered.refunds) <= {entry["id"] for entry in order["refunds"]}


@dataclass
class Killing:
    """A server, and what is killed with it."""

    server: Server
    postgres: PostgresServer | None = None


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgres),
        pytest.param("postgresql dies too", marks=pytest.mark.postgres),
    ]
)
def killing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Killing]:
    with ExitStack() as stack:
        postgres = None
        database = f"sqlite:///{tmp_path}/kasse.db"
        if request.param != "sqlite":
            postgres = stack.enter_context(postgres_server())
            database = postgres.url(stack.enter_context(postgres.kasse_database()))
        server = Server(database)
        stack.callback(server.end, signal.SIGKILL)
        yield Killing(server, postgres if request.param == "postgresql dies too" else None)


@pytest.mark.slow
def test_nothing_that_was_answered_is_lost_when_the_server_is_killed_again_and_again(
    killing: Killing, times: Callable[[int, int], int]
) -> None:
    server, postgres, rounds = killing.server, killing.postgres, times(SHORT, LONG)
    # So that calls cut off by a kill are looked up while the test still runs.
    server.gateway_timeout = 0.5
    client = make_client(server.database)
    chance = random.Random(20260728)
    before: list[Answered] = []
    counted = 0
    server.start()
    for _ in range(rounds):
        server.wait_until_it_answers()
        shop = server.shop(*client)
        for answered in before:
            _is_there(shop, answered)
        customers = [
            Customer(server.shop(*client), random.Random(chance.random()), database_dies=postgres is not None)
            for _ in range(CLIENTS)
        ]
        threads = [threading.Thread(target=customer.buy_until_it_is_gone) for customer in customers]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.1, 0.6))
        if postgres is not None:
            postgres.kill()
            time.sleep(chance.uniform(0, 0.3))
            postgres.start()
        server.end(signal.SIGKILL)
        for thread in threads:
            thread.join(20)
        before = [answered for customer in customers for answered in customer.answered]
        counted += len(before)
        # Meanwhile the next server starts on the same database.
        server.start()
        assert verified(server.database).difference is None
    server.wait_until_it_answers()
    for answered in before:
        _is_there(server.shop(*client), answered)
    _wait_for_look_ups(server)
    found = look(server.database)
    assert counted > rounds
    if postgres is None:
        assert len(found.orders) >= counted - CLIENTS * rounds
    assert found.claimed == 0
    assert set(found.sessions.values()) <= {"open", "paid"}
    assert {transaction.status for transaction in found.transactions}.isdisjoint(("INITIATED", "UNKNOWN", "ON_HOLD"))
    assert not any(transaction.pending for transaction in found.transactions)
    assert differences(found) == []
    paid = [transaction.session_id for transaction in found.transactions if amounts(transaction).authorized]
    assert sorted(paid) == sorted(id for id, status in found.sessions.items() if status == "paid") == sorted(found.owed)
    assert verified(server.database).difference is None
    # The whole story has happened: some paid, some not, some captured, some refunded.
    statuses = {transaction.status for transaction in found.transactions}
    assert rounds < LONG or {"AUTHORIZED", "FAILED", "PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED_REFUNDED"} <= statuses


def _wait_for_look_ups(server: Server) -> None:
    deadline = time.monotonic() + 30
    while set(look(server.database).calls.values()) - {"done"}:
        assert time.monotonic() < deadline, "some calls are never settled"
        time.sleep(0.2)


@pytest.mark.slow
def test_a_server_that_is_asked_to_stop_finishes_what_it_began(server: Server) -> None:
    client = make_client(server.database)
    server.start()
    server.wait_until_it_answers()
    customers = [Customer(server.shop(*client), random.Random(n)) for n in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        buying = [pool.submit(customer.buy_until_it_is_gone) for customer in customers]
        time.sleep(0.5)
        server.end(signal.SIGTERM)
        for one in buying:
            one.result(20)
    path = Path(server.database.removeprefix("sqlite:///"))
    assert [each.name for each in path.parent.iterdir()] == [path.name], "the write-ahead log was not put away"
    server.start()
    server.wait_until_it_answers()
    for customer in customers:
        for answered in customer.answered:
            _is_there(customer.shop, answered)
    assert verified(server.database).difference is None
