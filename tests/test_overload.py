"""The gate: how many are let in, how long others wait, who is told to come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kasse.overload import Gate, Overloaded, aside

PATIENCE_S = 20
LONG = 1000.0


class Requests:
    """Requests that stay until they are told to go."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._go: dict[str, asyncio.Event] = {}
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self._go[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._request(name))
        await settled()

    async def _request(self, name: str) -> None:
        async with self._gate.place():
            self.inside.append(name)
            await self._go[name].wait()
            self.inside.remove(name)

    async def go(self, *names: str) -> None:
        for name in names:
            self._go[name].set()
        await settled()


async def settled() -> None:
    """Everything that can happen without time passing has happened."""
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def requests(gate: Gate) -> AsyncIterator[Requests]:
    found = Requests(gate)
    try:
        yield found
    finally:
        for task in found.tasks.values():
            task.cancel()
        await asyncio.gather(*found.tasks.values(), return_exceptions=True)


async def test_no_more_than_the_limit_are_let_in_and_the_others_follow_in_their_order() -> None:
    async with requests(Gate(2, 10, LONG)) as shop:
        await shop.come("a", "b", "c", "d")
        assert shop.inside == ["a", "b"]
        await shop.go("b")
        assert shop.inside == ["a", "c"]
        await shop.go("a", "c")
        assert shop.inside == ["d"]


async def test_whoever_finds_the_queue_full_is_refused_at_once() -> None:
    async with requests(Gate(1, 1, LONG)) as shop:
        await shop.come("a", "b", "c")
        assert shop.inside == ["a"]
        with pytest.raises(Overloaded):
            await shop.tasks["c"]


async def test_whoever_has_waited_too_long_is_refused_and_its_turn_is_not_lost() -> None:
    async with requests(Gate(1, 10, 0.001)) as shop:
        await shop.come("a", "b")
        with pytest.raises(Overloaded):
            await asyncio.wait_for(shop.tasks["b"], PATIENCE_S)
        await shop.go("a")
        await shop.come("c")
        assert shop.inside == ["c"]


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    return Hand(monkeypatch)


class Hand:
    """Moves the time by hand, and notes for how long each request that waits may wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.waits: list[float] = []
        monkeypatch.setattr("kasse.overload.time.monotonic", lambda: self.now)
        self._monkeypatch = monkeypatch

    def note_waits(self) -> None:
        loop = asyncio.get_running_loop()
        later = loop.call_later

        def noted(delay: float, call: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
            self.waits.append(delay)
            return later(LONG, call, *arguments)

        self._monkeypatch.setattr(loop, "call_later", noted)


async def test_in_a_crowd_that_stays_one_waits_a_tenth_and_the_last_are_first(hand: Hand) -> None:
    hand.note_waits()
    async with requests(Gate(1, 100, 2.0)) as shop:
        await shop.come("a", "b", "c", "d")
        hand.now += 0.2
        await shop.go("a")
        hand.now += 0.4
        await shop.go("b")
        # Whoever was next had waited too long each time, but not for long enough yet.
        assert shop.inside == ["c"]
        hand.now += 0.2
        await shop.come("e")
        await shop.go("c")
        # Now it is a crowd, and whoever came last is let in first: the others have waited for long already.
        assert shop.inside == ["e"]
        await shop.come("f")
        await shop.go("d", "e", "f")
        # The crowd has gone away; the next burst may wait again.
        await shop.come("g", "h")
        await shop.go("g", "h")
    assert hand.waits == [2.0, 2.0, 2.0, 2.0, pytest.approx(0.2), 2.0]


async def test_a_queue_that_moves_is_no_crowd_however_long_it_stays(hand: Hand) -> None:
    hand.note_waits()
    async with requests(Gate(1, 100, 2.0)) as shop:
        await shop.come("0", "1")
        for number in range(2, 50):
            hand.now += 0.05
            await shop.come(str(number))
            await shop.go(str(number - 2))
            assert shop.inside == [str(number - 1)]
    assert set(hand.waits) == {2.0}


async def test_while_one_waits_for_somebody_else_others_have_its_place() -> None:
    gate, bank = Gate(1, 10, LONG), asyncio.Event()

    async def pay() -> str:
        async with gate.place():
            with aside():
                await bank.wait()
            return "paid"

    paying = asyncio.create_task(pay())
    await settled()
    async with requests(gate) as shop:
        await shop.come("a", "b")
        assert shop.inside == ["a"]
        # The answer does not wait behind those who came later.
        bank.set()
        assert await asyncio.wait_for(paying, PATIENCE_S) == "paid"
        await shop.go("a")
        await shop.come("c")
        assert shop.inside == ["b"]


async def test_a_request_that_is_broken_off_gives_its_place_back() -> None:
    async with requests(Gate(1, 10, LONG)) as shop:
        await shop.come("a", "b", "c")
        shop.tasks["b"].cancel()
        shop.tasks["a"].cancel()
        await settled()
        assert shop.inside[-1] == "c"
        await shop.go("c")
        await shop.come("d")
        assert shop.inside[-1] == "d"


async def test_what_goes_on_after_its_request_holds_no_place() -> None:
    gate, answered = Gate(1, 10, LONG), asyncio.Event()

    async def afterwards() -> None:
        with aside():
            await answered.wait()

    async with gate.place():
        task = asyncio.create_task(afterwards())
        await settled()
    answered.set()
    await task
    async with requests(gate) as shop:
        await shop.come("a", "b")
        assert shop.inside == ["a"]


async def test_aside_means_nothing_outside_a_request() -> None:
    with aside():
        pass
