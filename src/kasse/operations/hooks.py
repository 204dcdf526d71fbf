"""Callbacks as the merchant sees them: the secret that signs them, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from kasse.domain import callbacks
from kasse.domain.access import Caller, SignatureSecret
from kasse.domain.callbacks import Attempt, Delivery
from kasse.domain.refusals import Refusal
from kasse.operations import sessions
from kasse.operations.house import House
from kasse.store.port import Loads, Record


async def new_signature_secret(house: House, caller: Caller, overlap: timedelta) -> SignatureSecret:
    """Make the secret that signs callbacks from now on; the one before stays good for ``overlap`` (reference, 9.1)."""
    id, secret, now = house.ids.uuid(), house.ids.secret(), house.clock.now()

    async def decide(loads: Loads) -> tuple[SignatureSecret, Sequence[Record]]:
        before = await loads.signature_secrets(caller.account_id, 1)
        at = max([now, *(each.created_at + timedelta(milliseconds=1) for each in before)])
        until = at + overlap if before and overlap else None
        made = SignatureSecret(caller.account_id, id, secret, at, caller.by, until)
        return made, (made,)

    return await house.store.change(decide)


async def signature_secret(house: House, account_id: str) -> SignatureSecret:
    """The newest one. Raises ``Refusal`` (entry_not_found) when the account has none yet."""
    found = await house.store.read(lambda loads: loads.signature_secrets(account_id, 1))
    if not found:
        raise Refusal("entry_not_found", "this account has no signature secret yet; POST to make one")
    return found[0]


@dataclass(frozen=True)
class Callback:
    delivery: Delivery
    attempts: list[Attempt]


async def callbacks_of(house: House, account_id: str, session_id: str) -> list[Callback]:
    """The calls that a session owes or has made, with every try. Raises ``Refusal`` (session_not_found)."""

    async def query(loads: Loads) -> list[Callback]:
        session = await sessions.load(loads, account_id, session_id)
        attempts = await loads.attempts_of(account_id, session.id)
        return [
            Callback(delivery, attempts.get(delivery.id, []))
            for delivery in await loads.deliveries_of(account_id, session.id)
        ]

    return await house.store.read(query)


async def resend(house: House, caller: Caller, session_id: str, delivery_id: str) -> Callback:
    """Make a session's call once more, whatever became of it, with as many tries as a new one.

    Raises ``Refusal``: session_not_found, delivery_not_found.
    """

    async def decide(loads: Loads) -> tuple[Callback, Sequence[Record]]:
        session = await sessions.load(loads, caller.account_id, session_id)
        found = await loads.delivery(caller.account_id, delivery_id)
        if found is None or found.subscription_id is not None or found.session_id != session.id:
            raise delivery_not_found(delivery_id, "session")
        again = callbacks.again(found, house.clock.now())
        return Callback(again, await loads.attempts(caller.account_id, delivery_id)), (again,)

    return await house.store.change(decide)


def delivery_not_found(id: str, of: str) -> Refusal:
    return Refusal("delivery_not_found", f"there is no call {id[:100]!r} of this {of}")
