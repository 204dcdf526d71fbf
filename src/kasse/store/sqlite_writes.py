"""The writes of the SQLite engine: one function per record.

A record of version 1 is inserted, a later one replaces exactly the version before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import apsw
import msgspec

from kasse.domain.access import (
    Account,
    ApiKey,
    Client,
    Grant,
    ServerSecret,
    SignatureSecret,
    SigningKey,
    StoredAnswer,
)
from kasse.domain.account_clock import AccountClock
from kasse.domain.callbacks import Attempt, Delivery
from kasse.domain.history import MOVES_SUMS_ONLY, OrderCreated, OrderStep
from kasse.domain.hooks import Notice, Subscription, notices
from kasse.domain.order import Draft
from kasse.domain.profile import Profile
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import GatewayCall, Transaction
from kasse.domain.transaction_list import TransactionMarks, last_time
from kasse.store.port import Contradiction, Record
from kasse.store.times import milliseconds


def write_all(connection: apsw.Connection, records: Sequence[Record]) -> None:
    """Write the records of a change, and what there is to tell of them. Raises ``Contradiction``."""
    for record in records:
        if not (isinstance(record, Notice) and record.version == 1):
            write(connection, record)
    for notice in notices(records):
        connection.execute(
            "INSERT INTO notices (account_id, id, told, created_at, version, doc) SELECT ?1, ?2, 0, ?3, 1, ?4 WHERE "
            "EXISTS (SELECT 1 FROM subscriptions WHERE account_id = ?1 AND instr(events, ?5)) ON CONFLICT DO NOTHING",
            (notice.account_id, notice.id, milliseconds(notice.created_at), _doc(notice), f" {notice.event} "),
        )


def write(connection: apsw.Connection, record: Record) -> None:
    """Write one record. Raises ``Contradiction`` when the version it replaces is not there."""
    if isinstance(record, OrderStep):
        _write_step(connection, record)
        return
    if isinstance(record, TransactionMarks):
        for row in mark_rows(record):
            _insert(connection, "transaction_marks", row)
        return
    table, keys, columns = _TABLES[type(record)]
    values = {**keys(record), **columns(record), "doc": _doc(record)}
    version = getattr(record, "version", 1)
    if version == 1:
        _insert(connection, table, values)
    else:
        _replace(connection, table, keys(record), values, version)


def mark_rows(record: TransactionMarks) -> list[dict[str, Any]]:
    of = {"account_id": record.account_id, "transaction_id": record.transaction_id}
    at = milliseconds(record.created_at)
    return [{**of, "name": name, "value": value, "created_at": at} for name, value in sorted(record.marks)]


def _doc(record: Any) -> str:
    return msgspec.json.encode(record).decode()


def _insert(connection: apsw.Connection, table: str, values: dict[str, Any]) -> None:
    names, places = ",".join(values), ",".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", tuple(values.values()))  # noqa: S608


def _replace(
    connection: apsw.Connection, table: str, keys: dict[str, Any], values: dict[str, Any], version: int
) -> None:
    sets = ",".join(f"{name} = ?" for name in values)
    where = " AND ".join(f"{name} = ?" for name in keys)
    connection.execute(
        f"UPDATE {table} SET {sets} WHERE {where} AND version = ?",  # noqa: S608
        (*values.values(), *keys.values(), version - 1),
    )
    if connection.changes() != 1:
        raise Contradiction(f"{table}: version {version - 1} to replace is not there")


def _write_step(connection: apsw.Connection, step: OrderStep) -> None:
    order, event = step.order, step.event
    keys = {"account_id": order.account_id, "id": order.id}
    head = {
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
    if isinstance(event.what, OrderCreated):
        made = {"order_id": order.order_id, "created_at": milliseconds(order.created_at), "doc": _doc(order)}
        _insert(connection, "orders", {**keys, **head, **made})
    elif isinstance(event.what, MOVES_SUMS_ONLY):
        _replace(connection, "orders", keys, head, order.version)
    else:
        _replace(connection, "orders", keys, {**head, "doc": _doc(order)}, order.version)
    _write_lines(connection, step)
    if step.marks is not None:
        _write_marks(connection, step, step.marks)
    owner = {"account_id": order.account_id, "order_ref": order.id, "seq": event.seq}
    _insert(connection, "order_events", {**owner, "doc": _doc(event)})
    if step.entry is not None:
        entry = {"id": step.entry.id, "kind": step.entry.kind, "doc": _doc(step.entry)}
        _insert(connection, "ledger_entries", {**owner, **entry})


def _write_lines(connection: apsw.Connection, step: OrderStep) -> None:
    order = step.order
    for line_id in step.removed:
        connection.execute(
            "DELETE FROM order_lines WHERE account_id = ? AND order_ref = ? AND line_id = ?",
            (order.account_id, order.id, line_id),
        )
    for line_id in sorted(step.sums.keys() | step.lines.keys()):
        keys = {"account_id": order.account_id, "order_ref": order.id, "line_id": line_id}
        sums, line = step.sums.get(line_id), step.lines.get(line_id)
        values = {name: getattr(sums, name) for name in _SUMS} if sums is not None else {}
        if line is not None:
            values["doc"] = _doc(line)
        if line is not None and sums is not None:
            # A line that is new, or takes the place of another one under the same number.
            connection.execute(
                "DELETE FROM order_lines WHERE account_id = ? AND order_ref = ? AND line_id = ?", tuple(keys.values())
            )
            _insert(connection, "order_lines", {**keys, **values})
            continue
        sets = ",".join(f"{name} = ?" for name in values)
        connection.execute(
            f"UPDATE order_lines SET {sets} WHERE account_id = ? AND order_ref = ? AND line_id = ?",  # noqa: S608
            (*values.values(), *keys.values()),
        )
        if connection.changes() != 1:
            raise Contradiction(f"order_lines: line {line_id} to change is not there")


def _write_marks(connection: apsw.Connection, step: OrderStep, marks: Iterable[tuple[str, str]]) -> None:
    order = step.order
    connection.execute("DELETE FROM order_marks WHERE account_id = ? AND order_ref = ?", (order.account_id, order.id))
    for name, value in marks:
        row = {"name": name, "value": value, "created_at": milliseconds(order.created_at)}
        _insert(connection, "order_marks", {"account_id": order.account_id, "order_ref": order.id, **row})


_SUMS = ("payable", "authorized", "cancelled", "captured", "refunded", "claimed")


def _milliseconds_or_none(time: datetime | None) -> int | None:
    return None if time is None else milliseconds(time)


_Columns = Callable[[Any], dict[str, Any]]


def _account_and_id(record: Any) -> dict[str, Any]:
    return {"account_id": record.account_id, "id": record.id}


def _searched(value: Any, form: Callable[[str], str] = str.lower) -> str | None:
    """A text as it is looked for. NUL, which a column cannot hold everywhere, is written as another character."""
    return form(value).replace("\0", "\ufffd") if isinstance(value, str) and value else None


_TABLES: dict[type, tuple[str, _Columns, _Columns]] = {
    Account: ("accounts", lambda r: {"account_id": r.id}, lambda r: {"version": r.version}),
    Client: (
        "clients",
        _account_and_id,
        lambda r: {
            "client_id": r.client_id,
            "deleted": r.deleted_at is not None,
            "created_at": milliseconds(r.created_at),
            "version": r.version,
        },
    ),
    Grant: (
        "grants",
        _account_and_id,
        lambda r: {
            "client": r.client,
            "deleted": r.deleted_at is not None,
            "created_at": milliseconds(r.created_at),
            "version": r.version,
        },
    ),
    SigningKey: (
        "server_signing_keys",
        lambda r: {"kid": r.kid},
        lambda r: {"created_at": milliseconds(r.created_at)},
    ),
    ServerSecret: ("server_secrets", lambda r: {"name": r.name}, lambda r: {}),
    SignatureSecret: (
        "signature_secrets",
        _account_and_id,
        lambda r: {"created_at": milliseconds(r.created_at)},
    ),
    ApiKey: (
        "api_keys",
        _account_and_id,
        lambda r: {
            "key_hash": r.key_hash,
            "deleted": r.deleted_at is not None,
            "created_at": milliseconds(r.created_at),
            "version": r.version,
        },
    ),
    Profile: (
        "profiles",
        _account_and_id,
        lambda r: {"deleted": r.deleted_at is not None, "version": r.version},
    ),
    Subscription: (
        "subscriptions",
        _account_and_id,
        lambda r: {
            "events": f" {' '.join(r.events)} " if r.listens else "",
            "deleted": r.deleted_at is not None,
            "created_at": milliseconds(r.created_at),
            "version": r.version,
        },
    ),
    Notice: (
        "notices",
        _account_and_id,
        lambda r: {"told": r.told, "created_at": milliseconds(r.created_at), "version": r.version},
    ),
    Draft: (
        "drafts",
        _account_and_id,
        lambda r: {"status": r.status, "created_at": milliseconds(r.created_at), "version": r.version},
    ),
    PaymentSession: (
        "sessions",
        _account_and_id,
        lambda r: {
            "order_ref": r.order,
            "status": r.status,
            "created_at": milliseconds(r.created_at),
            "expires_at": milliseconds(r.expires_at),
            "merchant_reference": _searched(r.merchant_reference),
            "merchant_reference_2": _searched(r.checkout_order.get("merchant_reference_2")),
            "payer_name": _searched(r.payer_name),
            "store_id": _searched((r.checkout_order.get("store") or {}).get("id"), str),
            "version": r.version,
        },
    ),
    AccountClock: (
        "account_clocks",
        lambda r: {"account_id": r.account_id},
        lambda r: {
            "ahead": r.ahead,
            "stopped_at": None if r.stopped_at is None else milliseconds(r.stopped_at),
            "version": r.version,
        },
    ),
    Transaction: (
        "transactions",
        _account_and_id,
        lambda r: {
            "session_id": r.session_id,
            "order_ref": r.order,
            "status": r.status,
            "amount": r.amount,
            "merchant_reference_2": r.given.get("merchant_reference_2"),
            "captured_at": _milliseconds_or_none(last_time(r, "CAPTURE")),
            "refunded_at": _milliseconds_or_none(last_time(r, "REFUND")),
            "created_at": milliseconds(r.created_at),
            "version": r.version,
        },
    ),
    GatewayCall: (
        "gateway_calls",
        lambda r: {"account_id": r.account_id, "key": r.key},
        lambda r: {
            "transaction_id": r.transaction_id,
            "state": r.state,
            "look_up_at": _milliseconds_or_none(r.look_up_at),
            "version": r.version,
        },
    ),
    Delivery: (
        "deliveries",
        _account_and_id,
        lambda r: {
            "session_id": r.session_id,
            "subscription_id": r.subscription_id,
            "receiver": r.receiver,
            "status": r.status,
            "due_at": milliseconds(r.due_at),
            "version": r.version,
        },
    ),
    StoredAnswer: (
        "answers",
        _account_and_id,
        lambda r: {"created_at": milliseconds(r.created_at), "version": r.version},
    ),
    Attempt: (
        "delivery_attempts",
        lambda r: {"account_id": r.account_id, "delivery_id": r.delivery_id, "number": r.number},
        lambda r: {},
    ),
}
