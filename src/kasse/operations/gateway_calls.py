"""Calls to gateways: made from an intent that is committed, looked up when no answer came, closed when they shall end.

Every call carries a stable key. What an answer changes is said in ``settling``. Source: design, section 4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from kasse.domain.access import Caller
from kasse.domain.return_links import from_bank
from kasse.domain.transaction import CallKind, CallState, GatewayCall, PaymentError, Transaction
from kasse.gateways.port import (
    Answer,
    Approved,
    CardDetails,
    Declined,
    Gateway,
    Instruction,
    NoAnswer,
    NotFound,
    OnHold,
)
from kasse.gateways.watched import watched
from kasse.operations.house import House
from kasse.operations.settling import Settled, begin_to_close, load_call, settle

_log = structlog.get_logger()


def gateway(house: House, name: str) -> Gateway:
    return watched(house.gateways[name], house.watch)


def instruction(house: House, call: GatewayCall, transaction: Transaction) -> Instruction:
    """What the gateway is told. An authorization's key is the transaction's id."""
    return Instruction(
        account_id=call.account_id,
        key=call.key,
        amount=call.amount,
        currency=call.currency,
        authorization=None if call.kind == "authorize" else transaction.id,
        return_url=from_bank(house.settings.base_url, transaction),
        merchant_reference=transaction.merchant_reference,
        method=transaction.payment_product_type,
        automatic=call.automatic,
    )


async def begun(house: House, caller: Caller, about: str, *kinds: CallKind) -> Settled | None:
    """Where a call has led that the same request made before it was cut off: it is not made again.

    ``about`` is the transaction or session that it must belong to, ``kinds`` what it must be.
    """
    key = caller.begun
    if key is None:
        return None
    found = await house.store.read(lambda loads: load_call(loads, caller.account_id, key))
    return found if found.call.kind in kinds and about in (found.transaction.id, found.session.id) else None


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
        _log.warning("gateway_did_not_answer", gateway=call.gateway, kind=call.kind, key=call.key)
        answer = None
    except Exception as error:
        # Whatever went wrong, the call may have reached the gateway: that is for the look-up to find out.
        _log.error("gateway_call_failed", gateway=call.gateway, kind=call.kind, key=call.key, exc_info=error)
        answer = None
    return await _settle(house, call, answer)


async def _settle(house: House, call: GatewayCall, answer: Answer | None) -> Settled:
    """Settle a call, and make what follows from it by itself: an automatic capture, the void after a final one, or
    the end of a payment that came too late."""
    settled = await settle(house, call.account_id, call.key, answer)
    if settled.call.state == "closing" and isinstance(answer, Approved | OnHold):
        return await close_attempt(house, settled.call, settled.transaction)
    return await follow(house, settled)


async def follow(house: House, settled: Settled) -> Settled:
    """Make the call that follows by itself, if there is one; answers how all stands after it."""
    if settled.next is None:
        return settled
    after = await make_call(house, settled.next, settled.transaction, None)
    return replace(settled, transaction=after.transaction, session=after.session, next=None)


async def look_up(house: House, call: GatewayCall, transaction: Transaction) -> Settled:
    """Ask the gateway what became of a call, and settle it.

    An authorization that it never got is closed there first, so that it cannot arrive later; any other call that it
    never got is made again with the same key.
    """
    if call.state == "closing":
        return await close_attempt(house, call, transaction)
    told = instruction(house, call, transaction)
    port = gateway(house, call.gateway)
    try:
        async with asyncio.timeout(house.settings.gateway_timeout):
            found = await port.look_up(call.kind, told)
    except (TimeoutError, NoAnswer):
        _log.warning("gateway_look_up_not_answered", gateway=call.gateway, kind=call.kind, key=call.key)
        return await settle(house, call.account_id, call.key, None)
    except Exception as error:
        _log.error("gateway_look_up_failed", gateway=call.gateway, kind=call.kind, key=call.key, exc_info=error)
        return await settle(house, call.account_id, call.key, None)
    if not isinstance(found, NotFound):
        return await _settle(house, call, found)
    if call.kind == "authorize":
        return await close_attempt(house, call, transaction, (call.state,))
    return await make_call(house, call, transaction, None)


async def close_attempt(
    house: House,
    call: GatewayCall,
    transaction: Transaction,
    states: Sequence[CallState] = ("waiting_for_payer",),
) -> Settled:
    """End a payment whose call is in one of these states: after this the gateway cannot keep it authorized any more.

    That it shall end is committed first, so that no payment is recorded that the gateway then releases: the payer may
    confirm it at the same moment in another window, the payment may arrive while the release is on its way, and the
    release may arrive long after nobody waits for it. What the gateway has taken by then is given back.
    """
    closing = await begin_to_close(house, call.account_id, call.key, states)
    if closing.call.state != "closing":
        return closing
    told = instruction(house, call, transaction)
    try:
        async with asyncio.timeout(house.settings.gateway_timeout):
            ended = await _ended(gateway(house, call.gateway), told)
    except (TimeoutError, NoAnswer):
        return await settle(house, call.account_id, call.key, None)
    except Exception as error:
        _log.error("gateway_close_failed", gateway=call.gateway, kind=call.kind, key=call.key, exc_info=error)
        return await settle(house, call.account_id, call.key, None)
    if not ended:
        _log.error("payment_not_closed", gateway=call.gateway, key=call.key)
        return await settle(house, call.account_id, call.key, None)
    return await settle(house, call.account_id, call.key, _why_closed(house, closing))


def _why_closed(house: House, closing: Settled) -> Declined:
    call = closing.call
    if house.clock.now(call.account_id) >= closing.session.expires_at:
        message = "the session expired before the payment was confirmed"
    elif call.action_url is None:
        return Declined(PaymentError("the gateway did not receive the payment in time", type=("ERROR",)))
    else:
        message = "the payer left before the payment was confirmed"
    return Declined(PaymentError(message, type=("DECLINED",)), by_payer=True)


async def _ended(port: Gateway, told: Instruction) -> bool:
    """Release what a payment may hold; what cannot be released because it was taken at once is refunded."""
    closing = _closing(told)
    if isinstance(await port.void(closing), Approved):
        return True
    if isinstance(await port.look_up("authorize", told), Approved):
        return isinstance(await port.refund(replace(closing, key=f"{told.key}:give-back")), Approved)
    return False


def _closing(told: Instruction) -> Instruction:
    return Instruction(
        account_id=told.account_id,
        key=f"{told.key}:close",
        amount=told.amount,
        currency=told.currency,
        authorization=told.key,
        method=told.method,
    )
