"""The outbox worker against the real store and real receivers: what it sends, and when again."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from urllib.parse import urlsplit

import msgspec
import pytest

from kasse.delivery.worker import DeliveryWorker
from kasse.domain import callbacks
from kasse.domain.access import SignatureSecret
from kasse.domain.callbacks import MAX_RETRIES, Delivery
from kasse.store.port import Store
from tests.delivery.outbox import (
    ACCOUNT,
    START,
    HandClock,
    MakeWorker,
    owe,
    stored,
    write,
)
from tests.delivery.receivers import receiver, says

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


async def test_a_post_without_a_transaction_has_no_body(store: Store, make_worker: MakeWorker) -> None:
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


async def test_a_refused_target_is_recorded_without_a_call(store: Store, make_worker: MakeWorker) -> None:
    asked = []

    def allow_private(account_id: str) -> bool:
        asked.append(account_id)
        return False

    async with receiver(says(200)) as shop:
        await owe(store, f"{shop.base}/cb".replace("http:", "https:"))
        await make_worker(allow_private=allow_private).deliver_due()
    assert shop.most == 0
    assert asked == [ACCOUNT]
    delivery, (attempt,) = await stored(store)
    assert delivery.status == "waiting"
    assert attempt.error == "calls to 127.0.0.1 are not allowed: it is not a public address"
