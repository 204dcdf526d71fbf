"""A payment: its states, the steps between them and the amounts left.

Every call to a gateway is an intent first (``GatewayCall``), made with a stable key, and unknown until an
answer is there. Source: checkout reference, sections 7 and 8; design, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec

from kasse.domain.ledger import EntryKind, LineAmount
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
CallState = Literal["scheduled", "started", "waiting_for_payer", "on_hold", "closing", "unknown", "done"]

_CAPTURABLE = frozenset({"AUTHORIZED", "PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED_REFUNDED"})
_REFUNDABLE = frozenset({"PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED_REFUNDED", "CAPTURED", "PARTIALLY_REFUNDED"})
ALLOWED: dict[CallKind, frozenset[str]] = {
    "capture": _CAPTURABLE,
    "refund": _REFUNDABLE,
    "void": frozenset({"AUTHORIZED", "PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED_REFUNDED"}),
}
"""In which statuses an operation may be asked for."""

TAKES: dict[CallKind, frozenset[CallKind]] = {
    "capture": frozenset({"capture", "void"}),
    "refund": frozenset({"refund"}),
    "void": frozenset({"capture", "void"}),
}
"""Which calls take from the same money: what one that has no answer yet may take is not left for another."""

STEPS: dict[str, frozenset[str]] = {
    "INITIATED": frozenset({"UNKNOWN", "ON_HOLD", "AUTHORIZED", "DECLINED", "FAILED"}),
    "UNKNOWN": frozenset({"ON_HOLD", "AUTHORIZED", "DECLINED", "FAILED"}),
    "ON_HOLD": frozenset({"AUTHORIZED", "FAILED"}),
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
    region: str | None = None
    product_platform: str | None = None
    issuing_bank: str | None = None


RetryCode = Literal["DO_NOT_RETRY", "RETRY_IMMEDIATELY", "RETRY_AFTER_DELAY"]


class RetryPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether it makes sense to try the same again; ``retry_after`` where the gateway tells when."""

    retry_codes: tuple[RetryCode, ...]
    retry_after: str | None = None


class PaymentError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a gateway said no. ``type`` is from the list in the checkout reference, 7.3."""

    message: str
    code: str | None = None
    type: tuple[str, ...] = ()
    result_code: str | None = None
    retry_policy: RetryPolicy | None = None


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
    request_headers: dict[str, str] = {}


class GatewayCall(msgspec.Struct, frozen=True):
    """The intent to call a gateway, committed before the call is made and closed by its answer.

    ``look_up_at`` is when to ask the gateway what became of it, should no answer have come by then.
    ``items`` and ``lines`` are what the call is for; ``order_request`` holds the entry that the merchant asked
    for on the order, if that is where the call came from. ``automatic`` is what nobody asked for by hand, ``final`` a
    capture that is to be the last one. One that is ``scheduled`` holds nothing yet and starts at ``look_up_at``.
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
    automatic: bool = False
    final: bool = False
    request_headers: dict[str, str] = {}
    version: int = 1


class Pending(msgspec.Struct, frozen=True):
    """A gateway call without an answer yet, and what it may still take: nobody else gets that money meanwhile."""

    key: str
    kind: CallKind
    amount: int
    lines: tuple[LineAmount, ...] = ()


