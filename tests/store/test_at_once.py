"""Changes that come at the same time share a commit, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from kasse.domain.paging import Filters, Page
from kasse.domain.refusals import Refusal
from kasse.store.port import Contradiction, Loads, Record, Store
from tests.store import records
from tests.store.records import ACCOUNT, put


async def test_of_many_at_once_those_that_cannot_be_stored_are_no_harm_to_the_others(store: Store) -> None:
    await put(store, records.profile(), records.draft(id="taken"))

    async def make(n: int) -> int:
        async def decide(loads: Loads) -> tuple[int, Sequence[Record]]:
            assert await loads.profile(ACCOUNT, "default")
            if n % 5 == 1:
                raise Refusal("wrong_state", "not this one")
            # Nobody looks whether it is there: the database has to refuse it.
            return n, [records.draft(id="taken" if n % 5 == 2 else f"draft-{n}")]

        return await store.change(decide)

    found = await asyncio.gather(*(make(n) for n in range(40)), return_exceptions=True)
    for n, each in enumerate(found):
        assert isinstance(each, {1: Refusal, 2: Contradiction}.get(n % 5, int)), (n, each)
        there = await store.read(lambda loads, id=f"draft-{n}": loads.draft(ACCOUNT, id))  # type: ignore[misc]
        assert (there is not None) == (n % 5 not in (1, 2)), n


async def test_no_two_of_many_at_once_decide_on_what_the_other_changes(store: Store) -> None:
    """There is one left of what two have together; each may take it, from what is his own."""
    await put(store, *(records.profile(id=id, configuration={"count": n}) for n, id in enumerate(("a", "b"))))

    async def take(mine: str) -> bool:
        async def decide(loads: Loads) -> tuple[bool, Sequence[Record]]:
            found = {id: await loads.profile(ACCOUNT, id) for id in ("a", "b")}
            counts = {id: profile.configuration["count"] for id, profile in found.items() if profile is not None}
            changed = found[mine]
            assert changed is not None
            if sum(counts.values()) <= 0:
                return False, ()
            left = {"count": counts[mine] - 1}
            return True, [replace(changed, version=changed.version + 1, configuration=left)]

        return await store.change(decide)

    taken = await asyncio.gather(*(take("ab"[n % 2]) for n in range(20)))
    assert sum(taken) == 1


async def test_several_loads_are_answered_in_their_order_and_the_first_mistake_is_told(store: Store) -> None:
    await put(store, records.profile(), records.draft())

    async def query(loads: Loads) -> list[object]:
        return await loads.together(
            loads.drafts(ACCOUNT, Filters(), Page()), loads.profile(ACCOUNT, "default"), loads.draft(ACCOUNT, "nothing")
        )

    assert await store.read(query) == [[records.draft()], records.profile(), None]

    async def refused(loads: Loads) -> list[object]:
        async def refuse(why: str) -> None:
            if why == "late":
                await loads.profile(ACCOUNT, "default")
            raise Refusal("wrong_state", why)

        return await loads.together(loads.draft(ACCOUNT, "draft-1"), refuse("late"), refuse("early"))

    with pytest.raises(Refusal, match="late"):
        await store.read(refused)
