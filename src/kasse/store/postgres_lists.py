"""Lists of the PostgreSQL engine: filters, and pages by key. ``$1`` is the account, ``room.id`` the same."""

from __future__ import annotations

from typing import Any

from kasse.domain.paging import Filters, Page
from kasse.store.times import milliseconds


def order_list(select: str, filters: Filters, page: Page) -> tuple[str, list[Any]]:
    """A list of orders, along the index of its first mark where that has one value: SQL and its values after $1."""
    marks, values = list(filters.marks), list[Any]()
    key = ("o.created_at", "o.id")
    sql = select + " WHERE o.account_id = room.id"
    if marks and len(marks[0][1]) == 1:
        name, (value,) = marks.pop(0)
        sql = select.replace(
            "FROM orders AS o",
            "FROM order_marks AS mark JOIN orders AS o ON o.account_id = mark.account_id AND o.id = mark.order_ref",
        )
        sql += f" WHERE mark.account_id = room.id AND mark.name = {_add(values, name)} AND mark.value = "
        sql += _add(values, value)
        key = ("mark.created_at", "mark.order_ref")
    for name, several in marks:
        sql += (
            " AND EXISTS (SELECT FROM order_marks AS other WHERE other.account_id = room.id "
            f"AND other.order_ref = o.id AND other.name = {_add(values, name)} "
            f"AND other.value = ANY({_add(values, list(several))}::text[]))"
        )
    sql += _narrowed(filters, values)
    start = ""
    if page.after is not None:
        start = f"SELECT created_at, id FROM orders WHERE account_id = $1 AND {named(len(values) + 2)}"  # noqa: S608
        values.append(page.after)
    return paged(sql, start, page, key), values


def draft_list(filters: Filters, page: Page) -> tuple[str, list[Any]]:
    """A list of drafts: SQL and its values after $1."""
    values = list[Any]()
    sql = f"SELECT doc FROM drafts AS o WHERE o.account_id = room.id{_narrowed(filters, values)}"  # noqa: S608
    start = ""
    if page.after is not None:
        start = f"SELECT created_at, id FROM drafts WHERE account_id = $1 AND id = {_add(values, page.after)}"  # noqa: S608
    return paged(sql, start, page), values


def _narrowed(filters: Filters, values: list[Any]) -> str:
    """Conditions for the filters that are columns."""
    sql = ""
    for column, several in (("status", filters.status), ("payment_status", filters.payment_status)):
        if several:
            sql += f" AND o.{column} = ANY({_add(values, list(several))}::text[])"
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


def paged(sql: str, start: str, page: Page, key: tuple[str, str] = ("o.created_at", "o.id")) -> str:
    """Newest first from a key on, never by offset. The limit is told as a number, so that the plan can count on it."""
    created_at, id = key
    if page.after is not None:
        sql += f" AND ({created_at}, {id}) < ({start})"
    return f"{sql} ORDER BY {created_at} DESC, {id} DESC LIMIT {page.limit:d}"


def after(page: Page) -> tuple[str, ...]:
    return () if page.after is None else (page.after,)
