"""What the answers of gateways change, whenever and however often they come."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast

import pytest

from kasse.domain.refusals import Refusal
from kasse.domain.transaction import CallKind, GatewayCall, PaymentError, Transaction, amounts
from kasse.gateways.port import Answer, Approved, Declined, Instruction, LookedUp, NoAnswer, NotFound
from kasse.gateways.sandbox import Sandbox
from kasse.operations import payments, sessions, settling, transactions, verification
from kasse.operations.transactions import OperationRequest
from kasse.store.port import Loads
from tests.operations.conftest import ACCOUNT, Merchant
from tests.running import PATIENCE_S

NEVER_ARRIVES, ANSWER_LOST = "5100000000000008", "4100000000000001"
CAPTURE_LOST, CAPTURE_NEVER_ARRIVES = "4100000000000019", "5100000000000016"
CHALLENGE = "4000100000000000"
NO = Declined(PaymentError("no", type=("DECLINED",)))


def sandbox(merchant: Merchant) -> Sandbox:
    return cast(Sandbox, merchant.house.gateways["sandbox"])


async def calls_of(merchant: Merchant) -> list[GatewayCall]:
    """Those without an answer."""

    async def query(loads: Loads) -> list[GatewayCall]:
        return await loads.due_gateway_calls(merchant.clock.time + timedelta(days=1), 100)

    return await merchant.house.store.read(query)


async def test_a_payment_that_never_arrived_is_closed_and_its_lines_are_free_again(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    unknown = await merchant.pay(session, NEVER_ARRIVES)
    assert not unknown.known
    assert (await merchant.state(order)).sums[1].claimed == 1000
    await merchant.settle()
    assert (await merchant.transaction(unknown.transaction.id)).status == "FAILED"
    assert (await merchant.state(order)).sums[1].claimed == 0
    assert (await merchant.pay(session)).transaction.status == "AUTHORIZED"


async def test_a_payment_whose_answer_was_lost_is_found(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    unknown = await merchant.pay(await merchant.session(order, 1), ANSWER_LOST)
    await merchant.settle()
    assert (await merchant.transaction(unknown.transaction.id)).status == "AUTHORIZED"
    assert (await merchant.state(order)).sums[1].authorized == 1000


async def test_a_look_up_that_is_not_answered_holds_up_no_other(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await merchant.order(1000, 1000)
    first, second = [
        (await merchant.pay(await merchant.session(order, line), ANSWER_LOST)).transaction.id for line in (1, 2)
    ]
    look_up, second_is_settled = Sandbox.look_up, asyncio.Event()

    async def one_waits(self: Sandbox, kind: CallKind, instruction: Instruction) -> LookedUp:
        if instruction.key == first:
            await second_is_settled.wait()
        return await look_up(self, kind, instruction)

    monkeypatch.setattr(Sandbox, "look_up", one_waits)
    settling_all = asyncio.create_task(merchant.settle())
    async with asyncio.timeout(PATIENCE_S):
        while (await merchant.transaction(second)).status != "AUTHORIZED":
            await asyncio.sleep(0.01)
    second_is_settled.set()
    await settling_all
    assert (await merchant.transaction(first)).status == "AUTHORIZED"


@pytest.mark.parametrize("card", [CAPTURE_LOST, CAPTURE_NEVER_ARRIVES])
async def test_a_capture_without_an_answer_is_captured_once_in_the_end(merchant: Merchant, card: str) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1, card=card)
    assert not (await merchant.operate(transaction, "capture", 1000)).known
    assert await merchant.captured(order) == {1: 0}
    for _ in range(3):
        await merchant.settle()
    assert await merchant.captured(order) == {1: 1000}
    names = [event.event for event in (await merchant.transaction(transaction)).events]
    assert names == ["AUTHORIZE", "INITIATE_CAPTURE", "CAPTURE"]


async def test_an_answer_that_comes_again_changes_nothing(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    settled = await merchant.pay(await merchant.session(order, 1))
    for answer in (Approved(), NO, None):
        again = await settling.settle(merchant.house, ACCOUNT, settled.call.key, answer)
        assert again.transaction == settled.transaction
        assert again.error is None
    assert (await merchant.state(order)).sums[1].authorized == 1000


async def test_a_declined_capture_is_noted_and_leaves_its_money(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1)

    async def refuse(instruction: Instruction) -> Answer:
        return NO

    monkeypatch.setattr(sandbox(merchant), "capture", refuse)
    with pytest.raises(Refusal) as refused:
        await merchant.operate(transaction, "capture", 1000)
    assert refused.value.reason == "gateway_declined"
    monkeypatch.undo()
    it = await merchant.transaction(transaction)
    assert (it.status, it.pending, [event.success for event in it.events]) == ("AUTHORIZED", (), [True, False])
    await merchant.operate(transaction, "capture", 1000)
    assert await merchant.captured(order) == {1: 1000}


async def test_what_is_left_is_voided_and_may_be_paid_anew(merchant: Merchant) -> None:
    order = await merchant.order(1000, 500)
    transaction = await merchant.paid(order, 1, 2)
    await merchant.operate(transaction, "capture", 400)
    await merchant.operate(transaction, "void")
    assert amounts(await merchant.transaction(transaction)).voided == 1100
    assert (await merchant.session(order, 1, 2)).amount == 1100
    assert (await merchant.state(order)).order.payment_status == "paid"
    await merchant.paid(order, 1, 2)
    assert (await merchant.state(order)).order.payment_status == "partially_paid"


async def test_a_look_up_that_gets_no_answer_waits_longer_each_time(merchant: Merchant) -> None:
    await merchant.pay(await merchant.session(await merchant.order(1000), 1), ANSWER_LOST)
    pauses = []
    for _ in range(12):
        [call] = await calls_of(merchant)
        pauses.append((cast(Any, call.look_up_at) - merchant.clock.time).total_seconds())
        await settling.settle(merchant.house, ACCOUNT, call.key, None)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (2, 300)


async def test_a_payer_who_never_comes_back_gives_his_lines_back(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    await merchant.pay(session, CHALLENGE)
    for _ in range(4):
        await merchant.settle()
    assert (await sessions.get(merchant.house, ACCOUNT, session.id)).status == "open"
    assert (await merchant.state(order)).sums[1].claimed == 0


async def test_a_call_whose_maker_died_is_looked_up(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)

    async def die(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(payments, "make_call", die)
    with pytest.raises(KeyboardInterrupt):
        await merchant.pay(session)
    monkeypatch.undo()
    assert (await merchant.state(order)).sums[1].claimed == 1000
    await merchant.settle()
    assert (await merchant.state(order)).sums[1].claimed == 0
    assert (await merchant.pay(session)).transaction.status == "AUTHORIZED"
    assert (await verification.verify(merchant.house)).difference is None


# -- what once went wrong


async def test_one_look_up_that_fails_does_not_keep_the_others_waiting(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = [await merchant.pay(await merchant.session(await merchant.order(1000), 1), ANSWER_LOST) for _ in range(2)]
    look_up = Sandbox.look_up

    async def broken_for_one(self: Sandbox, kind: CallKind, instruction: Instruction) -> LookedUp:
        if instruction.key == paid[0].call.key:
            raise ConnectionResetError("reset by peer")
        return await look_up(self, kind, instruction)

    monkeypatch.setattr(Sandbox, "look_up", broken_for_one)
    await merchant.settle()
    assert (await merchant.transaction(paid[1].transaction.id)).status == "AUTHORIZED"


async def test_a_payment_that_the_gateway_will_not_close_stays_unknown(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    await merchant.pay(session, NEVER_ARRIVES)

    async def not_found(kind: CallKind, instruction: Instruction) -> LookedUp:
        return NotFound()

    async def refuse(instruction: Instruction) -> Answer:
        return NO

    monkeypatch.setattr(sandbox(merchant), "look_up", not_found)
    monkeypatch.setattr(sandbox(merchant), "void", refuse)
    await merchant.settle()
    assert (await sessions.get(merchant.house, ACCOUNT, session.id)).status == "paying"


async def started(merchant: Merchant, transaction: str, kind: CallKind, amount: int) -> tuple[GatewayCall, Transaction]:
    return await transactions._start(merchant.house, merchant.caller, transaction, kind, OperationRequest(amount))


async def test_a_refusal_that_is_told_twice_is_a_refusal_both_times(merchant: Merchant) -> None:
    transaction = await merchant.paid(await merchant.order(1000), 1)
    call, _ = await started(merchant, transaction, "capture", 1000)
    for _ in range(2):
        settled = await settling.settle(merchant.house, ACCOUNT, call.key, NO)
        assert settled.error == NO.error


async def test_an_authorization_told_again_is_not_blamed_for_a_later_capture(merchant: Merchant) -> None:
    transaction = await merchant.paid(await merchant.order(1000), 1)
    call, _ = await started(merchant, transaction, "capture", 1000)
    await settling.settle(merchant.house, ACCOUNT, call.key, NO)
    assert (await settling.settle(merchant.house, ACCOUNT, transaction, Approved())).error is None


async def test_capturing_the_shipping_leaves_the_lines_alone(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1, shipping=100)
    request = OperationRequest(100, items=({"line_id": "post", "amount": 100},))
    await transactions.operate(merchant.house, merchant.caller, transaction, "capture", request)
    assert await merchant.captured(order) == {1: 0}


async def test_the_shipping_is_captured_once_and_the_rest_falls_on_the_lines(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1, shipping=100)
    request = OperationRequest(100, items=({"line_id": "post", "amount": 100},))
    for _ in range(2):
        await transactions.operate(merchant.house, merchant.caller, transaction, "capture", request)
    assert await merchant.captured(order) == {1: 100}
    await merchant.operate(transaction, "capture", 900)
    assert await merchant.captured(order) == {1: 1000}
    assert (await verification.verify(merchant.house)).difference is None


async def test_a_yes_that_arrives_while_a_payment_is_being_released_is_not_recorded(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    id = (await merchant.pay(session, CHALLENGE)).transaction.id

    async def void(self: Sandbox, instruction: Instruction) -> Answer:
        raise NoAnswer

    with monkeypatch.context() as patched:
        patched.setattr(Sandbox, "void", void)
        with pytest.raises(Refusal, match="does not answer"):
            await payments.start_over(merchant.house, ACCOUNT, session.id)
    # The payer has confirmed in another window, and the answer to that comes last.
    settled = await settling.settle(merchant.house, ACCOUNT, id, Approved())
    assert (settled.call.state, settled.transaction.status) == ("closing", "INITIATED")
    assert (await merchant.state(order)).sums[1].authorized == 0
    await merchant.settle()
    assert (await merchant.transaction(id)).status == "DECLINED"
    assert (await merchant.state(order)).sums[1].claimed == 0