class Transaction(msgspec.Struct, frozen=True):
    """One payment. ``amount`` is what was authorized, in minor units; captures do not change it.

    ``lines`` are the order lines it pays. ``auto_capture`` is what the session asked for, ``next_capture`` the key of
    the call that tries again. After a capture that was ``final`` nothing more is captured.
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
    auto_capture: bool = False
    next_capture: str | None = None
    final_capture: bool = False
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
    return sum_up((event.event, event.amount) for event in transaction.events if event.success)


def left_for(transaction: Transaction, kind: CallKind) -> int:
    """What a capture, refund or void may still take, pending calls considered."""
    held = sum(call.amount for call in transaction.pending if call.kind in TAKES[kind])
    return left(amounts(transaction), kind) - held


def left(sums: Amounts, kind: CallKind) -> int:
    """What sums leave for a capture, refund or void."""
    return sums.left_to_refund if kind == "refund" else sums.left_to_capture


def sum_up(steps: Iterable[tuple[str, int]]) -> Amounts:
    """Sums over events by their names."""
    found = dict.fromkeys(_FIELD.values(), 0)
    for name, amount in steps:
        if name in _FIELD:
            found[_FIELD[name]] += amount
    return Amounts(**found)


def status_by_events(transaction: Transaction) -> TransactionStatus:
    """The status that an authorized transaction's events amount to."""
    done = [event.event for event in transaction.events if event.success and event.event in _FIELD]
    return status_after(amounts(transaction), done[-1] if done else None)


def status_after(sums: Amounts, last: str | None = None) -> TransactionStatus:
    """The status that an authorized transaction's sums amount to (checkout reference, 8.1).

    Where nothing was to be paid all sums are 0, and it is the ``last`` event that tells.
    """
    closed = sums.left_to_capture == 0
    if sums.authorized == 0 and last == "CAPTURE":
        return "CAPTURED"
    if sums.captured == 0:
        return "AUTHORIZATION_VOIDED" if closed and (sums.voided or last == "VOID") else "AUTHORIZED"
    if sums.refunded == 0:
        return "CAPTURED" if closed else "PARTIALLY_CAPTURED"
    if not closed:
        return "PARTIALLY_CAPTURED_REFUNDED"
    return "REFUNDED" if sums.left_to_refund == 0 else "PARTIALLY_REFUNDED"


def require_allowed(transaction: Transaction, kind: CallKind) -> None:
    """Raises ``Refusal`` (wrong_status) naming the status and what would be allowed."""
    if transaction.status not in ALLOWED[kind]:
        raise wrong_status(transaction, f"to {kind}", ", ".join(sorted(ALLOWED[kind])), "wrong_status")
    if kind == "capture" and transaction.final_capture:
        raise Refusal(
            "wrong_status",
            f"expected a transaction without a final capture to {kind}, {transaction.id} has had its final one",
        )


def wrong_status(transaction: Transaction, what: str, expected: str, reason: str) -> Refusal:
    """A refusal that tells the status, in which ones it would be possible, and what is possible now."""
    now = [kind for kind, statuses in ALLOWED.items() if transaction.status in statuses]
    return Refusal(
        reason,
        f"expected a transaction that is {expected} {what}, it is {transaction.status}; "
        f"possible now: {', '.join(now) or 'nothing'}",
    )


def check_operation(transaction: Transaction, kind: CallKind, amount: int) -> None:
    """Raises ``Refusal``: wrong_status, amount_not_positive, amount_above_left, outcome_unknown."""
    require_allowed(transaction, kind)
    nothing_at_all = amount == transaction.amount == 0 and kind != "refund"
    if amount <= 0 and not nothing_at_all:
        raise Refusal("amount_not_positive", f"expected an amount above 0, got {amount}", path="/amount")
    if nothing_at_all and transaction.pending:
        # What takes nothing holds nothing either, yet only one of a capture and a void can come true.
        raise outcome_unknown(transaction, kind, amount)
    remaining = left_for(transaction, kind)
    if amount <= remaining:
        return
    if amount <= remaining + sum(call.amount for call in awaited(transaction, kind)):
        raise outcome_unknown(transaction, kind, amount)
    raise Refusal(
        "amount_above_left",
        f"transaction {transaction.id} has {remaining} left to {kind}, {amount} was asked for",
        path="/amount",
    )


def awaited(transaction: Transaction, kind: CallKind) -> list[Pending]:
    """The calls whose answers decide how much a capture, refund or void may take."""
    return [call for call in transaction.pending if call.kind == "capture" or call.kind in TAKES[kind]]


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
