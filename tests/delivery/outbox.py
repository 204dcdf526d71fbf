"""What the tests of the worker share: a clock, calls that are owed, and what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from kasse.delivery.worker import DeliveryWorker
from kasse.domain import callbacks
from kasse.domain.callbacks import Attempt, Delivery, Occasion
from kasse.store.port import Record, Store

ACCOUNT = "T00000001"
START = datetime(2026, 3, 1, 12, 0, 0, 0, UTC)
LIMIT_S = 0.4
MakeWorker = Callable[..., DeliveryWorker]


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self, account_id: str | None = None) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


async def write(store: Store, *records: Record) -> None:
    async def decide(_: object) -> tuple[None, Sequence[Record]]:
        return None, records

    await store.change(decide)


async def owe(store: Store, url: str, id: str = "d1", at: datetime = START, account: str = ACCOUNT) -> Delivery:
    occasion = Occasion(f"{account}.s", "ref 1~*", at, transaction_id=f"{account}.t")
    delivery = callbacks.delivery(account, id, url, occasion, at)
    assert delivery is not None
    await write(store, delivery)
    return delivery


async def stored(store: Store, id: str = "d1") -> tuple[Delivery, list[Attempt]]:
    delivery = await store.read(lambda loads: loads.delivery(ACCOUNT, id))
    assert delivery is not None
    return delivery, await store.read(lambda loads: loads.attempts(ACCOUNT, id))


async def status_of(store: Store, id: str) -> str:
    return (await stored(store, id))[0].status


@asynccontextmanager
async def running(*workers: DeliveryWorker) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one.run()) for one in workers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def eventually(condition: Callable[[], bool], within_s: float = 5) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)
