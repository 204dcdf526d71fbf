"""After payment: capture, refund and void, in whole or in part.

Each is an intent first, then a call to the gateway, then an event of the transaction and an entry on the order, so
that both always agree. Source: checkout reference, sections 7 and 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kasse.domain import transaction as rules
from kasse.domain.access import Caller
from kasse.domain.ledger import LineAmount
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import CallKind, GatewayCall, Pending, Transaction
from kasse.operations.gateway_calls import make_call
from kasse.operations.house import House
from kasse.operations.settling import Settled, first_look_up
from kasse.store.port import Loads, Record


class OperationRequest(msgspec.Struct, frozen=True):
    """A capture, refund or void. ``amount`` in minor units; None voids all that is left.

    ``items`` are as the caller sent them, ``lines`` those of them that name lines of the order. ``order_request`` is
    set when the merchant asked for it on the order: the fields that its entry shall keep.
    """

    amount: int | None = None
    items: tuple[dict[str, Any], ...] = ()
    lines: tuple[LineAmount, ...] = ()
    reference: str | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    order_request: dict[str, Any] | None = None


async def get(house: House, account_id: str, transaction_id: str) -> Transaction:
    """Raises ``Refusal`` (transaction_not_found)."""
    return await house.store.glance(lambda loads: load(loads, account_id, transaction_id))


async def get_with_session(
    house: House, account_id: str, transaction_id: str
) -> tuple[Transaction, PaymentSession | None]:
    """Raises ``Refusal`` (transaction_not_found)."""

    async def query(loads: Loads) -> tuple[Transaction, PaymentSession | None]:
        transaction = await load(loads, account_id, transaction_id)
        return transaction, await loads.session(account_id, transaction.session_id)

    return await house.store.glance(query)


async def load(loads: Loads, account_id: str, transaction_id: str) -> Transaction:
    transaction = await loads.transaction(account_id, transaction_id)
    if transaction is None:
        raise Refusal("transaction_not_found", f"there is no transaction {transaction_id[:100]!r} in this account")
    return transaction


async def operate(
    house: House, caller: Caller, transaction_id: str, kind: CallKind, request: OperationRequest
) -> Settled:
    """Capture, refund or void. Where the gateway's answer is missing, ``known`` is False and nothing is decided.

    Raises ``Refusal``: transaction_not_found, wrong_state, amount_not_positive, amount_above_left, outcome_unknown,
    gateway_declined (the refusal is recorded on the transaction as a failed event).
    """
    call, transaction = await _start(house, caller, transaction_id, kind, request)
    settled = await make_call(house, call, transaction, None)
    if settled.known and settled.error is not None:
        raise Refusal("gateway_declined", f"the gateway refused to {kind} {call.amount}: {settled.error.message}")
    return settled


async def _start(
    house: House, caller: Caller, transaction_id: str, kind: CallKind, request: OperationRequest
) -> tuple[GatewayCall, Transaction]:
    """Commit the intent: from here on nobody else gets the same money."""

    async def decide(loads: Loads) -> tuple[tuple[GatewayCall, Transaction], Sequence[Record]]:
        transaction = await load(loads, caller.account_id, transaction_id)
        rules.require_allowed(transaction, kind)
        amount = rules.left_for(transaction, kind) if request.amount is None else request.amount
        if kind == "void" and transaction.pending:
            raise rules.outcome_unknown(transaction, kind, amount)
        rules.check_operation(transaction, kind, amount)
        now = house.clock.now(caller.account_id)
        call = GatewayCall(
            account_id=caller.account_id,
            key=f"{transaction.id}:{kind}:{house.ids.uuid()}",
            transaction_id=transaction.id,
            session_id=transaction.session_id,
            gateway=transaction.gateway,
            kind=kind,
            amount=amount,
            currency=transaction.currency,
            started_at=now,
            by=caller.by,
            request_id=caller.request_id,
            look_up_at=first_look_up(house),
            reference=request.reference,
            reason=request.reason,
            metadata=request.metadata,
            items=request.items,
            lines=_lines(transaction, kind, amount, request),
            entry_id=house.ids.uuid(),
            order_request=request.order_request,
        )
        held = msgspec.structs.replace(
            transaction,
            pending=(*transaction.pending, Pending(call.key, kind, amount, call.lines)),
            version=transaction.version + 1,
        )
        return (call, held), (call, held)

    return await house.store.change(decide)


def _lines(transaction: Transaction, kind: CallKind, amount: int, request: OperationRequest) -> tuple[LineAmount, ...]:
    """The order lines that an operation falls on: exactly those that an entry on the order names."""
    if request.order_request is not None:
        rules.require_lines(transaction, kind, request.lines)
        return request.lines
    shipping = transaction.shipping_option
    named = sum(
        item["amount"]
        for item in request.items
        if shipping is not None and str(item.get("line_id")) == str(shipping["line_id"])
    )
    # What is left of the transaction and of none of its lines is left of the shipping.
    beside_lines = rules.left_for(transaction, kind) - sum(rules.left_on_lines(transaction, kind).values())
    for_shipping = max(0, min(named, beside_lines, amount))
    return rules.fall_on_lines(transaction, kind, amount - for_shipping, request.lines)
