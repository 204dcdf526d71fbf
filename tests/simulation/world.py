"""A world to run Kasse in: its processes, the database they share, their clocks, and what is told of it all.

Everything that a process does outside itself passes a ``step``. There time goes by, others get their turn, and the
process may end: then nothing of it has an effect any more, and no code of ours handles it.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from starlette.types import ASGIApp

from kasse.api.entrance import Entrance
from kasse.domain.history import OrderStep
from kasse.ids import Ids
from kasse.main import build_app, furnish, workers
from kasse.operations.house import House
from kasse.overload import Gate
from kasse.settings import Settings
from kasse.store.port import Decide, Loads, Query, Record, StoreUnavailable
from kasse.watch.port import Watch
from tests.simulation.faults import Faults
from tests.simulation.loop import SimulatedLoop
from tests.simulation.store import MemoryStore

T = TypeVar("T")

BEGINNING = datetime(2026, 3, 1, 8, tzinfo=UTC)
SETTINGS = Settings(database="simulated", public_url="https://kasse.example", gateway_timeout=10.0, look_up_after=2.0)
_process: ContextVar[Process | None] = ContextVar("process", default=None)


class Died(BaseException):
    """The process ends here."""


@dataclass(eq=False)
class World:
    """``problems`` are what should not have happened; ``chance`` decides everything that is not a fault of its own."""

    seed: int
    faults: Faults
    chance: random.Random
    tell: Callable[[str], None]
    problems: list[str] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)
    ahead: timedelta = timedelta()
    processes: list[Process] = field(default_factory=list)
    furnish_gateway: Callable[[Process], Any] = lambda process: None
    furnish_outgoing: Callable[[Process], Any] = lambda process: None
    started: int = 0
    requests: int = 0
    haste: float = 1.0
    counts: Counter[str] = field(default_factory=Counter)
    ended: bool = False
    ended_at: datetime = BEGINNING

    def __post_init__(self) -> None:
        self.ids = Ids(random.Random(f"{self.seed} ids"))
        self.loop = SimulatedLoop(random.Random(f"{self.seed} order"), self._made)
        # Where what belongs to no process runs.
        self.outside = copy_context()
        self.someone_lives = asyncio.Event()

    def _made(self, task: asyncio.Task[Any], context: Context | None) -> None:
        process = _process.get() if context is None else context.get(_process)
        if process is not None:
            process.tasks.append(task)

    # -- time

    def now(self) -> datetime:
        now = BEGINNING + timedelta(seconds=self.loop.time()) + self.ahead
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    async def pause(self, longest: float | None = None) -> None:
        await asyncio.sleep(self.chance.uniform(0, self.faults.slow if longest is None else longest))

    async def wait(self, longest: float) -> None:
        """What people take their time for."""
        await asyncio.sleep(self.chance.uniform(0, longest * self.haste))

    def note(self, text: str) -> None:
        self.tell(f"{self.loop.time():10.3f}  {text}")

    def problem(self, text: str) -> None:
        self.note(f"PROBLEM: {text}")
        self.problems.append(text)

    def beside(self, work: Any) -> asyncio.Task[Any]:
        """Start something that belongs to no process."""
        return self.loop.create_task(work, context=self.outside.run(copy_context))

    # -- processes

    async def start_process(self, *, with_workers: bool = True) -> Process:
        self.started += 1
        process = Process(self, f"server {self.started}")
        self.note(f"{process.name} starts")
        self.processes.append(process)
        made = asyncio.Event()
        context = self.outside.run(copy_context)
        context.run(_process.set, process)
        self.loop.create_task(self._live(process, made, with_workers), context=context)
        await made.wait()
        return process

    async def _live(self, process: Process, made: asyncio.Event, with_workers: bool) -> None:
        outgoing = self.furnish_outgoing(process)
        try:
            while True:
                try:
                    house = await furnish(process.store, SETTINGS, process.clock, self.ids, outgoing, Watch())
                    break
                except StoreUnavailable:
                    await asyncio.sleep(1)
            process.house = replace(house, gateways={**house.gateways, "sandbox": self.furnish_gateway(process)})
            process.app = _entrance(process.house)
            made.set()
            self.someone_lives.set()
            if with_workers:
                async with workers(process.house, outgoing):
                    await process.gone.wait()
        except Died:
            pass
        finally:
            made.set()

    def kill(self, process: Process, why: str) -> None:
        if process.alive:
            self.note(f"{process.name} dies: {why}")
            process.alive = False
            process.gone.set()
            self.processes.remove(process)
            if not any(each.app for each in self.processes):
                self.someone_lives.clear()
            for task in process.tasks:
                task.cancel()

    async def some_process(self) -> Process:
        while True:
            alive = [process for process in self.processes if process.app is not None]
            if alive:
                return self.chance.choice(alive)
            await self.someone_lives.wait()

    async def keep_alive(self, number: int) -> None:
        """Start a process anew whenever one has died, as whoever runs a server does."""
        while True:
            if len(self.processes) < number:
                await self.start_process()
            await asyncio.sleep(self.chance.uniform(0.1, 4))

    async def move_clocks(self) -> None:
        """Clocks of servers are set, forward or back."""
        while self.faults.clock_jumps_every:
            await asyncio.sleep(self.chance.uniform(0, 2 * self.faults.clock_jumps_every))
            if self.processes:
                process = self.chance.choice(self.processes)
                skew = self.chance.uniform(-self.faults.clock_jump, self.faults.clock_jump)
                process.clock.skew = timedelta(milliseconds=round(skew * 1000))
                self.note(f"the clock of {process.name} is set {skew:+.3f} s off")


class _HouseHere(House):
    """The house of the process that asks. So one application, which takes long to build, serves all of them."""

    def __init__(self) -> None:
        """It has nothing of its own."""

    def __getattribute__(self, name: str) -> Any:
        process = _process.get()
        assert process is not None
        return getattr(process.house, name)


@functools.cache
def _application() -> Any:
    return build_app(_HouseHere())


def _entrance(house: House) -> ASGIApp:
    """The application as a process has it, with a gate of its own."""
    limits = house.settings
    return Entrance(_application()._app, Gate(limits.max_under_way, limits.max_waiting, limits.max_wait), house.watch)


class ProcessClock:
    """The clock of one process, which may be off."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.skew = timedelta()

    def now(self, account_id: str | None = None) -> datetime:
        return self._world.now() + self.skew


