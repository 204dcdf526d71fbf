"""A payment: its states, the steps between them and the amounts left.

Every call to a gateway is an intent first (``GatewayCall``), made with a stable key, and unknown until an
answer is there. Source: checkout reference, sections 7 and 8; design, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from kasse.domain.ledger import EntryKind, LineAmount, spread
from kasse.domain.refusals import Refusal

TransactionStatus = Literal[
    "INITIATED",
    "UNKNOWN",
    "ON_HOLD",
    "AUTHORIZED",
    "PARTIALLY_CAPTURED",
    "PARTIALLY_CAPTURED_REFUNDED",
    "CAPTURED",
    "PARTIALLY_REFUNDED",
    "REFUNDED",
    "AUTHORIZATION_VOIDED",
    "DECLINED",
    "FAILED",
]
CallKind = Literal["authorize", "capture", "refund", "void"]
CallState = Literal["started", "waiting_for_payer", "on_hold", "closing", "unknown", "done"]

_CAPTURABLE = frozenset({"AUTHORIZED", "PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED_REFUNDED"})
_REFUNDABLE = frozenset({"PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED_REFUNDED", "CAPTURED", "PARTIALLY_REFUNDED"})
ALLOWED: dict[CallKind, frozenset[str]] = {
    "capture": _CAPTURABLE,
    "refund": _REFUNDABLE,
    "void": frozenset({"AUTHORIZED", "PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED_REFUNDED"}),
}
"""In which statuses an operation may be asked for."""

_TAKES: dict[CallKind, frozenset[CallKind]] = {
    "capture": frozenset({"capture", "void"}),
    "refund": frozenset({"refund"}),
    "void": frozenset({"capture", "void"}),
}
"""Which calls take from the same money: what one that has no answer yet may take is not left for another."""

STEPS: dict[str, frozenset[str]] = {
    "INITIATED": frozenset({"UNKNOWN", "ON_HOLD", "AUTHORIZED", "DECLINED", "FAILED"}),
    "UNKNOWN": frozenset({"ON_HOLD", "AUTHORIZED", "DECLINED", "FAILED"}),
    "ON_HOLD": frozenset({"AUTHORIZED", "DECLINED", "FAILED"}),
    "AUTHORIZED": frozenset({"PARTIALLY_CAPTURED", "CAPTURED", "AUTHORIZATION_VOIDED"}),
    "PARTIALLY_CAPTURED": frozenset({"CAPTURED", "PARTIALLY_CAPTURED_REFUNDED", "PARTIALLY_REFUNDED", "REFUNDED"}),
    "PARTIALLY_CAPTURED_REFUNDED": frozenset({"PARTIALLY_REFUNDED", "REFUNDED"}),
    "CAPTURED": frozenset({"PARTIALLY_REFUNDED", "REFUNDED"}),
    "PARTIALLY_REFUNDED": frozenset({"REFUNDED"}),
    "REFUNDED": frozenset(),
    "AUTHORIZATION_VOIDED": frozenset(),
    "DECLINED": frozenset(),
    "FAILED": frozenset(),
}

EVENT_NAMES: dict[CallKind, str] = {
    "authorize": "AUTHORIZE",
    "capture": "CAPTURE",
    "refund": "REFUND",
    "void": "VOID",
}
ENTRY_KINDS: dict[CallKind, EntryKind] = {
    "authorize": "authorization",
    "capture": "capture",
    "refund": "refund",
    "void": "cancellation",
}


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """What may be kept of a card: never its full number, never its check code."""

    brand: str
    masked_pan: str
    expiry_date: str
    type: str = "Credit"
    country: str | None = None
    authentication_status: str | None = None
    eci: str | None = None
    three_ds_version: str | None = None


class PaymentError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a gateway said no. ``type`` is from the list in the checkout reference, 7.3."""

    message: str
    code: str | None = None
    type: tuple[str, ...] = ()
    result_code: str | None = None


class TransactionEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a payment. ``items`` are as the caller sent them, ``lines`` the order lines they fell on."""

    id: str
    event: str
    transaction_status: TransactionStatus
    success: bool
    amount: int
    created_at: datetime
    created_by: str
    request_id: str
    items: tuple[dict[str, Any], ...] = ()
    lines: tuple[LineAmount, ...] = ()
    event_reference: str | None = None
    error: PaymentError | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    correlation_request_id: str | None = None
    entry_id: str | None = None


class GatewayCall(msgspec.Struct, frozen=True):
    """The intent to call a gateway, committed before the call is made and closed by its answer.

    ``look_up_at`` is when to ask the gateway what became of it, should no answer have come by then.
    ``items`` and ``lines`` are what the call is for; ``order_request`` holds the entry that the merchant asked
    for on the order, if that is where the call came from.
    """

    account_id: str
    key: str
    transaction_id: str
    session_id: str
    gateway: str
    kind: CallKind
    amount: int
    currency: str
    started_at: datetime
    by: str
    request_id: str
    look_up_at: datetime | None
    state: CallState = "started"
    look_ups: int = 0
    reference: str | None = None
    reason: str | None = None
    metadata: dict[str, Any] | None = None
    items: tuple[dict[str, Any], ...] = ()
    lines: tuple[LineAmount, ...] = ()
    entry_id: str | None = None
    order_request: dict[str, Any] | None = None
    action_url: str | None = None
    error: PaymentError | None = None
    version: int = 1


class Pending(msgspec.Struct, frozen=True):
    """A gateway call without an answer yet, and what it may still take: nobody else gets that money meanwhile."""

    key: str
    kind: CallKind
    amount: int
    lines: tuple[LineAmount, ...] = ()


class Transaction(msgspec.Struct, frozen=True):
    """One payment. ``amount`` is what was authorized, in minor units; captures do not change it.

    ``lines`` are the order lines it pays.
    """

    account_id: str
    id: str
    session_id: str
    gateway: str
    amount: int
    currency: str
    payment_product_type: str
    merchant_reference: str
    created_at: datetime
    updated_at: datetime
    status: TransactionStatus = "INITIATED"
    order: str | None = None
    order_id: str | None = None
    authorization_id: str | None = None
    items: tuple[dict[str, Any], ...] = ()
    lines: tuple[LineAmount, ...] = ()
    shipping_option: dict[str, Any] | None = None
    card: Card | None = None
    events: tuple[TransactionEvent, ...] = ()
    pending: tuple[Pending, ...] = ()
    given: dict[str, Any] = {}
    version: int = 1

    @property
    def payment_product(self) -> str:
        return self.payment_product_type.partition(".")[0]


class Amounts(msgspec.Struct, frozen=True):
    """What has become of the authorized amount (checkout reference, 8.1)."""

    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    voided: int = 0

    @property
    def left_to_capture(self) -> int:
        return self.authorized - self.captured - self.voided

    @property
    def left_to_refund(self) -> int:
        return self.captured - self.refunded


_FIELD = {"AUTHORIZE": "authorized", "CAPTURE": "captured", "REFUND": "refunded", "VOID": "voided"}


def amounts(transaction: Transaction) -> Amounts:
    """What has happened, by the events that succeeded."""
    return _sum((event.event, event.amount) for event in transaction.events if event.success)


def left_for(transaction: Transaction, kind: CallKind) -> int:
    """What a capture, refund or void may still take, pending calls considered."""
    held = sum(call.amount for call in transaction.pending if call.kind in _TAKES[kind])
    return _left(amounts(transaction), kind) - held


def left_on_lines(transaction: Transaction, kind: CallKind) -> dict[int, int]:
    """The same for each order line."""
    steps = [(event.event, event.lines) for event in transaction.events if event.success]
    steps += [(EVENT_NAMES[call.kind], call.lines) for call in transaction.pending if call.kind in _TAKES[kind]]
    return {
        line.line_id: _left(
            _sum((name, each.amount) for name, lines in steps for each in lines if each.line_id == line.line_id), kind
        )
        for line in transaction.lines
    }


def _left(sums: Amounts, kind: CallKind) -> int:
    return sums.left_to_refund if kind == "refund" else sums.left_to_capture


def fall_on_lines(
    transaction: Transaction, kind: CallKind, amount: int, items: Sequence[LineAmount]
) -> tuple[LineAmount, ...]:
    """Say which order lines a capture, refund or void of ``amount`` falls on.

    ``items`` are the lines that the caller named, as far as they are lines of the order; what they do not cover is
    spread over the others. What then is left belongs to no line, such as shipping chosen in express (O-23). Unless
    the caller said otherwise, what takes the rest of the transaction takes the rest of every line.
    Raises ``Refusal`` (outcome_unknown) for a named line that waits for the answer to an earlier call.
    """
    left = left_on_lines(transaction, kind)
    if amount == left_for(transaction, kind) and amount != sum(item.amount for item in items):
        return tuple(LineAmount(line_id, here) for line_id, here in left.items() if here)
    waiting = _waiting_lines(transaction, kind)
    named: dict[int, int] = {}
    for item in items:
        here = left.get(item.line_id, 0) - named.get(item.line_id, 0)
        taken = min(here, item.amount, key=abs) if here * item.amount > 0 else 0
        if taken != item.amount and item.line_id in waiting:
            raise outcome_unknown(transaction, kind, amount)
        named[item.line_id] = named.get(item.line_id, 0) + taken
    if sum(named.values()) > amount:
        named = {}
    others = [LineAmount(line_id, here - named.get(line_id, 0)) for line_id, here in left.items()]
    spread_out, _ = spread(amount - sum(named.values()), others)
    for share in spread_out:
        named[share.line_id] = named.get(share.line_id, 0) + share.amount
    return tuple(LineAmount(line_id, share) for line_id, share in named.items() if share)


def require_lines(transaction: Transaction, kind: CallKind, lines: Sequence[LineAmount]) -> None:
    """Whether each of these lines has so much left: for entries of an order, where no line stands in for another.

    Raises ``Refusal``: outcome_unknown, amount_above_left.
    """
    left, waiting = left_on_lines(transaction, kind), _waiting_lines(transaction, kind)
    for n, line in enumerate(lines):
        here = left.get(line.line_id, 0)
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


def _sum(steps: Iterable[tuple[str, int]]) -> Amounts:
    found = dict.fromkeys(_FIELD.values(), 0)
    for name, amount in steps:
        if name in _FIELD:
            found[_FIELD[name]] += amount
    return Amounts(**found)


def status_after(sums: Amounts) -> TransactionStatus:
    """The status that an authorized transaction's sums amount to (checkout reference, 8.1)."""
    closed = sums.left_to_capture == 0
    if sums.captured == 0:
        return "AUTHORIZATION_VOIDED" if closed and sums.voided else "AUTHORIZED"
    if sums.refunded == 0:
        return "CAPTURED" if closed else "PARTIALLY_CAPTURED"
    if not closed:
        return "PARTIALLY_CAPTURED_REFUNDED"
    return "REFUNDED" if sums.left_to_refund == 0 else "PARTIALLY_REFUNDED"


