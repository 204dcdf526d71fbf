"""On which lines of the order a capture, refund or void of a transaction falls.

Source: checkout reference, 8.2; orders reference, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence

from kasse.domain.ledger import LineAmount, spread
from kasse.domain.refusals import Refusal
from kasse.domain.transaction import (
    EVENT_NAMES,
    TAKES,
    CallKind,
    Transaction,
    awaited,
    left,
    left_for,
    outcome_unknown,
    sum_up,
)


def left_on_lines(transaction: Transaction, kind: CallKind) -> dict[int, int]:
    """What a capture, refund or void may still take of each order line, pending calls considered."""
    steps = [(event.event, event.lines) for event in transaction.events if event.success]
    steps += [(EVENT_NAMES[call.kind], call.lines) for call in transaction.pending if call.kind in TAKES[kind]]
    return {
        line.line_id: left(
            sum_up((name, each.amount) for name, lines in steps for each in lines if each.line_id == line.line_id), kind
        )
        for line in transaction.lines
    }


def fall_on_lines(
    transaction: Transaction, kind: CallKind, amount: int, items: Sequence[LineAmount]
) -> tuple[LineAmount, ...]:
    """Say which order lines a capture, refund or void of ``amount`` falls on.

    ``items`` are the lines that the caller named, as far as they are lines of the order; what they do not cover is
    spread over the others. What then is left belongs to no line, such as shipping chosen in express (O-23). What takes
    the rest of the transaction takes the rest of every line: lines that add up to nothing could not be taken later.
    Raises ``Refusal`` (outcome_unknown) for a named line that waits for the answer to an earlier call.
    """
    remaining = left_on_lines(transaction, kind)
    if amount == left_for(transaction, kind) and amount != sum(item.amount for item in items):
        return tuple(LineAmount(line_id, here) for line_id, here in remaining.items() if here)
    waiting = _waiting_lines(transaction, kind)
    named: dict[int, int] = {}
    for item in items:
        here = remaining.get(item.line_id, 0) - named.get(item.line_id, 0)
        taken = min(here, item.amount, key=abs) if here * item.amount > 0 else 0
        if taken != item.amount and item.line_id in waiting:
            raise outcome_unknown(transaction, kind, amount)
        named[item.line_id] = named.get(item.line_id, 0) + taken
    if sum(named.values()) > amount:
        named = {}
    others = [LineAmount(line_id, here - named.get(line_id, 0)) for line_id, here in remaining.items()]
    spread_out, _ = spread(amount - sum(named.values()), others)
    for share in spread_out:
        named[share.line_id] = named.get(share.line_id, 0) + share.amount
    return tuple(LineAmount(line_id, share) for line_id, share in named.items() if share)


def require_lines(transaction: Transaction, kind: CallKind, lines: Sequence[LineAmount]) -> None:
    """Whether each of these lines has so much left: for entries of an order, where no line stands in for another.

    Raises ``Refusal``: outcome_unknown, amount_above_left.
    """
    remaining, waiting = left_on_lines(transaction, kind), _waiting_lines(transaction, kind)
    for n, line in enumerate(lines):
        here = remaining.get(line.line_id, 0)
        fits = here * line.amount > 0 and abs(line.amount) <= abs(here)
        if not fits and line.line_id in waiting:
            raise outcome_unknown(transaction, kind, line.amount)
        if not fits:
            raise Refusal(
                "amount_above_left",
                f"line {line.line_id} has {here} left to {kind} in transaction {transaction.id}, {line.amount} was "
                "asked for",
                path=f"/items/{n}/amount",
            )


def _waiting_lines(transaction: Transaction, kind: CallKind) -> set[int]:
    return {line.line_id for call in awaited(transaction, kind) for line in call.lines}
