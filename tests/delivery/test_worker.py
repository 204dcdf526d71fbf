"""The outbox worker against the real store and real receivers on this machine."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import structlog
from structlog.testing import LogCapture

from kasse.delivery import worker as worker_module
from kasse.delivery.outgoing import Outgoing
from kasse.delivery.worker import CALLS_IN_ALL, CALLS_PER_RECEIVER, LEASE, DeliveryWorker
from kasse.domain import callbacks
from kasse.domain.access import SignatureSecret
from kasse.domain.callbacks import MAX_RETRIES, Attempt, Delivery, Occasion
from kasse.store.port import Record, Store, StoreUnavailable
from kasse.store.sqlite import SqliteStore
from tests.delivery import receivers
from tests.delivery.receivers import Answer, Receiver, receiver, says

ACCOUNT = "T00000001"
START = datetime(2026, 3, 1, 12, 0, 0, 0, UTC)
LIMIT_S = 0.4


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def now(self, account_id: str | None = None) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def body_of(delivery: Delivery) -> bytes | None:
    return msgspec.json.encode({"id": delivery.transaction_id, "merchant_reference": "æ"})


@pytest.fixture
def make_worker(store: SqliteStore, clock: HandClock) -> Callable[..., DeliveryWorker]:
    def make(**parts: Any) -> DeliveryWorker:
        given = {
            "store": store,
            "outgoing": Outgoing(),
            "clock": clock,
            "describe": body_of,
            "allow_private": lambda account_id: True,
            "poll_s": 0.02,
            "timeout_s": LIMIT_S,
        }
        return DeliveryWorker(**{**given, **parts})

    return make


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the worker logs, at every level, however the rest of the process is set up."""
    capture = LogCapture()
    log = structlog.wrap_logger(None, processors=[capture], wrapper_class=structlog.stdlib.BoundLogger)
    monkeypatch.setattr(worker_module, "_log", log)
    return capture.entries


@pytest.fixture
def worker(make_worker: Callable[..., DeliveryWorker]) -> DeliveryWorker:
    return make_worker()


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


# -- what is sent


async def test_a_get_goes_out_as_stored_with_the_id_of_the_delivery(store: Store, worker: DeliveryWorker) -> None:
    async with receiver(says(200)) as shop:
        owed = await owe(store, f"{shop.base}/cb?B=123&A=992&x=%7E*+%20")
        assert await worker.deliver_due() == 1
    (request,) = shop.requests
    assert (request.method, request.body) == ("GET", b"")
    assert shop.base + request.target == owed.url
    assert request.headers["event-delivery"] == "d1"
    assert "dintero-signature" not in request.headers
    assert "content-type" not in request.headers
    delivery, attempts = await stored(store)
    assert (delivery.status, delivery.attempts) == ("delivered", 1)
    assert [(one.number, one.status_code, one.error, one.started_at) for one in attempts] == [(1, 200, None, START)]
    assert await worker.deliver_due() == 0


async def test_a_post_carries_the_transaction(store: Store, worker: DeliveryWorker) -> None:
    async with receiver(says(201)) as shop:
        await owe(store, f"{shop.base}/cb?method=POST")
        await worker.deliver_due()
    (request,) = shop.requests
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert msgspec.json.decode(request.body) == {"id": f"{ACCOUNT}.t", "merchant_reference": "æ"}


async def test_a_post_without_a_transaction_has_no_body(
    store: Store, make_worker: Callable[..., DeliveryWorker]
) -> None:
    async def nothing(_: Delivery) -> bytes | None:
        return None

    async with receiver(says(200)) as shop:
        await owe(store, f"{shop.base}/cb?method=POST")
        await make_worker(describe=nothing).deliver_due()
    assert shop.requests[0].body == b""
    assert (await stored(store))[0].status == "delivered"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_receiver_can_check_the_signature(
    store: Store, worker: DeliveryWorker, clock: HandClock, method: str
) -> None:
    await write(store, SignatureSecret(ACCOUNT, "k1", "sécret", START, "me"))
    clock.move(0.9)
    async with receiver(says(200)) as shop:
        await owe(store, f"{shop.base}/cb%20/~?method={method}&b=~*+%C3%A6&a=2&B=1&a=1&empty=")
        await worker.deliver_due()
    (request,) = shop.requests
    signed = request.headers["dintero-signature"]
    timestamp = int(START.timestamp())
    assert signed == as_the_receiver_signs("sécret", timestamp, request.method, shop.base + request.target)


