"""Calls of the pretend acquirer without an answer, whether it acted or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kasse.domain.transaction import CallKind
from kasse.gateways.port import Approved, NoAnswer, NotFound
from kasse.gateways.sandbox import Sandbox
from tests.gateways.pretend import (
    BASE_URL,
    STEPS,
    MemoryBook,
    StoppedClock,
    authorized,
    card,
    code,
    payment,
    step,
    take,
)

VISA_TIME_OUTS: dict[CallKind, str] = {
    "authorize": "4100000000000001",
    "capture": "4100000000000019",
    "refund": "4100000000000027",
    "void": "4100000000000043",
}
MASTERCARD_TIME_OUTS: dict[CallKind, str] = {
    "authorize": "5100000000000008",
    "capture": "5100000000000016",
    "refund": "5100000000000024",
    "void": "5100000000000040",
}


async def test_an_answer_to_an_authorization_is_lost(sandbox: Sandbox) -> None:
    with pytest.raises(NoAnswer):
        await sandbox.authorize(payment(), card(VISA_TIME_OUTS["authorize"]))
    approved = await sandbox.look_up("authorize", payment())
    assert isinstance(approved, Approved)
    assert await sandbox.authorize(payment(), card(VISA_TIME_OUTS["authorize"])) == approved
    assert await sandbox.capture(step("c", 1000)) == Approved()


async def test_a_lost_answer_may_have_been_a_no(sandbox: Sandbox) -> None:
    with pytest.raises(NoAnswer):
        await sandbox.authorize(payment(amount=9955100), card(VISA_TIME_OUTS["authorize"]))
    assert code(await sandbox.look_up("authorize", payment(amount=9955100))) == "issuer_51"


async def test_an_authorization_never_arrives(sandbox: Sandbox, book: MemoryBook) -> None:
    for _ in range(2):
        with pytest.raises(NoAnswer):
            await sandbox.authorize(payment(), card(MASTERCARD_TIME_OUTS["authorize"]))
        assert await sandbox.look_up("authorize", payment()) == NotFound()
    assert not book.entries
    assert await sandbox.void(step("v", 1000)) == Approved()
    assert code(await sandbox.look_up("authorize", payment())) == "authorization_voided"


@pytest.mark.parametrize("kind", STEPS)
async def test_an_answer_to_a_step_is_lost(sandbox: Sandbox, book: MemoryBook, kind: CallKind) -> None:
    await sandbox_with_capture(sandbox, VISA_TIME_OUTS[kind])
    before = book.moved(kind)
    with pytest.raises(NoAnswer):
        await take(sandbox, kind, step("k", 200))
    assert book.moved(kind) == before + 200
    assert await sandbox.look_up(kind, step("k", 200)) == Approved()
    assert await take(sandbox, kind, step("k", 200)) == Approved()
    assert book.moved(kind) == before + 200
    with pytest.raises(NoAnswer):
        await take(sandbox, kind, step("another", 100))


@pytest.mark.parametrize("kind", STEPS)
async def test_a_step_does_not_arrive_the_first_time(
    sandbox: Sandbox, book: MemoryBook, clock: StoppedClock, kind: CallKind
) -> None:
    await sandbox_with_capture(sandbox, MASTERCARD_TIME_OUTS[kind])
    before = book.moved(kind)
    with pytest.raises(NoAnswer):
        await take(sandbox, kind, step("k", 200))
    assert book.moved(kind) == before
    assert await sandbox.look_up(kind, step("k", 200)) == NotFound()
    restarted = Sandbox(book, clock, BASE_URL)
    assert await take(restarted, kind, step("k", 200)) == Approved()
    assert await restarted.look_up(kind, step("k", 200)) == Approved()
    assert await take(restarted, kind, step("k", 200)) == Approved()
    assert book.moved(kind) == before + 200
    with pytest.raises(NoAnswer):
        await take(restarted, kind, step("another", 100))


@pytest.mark.parametrize("time_outs", [VISA_TIME_OUTS, MASTERCARD_TIME_OUTS], ids=["visa", "mastercard"])
@pytest.mark.parametrize("kind", STEPS)
async def test_only_the_call_named_times_out(sandbox: Sandbox, kind: CallKind, time_outs: dict[CallKind, str]) -> None:
    await sandbox_with_capture(sandbox, time_outs[kind])
    for other in STEPS:
        if other != kind:
            assert await take(sandbox, other, step(other, 100)) == Approved()


@pytest.mark.parametrize("number", ["4100000000000035", "5100000000000032"])
async def test_a_capture_by_hand_does_not_time_out_as_an_automatic_one_would(sandbox: Sandbox, number: str) -> None:
    await authorized(sandbox, number, captured=1000)


async def sandbox_with_capture(sandbox: Sandbox, number: str) -> None:
    """500 of 1000 captured, whatever the card does to captures."""
    await authorized(sandbox, number)
    try:
        await sandbox.capture(step("before", 500))
    except NoAnswer:
        await sandbox.capture(step("before", 500))


@pytest.mark.parametrize(("number", "arrives"), [("4100000000000035", True), ("5100000000000032", False)])
async def test_only_an_automatic_capture_times_out(sandbox: Sandbox, number: str, arrives: bool) -> None:
    await authorized(sandbox, number)
    with pytest.raises(NoAnswer):
        await sandbox.capture(replace(step("automatic", 400), automatic=True))
    assert (await sandbox.look_up("capture", step("automatic", 400)) == Approved()) is arrives
    assert await sandbox.capture(step("by-hand", 600)) == Approved()
