"""What a try makes of a delivery, and of what it was about."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import msgspec

from kasse.clock import Clock
from kasse.delivery.keys import Keys
from kasse.domain import hooks
from kasse.domain import session as session_rules
from kasse.domain.callbacks import TOLD, Attempt, Delivery, after_attempt
from kasse.domain.session import SessionEvent
from kasse.store.port import Loads, Record, Store

_OURS = uuid.UUID("8f8de0b4-6b0e-4f0a-9f0e-0d6c3a6f5f21")


async def record(store: Store, clock: Clock, claimed: Delivery, attempt: Attempt, keys: Keys) -> Delivery | None:
    """Store a try and what it makes of the delivery: the new state, None if the delivery is gone.

    When the lease was over before the answer came, another worker may have claimed or ended the delivery. The try is
    stored all the same, under the next free number. A delivery that has ended stays as it is; one that is now heard or
    refused ends; otherwise the other's lease holds.
    """
    now = clock.now()

    async def decide(loads: Loads) -> tuple[Delivery | None, list[Record]]:
        current = await loads.delivery(claimed.account_id, claimed.id)
        if current is None:
            return None, []
        earlier = await loads.attempts(claimed.account_id, claimed.id)
        number = 1 + max((one.number for one in earlier), default=0)
        numbered = msgspec.structs.replace(attempt, number=number)
        if current.status != "waiting":
            return current, [numbered]
        after = _after(current, numbered, keys, now)
        if current.version != claimed.version:
            after = msgspec.structs.replace(after, due_at=max(after.due_at, current.due_at))
        return after, [numbered, after, *await _consequences(loads, after, clock)]

    return await store.change(decide)


def _after(delivery: Delivery, attempt: Attempt, keys: Keys, now: datetime) -> Delivery:
    if keys.gone:
        return after_attempt(delivery, attempt, now, tries=1)
    if delivery.subscription_id is not None:
        return after_attempt(delivery, attempt, now, tries=hooks.TRIES, refusals_are_final=False, wait=hooks.pause)
    if len(keys.secrets) > 1 and attempt.number - delivery.round_from == 1 and attempt.status_code is not None:
        # It may know the other secret only.
        return after_attempt(delivery, attempt, now, refusals_are_final=False, wait=lambda _: timedelta(0))
    return after_attempt(delivery, attempt, now)


async def _consequences(loads: Loads, delivery: Delivery, clock: Clock) -> list[Record]:
    """The session notes that its merchant was told; a webhook's failures are counted."""
    if delivery.status == "waiting":
        return []
    if delivery.subscription_id is not None:
        before = await loads.subscription(delivery.account_id, delivery.subscription_id)
        after = None if before is None else hooks.after_delivery(before, delivery, clock.now())
        return [] if after is None or after is before else [after]
    if delivery.status != "delivered" or delivery.event not in TOLD:
        return []
    session = await loads.session(delivery.account_id, delivery.session_id)
    id = str(uuid.uuid5(_OURS, delivery.id))
    if session is None or any(event.id == id for event in session.events):
        return []
    details = {"transaction_event_id": delivery.transaction_event_id} if delivery.transaction_event_id else {}
    now = clock.now(delivery.account_id)
    return [session_rules.note(session, SessionEvent(id, TOLD[delivery.event], now, delivery.id, details))]
