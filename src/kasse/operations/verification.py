"""Rebuild every order from its history and compare: what ``kasse verify`` does.

The log is the truth that is checked against; it is itself checked by its numbers and its chain of hashes.
Source: design, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kasse.domain import history
from kasse.domain.history import Event, OrderState
from kasse.domain.ledger import Entry, LineSums
from kasse.domain.order import payable
from kasse.domain.transaction import ENTRY_KINDS, EVENT_NAMES, Transaction, amounts, status_after
from kasse.operations.house import House
from kasse.store.port import Loads

_AT_ONCE = 200
_UNDECIDED = ("INITIATED", "UNKNOWN", "ON_HOLD")


@dataclass(frozen=True)
class Verified:
    """How much was checked, and the first thing that differs, or None."""

    orders: int
    events: int
    difference: str | None = None


async def verify(house: House) -> Verified:
    """Check every order of every account; stops at the first difference."""
    orders = events = 0
    after: tuple[str, str] | None = None
    while True:
        start = after

        async def query(loads: Loads, start: tuple[str, str] | None = start) -> list[_Stored]:
            return [await _load(loads, state) for state in await loads.orders_from(start, _AT_ONCE)]

        batch = await house.store.read(query)
        if not batch:
            return Verified(orders, events)
        for stored in batch:
            orders, events = orders + 1, events + len(stored.events)
            difference = next(_differences(stored), None)
            if difference is not None:
                order = stored.state.order
                return Verified(orders, events, f"account {order.account_id}, order {order.order_id}: {difference}")
        after = (batch[-1].state.order.account_id, batch[-1].state.order.id)


@dataclass(frozen=True)
class _Stored:
    state: OrderState
    events: list[Event]
    entries: list[Entry]
    transactions: list[Transaction]


async def _load(loads: Loads, state: OrderState) -> _Stored:
    account_id, id = state.order.account_id, state.order.id
    return _Stored(
        state,
        await loads.events(account_id, id),
        await loads.entries(account_id, id),
        await loads.transactions_of_order(account_id, id),
    )


def _differences(stored: _Stored) -> Iterator[str]:
    yield from _chain(stored.events)
    rebuilt: OrderState | None = None
    for event in stored.events:
        rebuilt = history.evolve(rebuilt, event)
    if rebuilt is None:
        yield "it has no events"
        return
    yield from _unlike("the order", rebuilt.order, stored.state.order)
    yield from _unlike("its lines", rebuilt.lines, stored.state.lines)
    for line_id, sums in rebuilt.sums.items():
        yield from _unlike(f"line {line_id}", sums, stored.state.sums.get(line_id))
    recorded = [event.what.entry for event in stored.events if isinstance(event.what, history.EntryAdded)]
    yield from _unlike("its ledger", recorded, stored.entries)
    yield from _sums(stored)
    for transaction in stored.transactions:
        yield from _transaction(transaction, stored.entries)


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
    for line_id, line in stored.state.lines.items():
        sums = LineSums(line_id, payable(line))
        for entry in stored.entries:
            for item in entry.items:
                if entry.success and item.line_id == line_id:
                    sums = sums.add(entry.kind, item.amount)
        for transaction in stored.transactions:
            for item in transaction.lines:
                if transaction.status in _UNDECIDED and item.line_id == line_id:
                    sums = sums.claim(item.amount)
        yield from _unlike(f"line {line_id}", sums, stored.state.sums.get(line_id))
        broken = sums.broken_rule()
        if broken:
            yield f"line {line_id}: {broken}"


def _transaction(transaction: Transaction, entries: Sequence[Entry]) -> Iterator[str]:
    """A transaction against the order's entries that belong to it."""
    name = f"transaction {transaction.id}"
    kinds = {EVENT_NAMES[call]: kind for call, kind in ENTRY_KINDS.items()}
    for event_name, kind in kinds.items():
        ours = sum(
            line.amount
            for event in transaction.events
            if event.success and event.event == event_name
            for line in event.lines
        )
        orders = sum(entry.amount for entry in entries if entry.kind == kind and entry.transaction_id == transaction.id)
        if ours != orders:
            yield f"{name} has {ours} as {kind}, its order has {orders}"
    if transaction.authorization_id and any(
        event.event == "AUTHORIZE" and event.success for event in transaction.events
    ):
        expected = status_after(amounts(transaction))
        if transaction.status != expected:
            yield f"{name} is {transaction.status}, its events amount to {expected}"


def _unlike(name: str, expected: Any, stored: Any) -> Iterator[str]:
    """Name the first field that differs."""
    if expected == stored:
        return
    one, other = msgspec.to_builtins(expected), msgspec.to_builtins(stored)
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if one.get(key) != other.get(key):
                yield f"{name}: {key} is {other.get(key)!r}, its history amounts to {one.get(key)!r}"
                return
    if isinstance(one, list) and isinstance(other, list) and len(one) != len(other):
        yield f"{name} has {len(other)} entries, its history amounts to {len(one)}"
        return
    yield f"{name} is not what its history amounts to"
