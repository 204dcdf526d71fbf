"""An event loop for simulations: time passes only when nothing is left to do, and a lot decides what comes first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Has no clock, no sockets and no threads, so that the same ``chance`` leads to the same run.

    ``made`` is told of every task and the context it runs in.
    """

    def __init__(self, chance: random.Random, made: Callable[[asyncio.Task[Any], Context | None], None]) -> None:
        self._chance, self._made = chance, made
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[Any]] = []
        self._running = False

    def time(self) -> float:
        return self._now

    def run_until_complete(self, future: Any) -> Any:
        task = self.create_task(future)
        events._set_running_loop(self)
        self._running = True
        try:
            while not task.done():
                self._run_one()
        finally:
            self._running = False
            events._set_running_loop(None)
        return task.result()

    def _run_one(self) -> None:
        if not self._ready:
            if not self._later:
                raise RuntimeError("everything waits for something that never comes")
            self._now, _, timer = heapq.heappop(self._later)
            if not timer.cancelled():
                timer._run()
            return
        at = self._chance.randrange(len(self._ready))
        self._ready[at], self._ready[-1] = self._ready[-1], self._ready[at]
        handle = self._ready.pop()
        if not handle.cancelled():
            handle._run()

    def close(self) -> None:
        """Drop what is left, without running it."""
        self._ready.clear()
        self._later.clear()
        for task in self._tasks:
            if not task.done():
                # It is not going to end, and nobody shall be told so.
                task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.clear()

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return False

    def get_debug(self) -> bool:
        return False

    # -- what tasks and futures ask of their loop

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(max(when, self._now), callback, args, self, context)
        heapq.heappush(self._later, (handle.when(), next(self._numbers), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is dropped when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        self._made(task, context)
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """On the spot: there are no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Errors of tasks nobody waits for: those of processes that have died."""


def run(loop: SimulatedLoop, work: Coroutine[Any, Any, T]) -> T:
    try:
        result: T = loop.run_until_complete(work)
        return result
    finally:
        loop.close()
