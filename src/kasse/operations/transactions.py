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
from kasse.domain.paging import Page
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import CallKind, GatewayCall, PaymentError, Transaction
from kasse.domain.transaction_lines import fall_on_lines, left_on_lines, require_lines
from kasse.domain.transaction_list import TransactionFilters
from kasse.gateways.port import Approved, Declined, offered
from kasse.operations import intents
from kasse.operations.gateway_calls import begun, close_attempt, follow, make_call
from kasse.operations.house import House
from kasse.operations.settling import Settled, decide_held
from kasse.store.port import Loads, Record


class OperationRequest(msgspec.Struct, frozen=True):
    """A capture, refund or void. ``amount`` in minor units; None voids all that is left.

    ``items`` are as the caller sent them, ``lines`` those of them that name lines of the order. ``order_request`` is
    set when the merchant asked for it on the order: the fields that its entry shall keep. After a ``final`` capture
    what it leaves is released.
    """

    amount: int | None = None
    items: tuple[dict[str, Any], ...] = ()
    lines: tuple[LineAmount, ...] = ()
    reference: str | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    final: bool = False
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


async def list_all(
    house: House, account_id: str, filters: TransactionFilters, page: Page, with_sessions: bool
) -> list[tuple[Transaction, PaymentSession | None]]:
    """Transactions, newest first, with their sessions if asked for.

    Raises ``Refusal`` (wrong_value) when the transaction to start after is not there.
    """

    async def query(loads: Loads) -> list[tuple[Transaction, PaymentSession | None]]:
        if page.after is not None and await loads.transaction(account_id, page.after) is None:
            raise Refusal(
                "wrong_value",
                f"expected the id of the last transaction of a page, got {page.after[:100]!r}",
                path="/starting_after",
            )
        found = await loads.transactions(account_id, filters, page)
        sessions: dict[str, PaymentSession] = {}
        if with_sessions:
            sessions = await loads.sessions_by_id(account_id, {each.session_id for each in found})
        return [(each, sessions.get(each.session_id)) for each in found]

    return await house.store.read(query)


async def update(house: House, caller: Caller, transaction_id: str, merchant_reference_2: str) -> Transaction:
    """Give a transaction another second reference. Raises ``Refusal`` (transaction_not_found)."""

    async def decide(loads: Loads) -> tuple[Transaction, Sequence[Record]]:
        transaction = await load(loads, caller.account_id, transaction_id)
        if transaction.given.get("merchant_reference_2") == merchant_reference_2:
            return transaction, ()
        changed = msgspec.structs.replace(
            transaction,
            given={**transaction.given, "merchant_reference_2": merchant_reference_2},
            updated_at=house.clock.now(caller.account_id),
            version=transaction.version + 1,
        )
        return changed, (changed,)

    return await house.store.change(decide)


async def load(loads: Loads, account_id: str, transaction_id: str) -> Transaction:
    transaction = await loads.transaction(account_id, transaction_id)
    if transaction is None:
        raise Refusal("transaction_not_found", f"there is no transaction {transaction_id[:100]!r} in this account")
    return transaction


async def operate(
    house: House, caller: Caller, transaction_id: str, kind: CallKind, request: OperationRequest
) -> Settled:
    """Capture, refund or void. Where the gateway's answer is missing, ``known`` is False and nothing is decided.

    Raises ``Refusal``: transaction_not_found, wrong_status, amount_not_positive, amount_above_left, outcome_unknown,
    gateway_declined (the refusal is recorded on the transaction as a failed event).
    """
    settled = await begun(house, caller, transaction_id, kind)
    if settled is None and kind == "void":
        ended = await begun(house, caller, transaction_id, "authorize") or await _end_held(
            house, caller, transaction_id
        )
        if ended is not None:
            return ended
    if settled is None:
        call, transaction = await _start(house, caller, transaction_id, kind, request)
        settled = await make_call(house, call, transaction, None)
    if settled.known and settled.error is not None:
        raise Refusal(
            "gateway_declined", f"the gateway refused to {kind} {settled.call.amount}: {settled.error.message}"
        )
    return settled


async def _end_held(house: House, caller: Caller, transaction_id: str) -> Settled | None:
    """A payment on hold is called off: it fails. None when it is not on hold."""
    transaction = await get(house, caller.account_id, transaction_id)
    if transaction.status != "ON_HOLD":
        return None
    method = offered(house.gateways[transaction.gateway], transaction.payment_product_type)
    if method is not None and method.merchant_decides:
        error = PaymentError("the merchant called the payment off", code="called_off", type=("DECLINED",))
        return await decide_held(house, caller, transaction_id, Declined(error))
    found = await house.store.glance(lambda loads: loads.gateway_call(caller.account_id, transaction_id))
    return None if found is None else await close_attempt(house, found, transaction, ("on_hold",))


