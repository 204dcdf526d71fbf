"""An order is cancelled while others are at it."""

from __future__ import annotations

from typing import Any

import pytest

from kasse.domain.refusals import Refusal
from kasse.operations import order_status, transactions
from tests.operations.conftest import Merchant

CHALLENGE = "4000100000000000"


async def test_a_payment_that_comes_in_while_the_order_is_cancelled_is_released_too(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await merchant.order(1000, 500)
    first = await merchant.paid(order, 1)
    late: list[str] = []
    operate = transactions.operate

    async def with_a_payer(*arguments: Any) -> Any:
        if not late:
            late.append(await merchant.paid(order, 2))
        return await operate(*arguments)

    monkeypatch.setattr(transactions, "operate", with_a_payer)
    with pytest.raises(Refusal, match="cancel again") as refused:
        await order_status.cancel(merchant.house, merchant.caller, order, "customer")
    assert refused.value.status == 409
    assert (await merchant.state(order)).order.status == "open"
    assert (await merchant.transaction(late[0])).status == "AUTHORIZED"
    details = await order_status.cancel(merchant.house, merchant.caller, order, "customer")
    assert details.state.order.status == "cancelled"
    assert {(await merchant.transaction(id)).status for id in (first, late[0])} == {"AUTHORIZATION_VOIDED"}
    assert details.state.order.sums.cancelled == 1500


async def test_an_order_that_is_being_paid_is_not_cancelled(merchant: Merchant) -> None:
    order = await merchant.order(1000)
    await merchant.pay(await merchant.session(order, 1), CHALLENGE)
    assert (await merchant.state(order)).sums[1].claimed == 1000
    with pytest.raises(Refusal, match="being paid"):
        await order_status.cancel(merchant.house, merchant.caller, order, "customer")
    assert (await merchant.state(order)).order.status == "open"
