"""The pretend bank: a payer passes its challenge, fails it, or never answers."""

from __future__ import annotations

import asyncio

import pytest

from kasse.gateways.port import Approved, Declined, PayerNeeded
from kasse.gateways.sandbox import Challenge, Sandbox
from tests.gateways.pretend import (
    ACCOUNT,
    CHALLENGED,
    VISA,
    MemoryBook,
    StoppedClock,
    authorized,
    card,
    code,
    payment,
    step,
)


@pytest.mark.parametrize("number", CHALLENGED)
async def test_a_payer_passes_the_challenge(sandbox: Sandbox, book: MemoryBook, number: str) -> None:
    request = payment(return_url="https://kasse.example/back", merchant_reference="order 7")
    needed = PayerNeeded("https://kasse.example/sandbox/challenge/a")
    assert await sandbox.authorize(request, card(number)) == needed
    assert await sandbox.authorize(request, card(number)) == needed
    assert await sandbox.look_up("authorize", request) == needed
    masked_pan = f"{number[:6]}******{number[-4:]}"
    shown = Challenge(1000, "NOK", masked_pan, "order 7", "https://kasse.example/back", open=True)
    assert await sandbox.challenge(ACCOUNT, "a") == shown
    answered = await sandbox.answer_challenge(ACCOUNT, "a", approve=True)
    assert answered == Challenge(1000, "NOK", masked_pan, "order 7", "https://kasse.example/back", open=False)
    assert await sandbox.challenge(ACCOUNT, "a") == answered
    approved = await sandbox.look_up("authorize", request)
    assert isinstance(approved, Approved)
    assert approved.card is not None
    assert approved.card.authentication_status == "Y"
    assert approved.card.eci == ("05" if number.startswith("4") else "02")
    assert await sandbox.authorize(request, card(number)) == approved
    assert await sandbox.capture(step("c", 1000)) == Approved()


@pytest.mark.parametrize("number", CHALLENGED)
async def test_a_payer_fails_the_challenge(sandbox: Sandbox, number: str) -> None:
    await sandbox.authorize(payment(), card(number))
    assert await sandbox.answer_challenge(ACCOUNT, "a", approve=False)
    declined = await sandbox.look_up("authorize", payment())
    assert isinstance(declined, Declined)
    assert declined.by_payer
    assert declined.error.type == ("FAILED_VERIFICATION",)
    assert declined.card is not None
    assert declined.card.authentication_status == "N"


@pytest.mark.parametrize("first", [True, False])
async def test_the_first_answer_wins(sandbox: Sandbox, first: bool) -> None:
    await sandbox.authorize(payment(), card(CHALLENGED[0]))
    shown = await sandbox.answer_challenge(ACCOUNT, "a", approve=first)
    outcome = await sandbox.look_up("authorize", payment())
    assert await sandbox.answer_challenge(ACCOUNT, "a", approve=not first) == shown
    assert await sandbox.look_up("authorize", payment()) == outcome
    assert isinstance(outcome, Approved) is first


async def test_the_issuer_decides_after_the_challenge(sandbox: Sandbox) -> None:
    request = payment(amount=9955100)
    assert isinstance(await sandbox.authorize(request, card(CHALLENGED[0])), PayerNeeded)
    await sandbox.answer_challenge(ACCOUNT, "a", approve=True)
    declined = await sandbox.look_up("authorize", request)
    assert code(declined) == "issuer_51"
    assert isinstance(declined, Declined)
    assert not declined.by_payer


async def test_a_challenge_expires_after_a_quarter_of_an_hour(sandbox: Sandbox, clock: StoppedClock) -> None:
    await sandbox.authorize(payment(), card(CHALLENGED[0]))
    clock.move(minutes=14.99)
    assert isinstance(await sandbox.look_up("authorize", payment()), PayerNeeded)
    clock.move(minutes=0.01)
    expired = await sandbox.look_up("authorize", payment())
    assert code(expired) == "authentication_expired"
    assert isinstance(expired, Declined)
    assert expired.by_payer
    shown = await sandbox.answer_challenge(ACCOUNT, "a", approve=True)
    assert shown is not None
    assert not shown.open
    assert await sandbox.look_up("authorize", payment()) == expired
    assert await sandbox.void(step("v", 1000)) == Approved()
    assert await sandbox.look_up("authorize", payment()) == expired


@pytest.mark.parametrize("noticed_by", ["look_up", "challenge", "answer", "authorize"])
async def test_a_challenge_once_expired_stays_so_when_the_clock_goes_back(
    sandbox: Sandbox, clock: StoppedClock, noticed_by: str
) -> None:
    await sandbox.authorize(payment(), card(CHALLENGED[0]))
    clock.move(minutes=15)
    if noticed_by == "look_up":
        await sandbox.look_up("authorize", payment())
    elif noticed_by == "challenge":
        await sandbox.challenge(ACCOUNT, "a")
    elif noticed_by == "answer":
        await sandbox.answer_challenge(ACCOUNT, "a", approve=True)
    else:
        await sandbox.authorize(payment(), card(CHALLENGED[0]))
    clock.move(minutes=-15)
    assert code(await sandbox.look_up("authorize", payment())) == "authentication_expired"


async def test_an_answered_challenge_does_not_expire(sandbox: Sandbox, clock: StoppedClock) -> None:
    await sandbox.authorize(payment(), card(CHALLENGED[0]))
    await sandbox.answer_challenge(ACCOUNT, "a", approve=True)
    clock.move(minutes=60)
    assert isinstance(await sandbox.look_up("authorize", payment()), Approved)


async def test_a_void_ends_an_open_challenge(sandbox: Sandbox) -> None:
    await sandbox.authorize(payment(), card(CHALLENGED[0]))
    assert await sandbox.void(step("v", 1000)) == Approved()
    shown = await sandbox.answer_challenge(ACCOUNT, "a", approve=True)
    assert shown is not None
    assert not shown.open
    assert code(await sandbox.look_up("authorize", payment())) == "authorization_voided"
    assert code(await sandbox.authorize(payment(), card(VISA))) == "authorization_voided"


async def test_there_is_no_challenge_without_one(sandbox: Sandbox, book: MemoryBook) -> None:
    assert await sandbox.challenge(ACCOUNT, "a") is None
    assert await sandbox.answer_challenge(ACCOUNT, "a", approve=True) is None
    assert not book.entries
    await authorized(sandbox)
    assert await sandbox.challenge(ACCOUNT, "a") is None
    assert await sandbox.answer_challenge(ACCOUNT, "a", approve=False) is None
    assert isinstance(await sandbox.look_up("authorize", payment()), Approved)


async def test_a_key_fits_into_the_address(book: MemoryBook, clock: StoppedClock) -> None:
    sandbox = Sandbox(book, clock, "https://kasse.example/")
    answer = await sandbox.authorize(payment("a/b?c d"), card(CHALLENGED[0]))
    assert answer == PayerNeeded("https://kasse.example/sandbox/challenge/a%2Fb%3Fc%20d")


async def test_of_many_answers_to_a_challenge_one_counts(sandbox: Sandbox) -> None:
    await sandbox.authorize(payment(), card(CHALLENGED[0]))
    shown = await asyncio.gather(
        *(sandbox.answer_challenge(ACCOUNT, "a", approve=n % 2 == 0) for n in range(20)),
        *(sandbox.look_up("authorize", payment()) for _ in range(20)),
    )
    outcome = await sandbox.look_up("authorize", payment())
    looked_up = [each for each in shown if not isinstance(each, Challenge | PayerNeeded)]
    assert all(each == outcome for each in looked_up)
