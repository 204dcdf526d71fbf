"""What is asked for at the same time is done together, and everybody gets his own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from kasse.store.batches import Batches
from kasse.store.port import Record
from kasse.store.postgres_loading import Seen
from kasse.store.postgres_questions import Asked, Question, Rows, Together, answer
from kasse.store.postgres_writes import Write, independent
from tests.store import records


async def test_whoever_comes_while_others_are_worked_on_goes_with_the_next() -> None:
    batches: list[list[int]] = []
    gate = asyncio.Event()

    async def work(items: Sequence[int]) -> Sequence[int]:
        batches.append(list(items))
        await gate.wait()
        return [item * 10 for item in items]

    together = Batches(work, largest=3, at_once=1)
    asked = [asyncio.create_task(together.do(0))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked += [asyncio.create_task(together.do(n)) for n in range(1, 6)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*asked) == [0, 10, 20, 30, 40, 50]
    assert batches == [[0], [1, 2, 3], [4, 5]]


async def test_what_goes_wrong_all_of_the_batch_are_told_and_the_next_is_done() -> None:
    async def work(items: Sequence[int]) -> Sequence[int]:
        if 0 in items:
            raise ValueError("no")
        return items

    together = Batches(work, largest=10, at_once=1)
    found = await asyncio.gather(*(together.do(n) for n in range(3)), return_exceptions=True)
    assert [str(each) for each in found] == ["no"] * 3
    assert await together.do(4) == 4


async def test_whoever_gave_up_is_no_harm_to_the_others() -> None:
    gate = asyncio.Event()

    async def work(items: Sequence[int]) -> Sequence[int]:
        await gate.wait()
        return items

    together = Batches(work, largest=10, at_once=1)
    asked = [asyncio.create_task(together.do(n)) for n in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    gate.set()
    assert await asked[0] == 0
    assert await asked[2] == 2


async def _ask_twice(name: str) -> str:
    first = await Question(f"{name} 1", ())
    second = await Question(f"{name} 2", ())
    return f"{first}, {second}"


async def test_loads_side_by_side_ask_at_the_same_time() -> None:
    rounds: list[list[str]] = []

    async def ask(asked: Sequence[Asked]) -> Sequence[Rows]:
        names = [one.sql for one in asked if isinstance(one, Question)]
        rounds.append(names)
        return [f"answer to {name}" for name in names]

    async def work() -> list[str]:
        async def nothing() -> str:
            return "nothing asked"

        async def inner() -> list[str]:
            return await Together([_ask_twice("b"), _ask_twice("c")])

        return await Together([_ask_twice("a"), inner(), nothing()])

    assert await answer(work(), ask) == [
        "answer to a 1, answer to a 2",
        ["answer to b 1, answer to b 2", "answer to c 1, answer to c 2"],
        "nothing asked",
    ]
    assert rounds == [["a 1", "b 1", "c 1"], ["a 2", "b 2", "c 2"]]


async def test_the_first_of_several_mistakes_is_told() -> None:
    async def ask(asked: Sequence[Asked]) -> Sequence[Rows]:
        return [() for _ in asked]

    async def late() -> None:
        await Question("", ())
        raise ValueError("late, but first in the list")

    async def early() -> None:
        raise ValueError("early")

    async def work() -> None:
        await Together([late(), early()])

    with pytest.raises(ValueError, match="late, but first"):
        await answer(work(), ask)


def _write(*changed: Record, saw: Sequence[Seen] = ()) -> Write:
    return Write.of(uuid4(), changed, saw)


def test_changes_that_have_to_do_with_each_other_do_not_go_together() -> None:
    def seen(id: str) -> Seen:
        return Seen("profiles", records.ACCOUNT, id, 1)

    def profile(id: str) -> Record:
        return records.profile(id=id, version=2)

    saw_a_wrote_b = _write(profile("b"), saw=[seen("a")])
    saw_b_wrote_a = _write(profile("a"), saw=[seen("b")])
    wrote_b_too = _write(profile("b"))
    saw_a_too = _write(profile("c"), saw=[seen("a")])
    assert list(independent([saw_a_wrote_b, saw_b_wrote_a, wrote_b_too, saw_a_too])) == [saw_a_wrote_b, saw_a_too]
