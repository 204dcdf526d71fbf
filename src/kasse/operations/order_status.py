"""Orders are opened, closed and cancelled. Source: orders reference, section 9 and O-9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kasse.domain import history
from kasse.domain import order as rules
from kasse.domain.access import Caller
from kasse.domain.history import OrderState, StatusSet
from kasse.domain.ledger import Entry, LineAmount, Part, authorization_sums
from kasse.domain.order import OrderStatus
from kasse.domain.refusals import Refusal
from kasse.domain.times import rfc3339
from kasse.operations import orders, transactions
from kasse.operations.house import House
from kasse.operations.orders import OrderDetails
from kasse.operations.transactions import OperationRequest
from kasse.store.port import Loads, Record


async def set_open(house: House, caller: Caller, order_id: str) -> OrderDetails:
    """Open a closed order again; an open one stays as it is. Raises ``Refusal``: order_not_found, wrong_state."""
    return await _set(house, caller, order_id, "open", {})


async def close(house: House, caller: Caller, order_id: str) -> OrderDetails:
    """Close an order: from then on it takes refunds only. Raises ``Refusal``: order_not_found, wrong_state."""
    now = house.clock.now(caller.account_id)
    return await _set(house, caller, order_id, "closed", {"closed_at": rfc3339(now), "closed_by": caller.by})


async def cancel(house: House, caller: Caller, order_id: str, reason: str) -> OrderDetails:
    """Cancel an order and release what is authorized, through the gateway where the money is there.

    Raises ``Refusal``: order_not_found, wrong_state (something is captured and not refunded), line_being_paid,
    outcome_unknown, gateway_declined.
    """
    for transaction_id in await _held_by_transactions(house, caller, order_id):
        settled = await transactions.operate(house, caller, transaction_id, "void", OperationRequest())
        if not settled.known:
            raise Refusal(
                "outcome_unknown",
                f"the gateway has not answered whether it released transaction {transaction_id}; "
                "cancel again when it has",
            )
    now = house.clock.now(caller.account_id)
    changes = {"cancelled_at": rfc3339(now), "cancelled_by": caller.by, "cancelled_reason": reason}
    return await _set(house, caller, order_id, "cancelled", changes)


async def _held_by_transactions(house: House, caller: Caller, order_id: str) -> list[str]:
    """The transactions of ours that still hold money of the order, which must be one that can be cancelled."""

    async def query(loads: Loads) -> list[str]:
        details = await orders.load_details(loads, caller.account_id, order_id)
        if details.state.order.status == "cancelled":
            return []
        rules.check_order_step(details.state.order, "cancelled")
        _require_cancellable(details.state)
        return [
            entry.transaction_id for entry, held in _held(details.entries) if entry.transaction_id is not None and held
        ]

    return await house.store.read(query)


def _held(entries: Sequence[Entry]) -> list[tuple[Entry, list[LineAmount]]]:
    """What each authorization still holds: neither captured nor cancelled."""
    return [
        (
            entry,
            [
                LineAmount(line_id, sums.left_to_capture)
                for line_id, sums in authorization_sums(entry, entries).items()
                if sums.left_to_capture
            ],
        )
        for entry in entries
        if entry.kind == "authorization" and entry.success
    ]


def _require_cancellable(state: OrderState) -> None:
    for line_id, sums in state.sums.items():
        if sums.left_to_refund:
            raise Refusal(
                "wrong_state",
                f"expected an order of which nothing is captured, line {line_id} has {sums.left_to_refund} captured "
                "and not refunded",
            )
        if sums.claimed:
            raise Refusal("line_being_paid", f"expected an order that nobody pays, line {line_id} is being paid")


def _require_released(entries: Sequence[Entry]) -> None:
    """What came in while the gateway released the rest is still held there; an entry alone would not release it."""
    for entry, held in _held(entries):
        if entry.transaction_id is not None and held:
            raise Refusal(
                "line_being_paid",
                f"transaction {entry.transaction_id} was authorized while the order was being cancelled; cancel again",
            )


async def _set(
    house: House, caller: Caller, order_id: str, status: OrderStatus, changes: dict[str, Any]
) -> OrderDetails:
    async def decide(loads: Loads) -> tuple[OrderDetails, Sequence[Record]]:
        details = await orders.load_details(loads, caller.account_id, order_id)
        state = details.state
        if state.order.status == status:
            return details, ()
        rules.check_order_step(state.order, status)
        entry = None
        if status == "cancelled":
            _require_cancellable(state)
            _require_released(details.entries)
            entry = _cancellation(house, caller, details.entries)
        now = house.clock.now(caller.account_id)
        step = history.advance(state, StatusSet(status, changes, entry), caller, house.ids.uuid(), now)
        entries = [*details.entries, entry] if entry else details.entries
        return OrderDetails(history.after(step, state), entries, sessions=details.sessions), (step,)

    return await house.store.change(decide)


def _cancellation(house: House, caller: Caller, entries: Sequence[Entry]) -> Entry | None:
    """One entry for everything that is authorized elsewhere and not captured."""
    held = [(entry, line) for entry, lines in _held(entries) for line in lines]
    if not held:
        return None
    amounts: dict[int, int] = {}
    for _, line in held:
        amounts[line.line_id] = amounts.get(line.line_id, 0) + line.amount
    return Entry(
        id=house.ids.uuid(),
        kind="cancellation",
        items=tuple(LineAmount(line_id, amount) for line_id, amount in amounts.items()),
        success=True,
        created_at=house.clock.now(caller.account_id),
        created_by=caller.by,
        parts=tuple(Part(entry.id, line.line_id, line.amount) for entry, line in held),
    )
