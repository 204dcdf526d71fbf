"""What there is to tell is stored with its cause, where somebody subscribes to it, and told once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from kasse.domain.hooks import Notice
from kasse.domain.refusals import Refusal
from kasse.store.port import Contradiction, Loads, Record, Store
from tests.store import records
from tests.store.records import ACCOUNT, LATER, NOW, OTHER, life, put


async def waiting(store: Store) -> list[tuple[str, str]]:
    found = await store.read(lambda loads: loads.notices_to_tell(100))
    return sorted((notice.account_id, notice.event) for notice in found)


async def test_what_nobody_subscribes_to_is_not_stored(store: Store) -> None:
    await put(
        store,
        records.subscription(OTHER, events=("shopping_draft_add",)),
        records.subscription(id="off", events=("shopping_draft_add",), active=False),
        records.subscription(id="gone", events=("shopping_draft_add",), deleted_at=NOW),
        records.subscription(id="else", events=("shopping_draft_add_more", "shopping_draft", "draft_add")),
    )
    await put(store, records.draft(), records.notice(), *life()[0])
    assert await waiting(store) == []


async def test_a_change_tells_of_all_that_it_writes(store: Store) -> None:
    events = ("shopping_draft_add", "shopping_order_add", "shopping_order_event_add", "checkout_transaction")
    await put(store, records.subscription(events=events))
    steps = life()[0]
    await put(store, records.draft(), records.draft(OTHER), records.transaction(), *steps)
    assert await waiting(store) == sorted(
        (ACCOUNT, event)
        for event in (*("shopping_draft_add", "shopping_order_add", "checkout_transaction"), *[events[2]] * len(steps))
    )


async def test_what_is_not_stored_is_not_told(store: Store) -> None:
    await put(store, records.subscription(events=("shopping_draft_add",)))

    async def refused(loads: Loads) -> tuple[None, Sequence[Record]]:
        raise Refusal("wrong_value", "no")

    with pytest.raises(Refusal):
        await store.change(refused)
    with pytest.raises(Contradiction):
        await put(store, records.draft(), records.draft(version=7))
    assert await waiting(store) == []


async def test_the_same_is_stored_once_whoever_writes_it_again(store: Store) -> None:
    await put(store, records.subscription())
    await put(store, records.transaction())
    await put(store, records.transaction(version=2))
    await put(store, records.transaction(version=3, updated_at=LATER + timedelta(seconds=1)))
    assert await waiting(store) == [(ACCOUNT, "checkout_transaction")] * 2


async def test_a_notice_is_told_by_one_only(store: Store, second: Store) -> None:
    await put(store, records.subscription(), records.notice())
    told = records.notice(told=True, version=2)
    await put(second, told)
    with pytest.raises(Contradiction):
        await put(store, told)
    assert await waiting(store) == []
    assert await store.read(lambda loads: loads.notice(ACCOUNT, "notice-1")) == told


async def test_notices_come_oldest_first_and_so_many_at_once(store: Store) -> None:
    await put(store, records.subscription())
    ages = {"old": timedelta(hours=3), "new": timedelta(), "older": timedelta(hours=4)}
    await put(store, *(records.notice(id=id, created_at=NOW - age) for id, age in ages.items()))

    async def first(loads: Loads) -> list[Notice]:
        return await loads.notices_to_tell(2)

    assert [notice.id for notice in await store.read(first)] == ["older", "old"]


async def test_what_is_told_is_forgotten_in_the_end_and_what_waits_is_not(store: Store) -> None:
    await put(store, records.subscription(), records.notice(), records.notice(id="waits"))
    await put(store, records.notice(told=True, version=2))
    assert await store.forget_answers(LATER) == 0
    assert await store.read(lambda loads: loads.notice(ACCOUNT, "notice-1")) is None
    assert await store.read(lambda loads: loads.notice(ACCOUNT, "waits")) is not None


async def test_calls_to_a_webhook_are_no_calls_of_a_session(store: Store) -> None:
    hook = {"session_id": "", "subscription_id": "subscription-1"}
    await put(store, records.delivery(), *(records.delivery(id=f"hook-{n}", **hook) for n in range(3)))
    found = await store.read(lambda loads: loads.deliveries_of(ACCOUNT, "session-1"))
    assert [each.id for each in found] == ["delivery-1"]
