"""Many ask the pretend acquirer at once."""

from __future__ import annotations

import asyncio

import pytest

from kasse.gateways.port import Approved, Declined
from kasse.gateways.sandbox import Sandbox
from tests.gateways.pretend import (
    BASE_URL,
    MASTERCARD,
    VISA,
    MemoryBook,
    StoppedClock,
    authorized,
    card,
    code,
    payment,
    step,
)


async def test_of_fifty_captures_only_those_that_fit_go_through(sandbox: Sandbox, book: MemoryBook) -> None:
    await authorized(sandbox)
    answers = await asyncio.gather(*(sandbox.capture(step(f"c{n}", 100)) for n in range(50)))
    assert sum(answer == Approved() for answer in answers) == 10
    assert book.moved("capture") == 1000
    assert book.lost_swaps > 0
    for n, answer in enumerate(answers):
        assert await sandbox.look_up("capture", step(f"c{n}", 100)) == answer


@pytest.mark.parametrize("number", [VISA, MASTERCARD])
async def test_fifty_times_the_same_capture_is_one(sandbox: Sandbox, book: MemoryBook, number: str) -> None:
    await authorized(sandbox, number)
    answers = await asyncio.gather(*(sandbox.capture(step("c", 100)) for _ in range(50)))
    assert answers == [Approved()] * 50
    assert book.moved("capture") == 100


async def test_fifty_authorizations_under_one_key_agree(sandbox: Sandbox) -> None:
    requests = [(payment(amount=1000 + n % 2), card([VISA, MASTERCARD][n % 2])) for n in range(50)]
    answers = await asyncio.gather(*(sandbox.authorize(*request) for request in requests))
    approved = [answer for answer in answers if isinstance(answer, Approved)]
    assert len(approved) == 25
    assert len(set(map(repr, approved))) == 1
    assert {code(answer) for answer in answers if not isinstance(answer, Approved)} == {"key_reused"}


async def test_an_authorization_and_its_void_race_to_one_outcome(clock: StoppedClock) -> None:
    outcomes = set()
    for seed in range(50):
        sandbox = Sandbox(MemoryBook(seed), clock, BASE_URL)
        answer, voided = await asyncio.gather(sandbox.authorize(payment(), card(VISA)), sandbox.void(step("v", 1000)))
        assert voided == Approved()
        assert code(await sandbox.capture(step("c", 1))) in ("amount_above_left", "not_authorized")
        # Approved first or not, it holds nothing any more, and that is what is told from now on.
        assert code(await sandbox.look_up("authorize", payment())) == "authorization_voided"
        outcomes.add(type(answer))
    assert outcomes == {Approved, Declined}
