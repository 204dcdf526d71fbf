"""What goes wrong in our own house, and how the worker ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kasse.delivery import worker as worker_module
from kasse.delivery.worker import LEASE, DeliveryWorker
from kasse.domain.access import SignatureSecret
from kasse.domain.callbacks import Delivery
from kasse.store.port import Store, StoreUnavailable
from tests.delivery import receivers
from tests.delivery.outbox import (
    ACCOUNT,
    START,
    HandClock,
    MakeWorker,
    eventually,
    owe,
    running,
    status_of,
    stored,
    write,
)
from tests.delivery.receivers import Receiver, receiver, says

# -- mistakes of our own


class Failing:
    """A store that is not there for a while."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken = False

    async def change(self, decide: Any) -> Any:
        if self.broken:
            raise StoreUnavailable("the database cannot be written: disk full")
        return await self._store.change(decide)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_store_that_fails_does_not_end_the_worker(
    store: Store, make_worker: MakeWorker, logs: list[Any]
) -> None:
    failing = Failing(store)
    failing.broken = True
    async with receiver(says(200)) as shop, running(make_worker(store=failing)):
        await owe(store, f"{shop.base}/cb")
        await eventually(lambda: bool(logs))
        assert not shop.requests
        failing.broken = False
        await eventually(lambda: len(shop.requests) == 1)
    assert logs[0]["event"] == "deliveries_not_claimed"
    assert logs[0]["error"] == "the database cannot be written: disk full"


async def test_an_answer_that_cannot_be_stored_is_left_to_the_lease(
    store: Store, make_worker: MakeWorker, clock: HandClock, logs: list[Any]
) -> None:
    failing = Failing(store)

    async def answer(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        failing.broken = not made.requests
        await says(200)(made, reader, writer)

    async with receiver(answer) as shop:
        await owe(store, f"{shop.base}/cb")
        assert await make_worker(store=failing).deliver_due() == 1
        assert [entry["event"] for entry in logs] == ["delivery_left_to_its_lease"]
        failing.broken = False
        clock.move(LEASE.total_seconds())
        assert await make_worker(store=failing).deliver_due() == 1
    assert len(shop.requests) == 2
    assert (await stored(store))[0].status == "delivered"


async def test_a_body_that_cannot_be_made_counts_as_a_try_and_harms_no_other(
    store: Store, make_worker: MakeWorker, logs: list[Any]
) -> None:
    async def describe(delivery: Delivery) -> bytes | None:
        if delivery.id == "bad":
            raise ValueError(f"secret of {delivery.url}")
        return b"{}"

    async with receiver(says(200)) as shop:
        await owe(store, f"{shop.base}/cb?method=POST", "bad")
        await owe(store, f"{shop.base}/cb?method=POST", "good")
        assert await make_worker(describe=describe).deliver_due() == 2
    assert await status_of(store, "good") == "delivered"
    delivery, (attempt,) = await stored(store, "bad")
    assert (delivery.status, delivery.attempts) == ("waiting", 1)
    assert attempt.error == "the call could not be made because of an error in this server"
    (mistake,) = [entry for entry in logs if entry["event"] == "delivery_not_sent"]
    assert mistake["error"] == "ValueError"
    assert mistake["where"].startswith(__name__)
    assert "secret" not in str(logs)


async def test_a_body_that_the_store_cannot_give_now_is_no_try(store: Store, make_worker: MakeWorker) -> None:
    async def describe(_: Delivery) -> bytes | None:
        raise StoreUnavailable("gone")

    async with receiver(says(200)) as shop:
        await owe(store, f"{shop.base}/cb?method=POST")
        await make_worker(describe=describe).deliver_due()
    assert not shop.requests
    delivery, attempts = await stored(store)
    assert (delivery.status, delivery.due_at, attempts) == ("waiting", START + LEASE, [])


async def test_logs_hold_no_path_query_body_or_secret(store: Store, worker: DeliveryWorker, logs: list[Any]) -> None:
    await write(store, SignatureSecret(ACCOUNT, "k1", "s3cret", START, "me"))
    async with receiver(says(500)) as shop, receiver(receivers.closes_at_once) as broken:
        login = shop.base.replace("//", "//s3cret:s3cret@")
        await owe(store, f"{login}/s3cret?method=POST&token=s3cret", "d1")
        await owe(store, f"{broken.base}/s3cret?token=s3cret", "d2")
        await owe(store, "http://127.0.0.1:0/s3cret?token=s3cret", "d3")
        await worker.deliver_due()
    assert len(logs) == 3
    assert "s3cret" not in str(logs)
    assert {entry["event"] for entry in logs} == {"delivery_tried"}
    for id in ("d1", "d2", "d3"):
        assert "s3cret" not in str((await stored(store, id))[1])


# -- the end


async def test_a_call_under_way_may_finish_when_the_worker_is_stopped(store: Store, make_worker: MakeWorker) -> None:
    async with receiver(says(200, after_s=0.2)) as shop:
        await owe(store, f"{shop.base}/cb", "d1")
        async with running(make_worker(timeout_s=60)):
            await eventually(lambda: len(shop.requests) == 1)
        assert (await stored(store))[0].status == "delivered"


async def test_a_call_that_takes_longer_is_cut_and_left_to_its_lease(
    store: Store, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "GRACE_S", 0.05)
    async with receiver(receivers.hangs) as shop:
        await owe(store, f"{shop.base}/cb", "d1")
        async with running(make_worker(timeout_s=60)):
            await eventually(lambda: len(shop.requests) == 1)
        await eventually(lambda: shop.open == 0)
    delivery, attempts = await stored(store)
    assert (delivery.status, delivery.due_at, attempts) == ("waiting", START + LEASE, [])


async def test_a_stopped_worker_claims_nothing_more(store: Store, worker: DeliveryWorker) -> None:
    async with receiver(says(200)) as shop:
        async with running(worker):
            await asyncio.sleep(0.05)
        await owe(store, f"{shop.base}/cb")
        worker.wake()
        await asyncio.sleep(0.1)
        assert not shop.requests
