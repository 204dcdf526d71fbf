"""The history of an order: events that are only added, and the state that they amount to.

Every change of an order is one event. ``evolve`` is the only way from one state to the next, for a request
as for ``kasse verify``, so the stored state and the history cannot tell different stories.
Fields that have their default are left out of an event's JSON, so a field that is added later with a default changes no
hash of an earlier event.
Source: design, section 4; orders reference, section 8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from kasse.domain.access import Caller, RequestNote
from kasse.domain.ledger import Entry, LineAmount, LineSums, OrderSums, payment_status
from kasse.domain.order import Comment, Line, Order, OrderStatus, marks, payable, totals


class OrderCreated(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="order_created"):
    order: Order
    lines: tuple[Line, ...]


class SessionOpened(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="session_opened"):
    session_id: str
    items: tuple[LineAmount, ...]


class PaymentStarted(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="payment_started"):
    """A payer starts to pay: ``items`` are claimed."""

    session_id: str
    transaction_id: str
    items: tuple[LineAmount, ...]


class PaymentEnded(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="payment_ended"):
    """A payment came to nothing: the claim on ``items`` is given back."""

    session_id: str
    transaction_id: str
    items: tuple[LineAmount, ...]


class EntryAdded(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="entry_added"):
    """A ledger entry. An authorization that ends a payment takes the place of its claim."""

    entry: Entry
    releases_claim: bool = False


class EntryMatched(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="entry_matched"):
    """The merchant recorded what a transaction of ours had done already: he means that entry, and has now named it."""

    entry_id: str


class LinesAdded(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="lines_added"):
    """A linked draft was completed: its lines join the order."""

    draft_id: str
    lines: tuple[Line, ...]


class OrderReplaced(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="order_replaced"):
    """A draft took the place of all that the order held; only before any payment."""

    draft_id: str
    given: dict[str, Any]
    lines: tuple[Line, ...]


class ItemUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a line says now."""

    line_id: int
    given: dict[str, Any]


class OrderUpdated(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="order_updated"):
    """``given`` is what the order says now besides its lines; ``items`` what the changed ones of them say now."""

    given: dict[str, Any]
    items: tuple[ItemUpdate, ...] = ()


class StatusSet(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="status_set"):
    """The order was opened, closed or cancelled. ``entry`` cancels what was authorized and not captured."""

    status: OrderStatus
    changes: dict[str, Any]
    entry: Entry | None = None


class ServiceNoted(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="service_noted"):
    """A service reports how far it is with the order."""

    state: Literal["error", "failure", "success", "pending"]
    service: str
    service_status: str
    description: str | None = None
    metadata: dict[str, Any] | None = None


class CommentAdded(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="comment_added"):
    comment: Comment


class CommentRemoved(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="comment_removed"):
    comment_id: str


