"""Callbacks as the merchant sees them: the secret that signs them, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kasse.domain.access import Caller, SignatureSecret
from kasse.domain.callbacks import Attempt, Delivery
from kasse.domain.refusals import Refusal
from kasse.operations import sessions
from kasse.operations.house import House
from kasse.store.port import Loads, Record


async def new_signature_secret(house: House, caller: Caller) -> SignatureSecret:
    """Make the secret that signs callbacks from now on (checkout reference, 9.1)."""
    made = SignatureSecret(
        caller.account_id, house.ids.uuid(), house.ids.secret(), house.clock.now(caller.account_id), caller.by
    )

    async def decide(loads: Loads) -> tuple[SignatureSecret, Sequence[Record]]:
        return made, (made,)

    return await house.store.change(decide)


async def signature_secret(house: House, account_id: str) -> SignatureSecret:
    """Raises ``Refusal`` (entry_not_found) when the account has none yet."""
    found = await house.store.read(lambda loads: loads.signature_secret(account_id))
    if found is None:
        raise Refusal("entry_not_found", "this account has no signature secret yet; POST to make one")
    return found


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
