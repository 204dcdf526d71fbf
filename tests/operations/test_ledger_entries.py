"""What a merchant records on an order, and which payment it moves."""

from __future__ import annotations

import asyncio

import pytest

from kasse.domain.ledger import LineAmount
from kasse.domain.refusals import Refusal
from kasse.domain.session import ChosenItem, SessionUrl
from kasse.domain.transaction import amounts
from kasse.operations import ledger_entries, sessions
from kasse.operations.ledger_entries import EntryRequest
from kasse.operations.sessions import SessionRequest
from kasse.operations.verification import verify
from tests.operations.conftest import ACCOUNT, Merchant


async def paid_in_part(merchant: Merchant, order: str, amount: int) -> str:
    """Pay a part of line 1; answers the transaction's id."""
    request = SessionRequest((ChosenItem(1, amount),), "default", SessionUrl("https://shop.example/done"))
    session = await sessions.open_for_order(merchant.house, merchant.caller, order, request)
    return (await merchant.pay(session)).transaction.id


async def captured(merchant: Merchant, transaction: str) -> int:
    return amounts(await merchant.transaction(transaction)).captured


async def test_a_capture_on_the_order_moves_the_money_of_its_transaction(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1)
    entry = await merchant.record(order, "capture", {1: 300})
    assert (entry.transaction_id, entry.from_order, entry.amount) == (transaction, True, 300)
    assert await captured(merchant, transaction) == 300


async def test_the_oldest_payment_of_a_line_is_captured_first(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    first, second = await paid_in_part(merchant, order, 400), await paid_in_part(merchant, order, 600)
    await merchant.record(order, "capture", {1: 400})
    assert (await captured(merchant, first), await captured(merchant, second)) == (400, 0)


async def test_lines_of_several_payments_are_not_captured_by_one_call(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    first, second = await paid_in_part(merchant, order, 400), await paid_in_part(merchant, order, 600)
    with pytest.raises(Refusal) as refused:
        await merchant.record(order, "capture", {1: 401})
    assert refused.value.reason == "ambiguous_authorization"
    for transaction, amount in ((first, 400), (second, 600)):
        authorization_id = (await merchant.transaction(transaction)).authorization_id
        request = EntryRequest((LineAmount(1, amount),), authorization_id=authorization_id)
        await ledger_entries.record(merchant.house, merchant.caller, order, "capture", request)
        assert await captured(merchant, transaction) == amount


async def test_what_a_transaction_did_and_the_order_records_as_well_is_done_once(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1)
    await merchant.operate(transaction, "capture", 1000)
    request = EntryRequest((LineAmount(1, 1000),), payment_id=transaction)
    entry = await ledger_entries.record(merchant.house, merchant.caller, order, "capture", request)
    assert [entry] == await ledger_entries.list_of_order(merchant.house, ACCOUNT, order, "capture")


async def record(merchant: Merchant, order: str, transaction: str, amount: int) -> str:
    """Record a capture of line 1 that names the transaction; answers the entry's id."""
    request = EntryRequest((LineAmount(1, amount),), payment_id=transaction)
    return (await ledger_entries.record(merchant.house, merchant.caller, order, "capture", request)).id


async def test_the_same_amount_can_be_captured_again_by_naming_the_payment_again(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1)
    for _ in range(2):
        await merchant.operate(transaction, "capture", 300)
    first, second = [await record(merchant, order, transaction, 300) for _ in range(2)]
    assert first != second
    assert await captured(merchant, transaction) == 600
    third = await record(merchant, order, transaction, 300)
    assert third not in (first, second)
    assert await captured(merchant, transaction) == 900
    with pytest.raises(Refusal) as refused:
        await record(merchant, order, transaction, 300)
    assert refused.value.reason == "amount_above_left"
    assert (await verify(merchant.house)).difference is None


async def test_what_is_recorded_several_times_at_once_is_matched_once(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1)
    await merchant.operate(transaction, "capture", 100)
    ids = await asyncio.gather(*(record(merchant, order, transaction, 100) for _ in range(4)))
    assert len({*ids}) == 4
    assert await captured(merchant, transaction) == 400
    assert (await verify(merchant.house)).difference is None


async def test_a_failed_capture_is_listed_and_moves_nothing(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    transaction = await merchant.paid(order, 1)
    request = EntryRequest((LineAmount(1, 1000),), success=False)
    entry = await ledger_entries.record(merchant.house, merchant.caller, order, "capture", request)
    assert not entry.success
    assert await captured(merchant, transaction) == 0
    assert await merchant.captured(order) == {1: 0}


async def test_a_capture_that_names_a_payment_moves_the_money_of_that_payment(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    first, second = await paid_in_part(merchant, order, 400), await paid_in_part(merchant, order, 600)
    request = EntryRequest((LineAmount(1, 400),), payment_id=second)
    await ledger_entries.record(merchant.house, merchant.caller, order, "capture", request)
    assert (await captured(merchant, first), await captured(merchant, second)) == (0, 400)
