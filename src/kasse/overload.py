"""How much a worker takes on at once, and when it says no.

Requests beyond what can be worked on wait for a short time, in their order. A burst may wait longer than a crowd that
stays: once whoever is next has had to wait too long all the time for a while, waiting helps nobody: then the wait is
short, and whoever came last is let in first, because the others have waited in vain already. That is so until nobody
waits any more. So what is accepted keeps its time, and the rest is told early to come back.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextvars import ContextVar, Token
from threading import Event

TOO_LONG_S = 0.1
"""Whoever is let in after waiting for so long came too early."""
CROWD_AFTER_S = 0.5
"""When that has been so for everybody for so long, it is a crowd and no burst."""
CROWD_SHARE = 0.1
"""What is left of the longest wait then, and of the places to wait in."""


class Overloaded(Exception):
    """There is more to do than can be done in time; nothing of the request was looked at."""


class Gate:
    """Lets ``most`` requests in at once; ``waiting`` more wait for at most ``wait_s`` seconds each."""

    def __init__(self, most: int, waiting: int, wait_s: float) -> None:
        self._free = most
        self._most_waiting = waiting
        self._wait_s = wait_s
        # When each came who waits.
        self._queue: OrderedDict[asyncio.Future[None], float] = OrderedDict()
        self._slow_since: float | None = None
        self._is_crowded = False

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def place(self) -> _Place:
        """Hold a place until the end of the block (``async with``). Entering raises ``Overloaded``."""
        return _Place(self)

    async def enter(self) -> None:
        """Raises ``Overloaded``. Whoever is let in gives back."""
        if self._free > 0 and not self._queue:
            self._slow_since, self._is_crowded = None, False
            self._free -= 1
        else:
            await self._wait()

    async def _wait(self) -> None:
        share = CROWD_SHARE if self._is_crowded else 1.0
        if len(self._queue) >= self._most_waiting * share:
            raise Overloaded
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._queue[turn] = time.monotonic()
        giving_up = loop.call_later(self._wait_s * share, self._give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()
            raise
        finally:
            giving_up.cancel()
            self._queue.pop(turn, None)

    def _look_at_the_queue(self) -> None:
        """Whether it has become a crowd, by how long the first has waited."""
        now, came = time.monotonic(), next(iter(self._queue.values()))
        if now - came < TOO_LONG_S:
            self._slow_since = None
        elif self._slow_since is None:
            self._slow_since = now
        elif now - self._slow_since > CROWD_AFTER_S:
            self._is_crowded = True

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            turn.set_exception(Overloaded())

    def give_back(self) -> None:
        self._free += 1
        while self._free > 0 and self._queue:
            self._look_at_the_queue()
            turn, _ = self._queue.popitem(last=self._is_crowded)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)

    def take_back(self) -> None:
        """Whoever has been let in once is not made to wait again."""
        self._free -= 1


class _Place:
    """A request's place. While the request waits for somebody else, others may have it."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._held = False
        self._ended = False
        self._token: Token[_Place | None] | None = None

    async def __aenter__(self) -> None:
        await self._gate.enter()
        self._held = True
        self._token = _place.set(self)

    async def __aexit__(self, *error: object) -> None:
        if self._token is not None:
            _place.reset(self._token)
        self.end()

    def lend(self) -> bool:
        lent = self._held
        if lent:
            self._held = False
            self._gate.give_back()
        return lent

    def take_back(self) -> None:
        if not self._ended:
            self._held = True
            self._gate.take_back()

    def end(self) -> None:
        self._ended = True
        self.lend()


_place: ContextVar[_Place | None] = ContextVar("place", default=None)


class aside:  # (used like a word: "with aside():")
    """Wait for somebody outside, a gateway or a slow client, without holding a place. Outside a request: nothing."""

    __slots__ = ("_lent",)

    def __enter__(self) -> None:
        place = _place.get()
        self._lent = place if place is not None and place.lend() else None

    def __exit__(self, *error: object) -> None:
        if self._lent is not None:
            self._lent.take_back()


_stopping = Event()


def stop() -> None:
    """This process finishes what is under way and takes on nothing more."""
    _stopping.set()


def is_stopping() -> bool:
    """Whether it does: an answer that has no end of its own should find one."""
    return _stopping.is_set()