def as_the_receiver_signs(secret: str, timestamp: int, method: str, url: str) -> str:
    """The receiver's side, written apart from ours: byte by byte, by the rules of the URL standard."""

    def decoded(text: str) -> bytes:
        raw, out = text.replace("+", " ").encode(), bytearray()
        while raw:
            if raw[:1] == b"%" and len(raw) >= 3:
                out.append(int(raw[1:3], 16))
                raw = raw[3:]
            else:
                out += raw[:1]
                raw = raw[1:]
        return bytes(out)

    def encoded(text: bytes) -> str:
        kept = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789*-._"
        return "".join("+" if c == 32 else chr(c) if c in kept else f"%{c:02X}" for c in text)

    parts = urlsplit(url)
    pairs = [tuple(decoded(side) for side in part.partition("=")[::2]) for part in parts.query.split("&")]
    query = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in sorted(pairs, key=lambda pair: pair[0]))
    text = f"{timestamp}\n{ACCOUNT}\n{method}\n{parts.hostname}\n{parts.path}\n{query}"
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return f"t={timestamp},v0-hmac-sha256={digest}"


async def test_the_newest_secret_signs(store: Store, worker: DeliveryWorker) -> None:
    await write(store, SignatureSecret(ACCOUNT, "k1", "old", START, "me"))
    await write(store, SignatureSecret(ACCOUNT, "k2", "new", START + timedelta(seconds=1), "me"))
    await write(store, SignatureSecret("T00000002", "k3", "other", START + timedelta(seconds=2), "me"))
    async with receiver(says(200)) as shop:
        await owe(store, f"{shop.base}/cb")
        await worker.deliver_due()
    (request,) = shop.requests
    expected = as_the_receiver_signs("new", int(START.timestamp()), "GET", shop.base + request.target)
    assert request.headers["dintero-signature"] == expected


# -- when it is sent, and again


async def test_a_delay_is_waited_for(store: Store, worker: DeliveryWorker, clock: HandClock) -> None:
    async with receiver(says(200)) as shop:
        await owe(store, f"{shop.base}/cb?delay_callback=30")
        clock.move(29.9)
        assert await worker.deliver_due() == 0
        clock.move(0.1)
        assert await worker.deliver_due() == 1


async def test_after_a_500_it_is_sent_again_five_seconds_later(
    store: Store, worker: DeliveryWorker, clock: HandClock
) -> None:
    async with receiver(says(500, 200)) as shop:
        await owe(store, f"{shop.base}/cb")
        await worker.deliver_due()
        delivery, _ = await stored(store)
        assert (delivery.status, delivery.due_at) == ("waiting", START + timedelta(seconds=5))
        clock.move(4.9)
        assert await worker.deliver_due() == 0
        clock.move(0.1)
        assert await worker.deliver_due() == 1
    delivery, attempts = await stored(store)
    assert (delivery.status, delivery.attempts) == ("delivered", 2)
    assert [(one.number, one.status_code) for one in attempts] == [(1, 500), (2, 200)]
    assert len({request.headers["event-delivery"] for request in shop.requests}) == 1
    assert len({request.target for request in shop.requests}) == 1


async def test_after_a_404_it_is_never_sent_again(store: Store, worker: DeliveryWorker, clock: HandClock) -> None:
    async with receiver(says(404)) as shop:
        await owe(store, f"{shop.base}/cb")
        await worker.deliver_due()
        clock.move(10 * 24 * 3600)
        assert await worker.deliver_due() == 0
    delivery, attempts = await stored(store)
    assert (delivery.status, attempts[0].status_code) == ("failed", 404)


async def test_a_redirect_is_not_followed_and_tried_again(store: Store, worker: DeliveryWorker) -> None:
    async with receiver(says(200)) as other, receiver(says(302, header=f"Location: {other.base}\r\n")) as shop:
        await owe(store, f"{shop.base}/cb")
        await worker.deliver_due()
    assert not other.requests
    delivery, attempts = await stored(store)
    assert (delivery.status, attempts[0].status_code) == ("waiting", 302)


