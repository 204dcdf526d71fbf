"""The writes of the PostgreSQL engine: all records of a change in one call of ``kasse_write`` (see the migrations)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from uuid import UUID

import msgspec

from kasse.domain.access import ApiKey, Client, Grant, SignatureSecret, SigningKey
from kasse.domain.history import MOVES_SUMS_ONLY, OrderCreated, OrderStep
from kasse.domain.hooks import Notice, Subscription, notices
from kasse.domain.ledger import LineSums
from kasse.domain.order import Line
from kasse.domain.transaction_list import TransactionMarks
from kasse.store.port import Record
from kasse.store.postgres_loading import Seen
from kasse.store.sqlite_writes import _SUMS, _TABLES, _doc, mark_rows
from kasse.store.times import milliseconds

LISTED = (ApiKey, Client, Grant, SigningKey, SignatureSecret, Subscription)
"""The records that decisions look for in lists: whoever adds one must not be overlooked."""


@dataclass(frozen=True)
class _Row:
    """Columns of a row of a table. ``doc`` None leaves the one that is there.

    ``new`` None removes what the order has there: the line that ``keys`` name, or all of it.
    """

    table: str
    new: bool | None
    keys: dict[str, Any]
    columns: dict[str, Any]
    doc: str | None = None

    @property
    def name(self) -> tuple[Any, ...]:
        return (self.table, *self.keys.values())


@dataclass(frozen=True)
class Write:
    """A change as the database gets it: its id, its rows, what it was decided on besides what it writes, and what
    subscribers are to be told of."""

    commit: UUID
    rows: Sequence[_Row]
    seen: Sequence[Seen]
    told: Sequence[Notice] = ()

    @classmethod
    def of(cls, commit: UUID, records: Sequence[Record], seen: Sequence[Seen]) -> Write:
        rows = [row for record in records if not _is_new_notice(record) for row in _rows(record)]
        # What is written is guarded by its own version.
        written = {row.name for row in rows}
        others = [one for one in dict.fromkeys(seen) if one.name not in written]
        return cls(commit, rows, others, list(notices(records)))


def statement(write: Write) -> tuple[Any, ...]:
    """The call that stores a change if what it was decided on is as it was seen: SQL and its values."""
    sql = "SELECT kasse_write($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    told = ()
    if write.told:
        sql += ", kasse_tell($10, $11, $12, $13, $14)"
        told = _told_columns(write.told)
    return sql, write.commit, *_columns(write.rows), *_seen_columns(write.seen), *told


def independent(writes: Sequence[Write]) -> Iterator[Write]:
    """Those of several changes that none before them in the list has to do with: the others must not go with them.

    A change that saw what another one writes, or the other way round, could otherwise be stored as if both had come
    first.
    """
    written, seen = set[Any](), set[Any]()
    for write in writes:
        writes_here, sees_here = {row.name for row in write.rows}, {one.name for one in write.seen}
        if written.isdisjoint(writes_here | sees_here) and seen.isdisjoint(writes_here):
            written |= writes_here
            seen |= sees_here
            yield write


def statement_for_each(writes: Sequence[Write]) -> tuple[Any, ...]:
    """The call that stores each of several changes that are independent, or nothing of it: SQL and its values.

    It answers the numbers, from 1, of those that are not stored.
    """
    seen = {one: n for n, one in enumerate(dict.fromkeys(one for write in writes for one in write.seen), 1)}
    return (
        "SELECT kasse_write_each($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        [write.commit for write in writes],
        list(accumulate(len(write.rows) for write in writes)),
        list(accumulate(len(write.seen) for write in writes)),
        list(accumulate(len(write.told) for write in writes)),
        *_columns([row for write in writes for row in write.rows]),
        [seen[one] for write in writes for one in write.seen],
        *_seen_columns(list(seen)),
        *_told_columns([notice for write in writes for notice in write.told]),
    )


def _columns(rows: Sequence[_Row]) -> tuple[Any, ...]:
    return (
        [row.table for row in rows],
        [row.new for row in rows],
        [msgspec.json.encode(row.keys | row.columns).decode() for row in rows],
        [row.doc for row in rows],
    )


def _seen_columns(seen: Sequence[Seen]) -> tuple[Any, ...]:
    return (
        [one.table for one in seen],
        [one.account for one in seen],
        [one.key for one in seen],
        [one.version for one in seen],
    )


def _told_columns(told: Sequence[Notice]) -> tuple[Any, ...]:
    return (
        [notice.account_id for notice in told],
        [notice.id for notice in told],
        [notice.event for notice in told],
        [milliseconds(notice.created_at) for notice in told],
        [_doc(notice) for notice in told],
    )


def _is_new_notice(record: Record) -> bool:
    return isinstance(record, Notice) and record.version == 1


def _rows(record: Record) -> Iterator[_Row]:
    if isinstance(record, OrderStep):
        yield from _step_rows(record)
        return
    if isinstance(record, TransactionMarks):
        for row in mark_rows(record):
            # To search by only; a text cannot hold NUL.
            yield _Row("transaction_marks", True, {**row, "value": row["value"].replace("\0", "\ufffd")}, {})
        return
    table, keys, columns = _TABLES[type(record)]
    yield _Row(table, getattr(record, "version", 1) == 1, keys(record), columns(record), _doc(record))


def _step_rows(step: OrderStep) -> Iterator[_Row]:
    order, event = step.order, step.event
    new = isinstance(event.what, OrderCreated)
    head: dict[str, Any] = {
        "status": order.status,
        "payment_status": order.payment_status,
        "authorized": order.sums.authorized,
        "cancelled": order.sums.cancelled,
        "captured": order.sums.captured,
        "refunded": order.sums.refunded,
        "updated_at": milliseconds(order.updated_at),
        "version": order.version,
        "last_hash": order.last_hash,
    }
    if new:
        head["order_id"] = order.order_id
        head["created_at"] = milliseconds(order.created_at)
    keys = {"account_id": order.account_id, "id": order.id}
    says_the_same = isinstance(event.what, MOVES_SUMS_ONLY)
    yield _Row("orders", new, keys, head, None if says_the_same else _doc(order))
    owner = {"account_id": order.account_id, "order_ref": order.id}
    for line_id in step.removed:
        yield _Row("order_lines", None, owner | {"line_id": line_id}, {})
    for line_id in sorted(step.sums.keys() | step.lines.keys()):
        yield from _line_rows(owner | {"line_id": line_id}, step.sums.get(line_id), step.lines.get(line_id), new)
    if step.marks is not None:
        if not new:
            yield _Row("order_marks", None, owner, {})
        for name, value in sorted(step.marks):
            # To search by only; a text cannot hold NUL.
            value = value.replace("\0", "\ufffd")
            mark = {"name": name, "value": value, "created_at": milliseconds(order.created_at)}
            yield _Row("order_marks", True, owner | mark, {})
    yield _Row("order_events", True, owner | {"seq": event.seq}, {}, _doc(event))
    if step.entry is not None:
        entry = {"id": step.entry.id, "kind": step.entry.kind}
        yield _Row("ledger_entries", True, owner | {"seq": event.seq}, entry, _doc(step.entry))


def _line_rows(keys: dict[str, Any], sums: LineSums | None, line: Line | None, of_new_order: bool) -> Iterator[_Row]:
    amounts = {} if sums is None else {name: getattr(sums, name) for name in _SUMS}
    joins = sums is not None and line is not None
    if joins and not of_new_order:
        # It may take the place of another one under the same number.
        yield _Row("order_lines", None, keys, {})
    yield _Row("order_lines", joins, keys, amounts, None if line is None else _doc(line))