def require_allowed(transaction: Transaction, kind: CallKind) -> None:
    """Raises ``Refusal`` (wrong_state) naming the status and what would be allowed."""
    if transaction.status not in ALLOWED[kind]:
        expected = ", ".join(sorted(ALLOWED[kind]))
        raise Refusal("wrong_state", f"expected a transaction that is {expected} to {kind}, it is {transaction.status}")


def check_operation(transaction: Transaction, kind: CallKind, amount: int) -> None:
    """Raises ``Refusal``: wrong_state, amount_not_positive, amount_above_left, outcome_unknown."""
    require_allowed(transaction, kind)
    if amount <= 0:
        raise Refusal("amount_not_positive", f"expected an amount above 0, got {amount}", path="/amount")
    left = left_for(transaction, kind)
    if amount <= left:
        return
    if amount <= left + sum(call.amount for call in _awaited(transaction, kind)):
        raise outcome_unknown(transaction, kind, amount)
    raise Refusal(
        "amount_above_left",
        f"transaction {transaction.id} has {left} left to {kind}, {amount} was asked for",
        path="/amount",
    )


def _awaited(transaction: Transaction, kind: CallKind) -> list[Pending]:
    """The calls whose answers decide how much a capture, refund or void may take."""
    return [call for call in transaction.pending if call.kind == "capture" or call.kind in _TAKES[kind]]


def _waiting_lines(transaction: Transaction, kind: CallKind) -> set[int]:
    return {line.line_id for call in _awaited(transaction, kind) for line in call.lines}


def outcome_unknown(transaction: Transaction, kind: CallKind, amount: int) -> Refusal:
    """Too early to say yes: an earlier call on the same money has no answer yet."""
    held = sum(call.amount for call in transaction.pending)
    return Refusal(
        "outcome_unknown",
        f"transaction {transaction.id} has {left_for(transaction, kind)} left to {kind} while {held} waits for the "
        f"gateway's answer, {amount} was asked for; ask again when the outcome is known",
        path="/amount",
    )


def record(transaction: Transaction, event: TransactionEvent, status: TransactionStatus, **changes: Any) -> Transaction:
    """Add an event and move on. Raises ``ValueError`` for a step that the table does not have."""
    if status != transaction.status and status not in STEPS[transaction.status]:
        raise ValueError(f"a transaction cannot go from {transaction.status} to {status}")
    return msgspec.structs.replace(
        transaction,
        events=(*transaction.events, event),
        status=status,
        updated_at=event.created_at,
        version=transaction.version + 1,
        **changes,
    )
