"""Rebuild every order from its history and compare: what ``kasse verify`` does.

The log is the truth that is checked against; it is itself checked by its numbers and its chain of hashes.
Source: design, section 4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kasse.domain import history
from kasse.domain import order as order_rules
from kasse.domain.history import Event, OrderState
from kasse.domain.ledger import Entry, LineAmount, LineSums
from kasse.domain.order import payable
from kasse.domain.transaction import ENTRY_KINDS, EVENT_NAMES, Transaction, status_by_events
from kasse.operations.house import House
from kasse.operations.verification_of_payments import NOT_AUTHORIZED, UNDECIDED, verify_payments
from kasse.store.port import Contradiction, Loads

_AT_ONCE = 200


@dataclass(frozen=True)
class Verified:
    """How much was checked, and the first thing that differs, or None."""

    orders: int
    events: int
    difference: str | None = None
    sessions: int = 0


async def verify(house: House) -> Verified:
    """Check every order of every account, then every session and its payments, then all that is stored beside them.

    Stops at the first difference."""
    orders = events = 0
    after: tuple[str, str] | None = None
    while True:
        start = after

        async def query(loads: Loads, start: tuple[str, str] | None = start) -> list[_Stored]:
            return [await _load(loads, state) for state in await loads.orders_from(start, _AT_ONCE)]

        try:
            batch = await house.store.read(query)
        except msgspec.MsgspecError as error:
            place = f"account {after[0]}, order {after[1]} (internal id)" if after else "the beginning"
            return Verified(orders, events, f"something in the {_AT_ONCE} orders after {place} is no record: {error}")
        if not batch:
            payments = await verify_payments(house)
            difference = payments.difference or await _stray(house)
            return Verified(orders, events, difference, payments.sessions)
        for stored in batch:
            orders, events = orders + 1, events + len(stored.events)
            difference = next(_differences(stored), None)
            if difference is not None:
                order = stored.state.order
                return Verified(orders, events, f"account {order.account_id}, order {order.order_id}: {difference}")
        after = (batch[-1].state.order.account_id, batch[-1].state.order.id)


async def _stray(house: House) -> str | None:
    """What is stored beside orders and sessions: the sandbox's book, calls owed and made, what subscribers are to be
    told, kept answers; and whether everything is found where it is looked for."""
    try:
        found = await house.store.read(lambda loads: loads.strays())
    except Contradiction as error:
        return f"something that is stored is no record: {error}"
    return next((f"account {each.account_id}, {each.key} in {each.table}: {each.why}" for each in found), None)


@dataclass(frozen=True)
class _Stored:
    state: OrderState
    events: list[Event]
    entries: list[Entry]
    transactions: list[Transaction]
    marks: frozenset[tuple[str, str]]


async def _load(loads: Loads, state: OrderState) -> _Stored:
    account_id, id = state.order.account_id, state.order.id
    return _Stored(
        state,
        await loads.events(account_id, id),
        await loads.entries(account_id, id),
        await loads.transactions_of_order(account_id, id),
        await loads.marks(account_id, id),
    )


def _differences(stored: _Stored) -> Iterator[str]:
    yield from _chain(stored.events)
    rebuilt: OrderState | None = None
    for event in stored.events:
        try:
            rebuilt = history.evolve(rebuilt, event)
        except (KeyError, ValueError):
            yield f"event {event.seq} does not fit what came before it"
            return
    if rebuilt is None:
        yield "it has no events"
        return
    yield from _unlike("the order", rebuilt.order, stored.state.order)
    yield from _unlike("its lines", rebuilt.lines, stored.state.lines)
    for line_id, sums in rebuilt.sums.items():
        yield from _unlike(f"line {line_id}", sums, stored.state.sums.get(line_id))
    found_by = order_rules.marks(rebuilt.order, rebuilt.lines.values())
    if found_by != stored.marks:
        wrong = sorted(found_by ^ stored.marks)[0]
        yield f"{wrong[0]} {wrong[1]!r} is {'not ' if wrong in found_by else ''}what lists find it by"
    recorded = [entry for event in stored.events if (entry := history.entry_of(event.what)) is not None]
    yield from _unlike("its ledger", recorded, stored.entries)
    yield from _sums(stored)
    for transaction in stored.transactions:
        yield from _transaction(transaction, stored.entries)
    known = {None, *(transaction.id for transaction in stored.transactions)}
    for entry in stored.entries:
        if entry.transaction_id not in known:
            yield f"transaction {entry.transaction_id} is missing, {entry.kind} {entry.id} belongs to it"


def _chain(events: Sequence[Event]) -> Iterator[str]:
    previous = ""
    for seq, event in enumerate(events, 1):
        if event.seq != seq:
            yield f"event {seq} is missing, event {event.seq} comes in its place"
        if event.previous_hash != previous:
            yield f"event {seq} does not follow the one before it: its previous_hash is another"
        if history.hash_of(event) != event.hash:
            yield f"event {seq} was changed: its hash does not fit"
        previous = event.hash


def _sums(stored: _Stored) -> Iterator[str]:
    """The counters against the facts: entries, and payments that are under way."""
    lines = {line_id: LineSums(line_id, payable(line)) for line_id, line in stored.state.lines.items()}
    for entry in stored.entries:
        for item in entry.items if entry.success else ():
            lines[item.line_id] = lines[item.line_id].add(entry.kind, item.amount)
    for transaction in stored.transactions:
        for item in transaction.lines if transaction.status in UNDECIDED else ():
            if item.line_id not in lines:
                yield f"transaction {transaction.id} claims line {item.line_id}, which the order does not have"
                return
            lines[item.line_id] = lines[item.line_id].claim(item.amount)
    for line_id, sums in lines.items():
        yield from _unlike(f"line {line_id}", sums, stored.state.sums.get(line_id))
        broken = sums.broken_rule()
        if broken:
            yield f"line {line_id}: {broken}"


def _transaction(transaction: Transaction, entries: Sequence[Entry]) -> Iterator[str]:
    """A transaction against the order's entries that belong to it."""
    name = f"transaction {transaction.id}"
    kinds = {EVENT_NAMES[call]: kind for call, kind in ENTRY_KINDS.items()}
    done = [event for event in transaction.events if event.success and event.event in kinds]
    for event_name, kind in kinds.items():
        ours = _by_line(event.lines for event in done if event.event == event_name)
        orders = _by_line(
            entry.items for entry in entries if entry.kind == kind and entry.transaction_id == transaction.id
        )
        if ours != orders:
            yield f"{name} has {ours} (line: amount) as {kind}, its order has {orders}"
    # What belongs to no line of the order, such as shipping.
    rest = transaction.amount - sum(line.amount for line in transaction.lines)
    for event in done:
        if not 0 <= event.amount - sum(line.amount for line in event.lines) <= rest:
            yield f"{name} has {event.amount} as {event.event} in event {event.id}, which is not what its lines are"
    authorized = [event for event in done if event.event == "AUTHORIZE"]
    if not authorized:
        if transaction.status not in NOT_AUTHORIZED:
            yield f"{name} is {transaction.status}, none of its events authorized it"
        return
    if (authorized[0].amount, authorized[0].lines) != (transaction.amount, transaction.lines):
        yield f"{name} is for {transaction.amount}, {authorized[0].amount} was authorized, or for other lines"
    expected = status_by_events(transaction)
    if transaction.status != expected:
        yield f"{name} is {transaction.status}, its events amount to {expected}"


def _by_line(several: Iterable[Iterable[LineAmount]]) -> dict[int, int]:
    found: Counter[int] = Counter()
    for lines in several:
        for line in lines:
            found[line.line_id] += line.amount
    return dict(sorted(found.items()))


def _unlike(name: str, expected: Any, stored: Any) -> Iterator[str]:
    """Name the first field that differs."""
    if expected == stored:
        return
    one, other = _plain(expected), _plain(stored)
    if isinstance(one, dict) and isinstance(other, dict):
        for key in (*one, *(key for key in other if key not in one)):
            if one.get(key) != other.get(key):
                found, meant = (msgspec.to_builtins(each.get(key)) for each in (other, one))
                yield f"{name}: {key} is {found!r}, its history amounts to {meant!r}"
                return
    if isinstance(one, list) and isinstance(other, list) and len(one) != len(other):
        yield f"{name} has {len(other)} entries, its history amounts to {len(one)}"
        return
    yield f"{name} is not what its history amounts to"


def _plain(value: Any) -> Any:
    """The fields of a struct, those with their defaults too."""
    return msgspec.structs.asdict(value) if isinstance(value, msgspec.Struct) else msgspec.to_builtins(value)
