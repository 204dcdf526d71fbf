"""What follows by itself: automatic captures, what a final capture leaves, success that comes too late."""

from __future__ import annotations

from datetime import timedelta
from typing import cast
from urllib.parse import parse_qs, urlsplit

import pytest

from kasse.domain.refusals import Refusal
from kasse.domain.transaction import CallKind, PaymentError, TransactionStatus, amounts
from kasse.gateways.port import Answer, Approved, Declined, Instruction, LookedUp, NoAnswer
from kasse.gateways.sandbox import Sandbox
from kasse.operations import payments, sessions, transactions, verification
from kasse.operations.settling import Settled
from kasse.operations.transactions import OperationRequest
from tests.operations.conftest import ACCOUNT, Merchant

CHALLENGE = "4000100000000000"
ANSWER_LOST = "4100000000000001"
LATE_CAPTURES = ["4100000000000035", "5100000000000032"]
NO = Declined(PaymentError("not today", type=("ISSUER_ERROR",)))


class Refusing:
    """Lets the sandbox refuse, or leave without an answer, as many captures as wished."""

    def __init__(self, merchant: Merchant, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        self.asked: list[Instruction] = []
        capture = Sandbox.capture

        async def refuse(sandbox: Sandbox, instruction: Instruction) -> Answer:
            self.asked.append(instruction)
            if self.left:
                self.left -= 1
                return NO
            return await capture(sandbox, instruction)

        monkeypatch.setattr(Sandbox, "capture", refuse)


async def auto(merchant: Merchant, *amounts: int, card: str = "4000000000000002") -> tuple[str, Settled]:
    """Pay an order whose session captures by itself; answers the order and where that led."""
    order = await merchant.order(*amounts)
    session = await merchant.session(order, *range(1, len(amounts) + 1), auto_capture=True)
    return order, await merchant.pay(session, card)


async def told(merchant: Merchant, session_id: str) -> list[str]:
    """What the merchant is called about: errors by name, else ``ok``."""
    found = await merchant.house.store.read(lambda loads: loads.deliveries_of(ACCOUNT, session_id))
    return [parse_qs(urlsplit(each.url).query).get("error", ["ok"])[0] for each in found]


async def status(merchant: Merchant, id: str) -> TransactionStatus:
    return (await merchant.transaction(id)).status


async def test_what_is_to_be_captured_is_captured_at_once_and_told_then(merchant: Merchant) -> None:
    order, settled = await auto(merchant, 1000, 500)
    assert settled.known
    assert settled.transaction.status == "CAPTURED"
    assert await merchant.captured(order) == {1: 1000, 2: 500}
    assert await told(merchant, settled.session.id) == ["ok"]
    [authorized, captured] = settled.transaction.events
    assert (authorized.event, captured.event, captured.amount, captured.created_by) == (
        *("AUTHORIZE", "CAPTURE", 1500, "kasse"),
    )


@pytest.mark.parametrize("card", LATE_CAPTURES)
async def test_an_automatic_capture_without_an_answer_is_told_when_it_is_known(merchant: Merchant, card: str) -> None:
    order, settled = await auto(merchant, 1000, card=card)
    assert settled.transaction.status == "AUTHORIZED"
    assert await told(merchant, settled.session.id) == []
    with pytest.raises(Refusal, match="waits for the gateway"):
        await merchant.operate(settled.transaction.id, "capture", 1000)
    for _ in range(3):
        await merchant.settle()
    assert await merchant.captured(order) == {1: 1000}
    assert await told(merchant, settled.session.id) == ["ok"]


async def test_a_declined_automatic_capture_is_tried_again(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Refusing(merchant, monkeypatch, 3)
    order, settled = await auto(merchant, 1000)
    assert (settled.transaction.status, settled.session.last_error) == ("AUTHORIZED", "capture")
    assert await told(merchant, settled.session.id) == ["capture"]
    for _ in range(3):
        await merchant.settle()
    it = await merchant.transaction(settled.transaction.id)
    assert (it.status, it.pending, it.next_capture) == ("CAPTURED", (), None)
    assert len({each.key for each in gateway.asked}) == 4
    assert all(each.automatic for each in gateway.asked)
    assert await told(merchant, settled.session.id) == ["capture", "ok"]
    assert (await sessions.get(merchant.house, ACCOUNT, settled.session.id)).last_error is None
    assert await merchant.captured(order) == {1: 1000}
    assert (await verification.verify(merchant.house)).difference is None


async def test_it_is_not_tried_for_more_than_two_days(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Refusing(merchant, monkeypatch, 1000)
    _, settled = await auto(merchant, 1000)
    for _ in range(60):
        merchant.clock.move(minutes=61)
        await payments.settle_due(merchant.house)
    assert 10 < len(gateway.asked) < 30
    it = await merchant.transaction(settled.transaction.id)
    assert (it.status, it.pending, it.next_capture) == ("AUTHORIZED", (), None)
    last = it.events[-1].created_at
    assert last - it.created_at < timedelta(hours=53)
    before = len(gateway.asked)
    merchant.clock.move(minutes=60 * 24)
    await payments.settle_due(merchant.house)
    assert len(gateway.asked) == before


@pytest.mark.parametrize(("kind", "amount"), [("capture", 400), ("void", None)])
async def test_whoever_acts_by_hand_ends_it(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch, kind: CallKind, amount: int | None
) -> None:
    gateway = Refusing(merchant, monkeypatch, 1)
    _, settled = await auto(merchant, 1000)
    await merchant.operate(settled.transaction.id, kind, amount)
    asked = len(gateway.asked)
    for _ in range(3):
        await merchant.settle()
    assert len(gateway.asked) == asked
    assert (await merchant.transaction(settled.transaction.id)).next_capture is None


async def test_a_capture_by_hand_that_is_declined_ends_it_too(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Refusing(merchant, monkeypatch, 2)
    _, settled = await auto(merchant, 1000)
    with pytest.raises(Refusal, match="not today"):
        await merchant.operate(settled.transaction.id, "capture", 1000)
    for _ in range(3):
        await merchant.settle()
    assert len(gateway.asked) == 2
    await merchant.operate(settled.transaction.id, "capture", 1000)
    assert await told(merchant, settled.session.id) == ["capture", "ok"]


# -- what a final capture leaves


async def capture_finally(merchant: Merchant, id: str, amount: int) -> Settled:
    return await transactions.operate(
        merchant.house, merchant.caller, id, "capture", OperationRequest(amount, final=True)
    )


async def test_what_a_final_capture_leaves_is_released(merchant: Merchant) -> None:
    order = await merchant.order(1000, 500)
    id = await merchant.paid(order, 1, 2)
    settled = await capture_finally(merchant, id, 700)
    assert settled.known
    assert (settled.transaction.status, settled.transaction.pending) == ("CAPTURED", ())
    sums = amounts(settled.transaction)
    assert (sums.captured, sums.voided) == (700, 800)
    state = await merchant.state(order)
    assert sum(each.cancelled for each in state.sums.values()) == 800
    with pytest.raises(Refusal, match="CAPTURED"):
        await merchant.operate(id, "capture", 1)


async def test_a_final_capture_of_everything_releases_nothing(merchant: Merchant) -> None:
    id = await merchant.paid(await merchant.order(1000), 1)
    settled = await capture_finally(merchant, id, 1000)
    assert [each.event for each in settled.transaction.events] == ["AUTHORIZE", "CAPTURE"]


async def test_nothing_is_captured_after_the_final_one_even_if_the_rest_is_not_released(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await merchant.paid(await merchant.order(1000), 1)

    async def refuse(sandbox: Sandbox, instruction: Instruction) -> Answer:
        return NO

    monkeypatch.setattr(Sandbox, "void", refuse)
    settled = await capture_finally(merchant, id, 700)
    assert settled.transaction.status == "PARTIALLY_CAPTURED"
    monkeypatch.undo()
    with pytest.raises(Refusal, match="final"):
        await merchant.operate(id, "capture", 1)
    await merchant.operate(id, "void")
    assert await status(merchant, id) == "CAPTURED"


async def test_a_server_that_dies_before_the_rest_is_released_releases_it_later(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await merchant.paid(await merchant.order(1000), 1)

    async def silent(sandbox: Sandbox, instruction: Instruction) -> Answer:
        raise NoAnswer

    monkeypatch.setattr(Sandbox, "void", silent)
    await capture_finally(merchant, id, 700)
    monkeypatch.undo()
    await merchant.settle()
    assert await status(merchant, id) == "CAPTURED"
    assert amounts(await merchant.transaction(id)).voided == 300


# -- success that comes too late


def sandbox(merchant: Merchant) -> Sandbox:
    return cast(Sandbox, merchant.house.gateways["sandbox"])


async def held_by_the_bank(merchant: Merchant, id: str) -> bool:
    """Whether the sandbox still holds the payer's money."""
    instruction = Instruction(ACCOUNT, id, 1000, "NOK")
    return isinstance(await sandbox(merchant).look_up("authorize", instruction), Approved)


@pytest.mark.parametrize("by", ["payer", "worker"])
async def test_a_payer_who_confirms_after_the_end_of_his_session_is_not_charged(merchant: Merchant, by: str) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    # The bank's own time to answer will not be over, the session's will.
    merchant.clock.time = session.expires_at - timedelta(minutes=1)
    id = (await merchant.pay(session, CHALLENGE)).transaction.id
    other = await merchant.session(await merchant.order(1000), 1)
    await sandbox(merchant).answer_challenge(ACCOUNT, id, True)
    assert await held_by_the_bank(merchant, id)
    merchant.clock.time = session.expires_at + timedelta(seconds=1)
    if by == "payer":
        await payments.come_back(merchant.house, ACCOUNT, session.id, id)
    else:
        await merchant.settle()
    assert not await held_by_the_bank(merchant, id)
    it = await merchant.transaction(id)
    assert (it.status, it.events[-1].success) == ("DECLINED", False)
    assert (await merchant.state(order)).sums[1].claimed == 0
    assert (await merchant.pay(other)).transaction.status == "AUTHORIZED"


async def test_an_approval_that_was_lost_until_after_the_end_is_given_back(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    id = (await merchant.pay(session, ANSWER_LOST)).transaction.id
    merchant.clock.time = session.expires_at
    await merchant.settle()
    assert not await held_by_the_bank(merchant, id)
    assert "expired" in str((await merchant.transaction(id)).events[-1].error)
    assert (await merchant.state(order)).sums[1].claimed == 0


async def test_what_a_gateway_took_at_once_is_refunded_when_it_comes_too_late(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that captures with the authorization has nothing left to release."""
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    await merchant.pay(session, ANSWER_LOST)
    given_back: list[str] = []

    async def void(self: Sandbox, instruction: Instruction) -> Answer:
        return NO

    async def look_up(self: Sandbox, kind: CallKind, instruction: Instruction) -> LookedUp:
        return Approved()

    async def refund(self: Sandbox, instruction: Instruction) -> Answer:
        given_back.append(instruction.key)
        if len(given_back) == 1:
            raise NoAnswer
        return Approved()

    for name, replacement in (("void", void), ("look_up", look_up), ("refund", refund)):
        monkeypatch.setattr(Sandbox, name, replacement)
    merchant.clock.time = session.expires_at
    await merchant.settle()
    assert (await sessions.get(merchant.house, ACCOUNT, session.id)).status == "paying"
    await merchant.settle()
    assert len(given_back) == 2
    assert len(set(given_back)) == 1
    assert (await sessions.get(merchant.house, ACCOUNT, session.id)).status == "open"
    assert (await merchant.state(order)).sums[1].claimed == 0
