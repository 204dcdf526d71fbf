"""What happens at four times of what Kasse can do: who is refused, what the others notice, how soon it is over.

A load client sends create-session at a rate of its own, whatever the answers do, over connections that stay open; a
request's time counts from when it was due. Bounded: four stages of so many seconds, on loopback, one worker.

python -m benchmarks.overload [--seconds 8] [--postgres]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import uvloop

from benchmarks.machine import Server, kasse, postgres, postgres_database, sqlite_database
from kasse.bench.connection import Connection, request
from kasse.bench.report import markdown
from kasse.bench.steps import Merchant

CONNECTIONS = 400
CLOSED = 64
ORDERS = 256
HEALTH_EVERY_S = 0.1


@dataclass
class Stage:
    """Times of answers in seconds, by what the answer was."""

    name: str
    offered: float = 0.0
    seconds: float = 0.0
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    unsent: int = 0
    healthy: list[float] = field(default_factory=list)
    unhealthy: int = 0

    def row(self) -> list[str]:
        sent = len(self.accepted) + len(self.refused) + len(self.others) + self.unsent
        return [
            self.name,
            f"{self.offered:.0f}" if self.offered else "",
            f"{len(self.accepted) / self.seconds:.0f}",
            f"{100 * (len(self.refused) + self.unsent) / max(1, sent):.0f} %",
            milliseconds(self.accepted, 50),
            milliseconds(self.accepted, 99),
            milliseconds(self.refused, 50),
            milliseconds(self.healthy, 99),
            str(self.unhealthy),
            str(len(self.others)),
        ]


HEAD = [
    *("load", "offered/s", "accepted/s", "refused", "accepted p50 ms", "accepted p99 ms", "refused p50 ms"),
    *("health p99 ms", "health lost", "other answers"),
]


def milliseconds(times: Sequence[float], percent: float) -> str:
    ordered = sorted(times)
    return f"{1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]:.1f}" if ordered else ""


class Client:
    """Sends, and counts what comes back."""

    def __init__(self, server: Server) -> None:
        _, account, _, client, _, secret = server.merchant
        self._url = server.url
        self._merchant = Merchant([server.url], account, client, secret, server.receiver)
        self._connections: list[Connection] = []
        self._requests: Iterator[bytes] = iter(())

    async def prepare(self) -> None:
        first = await Connection.open(self._url)
        self._merchant.take_token((await first.send(self._merchant.token()))[1])
        orders = []
        for _ in range(ORDERS):
            draft = _text((await first.send(self._merchant.draft()))[1], b'"id":"')
            orders.append(_text((await first.send(self._merchant.complete(draft)))[1], b'"order_id":"'))
        first.close()
        self._requests = (self._merchant.session(order) for order in itertools.cycle(orders))
        self._connections = [await Connection.open(self._url) for _ in range(CONNECTIONS)]

    async def _one(self, stage: Stage, connection: Connection, due: float) -> None:
        status, _ = await connection.send(next(self._requests))
        took = time.perf_counter() - due
        if status == 200:
            stage.accepted.append(took)
        elif status in (429, 503):
            stage.refused.append(took)
        else:
            stage.others.append(status)

    async def saturate(self, stage: Stage, seconds: float) -> None:
        """As much as the server can do for a number of clients that wait for their answers."""
        end = time.perf_counter() + seconds

        async def ask(connection: Connection) -> None:
            while (now := time.perf_counter()) < end:
                await self._one(stage, connection, now)

        await asyncio.gather(*(ask(connection) for connection in self._connections[:CLOSED]))

    async def at_a_rate(self, stage: Stage, seconds: float) -> None:
        free, tasks, started = list(self._connections), set[asyncio.Task[None]](), time.perf_counter()

        async def ask(connection: Connection, due: float) -> None:
            await self._one(stage, connection, due)
            free.append(connection)

        for number in range(int(stage.offered * seconds)):
            due = started + number / stage.offered
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            elif number % 16 == 0:
                await asyncio.sleep(0)
            if not free:
                stage.unsent += 1
                continue
            task = asyncio.create_task(ask(free.pop(), due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    async def watch_health(self, stage: Stage) -> None:
        """Ask like an orchestrator does: on a new connection each time."""
        while True:
            started = time.perf_counter()
            try:
                connection = await Connection.open(self._url)
                status, _ = await connection.send(request("GET", f"{self._url}/health/ready"))
                connection.close()
            except Exception:
                status = 0
            if status == 200:
                stage.healthy.append(time.perf_counter() - started)
            else:
                stage.unhealthy += 1
            await asyncio.sleep(HEALTH_EVERY_S)


def _text(body: bytes, before: bytes) -> str:
    start = body.index(before) + len(before)
    return body[start : body.index(b'"', start)].decode()


async def run(server: Server, seconds: float) -> list[Stage]:
    client = Client(server)
    await client.prepare()
    first = Stage(f"saturated, {CLOSED} clients")
    await _watched(client, first, client.saturate(first, seconds))
    most = len(first.accepted) / first.seconds
    stages = [first]
    for name, times in (("0.7 times", 0.7), ("4 times", 4.0), ("0.7 times again", 0.7)):
        stage = Stage(name, offered=most * times)
        await _watched(client, stage, client.at_a_rate(stage, seconds))
        stages.append(stage)
    return stages


async def _watched(client: Client, stage: Stage, load: object) -> None:
    health = asyncio.create_task(client.watch_health(stage))
    started = time.perf_counter()
    await load  # type: ignore[misc]
    stage.seconds = time.perf_counter() - started
    health.cancel()
    await asyncio.gather(health, return_exceptions=True)


def main() -> None:
    asked = argparse.ArgumentParser(description="Load Kasse with four times of what it can do.")
    asked.add_argument("--seconds", type=float, default=8.0, help="of each stage, at most 60")
    asked.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    options = asked.parse_args()
    seconds = min(60.0, options.seconds)
    with ExitStack() as stack:
        if options.postgres:
            database = stack.enter_context(postgres_database(stack.enter_context(postgres())))
        else:
            database = stack.enter_context(sqlite_database())
        server = stack.enter_context(kasse(database, log_level="warning"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            stages = runner.run(run(server, seconds))
        print(f"{database.engine}, one worker, create session, {seconds:g} s each stage\n")
        print(markdown(HEAD, [stage.row() for stage in stages]))


if __name__ == "__main__":
    main()
