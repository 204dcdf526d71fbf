"""Rows whose place is wrong: what they belong to is missing, or they are filed under something else than their record
says, so that nobody would find them. Both engines ask the same, each with its own words for what is in a record.
"""

# ruff: noqa: S608 (nothing is put into these statements but names written here)

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

_BELONGS = (
    # What belongs, its key, to what of which key, and when.
    *((table, "order_ref", "orders", "id", "") for table in ("order_lines", "ledger_entries", "order_events")),
    ("order_marks", "order_ref", "orders", "id", ""),
    ("sessions", "order_ref", "orders", "id", "c.order_ref IS NOT NULL"),
    ("transactions", "order_ref", "orders", "id", "c.order_ref IS NOT NULL"),
    ("transactions", "session_id", "sessions", "id", ""),
    ("transaction_marks", "transaction_id", "transactions", "id", ""),
    ("gateway_calls", "transaction_id", "transactions", "id", ""),
    # Other gateways' entries begin with their names.
    ("sandbox_book", "key", "transactions", "id", "c.key NOT LIKE '%:%'"),
    ("deliveries", "session_id", "sessions", "id", "c.session_id <> ''"),
    ("deliveries", "subscription_id", "subscriptions", "id", "c.subscription_id IS NOT NULL"),
    ("delivery_attempts", "delivery_id", "deliveries", "id", ""),
)
_FILED = {
    "sessions": {"order_ref": "order", "status": "status", "expires_at": "expires_at"},
    "transactions": {"order_ref": "order", "session_id": "session_id", "status": "status"},
    "gateway_calls": {"transaction_id": "transaction_id", "state": "state", "look_up_at": "look_up_at"},
    "deliveries": {
        **{name: name for name in ("session_id", "subscription_id", "receiver", "status")},
        "due_at": "due_at",
    },
    "notices": {"told": "told"},
    "drafts": {"status": "status"},
    "answers": {"created_at": "created_at"},
}
"""By which columns rows of a table are found, and which field of the record each repeats."""
_LEFT_OUT = {("drafts", "status"): "open"}
"""What a column says where the record leaves the field out, because that is its default."""
_TIMES = ("expires_at", "look_up_at", "due_at", "created_at")
_SUBJECTS = {
    "shopping_draft_": ("drafts", "id"),
    "shopping_order_": ("orders", "id"),
    "checkout_transaction": ("transactions", "id"),
}
_KEYS = {
    "gateway_calls": "c.key",
    "sandbox_book": "c.key",
    "order_lines": "c.order_ref || ' line ' || c.line_id",
    "order_events": "c.order_ref || ' event ' || c.seq",
    "order_marks": "c.order_ref",
    "transaction_marks": "c.transaction_id",
    "delivery_attempts": "c.delivery_id || ' try ' || c.number",
}
"""How a row is named where that is not by its id."""


@dataclass(frozen=True)
class Stray:
    """``key`` names the row within its table and account."""

    table: str
    account_id: str
    key: str
    why: str


class Words(Protocol):
    """How an engine says what is in a record. ``readable`` holds for records that are JSON."""

    @property
    def readable(self) -> str: ...

    @property
    def everywhere(self) -> str: ...

    def text(self, field: str) -> str: ...

    def unlike(self, column: str, field: str) -> str:
        """That the column is not what the field says."""
        ...

    def unlike_time(self, column: str, field: str) -> str:
        """Columns have milliseconds, fields the time as it is written."""
        ...


def statement(words: Words) -> str:
    """At most one row of each kind: table, account, key, why."""
    return " UNION ALL ".join(
        f"SELECT * FROM (SELECT '{table}', c.account_id, CAST({key} AS TEXT), {why} FROM {table} AS c "
        f"WHERE {words.everywhere} AND {wrong} LIMIT 1) AS found"
        for table, key, why, wrong in _wrong(words)
    )


def _wrong(words: Words) -> Iterator[tuple[str, str, str, str]]:
    for table in _FILED:
        yield table, _key(table), "'it is no record'", f"NOT ({words.readable})"
    for table, column, parent, key, when in _BELONGS:
        why = f"'its {column} is ' || c.{column} || ', which is not in {parent}'"
        yield table, _key(table), why, _and(when, _missing(parent, key, f"c.{column}"))
    for table, columns in _FILED.items():
        for column, field in columns.items():
            left_out = _LEFT_OUT.get((table, column))
            if column in _TIMES:
                unlike = words.unlike_time(f"c.{column}", field)
            elif left_out is not None:
                unlike = f"c.{column} <> coalesce({words.text(field)}, '{left_out}')"
            else:
                unlike = words.unlike(f"c.{column}", field)
            why = f"'it is filed under another {column} than its record has'"
            yield table, _key(table), why, _in_record(words, unlike)
    for prefix, (parent, key) in _SUBJECTS.items():
        wrong = f"{words.text('event')} LIKE '{prefix}%' AND {_missing(parent, key, words.text('subject'))}"
        why = f"'it tells of what is not in {parent}'"
        yield "notices", "c.id", why, _in_record(words, wrong)
    waits = f"coalesce({words.text('status')}, '0') = '0' AND {words.text('call')} IS NOT NULL"
    why = f"'it waits for the gateway call ' || {words.text('call')} || ', which is not there'"
    wrong = f"{waits} AND {_missing('gateway_calls', 'key', words.text('call'))}"
    yield "answers", "c.id", why, _in_record(words, wrong)
    tried = "EXISTS (SELECT 1 FROM delivery_attempts AS p WHERE p.account_id = c.account_id AND p.delivery_id = c.id)"
    yield "deliveries", "c.id", "'it is delivered, and was never tried'", f"c.status = 'delivered' AND NOT {tried}"


def _in_record(words: Words, wrong: str) -> str:
    """Looked at only where there is a record to look into."""
    return f"CASE WHEN {words.readable} THEN {wrong} END"


def _missing(parent: str, key: str, reference: str) -> str:
    return f"NOT EXISTS (SELECT 1 FROM {parent} AS p WHERE p.account_id = c.account_id AND p.{key} = {reference})"


def _key(table: str) -> str:
    return _KEYS.get(table, "c.id")


def _and(*conditions: str) -> str:
    return " AND ".join(each for each in conditions if each)
