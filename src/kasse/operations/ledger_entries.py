"""Authorizations, captures, refunds and cancellations that a merchant records on an order.

Those that belong to a transaction of ours drive its gateway; the others record what happened elsewhere.
Source: orders reference, section 6 and O-8, O-9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kasse.domain import history
from kasse.domain.access import Caller
from kasse.domain.history import EntryAdded, EntryMatched, OrderState
from kasse.domain.ledger import (
    Entry,
    EntryKind,
    LineAmount,
    Part,
    allocate,
    check_amount,
    line_not_found,
)
from kasse.domain.order import require_order_open
from kasse.domain.refusals import Refusal
from kasse.domain.transaction import CallKind
from kasse.operations import orders, transactions
from kasse.operations.house import House
from kasse.operations.transactions import OperationRequest
from kasse.store.port import Loads, Record

_CALLS: dict[EntryKind, CallKind] = {"capture": "capture", "refund": "refund", "cancellation": "void"}


class EntryRequest(msgspec.Struct, frozen=True):
    """What a merchant records. ``payment_id`` names the payment it belongs to; ``given`` is kept and sent back."""

    items: tuple[LineAmount, ...]
    success: bool = True
    authorization_id: str | None = None
    payment_id: str | None = None
    given: dict[str, Any] = {}


async def record(house: House, caller: Caller, order_id: str, kind: EntryKind, request: EntryRequest) -> Entry:
    """Record an entry, through the gateway when the money is a transaction's of ours.

    An entry that names such a transaction and says the same as one that is there already is that one: merchants who
    capture on the transaction and record it here as well are not charged twice. Each is meant once: recorded again, it
    is another one. Amounts are minor units.
    Raises ``Refusal``: order_not_found, order_not_open, missing_field (authorization_id, where the order may have
    several), line_not_found, duplicate_line, amount_sign, amount_above_left, line_being_paid,
    authorization_not_found, ambiguous_authorization, wrong_state, outcome_unknown, gateway_declined.
    """

    async def decide(loads: Loads) -> tuple[Entry | str, Sequence[Record]]:
        state = await orders.load(loads, caller.account_id, order_id)
        _require_authorization_id(state, kind, request)
        entries = await loads.entries(caller.account_id, state.order.id)
        known = _same(state, entries, kind, request)
        if known is not None:
            return known, _match(house, caller, state, known)
        _require_order(state, kind)
        _check_lines(state, request)
        parts: tuple[Part, ...] = ()
        if request.success and kind == "authorization":
            _check_authorization(state, request)
        elif request.success:
            parts = allocate(kind, request.items, state.sums, entries, _authorization_id(entries, request))
            transaction_id = _transaction_of(parts, entries)
            if transaction_id is not None:
                return transaction_id, ()
        entry = _entry(house, caller, kind, request, parts)
        step = history.advance(state, EntryAdded(entry), caller, house.ids.uuid(), entry.created_at)
        return entry, (step,)

    transaction_id = await _begun(house, caller)
    found = await house.store.change(decide) if transaction_id is None else transaction_id
    if isinstance(found, Entry):
        return found
    return await _through_gateway(house, caller, kind, request, found)


async def _begun(house: House, caller: Caller) -> str | None:
    """The transaction that the same request has called the gateway about before it was cut off."""
    key = caller.begun
    if key is None:
        return None
    call = await house.store.read(lambda loads: loads.gateway_call(caller.account_id, key))
    return None if call is None else call.transaction_id


def _require_authorization_id(state: OrderState, kind: EntryKind, request: EntryRequest) -> None:
    """An order with the option ``multiple_authorizations`` is told which of them (orders reference, section 6)."""
    if (
        kind != "authorization"
        and request.authorization_id is None
        and state.order.options.get("multiple_authorizations") is True
    ):
        raise Refusal(
            "missing_field",
            f"expected authorization_id, the authorization that this {kind} draws on: the order was made with "
            "multiple_authorizations",
            path="/authorization_id",
        )


def _authorization_id(entries: Sequence[Entry], request: EntryRequest) -> str | None:
    """The authorization that is named, or that of the payment that is."""
    if request.authorization_id is None and request.payment_id is not None:
        for entry in entries:
            if entry.kind == "authorization" and entry.transaction_id == request.payment_id:
                return entry.id
    return request.authorization_id


def _same(state: OrderState, entries: Sequence[Entry], kind: EntryKind, request: EntryRequest) -> Entry | None:
    """The entry that a transaction of ours has made already of what is recorded now for the first time."""
    if request.payment_id is None or not request.success:
        return None
    made = [entry for entry in entries if entry.kind == kind and entry.transaction_id == request.payment_id]
    for entry in made:
        same_items = sorted(entry.items, key=_by_line) == sorted(request.items, key=_by_line)
        is_new = same_items and entry.id not in state.order.matched
        if not entry.from_order and (kind == "authorization" or is_new):
            return entry
    return None


def _match(house: House, caller: Caller, state: OrderState, entry: Entry) -> tuple[Record, ...]:
    """Note that an entry has been meant. An authorization needs no note: a transaction has only one."""
    if entry.kind == "authorization":
        return ()
    now = house.clock.now(caller.account_id)
    return (history.advance(state, EntryMatched(entry.id), caller, house.ids.uuid(), now),)


def _by_line(item: LineAmount) -> int:
    return item.line_id


def _require_order(state: OrderState, kind: EntryKind) -> None:
    """Closed orders take refunds only, cancelled ones nothing (O-9)."""
    if not (kind == "refund" and state.order.status == "closed"):
        require_order_open(state.order)


def _check_lines(state: OrderState, request: EntryRequest) -> None:
    seen: set[int] = set()
    for n, item in enumerate(request.items):
        if item.line_id not in state.sums:
            raise line_not_found(item.line_id, f"/items/{n}/line_id")
        if item.line_id in seen:
            raise Refusal(
                "duplicate_line",
                f"expected each line once, got line {item.line_id} again",
                path=f"/items/{n}/line_id",
            )
        seen.add(item.line_id)


def _check_authorization(state: OrderState, request: EntryRequest) -> None:
    for n, item in enumerate(request.items):
        sums = state.sums[item.line_id]
        if abs(sums.left_to_claim) < abs(item.amount) <= abs(sums.left_to_pay):
            raise Refusal(
                "line_being_paid",
                f"line {item.line_id} has {sums.left_to_pay} left to pay, of which {sums.claimed} is being paid in a "
                f"session right now; {item.amount} was asked for",
                path=f"/items/{n}/amount",
            )
        check_amount("authorization", sums, item.amount, sums.left_to_claim, f"/items/{n}/amount")


def _transaction_of(parts: Sequence[Part], entries: Sequence[Entry]) -> str | None:
    """The one transaction whose money this is; None when it is all money that moves elsewhere.

    Raises ``Refusal`` (ambiguous_authorization) when it is some of each: one call cannot do both.
    """
    owners = {entry.id: entry.transaction_id for entry in entries if entry.kind == "authorization"}
    found = {owners[part.authorization_id] for part in parts}
    if len(found) > 1:
        names = ", ".join(sorted({part.authorization_id for part in parts}))
        raise Refusal(
            "ambiguous_authorization",
            f"these lines are covered by several payments; send one call for each, with its authorization_id ({names})",
            path="/authorization_id",
        )
    return found.pop() if found else None


async def _through_gateway(
    house: House, caller: Caller, kind: EntryKind, request: EntryRequest, transaction_id: str
) -> Entry:
    """Move the money; the answer to that makes the entry."""
    operation = OperationRequest(
        amount=sum(item.amount for item in request.items),
        items=tuple({"line_id": str(item.line_id), "amount": item.amount} for item in request.items),
        lines=request.items,
        order_request=request.given,
    )
    settled = await transactions.operate(house, caller, transaction_id, _CALLS[kind], operation)
    if not settled.known:
        raise Refusal(
            "outcome_unknown",
            f"the gateway has not answered whether it did the {kind}; it will be looked up, and the entry "
            f"{settled.call.entry_id} appears if it was done",
        )
    return await get(house, caller.account_id, str(settled.transaction.order), kind, str(settled.call.entry_id))


def _entry(house: House, caller: Caller, kind: EntryKind, request: EntryRequest, parts: tuple[Part, ...]) -> Entry:
    authorizations = {part.authorization_id for part in parts}
    return Entry(
        id=house.ids.uuid(),
        kind=kind,
        items=request.items,
        success=request.success,
        created_at=house.clock.now(caller.account_id),
        created_by=caller.by,
        authorization_id=request.authorization_id or (authorizations.pop() if len(authorizations) == 1 else None),
        parts=parts,
        given=request.given,
    )


async def get(house: House, account_id: str, order_id: str, kind: EntryKind, entry_id: str) -> Entry:
    """Raises ``Refusal``: order_not_found, entry_not_found."""
    for entry in await list_of_order(house, account_id, order_id, kind):
        if entry.id == entry_id:
            return entry
    raise Refusal("entry_not_found", f"the order has no {kind} {entry_id[:100]!r}")


async def list_of_order(house: House, account_id: str, order_id: str, kind: EntryKind) -> list[Entry]:
    """Oldest first. Raises ``Refusal`` (order_not_found)."""

    async def query(loads: Loads) -> list[Entry]:
        state = await orders.load(loads, account_id, order_id, ())
        return [entry for entry in await loads.entries(account_id, state.order.id) if entry.kind == kind]

    return await house.store.read(query)
