"""Does together what is asked for at about the same time: one round trip for many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batches(Generic[Item, Result]):
    """Whoever comes while a batch is being worked on goes with the next one; nobody waits for others to come.

    ``work`` answers one result for each item of a batch. What it raises, all of the batch get.
    """

    def __init__(
        self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], largest: int, at_once: int
    ) -> None:
        self._work, self._largest, self._free = work, largest, at_once
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._working: set[asyncio.Task[None]] = set()

    async def do(self, item: Item) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._work_off())
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        return await future

    async def end(self) -> None:
        """Wait until all that has come is done."""
        while self._working:
            await asyncio.wait(self._working)

    async def _work_off(self) -> None:
        try:
            while self._waiting:
                await self._do(self._next())
        finally:
            self._free += 1

    def _next(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        return [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]

    async def _do(self, batch: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            # Somebody may have gone away meanwhile.
            if not future.done():
                future.set_result(result)