async def test_after_twenty_retries_it_has_failed(store: Store, worker: DeliveryWorker, clock: HandClock) -> None:
    async with receiver(says(500)) as shop:
        await owe(store, f"{shop.base}/cb")
        for _ in range(MAX_RETRIES + 1):
            assert await worker.deliver_due() == 1
            clock.move(callbacks.LONGEST_PAUSE_S)
        assert await worker.deliver_due() == 0
    delivery, attempts = await stored(store)
    assert (delivery.status, len(attempts), len(shop.requests)) == ("failed", 21, 21)


async def test_a_refused_target_is_recorded_without_a_call(
    store: Store, make_worker: Callable[..., DeliveryWorker]
) -> None:
    asked = []

    def allow_private(account_id: str) -> bool:
        asked.append(account_id)
        return False

    async with receiver(says(200)) as shop:
        await owe(store, f"{shop.base}/cb")
        await make_worker(allow_private=allow_private).deliver_due()
    assert shop.most == 0
    assert asked == [ACCOUNT]
    delivery, (attempt,) = await stored(store)
    assert delivery.status == "waiting"
    assert attempt.error == "calls to 127.0.0.1 are not allowed: it is not a public address"


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


async def test_the_loop_goes_on_claiming_while_calls_hang(store: Store, make_worker: Callable[..., Any]) -> None:
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


async def test_all_receivers_together_get_so_many_calls_at_once(store: Store, worker: DeliveryWorker) -> None:
    async with AsyncExitStack() as stack:
        shops: list[Receiver] = []
        for shop_number in range(CALLS_IN_ALL // CALLS_PER_RECEIVER + 2):
            shops.append(await stack.enter_async_context(receiver(receivers.hangs)))
            for number in range(CALLS_PER_RECEIVER + 1):
                await owe(store, f"{shops[-1].base}/cb", f"d{shop_number}-{number}")
        async with running(worker):
            await eventually(lambda: sum(shop.open for shop in shops) == CALLS_IN_ALL)
            await eventually(lambda: all(shop.came.is_set() for shop in shops))
        assert all(shop.most <= CALLS_PER_RECEIVER for shop in shops)


async def test_a_wake_is_enough_without_polling(store: Store, make_worker: Callable[..., DeliveryWorker]) -> None:
    worker = make_worker(poll_s=3600)
    async with receiver(says(200)) as shop, running(worker):
        await asyncio.sleep(0.05)
        await owe(store, f"{shop.base}/cb")
        worker.wake()
        await eventually(lambda: len(shop.requests) == 1)


# -- several workers, crashes, leases


async def test_two_processes_send_each_delivery_once(
    store: SqliteStore, tmp_path: Path, make_worker: Callable[..., DeliveryWorker]
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
    store: Store, make_worker: Callable[..., DeliveryWorker], clock: HandClock
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


async def late(
    store: Store, make_worker: Callable[..., DeliveryWorker], clock: HandClock, first: int, second: int
) -> Receiver:
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
    make_worker: Callable[..., DeliveryWorker],
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
    store: Store, make_worker: Callable[..., DeliveryWorker], clock: HandClock
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
    store: Store, make_worker: Callable[..., DeliveryWorker], logs: list[Any]
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
    store: Store, make_worker: Callable[..., DeliveryWorker], clock: HandClock, logs: list[Any]
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
    store: Store, make_worker: Callable[..., DeliveryWorker], logs: list[Any]
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


async def test_a_body_that_the_store_cannot_give_now_is_no_try(
    store: Store, make_worker: Callable[..., DeliveryWorker]
) -> None:
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


async def test_a_call_under_way_may_finish_when_the_worker_is_stopped(
    store: Store, make_worker: Callable[..., DeliveryWorker]
) -> None:
    async with receiver(says(200, after_s=0.2)) as shop:
        await owe(store, f"{shop.base}/cb", "d1")
        async with running(make_worker(timeout_s=60)):
            await eventually(lambda: len(shop.requests) == 1)
        assert (await stored(store))[0].status == "delivered"


async def test_a_call_that_takes_longer_is_cut_and_left_to_its_lease(
    store: Store, make_worker: Callable[..., DeliveryWorker], monkeypatch: pytest.MonkeyPatch
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
