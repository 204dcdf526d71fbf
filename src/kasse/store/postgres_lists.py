"""Lists of the PostgreSQL engine: filters, and pages by key. ``$1`` is the account, ``room.id`` the same."""

from __future__ import annotations

from typing import Any

from kasse.domain.paging import Filters, Page, SessionFilters
from kasse.store.order_lists import order_keys
from kasse.store.times import milliseconds


def order_list(select: str, filters: Filters, page: Page) -> tuple[str, list[Any]]:
    """A list of orders: SQL and its values after $1."""
    values = list[Any]()
    start = None
    if page.after is not None:
        _add(values, page.after)
        start = f"SELECT created_at, id FROM orders WHERE account_id = $1 AND {named(len(values) + 1)}"  # noqa: S608
    keys = order_keys(filters, page, "room.id", start, lambda value: _typed(values, value))
    sql = f"{select} JOIN ({keys}) AS key ON key.id = o.id WHERE o.account_id = room.id"
    return f"{sql} ORDER BY key.created_at DESC, key.id DESC", values


def _typed(values: list[Any], value: Any) -> str:
    return f"{_add(values, value)}::{'bigint' if isinstance(value, int) else 'text'}"


def draft_list(filters: Filters, page: Page) -> tuple[str, list[Any]]:
    """A list of drafts: SQL and its values after $1."""
    values = list[Any]()
    sql = f"SELECT doc FROM drafts AS o WHERE o.account_id = room.id{_narrowed(filters, values)}"  # noqa: S608
    start = ""
    if page.after is not None:
        start = f"SELECT created_at, id FROM drafts WHERE account_id = $1 AND id = {_add(values, page.after)}"  # noqa: S608
    return paged(sql, start, page), values


def session_list(filters: SessionFilters, page: Page) -> tuple[str, list[Any]]:
    """A list of checkout sessions: SQL and its values after $1."""
    values = list[Any]()
    sql = "SELECT doc FROM sessions AS o WHERE o.account_id = room.id"
    if filters.ids:
        sql += f" AND o.id = ANY({_add(values, list(filters.ids))}::text[])"
    if filters.transaction_ids:
        sql += (
            " AND o.id IN (SELECT session_id FROM transactions WHERE account_id = room.id "  # noqa: S608
            f"AND id = ANY({_add(values, list(filters.transaction_ids))}::text[]))"
        )
    if filters.store_ids:
        sql += f" AND o.store_id = ANY({_add(values, list(filters.store_ids))}::text[])"
    if filters.search is not None:
        place = _add(values, filters.search.lower())
        found = " UNION ".join(
            f"SELECT id FROM sessions WHERE account_id = room.id AND {column} = {place}"  # noqa: S608
            for column in ("merchant_reference", "merchant_reference_2", "payer_name")
        )
        sql += f" AND o.id IN ({found})"
    sql += _narrowed(Filters(created_from=filters.created_from, created_to=filters.created_to), values)
    start = ""
    if page.after is not None:
        start = f"SELECT created_at, id FROM sessions WHERE account_id = $1 AND id = {_add(values, page.after)}"  # noqa: S608
    return paged(sql, start, page), values


# Accounts with a clock of their own go by that. Each half stops at the limit, however much has run out meanwhile.
# Those accounts are gone through one by one: joined, all open sessions would be looked at for them. Their time is
# worked out before, because a sum is no condition for an index behind the second lock.
_CAN_END = """status = 'open' OR EXISTS (
        SELECT FROM gateway_calls AS g WHERE g.account_id = s.account_id
            AND g.key = s.doc::json ->> 'transaction_id' AND g.state = 'waiting_for_payer'
    )"""
DUE_SESSIONS = f"""
    SELECT doc FROM ((
        SELECT s.doc, s.expires_at FROM sessions AS s
        WHERE room.id = $1 AND s.status IN ('open', 'paying') AND s.expires_at <= $2
            AND NOT EXISTS (SELECT FROM account_clocks AS c WHERE c.account_id = s.account_id) AND ({_CAN_END})
        ORDER BY s.expires_at LIMIT $3
    ) UNION ALL (
        SELECT own.doc, own.expires_at FROM (
            SELECT account_id, coalesce(stopped_at, $2 + ahead) AS now FROM account_clocks OFFSET 0
        ) AS c, LATERAL (
            SELECT s.doc, s.expires_at FROM sessions AS s
            WHERE s.account_id = c.account_id AND s.status IN ('open', 'paying') AND s.expires_at <= c.now
                AND ({_CAN_END})
            ORDER BY s.expires_at LIMIT $3
        ) AS own
        WHERE room.id = $1 ORDER BY own.expires_at LIMIT $3
    )) AS over ORDER BY expires_at LIMIT $3
"""  # noqa: S608


def _narrowed(filters: Filters, values: list[Any]) -> str:
    """Conditions for the filters that are columns."""
    sql = ""
    if filters.status:
        sql += f" AND o.status = ANY({_add(values, list(filters.status))}::text[])"
    for comparison, time in ((">=", filters.created_from), ("<=", filters.created_to)):
        if time is not None:
            sql += f" AND o.created_at {comparison} {_add(values, milliseconds(time))}"
    return sql


def _add(values: list[Any], value: Any) -> str:
    """Add a value; answers its place in the SQL."""
    values.append(value)
    return f"${len(values) + 1}"


def named(number: int) -> str:
    """By either id; the internal one must never lead to an order whose order_id happens to be the same."""
    return f"(id = ${number} OR order_id = ${number}) ORDER BY id = ${number} DESC LIMIT 1"


def paged(sql: str, start: str, page: Page) -> str:
    """Newest first from a key on, never by offset. The limit is told as a number, so that the plan can count on it."""
    if page.after is not None:
        sql += f" AND (o.created_at, o.id) < ({start})"
    return f"{sql} ORDER BY o.created_at DESC, o.id DESC LIMIT {page.limit:d}"


def after(page: Page) -> tuple[str, ...]:
    return () if page.after is None else (page.after,)
