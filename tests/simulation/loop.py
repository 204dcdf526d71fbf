"""An event loop for simulations: time passes only when nothing is left to do, and a lot decides what comes first."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable
from contextvars import Context
from typing import Any


class SimulatedLoop(asyncio.BaseEventLoop):
    """Has no clock, no sockets and no threads, so that the same ``chance`` leads to the same run.

    ``made`` is told of every task and the context it runs in. The loop is Python's own but for the one method that
    chooses what runs next.
    """

    _ready: Any
    _scheduled: Any

    def __init__(self, chance: random.Random, made: Callable[[asyncio.Task[Any], Context | None], None]) -> None:
        super().__init__()
        self.set_debug(False)
        self._chance, self._made = chance, made
        self._now = 0.0
        self._tasks: list[asyncio.Task[Any]] = []

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        handle: asyncio.Handle
        if self._ready:
            self._ready.rotate(-self._chance.randrange(len(self._ready)))
            handle = self._ready.popleft()
        elif self._scheduled:
            timer: asyncio.TimerHandle = heapq.heappop(self._scheduled)
            # A time that has passed already is now.
            self._now, handle = max(self._now, timer.when()), timer
        else:
            raise RuntimeError("everything waits for something that never comes")
        if not handle.cancelled():
            handle._run()

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = super().create_task(coro, name=name, context=context)
        self._tasks.append(task)
        self._made(task, context)
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """On the spot: there are no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _write_to_self(self) -> None:
        """Nobody has to be woken."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Errors of tasks nobody waits for: those of processes that have died."""

    def close(self) -> None:
        """Drop what is left, without running it."""
        for task in self._tasks:
            if not task.done():
                # It is not going to end, and nobody shall be told so.
                task._log_destroy_pending = False  # type: ignore[attr-defined]
        super().close()
