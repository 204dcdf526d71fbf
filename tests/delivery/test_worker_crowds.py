"""Many receivers, bad and good, and many workers: nobody holds up another, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from kasse.delivery import worker as worker_module
from kasse.delivery.worker import CALLS_IN_ALL, CALLS_PER_RECEIVER, LEASE, DeliveryWorker
from kasse.store.port import Store
from kasse.store.sqlite import SqliteStore
from tests.delivery import receivers
from tests.delivery.outbox import (
    LIMIT_S,
    HandClock,
    MakeWorker,
    eventually,
    owe,
    running,
    status_of,
    stored,
)
from tests.delivery.receivers import Answer, Receiver, receiver, says

# -- bad receivers and good ones side by side


BAD: dict[str, Answer] = {
    "hangs": receivers.hangs,
    "drips": receivers.drips_head,
    "endless": receivers.endless_head,
    "closes": receivers.closes_at_once,
    "garbage": receivers.talks_garbage,
    "never-reads": receivers.never_reads,
}


async def test_bad_receivers_hold_up_no_good_one(store: Store, worker: DeliveryWorker) -> None:
    async with AsyncExitStack() as stack, running(worker):
        for name, answer in BAD.items():
            shop = await stack.enter_async_context(receiver(answer))
            for number in range(20):
                await owe(store, f"{shop.base}/cb", f"{name}-{number}")
        tls = await stack.enter_async_context(receiver(receivers.talks_garbage))
        await owe(store, tls.base.replace("http:", "https:") + "/cb", "tls")
        good = await stack.enter_async_context(receiver(says(200)))
        for number in range(40):
            await owe(store, f"{good.base}/cb", f"good-{number}")
            worker.wake()
        await eventually(lambda: len(good.requests) == 40, within_s=LIMIT_S * 3)
        async with asyncio.timeout(5):
            for name in [*BAD, "tls"]:
                while not (await stored(store, name if name == "tls" else f"{name}-0"))[1]:
                    await asyncio.sleep(0.01)
    for number in range(40):
        assert await status_of(store, f"good-{number}") == "delivered"
    assert await status_of(store, "hangs-0") == "waiting"
    _, (attempt, *_) = await stored(store, "hangs-0")
    assert (attempt.status_code, attempt.error) == (None, "no answer within 0.4 seconds")
    assert LIMIT_S * 1000 <= attempt.duration_ms + 1 < LIMIT_S * 1000 + 500


async def test_the_loop_goes_on_claiming_while_calls_hang(store: Store, make_worker: MakeWorker) -> None:
    worker = make_worker(timeout_s=60)
    async with receiver(receivers.hangs) as dead, receiver(says(200)) as good:
        await owe(store, f"{dead.base}/cb", "dead")
        task = asyncio.create_task(worker.run())
        await eventually(lambda: dead.open == 1)
        await owe(store, f"{good.base}/cb", "good")
        await eventually(lambda: len(good.requests) == 1)
        assert dead.open == 1
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_receiver_gets_so_many_calls_at_once_and_no_more(store: Store, worker: DeliveryWorker) -> None:
    async with receiver(says(200, after_s=0.02)) as shop, running(worker):
        for number in range(25):
            await owe(store, f"{shop.base}/cb", f"d{number}")
        await eventually(lambda: len(shop.requests) == 25)
    assert shop.most == CALLS_PER_RECEIVER


async def test_all_receivers_together_get_so_many_calls_at_once(
    store: Store, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "SLOW_AFTER_S", 3600.0)
    async with AsyncExitStack() as stack:
        shops: list[Receiver] = []
        for shop_number in range(CALLS_IN_ALL // CALLS_PER_RECEIVER + 2):
            shops.append(await stack.enter_async_context(receiver(receivers.hangs)))
            for number in range(CALLS_PER_RECEIVER + 1):
                await owe(store, f"{shops[-1].base}/cb", f"d{shop_number}-{number}")
        async with running(make_worker(timeout_s=60)):
            await eventually(lambda: sum(shop.open for shop in shops) == CALLS_IN_ALL, within_s=30)
            await asyncio.sleep(0.1)
            assert sum(shop.open for shop in shops) == CALLS_IN_ALL
        assert all(shop.most <= CALLS_PER_RECEIVER for shop in shops)


async def test_receivers_that_hang_all_at_once_do_not_keep_others_waiting(
    store: Store, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More hanging calls than may begin at once, each for a minute: a good receiver waits for a moment only."""
    monkeypatch.setattr(worker_module, "SLOW_AFTER_S", 0.2)
    async with AsyncExitStack() as stack:
        for shop_number in range(CALLS_IN_ALL // CALLS_PER_RECEIVER + 4):
            shop = await stack.enter_async_context(receiver(receivers.hangs))
            for number in range(CALLS_PER_RECEIVER + 1):
                await owe(store, f"{shop.base}/cb", f"d{shop_number}-{number}")
        good = await stack.enter_async_context(receiver(says(200)))
        for number in range(20):
            await owe(store, f"{good.base}/cb", f"good-{number}")
        async with running(make_worker(timeout_s=60)):
            await eventually(lambda: len(good.requests) == 20, within_s=30)


async def test_there_is_an_end_to_calls_that_hang(
    store: Store, make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "SLOW_AFTER_S", 0.0)
    monkeypatch.setattr(worker_module, "CALLS_AT_MOST", 10)
    async with AsyncExitStack() as stack:
        shops = [await stack.enter_async_context(receiver(receivers.hangs)) for _ in range(5)]
        for shop_number, shop in enumerate(shops):
            for number in range(4):
                await owe(store, f"{shop.base}/cb", f"d{shop_number}-{number}")
        async with running(make_worker(timeout_s=60)):
            await eventually(lambda: sum(shop.open for shop in shops) == 10)
            await asyncio.sleep(0.1)
            assert sum(shop.open for shop in shops) == 10


async def test_a_receiver_that_left_a_call_without_answer_gets_one_at_a_time_until_it_answers(
    store: Store, make_worker: MakeWorker, clock: HandClock
) -> None:
    worker = make_worker()
    answers: list[Answer] = [receivers.hangs]

    async def changing(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers[-1](made, reader, writer)

    async with receiver(changing) as shop:
        for number in range(9):
            await owe(store, f"{shop.base}/cb", f"d{number}")
        assert await worker.deliver_due() == CALLS_PER_RECEIVER
        assert await worker.deliver_due() == 1
        answers.append(says(500))
        assert await worker.deliver_due() == 1
        assert await worker.deliver_due() > 1


async def test_a_wake_is_enough_without_polling(store: Store, make_worker: MakeWorker) -> None:
    worker = make_worker(poll_s=3600)
    async with receiver(says(200)) as shop, running(worker):
        await asyncio.sleep(0.05)
        await owe(store, f"{shop.base}/cb")
        worker.wake()
        await eventually(lambda: len(shop.requests) == 1)


async def test_a_call_that_ends_makes_room_for_the_next_without_polling(store: Store, make_worker: MakeWorker) -> None:
    async with receiver(says(200)) as shop:
        for number in range(3 * CALLS_PER_RECEIVER):
            await owe(store, f"{shop.base}/cb", f"d{number}")
        async with running(make_worker(poll_s=3600)):
            await eventually(lambda: len(shop.requests) == 3 * CALLS_PER_RECEIVER)


# -- several workers, crashes, leases


async def test_two_processes_send_each_delivery_once(
    store: SqliteStore, tmp_path: Path, make_worker: MakeWorker
) -> None:
    other_store = SqliteStore.open(str(tmp_path / "kasse.db"))
    workers = make_worker(), make_worker(store=other_store)
    async with receiver(says(200, after_s=0.01)) as shop, running(*workers):
        for number in range(60):
            await owe(store, f"{shop.base}/cb", f"d{number}")
        await eventually(lambda: len(shop.requests) >= 60)
        await asyncio.sleep(0.2)
    await other_store.close()
    assert len(shop.requests) == 60
    assert len({request.headers["event-delivery"] for request in shop.requests}) == 60


async def test_a_delivery_whose_worker_died_is_sent_again_after_the_lease(
    store: Store, make_worker: MakeWorker, clock: HandClock
) -> None:
    async with receiver(receivers.hangs) as shop:
        await owe(store, f"{shop.base}/cb")
        dying = make_worker(timeout_s=60)
        started = asyncio.create_task(dying.deliver_due())
        await eventually(lambda: len(shop.requests) == 1)
        started.cancel()
        for call in list(dying._calls):
            call.cancel()
        clock.move(LEASE.total_seconds() - 0.001)
        assert await make_worker().deliver_due() == 0
        clock.move(0.001)
        assert await make_worker().deliver_due() == 1
    assert [request.headers["event-delivery"] for request in shop.requests] == ["d1", "d1"]
    _, attempts = await stored(store)
    assert [one.number for one in attempts] == [1]


async def late(store: Store, make_worker: MakeWorker, clock: HandClock, first: int, second: int) -> Receiver:
    """The first answer comes when the lease is over and another worker has sent the same delivery again."""
    slow = asyncio.Event()

    async def answer(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await receivers.read_request(made, reader)
        status = second
        if len(made.requests) == 1:
            status = first
            await slow.wait()
        writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    async with receiver(answer) as shop:
        await owe(store, f"{shop.base}/cb")
        early = asyncio.create_task(make_worker(timeout_s=10).deliver_due())
        await eventually(lambda: len(shop.requests) == 1)
        clock.move(LEASE.total_seconds())
        assert await make_worker().deliver_due() == 1
        slow.set()
        assert await early == 1
    return shop


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(500, 200, "delivered"), (200, 500, "delivered"), (404, 500, "failed"), (500, 500, "waiting")],
)
async def test_a_late_answer_is_recorded_and_takes_nothing_back(
    store: Store,
    make_worker: MakeWorker,
    clock: HandClock,
    first: int,
    second: int,
    status: str,
) -> None:
    await late(store, make_worker, clock, first, second)
    delivery, attempts = await stored(store)
    assert delivery.status == status
    assert [(one.number, one.status_code) for one in attempts] == [(1, second), (2, first)]
    if status == "waiting":
        assert delivery.attempts == 2
        assert delivery.due_at == clock.now() + timedelta(seconds=10)


async def test_a_late_answer_leaves_another_workers_lease_alone(
    store: Store, make_worker: MakeWorker, clock: HandClock
) -> None:
    async with receiver(receivers.hangs) as shop:
        await owe(store, f"{shop.base}/cb")
        early = asyncio.create_task(make_worker().deliver_due())
        await eventually(lambda: len(shop.requests) == 1)
        clock.move(LEASE.total_seconds())
        other = asyncio.create_task(make_worker(timeout_s=60).deliver_due())
        await eventually(lambda: len(shop.requests) == 2)
        await early
        delivery, attempts = await stored(store)
        assert (delivery.status, delivery.due_at, len(attempts)) == ("waiting", clock.now() + LEASE, 1)
        other.cancel()
