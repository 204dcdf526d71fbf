"""The sandbox gateway's book: insert unless there, compare and swap."""

from __future__ import annotations

import asyncio

from kasse.store.port import Store
from tests.store.records import ACCOUNT, GIVEN, OTHER


async def test_an_entry_comes_back_as_it_was_put(store: Store) -> None:
    assert await store.book_get(ACCOUNT, "key") is None
    assert await store.book_put(ACCOUNT, "key", GIVEN) == GIVEN
    assert await store.book_get(ACCOUNT, "key") == GIVEN


async def test_the_first_entry_under_a_key_stays(store: Store) -> None:
    await store.book_put(ACCOUNT, "key", {"n": 1})
    assert await store.book_put(ACCOUNT, "key", {"n": 2}) == {"n": 1}
    assert await store.book_put(OTHER, "key", {"n": 3}) == {"n": 3}
    assert await store.book_get(ACCOUNT, "key") == {"n": 1}


async def test_an_empty_entry_is_an_entry(store: Store) -> None:
    await store.book_put(ACCOUNT, "key", {})
    assert await store.book_put(ACCOUNT, "key", {"n": 1}) == {}
    assert await store.book_get(ACCOUNT, "key") == {}
    assert await store.book_replace(ACCOUNT, "key", {}, {"n": 1})


async def test_an_entry_is_replaced_only_if_it_still_is_what_it_was(store: Store) -> None:
    await store.book_put(ACCOUNT, "key", {"a": 1, "b": {"c": 2, "d": [1, 2]}})
    assert not await store.book_replace(ACCOUNT, "key", {"a": 1}, {"a": 2})
    assert not await store.book_replace(ACCOUNT, "nothing here", {}, {"a": 2})
    assert not await store.book_replace(OTHER, "key", {"a": 1, "b": {"c": 2, "d": [1, 2]}}, {"a": 2})
    # The order of the keys means nothing, the order of a list does.
    assert not await store.book_replace(ACCOUNT, "key", {"b": {"d": [2, 1], "c": 2}, "a": 1}, {"a": 2})
    assert await store.book_replace(ACCOUNT, "key", {"b": {"d": [1, 2], "c": 2}, "a": 1}, {"a": 2})
    assert await store.book_get(ACCOUNT, "key") == {"a": 2}


async def test_of_fifty_swaps_at_once_one_wins(store: Store, second: Store) -> None:
    await store.book_put(ACCOUNT, "key", {"n": 0})
    won = await asyncio.gather(
        *((store, second)[n % 2].book_replace(ACCOUNT, "key", {"n": 0}, {"n": n}) for n in range(1, 51))
    )
    assert sum(won) == 1
    assert await store.book_get(ACCOUNT, "key") == {"n": won.index(True) + 1}


async def test_of_fifty_who_put_at_once_all_are_told_what_the_first_put(store: Store, second: Store) -> None:
    found = await asyncio.gather(*((store, second)[n % 2].book_put(ACCOUNT, "key", {"n": n}) for n in range(50)))
    assert found == [await store.book_get(ACCOUNT, "key")] * 50


async def test_swaps_that_are_tried_again_lose_nothing(store: Store, second: Store) -> None:
    await store.book_put(ACCOUNT, "key", {"n": 0})

    async def add(store: Store) -> None:
        while True:
            before = await store.book_get(ACCOUNT, "key")
            assert before is not None
            if await store.book_replace(ACCOUNT, "key", before, {"n": before["n"] + 1}):
                return

    await asyncio.gather(*(add((store, second)[n % 2]) for n in range(20)))
    assert await store.book_get(ACCOUNT, "key") == {"n": 20}
