"""Delivers the calls that merchants are owed: at least once, and a dead receiver holds up nobody else.

A delivery is claimed by moving its ``due_at`` ahead: that is the lease. If the process dies with it in hand,
it is due again when the lease is over; so a receiver may hear of the same thing twice, both times with the
same ``event-delivery``. Any number of workers may share one database.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog

from kasse.clock import Clock
from kasse.delivery.keys import Keys, headers, load_keys
from kasse.delivery.outcomes import record
from kasse.delivery.outgoing import CallFailed, Outgoing
from kasse.domain import hooks
from kasse.domain.callbacks import TIMEOUT_S, Attempt, Delivery
from kasse.store.port import Loads, Store, StoreUnavailable

LEASE = timedelta(seconds=60)
HOOK_LEASE = timedelta(seconds=hooks.TIMEOUT_S + 50)
CALLS_PER_RECEIVER = 4
CALLS_IN_ALL = 64
"""So many calls may have begun within the last second: those that wait longer do not take the place of others."""
SLOW_AFTER_S = 1.0
CALLS_AT_MOST = 256
"""So many calls may be under way, slow ones included."""
GRACE_S = 3.0
_SILENT_KEPT = 10_000

_log = structlog.get_logger()


class DeliveryWorker:
    """Sends what is due. ``describe`` gives the body of a POST, the transaction as JSON, or None for no body.

    ``allow_private`` says of an account whether its calls may go to addresses that are not public, and without TLS.

    Receivers that hang must not starve the others. A call that waits for longer than a second no longer counts against
    the calls in all; a receiver that has left a call without an answer gets one at a time until it answers again.
    """

    def __init__(
        self,
        store: Store,
        outgoing: Outgoing,
        clock: Clock,
        describe: Callable[[Delivery], Awaitable[bytes | None]],
        allow_private: Callable[[str], bool],
        poll_s: float = 0.5,
        timeout_s: float = TIMEOUT_S,
        hook_timeout_s: float = hooks.TIMEOUT_S,
    ) -> None:
        self._store = store
        self._outgoing = outgoing
        self._clock = clock
        self._describe = describe
        self._allow_private = allow_private
        self._poll_s = poll_s
        self._timeout_s, self._hook_timeout_s = timeout_s, hook_timeout_s
        self._woken = asyncio.Event()
        self._calls: dict[asyncio.Task[None], _Call] = {}
        self._silent: OrderedDict[str, None] = OrderedDict()

    def wake(self) -> None:
        """Look at once whether something is due, such as after a commit. From the worker's own event loop."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled. Then calls under way get a short grace; the rest is left to its lease."""
        try:
            while True:
                try:
                    await self._start_due()
                except Exception as error:
                    _log.error("deliveries_not_claimed", **_described(error))
                    await asyncio.sleep(10 * self._poll_s)
                await self._wait()
        finally:
            await self._wind_down()

    async def deliver_due(self) -> int:
        """Send what is due, as far as the limits allow, and wait for it: how many calls were made."""
        calls = await self._start_due()
        if calls:
            await asyncio.wait(calls)
        return len(calls)

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_s):
                await self._woken.wait()
        self._woken.clear()

    async def _wind_down(self) -> None:
        calls = list(self._calls)
        try:
            if calls:
                await asyncio.wait(calls, timeout=GRACE_S)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    # -- claiming

    async def _start_due(self) -> list[asyncio.Task[None]]:
        """Claim and start until nothing is due, or no more may be under way at once."""
        started = []
        while claimed := await self._claim():
            started += [self._start(delivery) for delivery in claimed]
        return started

    async def _claim(self) -> list[Delivery]:
        now = self._clock.now()
        under_way = Counter(call.receiver for call in self._calls.values())
        free = min(CALLS_IN_ALL - self._fresh(), CALLS_AT_MOST - len(self._calls))
        if free <= 0:
            return []
        busy = [receiver for receiver, calls in under_way.items() if calls >= self._limit(receiver)]

        async def decide(loads: Loads) -> tuple[list[Delivery], list[Delivery]]:
            due = await loads.due_deliveries(now, free, busy)
            claimed = [_claimed(delivery, now) for delivery in self._within_limits(due, under_way)]
            return claimed, claimed

        return await self._store.change(decide)

    def _fresh(self) -> int:
        recently = asyncio.get_running_loop().time() - SLOW_AFTER_S
        return sum(call.started > recently for call in self._calls.values())

    def _limit(self, receiver: str) -> int:
        return 1 if receiver in self._silent else CALLS_PER_RECEIVER

    def _within_limits(self, due: Iterable[Delivery], under_way: Counter[str]) -> Iterator[Delivery]:
        calls = Counter(under_way)
        for delivery in due:
            if calls[delivery.receiver] < self._limit(delivery.receiver):
                calls[delivery.receiver] += 1
                yield delivery

    def _start(self, delivery: Delivery) -> asyncio.Task[None]:
        call = asyncio.create_task(self._deliver(delivery))
        self._calls[call] = _Call(delivery.receiver, asyncio.get_running_loop().time())
        call.add_done_callback(self._ended)
        return call

    def _ended(self, call: asyncio.Task[None]) -> None:
        del self._calls[call]
        self.wake()

    # -- one delivery

    async def _deliver(self, claimed: Delivery) -> None:
        log = _log.bind(account_id=claimed.account_id, delivery_id=claimed.id, receiver=claimed.receiver)
        try:
            keys = await load_keys(self._store, claimed, self._clock.now())
            attempt = await self._try(claimed, keys)
            after = await record(self._store, self._clock, claimed, attempt, keys)
        except Exception as error:
            log.error("delivery_left_to_its_lease", **_described(error))
            return
        log.info(
            "delivery_tried",
            status_code=attempt.status_code,
            error=attempt.error,
            duration_ms=attempt.duration_ms,
            status=after.status if after else "gone",
        )

    async def _try(self, delivery: Delivery, keys: Keys) -> Attempt:
        started_at = self._clock.now()
        duration_ms, status_code, error = 0, None, None
        try:
            keys.require_wanted()
            body = await self._describe(delivery) if delivery.method == "POST" else None
            reply = await self._outgoing.call(
                delivery.method,
                delivery.url,
                headers(delivery, keys, int(self._clock.now().timestamp()), body),
                body,
                allow_private=self._allow_private(delivery.account_id),
                timeout_s=self._timeout_s if delivery.subscription_id is None else self._hook_timeout_s,
            )
            status_code, duration_ms = reply.status_code, reply.duration_ms
            self._silent.pop(delivery.receiver, None)
        except CallFailed as failure:
            error, duration_ms = failure.reason, failure.duration_ms
            if failure.timed_out:
                self._remember_silent(delivery.receiver)
        except StoreUnavailable:
            raise
        except Exception as mistake:
            # It counts as a try, so that a mistake of ours is not repeated every minute for ever.
            _log.error("delivery_not_sent", delivery_id=delivery.id, **_described(mistake))
            error = "the call could not be made because of an error in this server"
        return Attempt(
            account_id=delivery.account_id,
            delivery_id=delivery.id,
            number=delivery.attempts + 1,
            started_at=started_at,
            duration_ms=duration_ms,
            status_code=status_code,
            error=error,
        )

    def _remember_silent(self, receiver: str) -> None:
        self._silent[receiver] = None
        if len(self._silent) > _SILENT_KEPT:
            self._silent.popitem(last=False)


@dataclass(frozen=True)
class _Call:
    """A call under way; ``started`` by the clock of the event loop."""

    receiver: str
    started: float


def _claimed(delivery: Delivery, now: datetime) -> Delivery:
    lease = LEASE if delivery.subscription_id is None else HOOK_LEASE
    return msgspec.structs.replace(delivery, due_at=now + lease, version=delivery.version + 1)


def _described(error: Exception) -> dict[str, str]:
    """An error for the log: its kind and place. Texts and tracebacks of errors may hold a URL or a secret."""
    if isinstance(error, StoreUnavailable):
        return {"error": str(error)}
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_globals.get('__name__')}:{place.tb_lineno}" if place else ""
    return {"error": type(error).__name__, "where": where}
