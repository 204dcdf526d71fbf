"""Several who want the same money at once, or again before the first answer is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest

from kasse.domain.refusals import Refusal
from kasse.gateways.port import Answer, Approved, Instruction, NoAnswer
from kasse.gateways.sandbox import Sandbox
from kasse.operations import payments, settling, transactions, verification
from kasse.operations.house import House
from kasse.operations.settling import Settled
from tests.operations.conftest import ACCOUNT, Merchant

CHALLENGE = "4000100000000000"
LOST_CAPTURE = "4100000000000019"


async def consistent(house: House) -> None:
    assert (await verification.verify(house)).difference is None


def reasons(outcomes: Iterable[Any]) -> list[str]:
    """Why some were refused; any other mistake comes to light."""
    failed = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(isinstance(each, Refusal) for each in failed), failed
    return [cast(Refusal, each).reason for each in failed]


async def test_of_fifty_payers_of_the_same_lines_one_pays(merchant: Merchant) -> None:
    order = await merchant.order(1000, 500)
    opened = [await merchant.session(order, *([1], [2], [1, 2])[n % 3]) for n in range(50)]
    outcomes = await asyncio.gather(*(merchant.pay(each) for each in opened), return_exceptions=True)
    refused = reasons(outcomes)
    assert set(refused) <= {"line_being_paid", "nothing_left_to_pay"}
    assert 48 <= len(refused) <= 49
    sums = (await merchant.state(order)).sums
    assert all(each.authorized in (0, each.payable) and each.claimed == 0 for each in sums.values())
    await consistent(merchant.house)


async def test_a_session_paid_twice_at_once_is_paid_once(merchant: Merchant) -> None:
    session = await merchant.session(await merchant.order(1000), 1)
    outcomes = await asyncio.gather(merchant.pay(session), merchant.pay(session), return_exceptions=True)
    assert reasons(outcomes) in (["session_being_paid"], ["session_paid"])


async def test_ten_captures_of_a_transaction_at_once_take_no_more_than_it_has(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1)
    captures = (merchant.operate(transaction, "capture", 300) for _ in range(10))
    refused = reasons(await asyncio.gather(*captures, return_exceptions=True))
    assert len(refused) == 7
    assert set(refused) <= {"amount_above_left", "outcome_unknown"}
    assert await merchant.captured(order) == {1: 900}
    await consistent(merchant.house)


async def test_a_capture_tried_again_before_the_answer_takes_no_other_line(merchant: Merchant) -> None:
    order = await merchant.order(1000, 1000)
    await merchant.paid(order, 1, 2, card=LOST_CAPTURE)
    for _ in range(3):
        with pytest.raises(Refusal) as refused:
            await merchant.record(order, "capture", {1: 1000})
        assert refused.value.reason == "outcome_unknown"
    await merchant.settle()
    assert await merchant.captured(order) == {1: 1000, 2: 0}
    await consistent(merchant.house)


async def test_a_refund_before_the_answer_to_a_capture_is_recorded_on_what_is_captured(merchant: Merchant) -> None:
    order = await merchant.order(1000, 1000)
    transaction = await merchant.paid(order, 1, 2, card=LOST_CAPTURE)
    with pytest.raises(Refusal, match="has not answered"):
        await merchant.record(order, "capture", {2: 1000})
    await merchant.settle()
    with pytest.raises(Refusal, match="has not answered"):
        await merchant.record(order, "capture", {1: 1000})
    await merchant.operate(transaction, "refund", 1000)
    assert await merchant.refunded(order) == {1: 0, 2: 1000}
    await consistent(merchant.house)


async def test_a_capture_clicked_twice_captures_its_line_once_and_no_other(merchant: Merchant) -> None:
    order = await merchant.order(1000, 1000)
    await merchant.paid(order, 1, 2)
    clicks = (merchant.record(order, "capture", {1: 1000}) for _ in range(2))
    assert len(reasons(await asyncio.gather(*clicks, return_exceptions=True))) == 1
    assert await merchant.captured(order) == {1: 1000, 2: 0}


async def test_a_refund_clicked_twice_refunds_its_line_once_and_no_other(merchant: Merchant) -> None:
    order = await merchant.order(1000, 1000)
    transaction = await merchant.paid(order, 1, 2)
    await merchant.operate(transaction, "capture", 2000)
    clicks = (merchant.record(order, "refund", {1: 1000}) for _ in range(2))
    assert len(reasons(await asyncio.gather(*clicks, return_exceptions=True))) == 1
    assert await merchant.refunded(order) == {1: 1000, 2: 0}


async def test_a_line_captured_by_someone_else_in_between_is_not_replaced_by_another(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await merchant.order(1000, 1000)
    await merchant.paid(order, 1, 2)
    operate = transactions.operate

    async def after_someone_else(*arguments: Any) -> Settled:
        monkeypatch.undo()
        await merchant.record(order, "capture", {1: 1000})
        return await operate(*arguments)

    monkeypatch.setattr(transactions, "operate", after_someone_else)
    with pytest.raises(Refusal):
        await merchant.record(order, "capture", {1: 1000})
    assert await merchant.captured(order) == {1: 1000, 2: 0}


async def test_a_payer_who_starts_over_while_his_payment_succeeds_does_not_lose_it_unseen(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    transaction = (await merchant.pay(session, CHALLENGE)).transaction
    sandbox = cast(Sandbox, merchant.house.gateways["sandbox"])
    void = sandbox.void

    async def meanwhile_he_confirmed_in_the_other_tab(instruction: Instruction) -> Answer:
        await sandbox.answer_challenge(ACCOUNT, transaction.id, True)
        await payments.come_back(merchant.house, ACCOUNT, session.id, transaction.id)
        return await void(instruction)

    monkeypatch.setattr(sandbox, "void", meanwhile_he_confirmed_in_the_other_tab)
    await payments.start_over(merchant.house, ACCOUNT, session.id)
    book = await merchant.house.store.book_get(ACCOUNT, transaction.id) or {}
    released = sum(step.get("moved", 0) for step in book.get("steps", {}).values())
    status = (await merchant.transaction(transaction.id)).status
    assert (status, released) in (("AUTHORIZED", 0), ("DECLINED", 1000))
    await consistent(merchant.house)


async def test_a_yes_that_was_on_its_way_when_the_payer_started_over_comes_too_late(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    call = (await merchant.pay(session, CHALLENGE)).call
    sandbox = cast(Sandbox, merchant.house.gateways["sandbox"])
    void = sandbox.void

    async def meanwhile_a_look_up_brings_its_answer(instruction: Instruction) -> Answer:
        await sandbox.answer_challenge(ACCOUNT, call.key, True)
        answer = await void(instruction)
        await settling.settle(merchant.house, ACCOUNT, call.key, Approved())
        return answer

    monkeypatch.setattr(sandbox, "void", meanwhile_a_look_up_brings_its_answer)
    await payments.start_over(merchant.house, ACCOUNT, session.id)
    assert (await merchant.transaction(call.key)).status == "DECLINED"
    assert (await merchant.state(order)).sums[1].authorized == 0
    assert (await merchant.pay(session)).transaction.status == "AUTHORIZED"


async def test_a_payment_whose_end_was_not_confirmed_ends_when_it_is(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await merchant.order(1000)
    session = await merchant.session(order, 1)
    transaction = (await merchant.pay(session, CHALLENGE)).transaction
    sandbox = cast(Sandbox, merchant.house.gateways["sandbox"])
    void = sandbox.void

    async def answer_lost(instruction: Instruction) -> Answer:
        await void(instruction)
        raise NoAnswer

    monkeypatch.setattr(sandbox, "void", answer_lost)
    with pytest.raises(Refusal) as refused:
        await payments.start_over(merchant.house, ACCOUNT, session.id)
    assert refused.value.reason == "outcome_unknown"
    monkeypatch.undo()
    await payments.come_back(merchant.house, ACCOUNT, session.id, transaction.id)
    assert (await merchant.state(order)).sums[1].claimed == 1000
    await merchant.settle()
    assert (await merchant.transaction(transaction.id)).status == "DECLINED"
    assert (await merchant.state(order)).sums[1].claimed == 0