What = (
    OrderCreated
    | SessionOpened
    | PaymentStarted
    | PaymentEnded
    | EntryAdded
    | EntryMatched
    | LinesAdded
    | OrderReplaced
    | OrderUpdated
    | StatusSet
    | ServiceNoted
    | CommentAdded
    | CommentRemoved
)
MOVES_SUMS_ONLY = (SessionOpened, PaymentStarted, PaymentEnded, EntryAdded, ServiceNoted)
"""Events after which the order says what it said before; only its sums and its place in the log have moved."""


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
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

    ``lines`` and ``sums`` hold only those that the event touched, ``removed`` the ids of lines that are gone,
    ``marks`` the names and values it is found by from now on, None where they stay.
    ``order.version - 1`` is the version that the step was decided on.
    """

    order: Order
    event: Event
    lines: Mapping[int, Line] = field(default_factory=dict)
    sums: Mapping[int, LineSums] = field(default_factory=dict)
    removed: frozenset[int] = frozenset()
    marks: frozenset[tuple[str, str]] | None = None
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
            draft_id=_draft_id(order, what),
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
        marks=_marks(after, what),
        removed=frozenset(before_lines.keys() - after.lines.keys()),
        entry=entry_of(what),
    )


def _marks(after: OrderState, what: What) -> frozenset[tuple[str, str]] | None:
    if isinstance(what, OrderCreated | LinesAdded | OrderReplaced | OrderUpdated):
        return marks(after.order, after.lines.values())
    return None


def _draft_id(order: Order, what: What) -> str | None:
    if isinstance(what, OrderCreated):
        return order.draft_id
    return what.draft_id if isinstance(what, LinesAdded | OrderReplaced) else None


def entry_of(what: What) -> Entry | None:
    """The ledger entry that an event adds."""
    return what.entry if isinstance(what, EntryAdded | StatusSet) else None


def after(step: OrderStep, state: OrderState | None = None) -> OrderState:
    """The state that a step leads to."""
    before = state or OrderState(step.order)
    lines = {n: line for n, line in {**before.lines, **step.lines}.items() if n not in step.removed}
    sums = {n: sums for n, sums in {**before.sums, **step.sums}.items() if n not in step.removed}
    return OrderState(step.order, lines, sums)


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
    order, lines, sums = state.order, dict(state.lines), dict(state.sums)
    if isinstance(what, PaymentStarted):
        _claim(sums, what.items, 1)
    elif isinstance(what, PaymentEnded):
        _claim(sums, what.items, -1)
    elif isinstance(what, EntryAdded):
        if what.releases_claim:
            _claim(sums, what.entry.items, -1)
        order = _with_entry(order, sums, what.entry)
    elif isinstance(what, EntryMatched):
        order = msgspec.structs.replace(order, matched=(*order.matched, what.entry_id))
    elif isinstance(what, LinesAdded):
        order = _with_lines(order, lines, sums, what.lines, event.seq)
    elif isinstance(what, OrderReplaced):
        lines, sums = {}, {}
        order = msgspec.structs.replace(
            order, given=what.given, gross_amount=0, net_amount=0, sums=OrderSums(), replaced=event.seq
        )
        order = _with_lines(order, lines, sums, what.lines, event.seq)
    elif isinstance(what, OrderUpdated):
        order = msgspec.structs.replace(order, given=what.given)
        for item in what.items:
            lines[item.line_id] = msgspec.structs.replace(lines[item.line_id], given=item.given, version=event.seq)
    elif isinstance(what, StatusSet):
        order = msgspec.structs.replace(order, status=what.status, status_changes=what.changes)
        if what.entry is not None:
            order = _with_entry(order, sums, what.entry)
    elif isinstance(what, CommentAdded):
        order = msgspec.structs.replace(order, comments=(*order.comments, what.comment))
    elif isinstance(what, CommentRemoved):
        left = tuple(comment for comment in order.comments if comment.id != what.comment_id)
        order = msgspec.structs.replace(order, comments=left)
    order = msgspec.structs.replace(order, version=event.seq, last_hash=event.hash, updated_at=event.at)
    return OrderState(order, lines, sums)


def _with_entry(order: Order, sums: dict[int, LineSums], entry: Entry) -> Order:
    """Count a ledger entry, if it succeeded."""
    if not entry.success:
        return order
    for item in entry.items:
        sums[item.line_id] = sums[item.line_id].add(entry.kind, item.amount)
    totals_now = order.sums.add(entry.kind, entry.amount)
    return msgspec.structs.replace(order, sums=totals_now, payment_status=payment_status(order.net_amount, totals_now))


def _with_lines(
    order: Order, lines: dict[int, Line], sums: dict[int, LineSums], added: tuple[Line, ...], version: int
) -> Order:
    """Lines join an order; its totals and payment status follow."""
    for line in added:
        lines[line.line_id] = msgspec.structs.replace(line, version=version)
        sums[line.line_id] = LineSums(line.line_id, payable(line))
    gross, net = totals(added)
    gross, net = order.gross_amount + gross, order.net_amount + net
    return msgspec.structs.replace(
        order, gross_amount=gross, net_amount=net, payment_status=payment_status(net, order.sums)
    )


def _claim(sums: dict[int, LineSums], items: tuple[LineAmount, ...], sign: int) -> None:
    for item in items:
        sums[item.line_id] = sums[item.line_id].claim(sign * item.amount)


def service_state(events: Iterable[Event]) -> Literal["failure", "pending", "success"]:
    """How far the services are together (orders reference, section 8).

    One error or failure is a failure; nothing noted yet, or a service whose latest word is pending, is pending.
    """
    latest: dict[str, str] = {}
    for event in events:
        if isinstance(event.what, ServiceNoted):
            if event.what.state in ("error", "failure"):
                return "failure"
            latest[event.what.service] = event.what.state
    return "success" if latest and all(state == "success" for state in latest.values()) else "pending"


def seal(event: Event) -> Event:
    """Set the event's hash: SHA-256 over the event as JSON, which holds the hash of the one before it."""
    return msgspec.structs.replace(event, hash=hash_of(event))


def hash_of(event: Event) -> str:
    plain = msgspec.structs.replace(event, hash="")
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()
