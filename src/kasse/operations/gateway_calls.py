"""Calls to gateways: made from an intent that is committed, looked up when no answer came, closed when they shall end.

Every call carries a stable key. What an answer changes is said in ``settling``. Source: design, section 4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import structlog

from kasse.domain.transaction import GatewayCall, PaymentError, Transaction
from kasse.gateways.port import Answer, Approved, CardDetails, Declined, Gateway, Instruction, NoAnswer, NotFound
from kasse.operations.house import House
from kasse.operations.settling import Settled, first_look_up, load_call, settle
from kasse.store.port import Loads, Record

_log = structlog.get_logger()


def gateway(house: House, name: str) -> Gateway:
    return house.gateways[name]


def instruction(house: House, call: GatewayCall, transaction: Transaction) -> Instruction:
    """What the gateway is told. An authorization's key is the transaction's id."""
    base = house.settings.base_url
    return Instruction(
        account_id=call.account_id,
        key=call.key,
        amount=call.amount,
        currency=call.currency,
        authorization=None if call.kind == "authorize" else transaction.id,
        return_url=f"{base}/v1/sessions/{transaction.session_id}/redirect/{transaction.id}",
        merchant_reference=transaction.merchant_reference,
        method=transaction.payment_product_type,
    )


async def make_call(house: House, call: GatewayCall, transaction: Transaction, card: CardDetails | None) -> Settled:
    """Make a call that is committed as an intent, and settle it with whatever comes back."""
    told = instruction(house, call, transaction)
    port = gateway(house, call.gateway)
    answer: Answer | None
    try:
        async with asyncio.timeout(house.settings.gateway_timeout):
            if call.kind == "authorize":
                answer = await port.authorize(told, card)
            elif call.kind == "capture":
                answer = await port.capture(told)
            elif call.kind == "refund":
                answer = await port.refund(told)
            else:
                answer = await port.void(told)
    except (TimeoutError, NoAnswer):
        answer = None
    except Exception as error:
        # Whatever went wrong, the call may have reached the gateway: that is for the look-up to find out.
        _log.error("gateway_call_failed", gateway=call.gateway, kind=call.kind, key=call.key, exc_info=error)
        answer = None
    return await settle(house, call.account_id, call.key, answer)


async def look_up(house: House, call: GatewayCall, transaction: Transaction) -> Settled:
    """Ask the gateway what became of a call, and settle it.

    An authorization that it never got is closed there first, so that it cannot arrive later; any other call that it
    never got is made again with the same key.
    """
    if call.state == "closing":
        return await close_attempt(house, call, transaction)
    told = instruction(house, call, transaction)
    port = gateway(house, call.gateway)
    answer: Answer | None = None
    try:
        async with asyncio.timeout(house.settings.gateway_timeout):
            found = await port.look_up(call.kind, told)
            if not isinstance(found, NotFound):
                answer = found
            elif call.kind == "authorize" and isinstance(await port.void(_closing(told)), Approved):
                answer = Declined(PaymentError("the gateway never received the payment", type=("ERROR",)))
    except (TimeoutError, NoAnswer):
        return await settle(house, call.account_id, call.key, None)
    except Exception as error:
        _log.error("gateway_look_up_failed", gateway=call.gateway, kind=call.kind, key=call.key, exc_info=error)
        return await settle(house, call.account_id, call.key, None)
    if answer is None and call.kind != "authorize":
        return await make_call(house, call, transaction, None)
    return await settle(house, call.account_id, call.key, answer)


async def close_attempt(house: House, call: GatewayCall, transaction: Transaction) -> Settled:
    """End a payment whose payer is busy elsewhere: after this the gateway cannot authorize it any more.

    That it shall end is committed first, so that a payer who confirms it at the same moment, in another window, does
    not have a payment recorded that the gateway then releases.
    """
    closing = await _begin_to_close(house, call)
    if closing.call.state != "closing":
        return closing
    told = instruction(house, call, transaction)
    try:
        async with asyncio.timeout(house.settings.gateway_timeout):
            answer = await gateway(house, call.gateway).void(_closing(told))
    except (TimeoutError, NoAnswer):
        return await settle(house, call.account_id, call.key, None)
    if not isinstance(answer, Approved):
        return await settle(house, call.account_id, call.key, None)
    error = PaymentError("the payer left before the payment was confirmed", type=("DECLINED",))
    return await settle(house, call.account_id, call.key, Declined(error, by_payer=True))


async def _begin_to_close(house: House, call: GatewayCall) -> Settled:
    """Commit that a payment shall end, unless its outcome is known by now."""

    async def decide(loads: Loads) -> tuple[Settled, Sequence[Record]]:
        found = await load_call(loads, call.account_id, call.key)
        if found.call.state != "waiting_for_payer":
            return found, ()
        look_up_at = first_look_up(house)
        closing = msgspec.structs.replace(
            found.call, state="closing", look_up_at=look_up_at, version=found.call.version + 1
        )
        return replace(found, call=closing), (closing,)

    return await house.store.change(decide)


def _closing(told: Instruction) -> Instruction:
    return Instruction(
        account_id=told.account_id,
        key=f"{told.key}:close",
        amount=told.amount,
        currency=told.currency,
        authorization=told.key,
        method=told.method,
    )
