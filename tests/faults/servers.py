"""Servers as processes of their own, on a database that tests look into as well."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec
import requests

from kasse.domain.history import OrderState
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import Transaction, amounts
from kasse.gateways.sandbox import Entry
from kasse.main import open_house
from kasse.operations import accounts
from kasse.operations.house import House
from kasse.operations.verification import Verified, verify
from kasse.settings import Settings
from kasse.store.port import Loads
from tests.running import SCOPES, Shop

T = TypeVar("T")

KASSE = Path(sys.executable).parent / "kasse"
ACCOUNT = "T12345678"
PATIENCE_S = 60


@dataclass
class Server:
    """``kasse serve`` on a port of its own. ``prefix`` comes before the command, ``settings`` are more of them,
    ``environment`` is what is no setting of ours, and ``log`` is where its log goes."""

    database: str
    gateway_timeout: float = 10.0
    look_up_after: float = 0.1
    prefix: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        settings = {
            "KASSE_DATABASE": self.database,
            "KASSE_PORT": str(self.port),
            "KASSE_GATEWAY_TIMEOUT": str(self.gateway_timeout),
            "KASSE_LOOK_UP_AFTER": str(self.look_up_after),
            "KASSE_LOG_LEVEL": "error",
            **{f"KASSE_{name.upper()}": value for name, value in self.settings.items()},
        }
        with (self.log or Path(os.devnull)).open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, str(KASSE), "serve"],
                env={**os.environ, **self.environment, **settings},
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_it_answers(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self.process.poll() is None, "the server ended by itself"
            try:
                requests.get(self.base_url, timeout=PATIENCE_S)
                return
            except requests.ConnectionError:
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.02)

    def end(self, how: signal.Signals) -> int | None:
        """Send it a signal and wait until it has ended; answers its exit code. All its workers are killed with it."""
        if self.process is None:
            return None
        if how == signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def shop(self, client_id: str, client_secret: str) -> Shop:
        return Shop(self.base_url, ACCOUNT, client_id, client_secret)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def inside(database: str, work: Callable[[House], Awaitable[T]]) -> T:
    """Do some work on the database, beside the servers or without them."""

    async def run() -> T:
        async with open_house(Settings(database=database)) as house:
            return await work(house)

    return asyncio.run(run())


def make_client(database: str) -> tuple[str, str]:
    """An account with a client that may do everything: the client's id and secret."""

    async def work(house: House) -> tuple[str, str]:
        await accounts.create_account(house, ACCOUNT, "Fjord & Fjell")
        client, secret = await accounts.create_client(house, "test", ACCOUNT, scopes=SCOPES)
        return client.client_id, secret

    return inside(database, work)


def verified(database: str) -> Verified:
    return inside(database, verify)


@dataclass
class Found:
    """Everything about orders and money that is stored, and what the sandbox has in its own book.

    ``sessions`` and ``calls`` have the status of each; ``owed`` names the session of each callback, ``waiting`` counts
    those that wait to be delivered.
    """

    orders: list[OrderState]
    transactions: list[Transaction]
    sessions: dict[str, str]
    calls: dict[str, str]
    owed: list[str]
    book: dict[str, Entry]
    waiting: int = 0

    @property
    def claimed(self) -> int:
        return sum(abs(sums.claimed) for order in self.orders for sums in order.sums.values())


def look(database: str) -> Found:
    return inside(database, find)


async def find(house: House) -> Found:
    """On either engine, by the loads that there are."""

    async def query(loads: Loads) -> Found:
        found = Found(await _all_orders(loads), [], {}, {}, [], {})
        for session in await _all_sessions(loads):
            found.sessions[session.id] = session.status
            found.owed.extend(each.session_id for each in await loads.deliveries_of(session.account_id, session.id))
            found.transactions.extend(await loads.transactions_of_session(session.account_id, session.id))
        for transaction in found.transactions:
            call = await loads.gateway_call(transaction.account_id, transaction.id)
            found.calls[transaction.id] = "missing" if call is None else call.state
        under_way = await loads.due_gateway_calls(datetime(2100, 1, 1, tzinfo=UTC), 100_000)
        found.calls.update((call.key, call.state) for call in under_way)
        found.waiting = (await loads.backlog()).waiting
        return found

    found = await house.store.read(query)
    for transaction in found.transactions:
        entry = await house.store.book_get(transaction.account_id, transaction.id)
        if entry is not None:
            found.book[transaction.id] = msgspec.convert(entry, Entry)
    return found


async def _all_sessions(loads: Loads) -> list[PaymentSession]:
    found: list[PaymentSession] = []
    while part := await loads.sessions_from((found[-1].account_id, found[-1].id) if found else None, 500):
        found += part
    return found


async def _all_orders(loads: Loads) -> list[OrderState]:
    found: list[OrderState] = []
    after = None
    while part := await loads.orders_from(after, 500):
        found += part
        after = (part[-1].order.account_id, part[-1].order.id)
    return found


def differences(found: Found) -> list[str]:
    """Where our transactions and the sandbox's book tell different stories, once every outcome is known."""
    told: list[str] = []
    for transaction in found.transactions:
        entry = found.book.get(transaction.id, Entry())
        ours = amounts(transaction)
        if not ours.authorized and entry.holds_nothing:
            continue
        if ours.authorized and entry.state != "approved":
            told.append(f"{transaction.id} is {transaction.status}, the book has it as {entry.state}")
        if not ours.authorized and entry.state == "approved":
            told.append(f"{transaction.id} is {transaction.status}, the book has approved {entry.amount}")
        theirs = (entry.moved("capture"), entry.moved("refund"), entry.moved("void"))
        if (ours.captured, ours.refunded, ours.voided) != theirs:
            told.append(f"{transaction.id} has {ours}, the book has captured, refunded, voided {theirs}")
    return told
