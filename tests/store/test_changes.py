"""A change is whole or not at all, and many at once are as good as one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
from msgspec.structs import replace

from kasse.domain import history
from kasse.domain.history import SessionOpened
from kasse.domain.profile import Profile
from kasse.domain.refusals import Refusal
from kasse.store.port import Contradiction, Loads, Record, Store, StoreUnavailable
from tests.store import records
from tests.store.conftest import opened
from tests.store.records import ACCOUNT, created, follow, life, put


async def _draft(store: Store, id: str = "draft-1") -> Any:
    return await store.read(lambda loads: loads.draft(ACCOUNT, id))


async def test_a_change_answers_what_was_decided(store: Store) -> None:
    async def decide(loads: Loads) -> tuple[str, Sequence[Record]]:
        return "decided", [records.draft()]

    assert await store.change(decide) == "decided"
    assert await _draft(store) == records.draft()


async def test_a_change_may_write_nothing(store: Store) -> None:
    async def decide(loads: Loads) -> tuple[bool, Sequence[Record]]:
        return await loads.account(ACCOUNT) is None, ()

    assert await store.change(decide)


async def test_a_refusal_passes_through_with_nothing_stored(store: Store) -> None:
    refusal = Refusal("wrong_state", "not now")

    async def decide(loads: Loads) -> NoReturn:
        assert await loads.account(ACCOUNT) is None
        raise refusal

    with pytest.raises(Refusal) as raised:
        await store.change(decide)
    assert raised.value is refusal


async def test_a_mistake_in_a_decision_passes_through_and_harms_nobody_else(store: Store) -> None:
    async def mistaken(loads: Loads) -> NoReturn:
        raise ZeroDivisionError

    async def unwritable(loads: Loads) -> tuple[None, Sequence[Any]]:
        return None, [records.draft(id="bad"), "no record"]

    async def contradicting(loads: Loads) -> tuple[None, Sequence[Record]]:
        return None, [records.draft(id="bad"), records.draft(id="old", version=9)]

    async def unstorable(loads: Loads) -> tuple[None, Sequence[Record]]:
        return None, [records.draft(id="bad"), records.draft(id="half a \ud800 surrogate")]

    good = [put(store, records.draft(id=f"good-{n}")) for n in range(4)]
    bad = [store.change(decide) for decide in (mistaken, unwritable, contradicting, unstorable)]
    every = [work for pair in zip(good, bad, strict=True) for work in pair]
    results = await asyncio.gather(*every, return_exceptions=True)
    assert results[::2] == [None] * 4
    assert isinstance(results[1], ZeroDivisionError)
    assert isinstance(results[5], Contradiction)
    assert all(isinstance(result, Exception) for result in results[1::2])
    assert await _draft(store, "bad") is None
    assert all([await _draft(store, f"good-{n}") for n in range(4)])


async def test_a_decision_that_waits_for_something_else_is_an_error(store: Store) -> None:
    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        await asyncio.sleep(0)
        return None, [records.draft()]

    with pytest.raises(RuntimeError, match="waited"):
        await store.change(decide)
    assert await _draft(store) is None
    await put(store, records.draft())


async def test_the_last_record_of_a_change_undoes_the_first_when_it_breaks_a_constraint(store: Store) -> None:
    steps, state = life()
    await put(store, *steps)
    broken = follow(state, SessionOpened("session-1", ()))
    sums = {1: replace(state.sums[1], captured=20_000)}
    with pytest.raises(Contradiction):
        await put(
            store,
            records.draft(),
            records.session(),
            records.delivery(),
            created(id="order-2", order_id="X"),
            history.OrderStep(broken.order, broken.event, sums=sums),
        )

    async def query(loads: Loads) -> tuple[Any, ...]:
        return (
            await loads.draft(ACCOUNT, "draft-1"),
            await loads.session(ACCOUNT, "session-1"),
            await loads.delivery(ACCOUNT, "delivery-1"),
            await loads.order(ACCOUNT, "order-2"),
            await loads.order(ACCOUNT, "order-1"),
        )

    assert await store.read(query) == (None, None, None, None, state)


# -- many at once


async def test_many_changes_at_once_number_an_orders_events_without_gaps(store: Store, second: Store) -> None:
    await put(store, created())

    async def open_session(store: Store, number: int) -> int:
        async def decide(loads: Loads) -> tuple[int, Sequence[Record]]:
            state = await loads.order(ACCOUNT, "order-1", ())
            assert state is not None
            step = follow(state, SessionOpened(f"session-{number}", ()))
            return step.order.version, [step, records.session(id=f"session-{number}")]

        return await store.change(decide)

    versions = await asyncio.gather(*(open_session((store, second)[n % 2], n) for n in range(60)))
    assert sorted(versions) == list(range(2, 62))
    events = await store.read(lambda loads: loads.events(ACCOUNT, "order-1"))
    assert [event.seq for event in events] == list(range(1, 62))
    rebuilt = None
    for before, event in zip([None, *events], events, strict=False):
        assert event.previous_hash == (before.hash if before else "")
        assert event.hash == history.hash_of(event)
        rebuilt = history.evolve(rebuilt, event)
    assert rebuilt == await store.read(lambda loads: loads.order(ACCOUNT, "order-1"))


def _count(profile: Profile | None) -> int:
    assert profile is not None
    return int(profile.configuration["count"])


async def _add(store: Store, id: str, amount: int) -> None:
    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        found = await loads.profile(ACCOUNT, id)
        assert found is not None
        return None, [replace(found, version=found.version + 1, configuration={"count": _count(found) + amount})]

    await store.change(decide)


async def test_changes_at_once_see_each_others_results(store: Store, second: Store) -> None:
    await put(store, records.profile(configuration={"count": 0}))
    await asyncio.gather(*(_add((store, second)[n % 2], "default", 1) for n in range(200)))
    assert _count(await store.read(lambda loads: loads.profile(ACCOUNT, "default"))) == 200


async def test_a_change_is_seen_by_every_read_that_begins_after_it(store: Store, second: Store) -> None:
    for n in range(20):
        await put(store, records.draft(id=f"draft-{n}"))
        assert await _draft(store, f"draft-{n}")
        assert await _draft(second, f"draft-{n}")


async def test_reading_while_others_write_sees_each_change_whole(store: Store, second: Store) -> None:
    """Money moves between two profiles: however often one looks, it adds up."""
    await put(store, *(records.profile(id=id, configuration={"count": 100}) for id in ("a", "b")))
    done = False

    async def move(store: Store) -> None:
        async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
            a, b = await loads.profile(ACCOUNT, "a"), await loads.profile(ACCOUNT, "b")
            assert a is not None
            assert b is not None
            return None, [
                replace(a, version=a.version + 1, configuration={"count": _count(a) - 1}),
                replace(b, version=b.version + 1, configuration={"count": _count(b) + 1}),
            ]

        await store.change(decide)

    async def look(store: Store) -> list[int]:
        async def query(loads: Loads) -> tuple[int, int]:
            return _count(await loads.profile(ACCOUNT, "a")), _count(await loads.profile(ACCOUNT, "b"))

        found = []
        while not done:
            one, other = await store.read(query)
            assert one + other == 200
            found.append(one)
        return found

    looking = [asyncio.create_task(look(each)) for each in (store, second, store)]
    for _ in range(10):
        await asyncio.gather(*(move((store, second)[n % 2]) for n in range(10)))
    done = True
    for found in await asyncio.gather(*looking):
        assert found == sorted(found, reverse=True)
    assert _count(await store.read(lambda loads: loads.profile(ACCOUNT, "b"))) == 200


async def test_a_caller_who_stops_waiting_disturbs_nobody(store: Store) -> None:
    impatient = [asyncio.create_task(put(store, records.draft(id=f"a-{n}"))) for n in range(20)]
    patient = [asyncio.create_task(put(store, records.draft(id=f"b-{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    for task in impatient:
        task.cancel()
    await asyncio.gather(*impatient, return_exceptions=True)
    await asyncio.gather(*patient)
    await put(store, records.draft(id="c"))


# -- the end


async def test_closing_finishes_the_changes_that_wait(database: str) -> None:
    async with opened(database) as store:
        waiting = [asyncio.create_task(put(store, records.draft(id=f"draft-{n}"))) for n in range(300)]
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await store.close()
            await asyncio.gather(*waiting)
    async with opened(database) as store:
        assert all([await _draft(store, f"draft-{n}") for n in range(300)])


async def test_a_store_that_is_closed_says_so_and_may_be_closed_again(database: str) -> None:
    async with opened(database) as store:
        await put(store, records.client())
        await store.close()
        await store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await put(store, records.draft())
        for read in (store.read, store.glance):
            with pytest.raises(StoreUnavailable, match="closed"):
                await read(lambda loads: loads.client(ACCOUNT, "client-1"))
    async with opened(database) as store:
        assert await _draft(store) is None
