"""The history of an order: events that are only added, and the state that they amount to.

Every change of an order is one event. ``evolve`` is the only way from one state to the next, for a request
as for ``kasse verify``, so the stored state and the history cannot tell different stories.
Source: design, section 4; orders reference, section 8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from kasse.domain.access import Caller, RequestNote
from kasse.domain.ledger import Entry, LineAmount, LineSums, payment_status
from kasse.domain.order import Line, Order, payable


class OrderCreated(msgspec.Struct, frozen=True, tag_field="kind", tag="order_created"):
    order: Order
    lines: tuple[Line, ...]


class SessionOpened(msgspec.Struct, frozen=True, tag_field="kind", tag="session_opened"):
    session_id: str
    items: tuple[LineAmount, ...]


class PaymentStarted(msgspec.Struct, frozen=True, tag_field="kind", tag="payment_started"):
    """A payer starts to pay: ``items`` are claimed."""

    session_id: str
    transaction_id: str
    items: tuple[LineAmount, ...]


class PaymentEnded(msgspec.Struct, frozen=True, tag_field="kind", tag="payment_ended"):
    """A payment came to nothing: the claim on ``items`` is given back."""

    session_id: str
    transaction_id: str
    items: tuple[LineAmount, ...]


class EntryAdded(msgspec.Struct, frozen=True, tag_field="kind", tag="entry_added"):
    """A ledger entry. An authorization that ends a payment takes the place of its claim."""

    entry: Entry
    releases_claim: bool = False


What = OrderCreated | SessionOpened | PaymentStarted | PaymentEnded | EntryAdded


class Event(msgspec.Struct, frozen=True):
    """One entry of the log. ``seq`` has no gaps; ``hash`` covers the event and the hash before it."""

    account_id: str
    order: str
    seq: int
    id: str
    at: datetime
    by: str
    request_id: str
    what: What
    request: RequestNote | None = None
    draft_id: str | None = None
    previous_hash: str = ""
    hash: str = ""


@dataclass(frozen=True)
class OrderState:
    """An order with (the loaded part of) its lines and their sums."""

    order: Order
    lines: Mapping[int, Line] = field(default_factory=dict)
    sums: Mapping[int, LineSums] = field(default_factory=dict)


@dataclass(frozen=True)
class OrderStep:
    """One event and what it changed: what the store writes, all of it or nothing.

    ``lines`` and ``sums`` hold only those that the event touched. ``order.version - 1`` is the version that
    the step was decided on.
    """

    order: Order
    event: Event
    lines: Mapping[int, Line] = field(default_factory=dict)
    sums: Mapping[int, LineSums] = field(default_factory=dict)
    entry: Entry | None = None


def create(order: Order, lines: tuple[Line, ...], caller: Caller, event_id: str, now: datetime) -> OrderStep:
    """The first event of an order."""
    return _step(order, OrderCreated(order, lines), caller, event_id, now)


def advance(state: OrderState, what: What, caller: Caller, event_id: str, now: datetime) -> OrderStep:
    """Add an event to an order."""
    return _step(state.order, what, caller, event_id, now, state)


def _step(
    order: Order, what: What, caller: Caller, event_id: str, now: datetime, state: OrderState | None = None
) -> OrderStep:
    event = seal(
        Event(
            account_id=order.account_id,
            order=order.id,
            seq=order.version + 1,
            id=event_id,
            at=now,
            by=caller.by,
            request_id=caller.request_id,
            request=caller.request,
            draft_id=order.draft_id if isinstance(what, OrderCreated) else None,
            what=what,
            previous_hash=order.last_hash,
        )
    )
    after = evolve(state, event)
    before_lines, before_sums = (state.lines, state.sums) if state else ({}, {})
    return OrderStep(
        order=after.order,
        event=event,
        lines={n: line for n, line in after.lines.items() if before_lines.get(n) is not line},
        sums={n: sums for n, sums in after.sums.items() if before_sums.get(n) is not sums},
        entry=what.entry if isinstance(what, EntryAdded) else None,
    )


def after(step: OrderStep, state: OrderState | None = None) -> OrderState:
    """The state that a step leads to."""
    before = state or OrderState(step.order)
    return OrderState(step.order, {**before.lines, **step.lines}, {**before.sums, **step.sums})


def evolve(state: OrderState | None, event: Event) -> OrderState:
    """Apply one event. The lines that it names must be among those loaded."""
    what = event.what
    if isinstance(what, OrderCreated):
        state = OrderState(
            what.order,
            {line.line_id: line for line in what.lines},
            {line.line_id: LineSums(line.line_id, payable(line)) for line in what.lines},
        )
    if state is None:
        raise ValueError("the first event of an order must create it")
    order, sums = state.order, dict(state.sums)
    if isinstance(what, PaymentStarted):
        _claim(sums, what.items, 1)
    elif isinstance(what, PaymentEnded):
        _claim(sums, what.items, -1)
    elif isinstance(what, EntryAdded):
        entry = what.entry
        if what.releases_claim:
            _claim(sums, entry.items, -1)
        if entry.success:
            for item in entry.items:
                sums[item.line_id] = sums[item.line_id].add(entry.kind, item.amount)
            totals = order.sums.add(entry.kind, entry.amount)
            order = msgspec.structs.replace(order, sums=totals, payment_status=payment_status(order.net_amount, totals))
    order = msgspec.structs.replace(order, version=event.seq, last_hash=event.hash, updated_at=event.at)
    return OrderState(order, state.lines, sums)


def _claim(sums: dict[int, LineSums], items: tuple[LineAmount, ...], sign: int) -> None:
    for item in items:
        sums[item.line_id] = sums[item.line_id].claim(sign * item.amount)


def seal(event: Event) -> Event:
    """Set the event's hash: SHA-256 over the event as JSON, which holds the hash of the one before it."""
    return msgspec.structs.replace(event, hash=hash_of(event))


def hash_of(event: Event) -> str:
    plain = msgspec.structs.replace(event, hash="")
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()
