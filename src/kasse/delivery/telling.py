"""Makes deliveries of what there is to tell: one for each subscription that wants to hear of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import msgspec

from kasse.clock import Clock
from kasse.domain import hooks
from kasse.domain.hooks import Notice
from kasse.store.port import Loads, Record, Store

AT_ONCE = 100
_OURS = uuid.UUID("52b9c5a8-3f5f-4a53-8a44-3b0a8a6d9c07")


async def tell(store: Store, clock: Clock) -> int:
    """Turn the notices that wait into deliveries, those of one account in one change; answers how many they were."""
    # Nearly always there is none, which takes one look at an index.
    waiting = await store.glance(lambda loads: loads.notices_to_tell(AT_ONCE))
    found = 0
    for account_id in dict.fromkeys(notice.account_id for notice in waiting):
        found += await _tell(store, clock, account_id)
    return found


async def _tell(store: Store, clock: Clock, account_id: str) -> int:
    now = clock.now()

    async def decide(loads: Loads) -> tuple[int, Sequence[Record]]:
        waiting = [notice for notice in await loads.notices_to_tell(AT_ONCE) if notice.account_id == account_id]
        listening = [each for each in await loads.subscriptions(account_id) if each.listens]
        records: list[Record] = []
        for notice in waiting:
            records.append(msgspec.structs.replace(notice, told=True, version=notice.version + 1))
            records += [
                hooks.delivery(each, notice, _id(notice, each.id), now)
                for each in listening
                if notice.event in each.events
            ]
        return len(waiting), records

    return await store.change(decide)


def _id(notice: Notice, subscription_id: str) -> str:
    return str(uuid.uuid5(_OURS, f"{notice.account_id}:{notice.id}:{subscription_id}"))