class Confirmation(msgspec.Struct, frozen=True):
    """What a merchant says when he was paid elsewhere. ``amount`` and ``items``, if told, are those of the payment."""

    amount: int | None = None
    items: tuple[dict[str, Any], ...] = ()
    reference: str | None = None
    reason: str | None = None


async def confirm(house: House, caller: Caller, transaction_id: str, told: Confirmation) -> Settled:
    """A payment that waits on hold until the merchant was paid is authorized (checkout reference, 8.5).

    Raises ``Refusal``: transaction_not_found, wrong_status (not a method that the merchant confirms), wrong_state (not
    on hold any more), amount_mismatch.
    """
    confirmed = await begun(house, caller, transaction_id, "authorize")
    if confirmed is not None:
        return confirmed
    transaction = await get(house, caller.account_id, transaction_id)
    if told.amount is not None and told.amount != transaction.amount:
        raise Refusal(
            "amount_mismatch",
            f"expected the amount of the order, {transaction.amount}, got {told.amount}",
            path="/amount",
        )
    ordered = {str(item.get("line_id")): item["amount"] for item in transaction.items}
    for n, item in enumerate(told.items):
        line_id = str(item.get("line_id"))
        if ordered.get(line_id) != item["amount"]:
            raise Refusal(
                "amount_mismatch",
                f"expected the items of the order ({_listed(ordered)}), got line {line_id[:40]} with {item['amount']}",
                path=f"/items/{n}",
            )
    if told.items and sum(item["amount"] for item in told.items) != transaction.amount:
        raise Refusal(
            "amount_mismatch",
            f"expected items that add up to {transaction.amount}, got {sum(item['amount'] for item in told.items)}",
            path="/items",
        )
    settled = await decide_held(house, caller, transaction_id, Approved(), reference=told.reference, reason=told.reason)
    return await follow(house, settled)


def _listed(amounts: dict[str, int]) -> str:
    return ", ".join(f"line {line_id} with {amount}" for line_id, amount in list(amounts.items())[:10])


async def _start(
    house: House, caller: Caller, transaction_id: str, kind: CallKind, request: OperationRequest
) -> tuple[GatewayCall, Transaction]:
    """Commit the intent: from here on nobody else gets the same money."""

    async def decide(loads: Loads) -> tuple[tuple[GatewayCall, Transaction], Sequence[Record]]:
        loaded = await load(loads, caller.account_id, transaction_id)
        rules.require_allowed(loaded, kind)
        amount = rules.left_for(loaded, kind) if request.amount is None else request.amount
        if kind == "void" and loaded.pending:
            raise rules.outcome_unknown(loaded, kind, amount)
        _require_method_can(house, loaded, kind, request, amount)
        rules.check_operation(loaded, kind, amount)
        transaction = loaded
        dropped: list[Record] = []
        if kind != "refund":
            transaction, dropped = await intents.stop_automatic(loads, loaded)
        call, held = intents.begin(
            house,
            transaction,
            kind,
            amount,
            _lines(transaction, kind, amount, request),
            by=caller.by,
            request_id=caller.request_id,
            request_headers=caller.origin.headers,
            reference=request.reference,
            reason=request.reason,
            metadata=request.metadata,
            items=request.items,
            order_request=request.order_request,
            final=request.final,
        )
        return (call, held), (call, held, *dropped)

    return await house.store.change(decide)


def _require_method_can(
    house: House, transaction: Transaction, kind: CallKind, request: OperationRequest, amount: int
) -> None:
    """Not every method releases what is left once a part is captured (checkout reference, 8.2).

    Raises ``Refusal``: wrong_status (a void), wrong_value (a final capture).
    """
    method = offered(house.gateways[transaction.gateway], transaction.payment_product_type)
    if method is None or method.voids_rest:
        return
    name = transaction.payment_product_type
    if kind == "void" and rules.amounts(transaction).captured:
        raise rules.wrong_status(
            transaction, f"to void: {name} does not release what is left after a capture", "AUTHORIZED", "wrong_status"
        )
    if request.final and amount < rules.left_for(transaction, "capture"):
        raise Refusal(
            "wrong_value",
            f"expected no final_capture that leaves something: {name} does not release what is left after a capture",
            path="/final_capture",
        )


def _lines(transaction: Transaction, kind: CallKind, amount: int, request: OperationRequest) -> tuple[LineAmount, ...]:
    """The order lines that an operation falls on: exactly those that an entry on the order names."""
    if request.order_request is not None:
        require_lines(transaction, kind, request.lines)
        return request.lines
    shipping = transaction.shipping_option
    named = sum(
        item["amount"]
        for item in request.items
        if shipping is not None and str(item.get("line_id")) == str(shipping["line_id"])
    )
    # What is left of the transaction and of none of its lines is left of the shipping.
    beside_lines = rules.left_for(transaction, kind) - sum(left_on_lines(transaction, kind).values())
    for_shipping = max(0, min(named, beside_lines, amount))
    return fall_on_lines(transaction, kind, amount - for_shipping, request.lines)
