"""Load of two kinds: as fast as so many connections get answers, and at a rate of its own whatever the answers do.

The second kind counts a request's time from when it should have been sent. Whoever waits for a slow answer before
sending the next request would leave out just those times that hurt.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kasse.bench.connection import Connection, Unexpected

Take = Callable[[bytes], None]
"""What to do with the body of an answer."""


@dataclass
class Load:
    """Times of the answers in seconds, in the order in which they came."""

    times: array[float] = field(default_factory=lambda: array("d"))
    started: float = 0.0
    ended: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.times) / (self.ended - self.started) if self.times else 0.0

    def percentile(self, percent: float) -> float:
        """In seconds: so many percent of the answers took no longer."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


async def as_fast_as_possible(
    connections: Sequence[Connection], requests: Sequence[Iterator[bytes]], seconds: float, take: Take | None = None
) -> Load:
    """Each connection sends the requests of its own iterator one after the other, until it ends or time is up."""
    load = Load(started=time.perf_counter())
    deadline = load.started + seconds

    async def send_all(connection: Connection, mine: Iterator[bytes]) -> None:
        # A request that is taken from the iterator is sent: time is looked at first.
        while (before := time.perf_counter()) < deadline and (each := next(mine, None)) is not None:
            await _send(connection, each, before, load, take)

    await asyncio.gather(*(send_all(*pair) for pair in zip(connections, requests, strict=True)))
    load.ended = time.perf_counter()
    return load


async def at_a_rate(connections: Sequence[Connection], requests: Iterable[bytes], rate: float, seconds: float) -> Load:
    """Send so many requests a second over whichever connection is free; a request waits if none is."""
    load = Load(started=time.perf_counter())
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)
    under_way: set[asyncio.Task[None]] = set()

    async def send(connection: Connection, each: bytes, due: float) -> None:
        try:
            await _send(connection, each, due, load, None)
        finally:
            free.put_nowait(connection)

    for number, each in zip(range(int(rate * seconds)), requests, strict=False):
        due = load.started + number / rate
        early = due - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)
        task = asyncio.create_task(send(await free.get(), each, due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    load.ended = time.perf_counter()
    return load


async def _send(connection: Connection, each: bytes, since: float, load: Load, take: Take | None) -> None:
    status, body = await connection.send(each)
    load.times.append(time.perf_counter() - since)
    if status != 200:
        raise Unexpected(f"expected the answer 200, got {status}: {body[:300].decode(errors='replace')}")
    if take is not None:
        take(body)
