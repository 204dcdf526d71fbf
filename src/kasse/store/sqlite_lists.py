"""Lists of the SQLite engine: filters, and pages by key."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kasse.domain.paging import Filters, Page, SessionFilters
from kasse.store.order_lists import order_keys
from kasse.store.times import milliseconds

ORDER = (
    "SELECT doc, status, payment_status, authorized, cancelled, captured, refunded, updated_at, version, last_hash "
    "FROM orders WHERE account_id = ? AND "
)
# Accounts with a clock of their own go by that. Each half stops at the limit, however much has run out meanwhile.
_CAN_END = """status = 'open' OR EXISTS (
        SELECT 1 FROM gateway_calls WHERE account_id = s.account_id
            AND key = json_extract(s.doc, '$.transaction_id') AND state = 'waiting_for_payer'
    )"""
DUE_SESSIONS = f"""
    SELECT doc FROM (SELECT * FROM (
        SELECT s.doc, s.expires_at FROM sessions AS s WHERE s.status IN ('open', 'paying') AND s.expires_at <= ?1
            AND s.account_id NOT IN (SELECT account_id FROM account_clocks) AND ({_CAN_END})
        ORDER BY s.expires_at LIMIT ?2
    ) UNION ALL SELECT * FROM (
        SELECT s.doc, s.expires_at FROM account_clocks AS c CROSS JOIN sessions AS s
            ON s.account_id = c.account_id AND s.status IN ('open', 'paying')
            AND s.expires_at <= coalesce(c.stopped_at, ?1 + c.ahead)
        WHERE ({_CAN_END}) ORDER BY s.expires_at LIMIT ?2
    )) ORDER BY expires_at LIMIT ?2
"""  # noqa: S608


def order_list(account_id: str, filters: Filters, page: Page) -> tuple[str, tuple[Any, ...]]:
    """A list of orders."""
    bindings: list[Any] = [account_id]

    def add(value: Any) -> str:
        bindings.append(value)
        return f"?{len(bindings)}"

    start = None
    if page.after is not None:
        start = f"SELECT created_at, id FROM orders WHERE account_id = ?1 AND id = {add(page.after)}"  # noqa: S608
    keys = order_keys(filters, page, "?1", start, add)
    select = ORDER.partition("WHERE")[0].replace("FROM orders", f"FROM ({keys}) AS key CROSS JOIN orders")
    sql = f"{select}WHERE orders.account_id = ?1 AND orders.id = key.id ORDER BY key.created_at DESC, key.id DESC"
    return sql, tuple(bindings)


def narrowed(table: str, filters: Filters) -> tuple[str, tuple[Any, ...]]:
    """Conditions for the filters that are columns."""
    sql, bindings = "", list[Any]()
    if filters.status:
        sql += f" AND {table}.status IN ({places(filters.status)})"
        bindings += filters.status
    for comparison, time in ((">=", filters.created_from), ("<=", filters.created_to)):
        if time is not None:
            sql += f" AND {table}.created_at {comparison} ?"
            bindings.append(milliseconds(time))
    return sql, tuple(bindings)


def paged(sql: str, table: str, bindings: tuple[Any, ...], page: Page) -> tuple[str, tuple[Any, ...]]:
    """Newest first from a key on, never by offset. The account is the first of the bindings."""
    if page.after is not None:
        start = f"SELECT created_at, id FROM {table} WHERE account_id = ? AND id = ?"  # noqa: S608
        sql += f" AND (created_at, id) < ({start})"
        bindings = (*bindings, bindings[0], page.after)
    return f"{sql} ORDER BY created_at DESC, id DESC LIMIT ?", (*bindings, page.limit)


def session_list(account_id: str, filters: SessionFilters, page: Page) -> tuple[str, tuple[Any, ...]]:
    sql, bindings = "SELECT doc FROM sessions WHERE account_id = ?", [account_id]
    if filters.ids:
        sql += f" AND id IN ({places(filters.ids)})"
        bindings += filters.ids
    if filters.transaction_ids:
        sql += (
            " AND id IN (SELECT session_id FROM transactions WHERE account_id = ? "  # noqa: S608
            f"AND id IN ({places(filters.transaction_ids)}))"
        )
        bindings += (account_id, *filters.transaction_ids)
    if filters.store_ids:
        sql += f" AND store_id IN ({places(filters.store_ids)})"
        bindings += filters.store_ids
    if filters.search is not None:
        found = " UNION ".join(
            f"SELECT id FROM sessions WHERE account_id = ? AND {column} = ?"  # noqa: S608
            for column in ("merchant_reference", "merchant_reference_2", "payer_name")
        )
        sql += f" AND id IN ({found})"
        bindings += (account_id, filters.search.lower()) * 3
    where, more = narrowed("sessions", Filters(created_from=filters.created_from, created_to=filters.created_to))
    return paged(sql + where, "sessions", (*bindings, *more), page)


def places(values: Collection[Any]) -> str:
    return ",".join("?" * len(values))