@dataclass(eq=False)
class Process:
    """A server. ``house`` and ``app`` are there once it has started."""

    world: World
    name: str
    alive: bool = True
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)
    house: House | None = None
    app: ASGIApp | None = None

    def __post_init__(self) -> None:
        self.gone = asyncio.Event()
        self.clock = ProcessClock(self.world)
        self.store = ProcessStore(self, self.world.store)

    def run(self, work: Any) -> asyncio.Task[Any]:
        """Start something in this process."""
        context = self.world.outside.run(copy_context)
        context.run(_process.set, self)
        return self.world.loop.create_task(work, context=context)

    async def step(self, where: str) -> None:
        """Between two steps: time passes, and the process may end. Raises ``Died``."""
        self.require_alive()
        if self.world.faults.dies and self.world.chance.random() < self.world.faults.dies:
            self.world.kill(self, where)
            raise Died
        await self.world.pause()
        self.require_alive()

    def require_alive(self) -> None:
        if not self.alive:
            raise Died


class ProcessStore:
    """The database as one process sees it: it may be away, and its answers take time.

    What an engine may do is done: a decision is made a second time when somebody was faster.
    """

    def __init__(self, process: Process, store: MemoryStore) -> None:
        self._process, self._store, self._world = process, store, process.world

    async def _reach(self, what: str) -> None:
        await self._process.step(f"before {what}")
        faults, chance = self._world.faults, self._world.chance
        if faults.database_away and chance.random() < faults.database_away:
            raise StoreUnavailable("the database is away, as the simulation has it")

    async def change(self, decide: Decide[T]) -> T:
        await self._reach("a change")
        faults, chance = self._world.faults, self._world.chance
        if faults.decides_twice and chance.random() < faults.decides_twice:
            await self._rehearse(decide)
            await self._process.step("between two decisions")
        written: Sequence[Record] = ()

        async def noted(loads: Loads) -> tuple[T, Sequence[Record]]:
            nonlocal written
            result, written = await decide(loads)
            return result, written

        result = await self._store.change(noted)
        if written:
            self._world.note(f"{self._process.name} stores {', '.join(map(_told, written))}")
        await self._process.step("after a change")
        return result

    async def _rehearse(self, decide: Decide[Any]) -> None:
        """Decide on what is there now, and store nothing: somebody else was faster."""

        async def in_vain(loads: Loads) -> tuple[None, Sequence[Record]]:
            # What it refuses now it may not refuse when it decides again.
            with suppress(Exception):
                await decide(loads)
            return None, ()

        await self._store.change(in_vain)

    async def read(self, query: Query[T]) -> T:
        await self._reach("a read")
        return await self._store.read(query)

    async def glance(self, query: Query[T]) -> T:
        await self._reach("a glance")
        return await self._store.glance(query)

    def __getattr__(self, name: str) -> Any:
        """The rest of the port, which is not about orders and money."""
        return getattr(self._store, name)


def _told(record: Record) -> str:
    """A record in a few words."""
    if isinstance(record, OrderStep):
        what = record.event.what.__struct_config__.tag
        return f"order {record.order.order_id} v{record.order.version} {what}"
    name = type(record).__name__
    id = getattr(record, "key", None) or getattr(record, "id", "")
    state = getattr(record, "status", None) or getattr(record, "state", "")
    return f"{name} {short(str(id))} {state}".rstrip()


def short(id: str) -> str:
    """An id as it is told: the account is always the same."""
    return id.partition(".")[2][:6] or id[:8]
