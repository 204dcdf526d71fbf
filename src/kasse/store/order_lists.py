"""Which orders a page of a list holds: the same SQL for every engine.

A page is read from the ends of one or several indexes, each in the order of the list, so that it costs what it holds
and not what lies before it or beside it. A filter by state goes along the index of exactly these states; a filter by
something said of an order along that of its marks. What is filtered besides is looked up order by order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, get_args

from kasse.domain.ledger import PaymentStatus
from kasse.domain.order import OrderStatus
from kasse.domain.paging import Filters, Page
from kasse.store.times import milliseconds

Add = Callable[[Any], str]
_STATUSES: tuple[str, ...] = get_args(OrderStatus)
_PAYMENTS: tuple[str, ...] = get_args(PaymentStatus)
_MOST_SOURCES = 20


def order_keys(filters: Filters, page: Page, account: str, start: str | None, add: Add) -> str:
    """SQL that answers ``created_at`` and ``id`` of the orders of a page, newest first.

    ``account`` is the account and ``start`` selects the key to start after, both in SQL. ``add`` takes a value and
    answers its place.
    """
    marks = list(filters.marks)
    named = sorted({*filters.order_ids})
    leading = next((mark for mark in marks if not named and len({*mark[1]}) <= _MOST_SOURCES), None)
    if leading is not None:
        marks.remove(leading)
    rest = _with_marks(marks, account, add)
    if leading is None and not named:
        table, key = "orders AS o", ("o.created_at", "o.id")
        chosen = [f"o.account_id = {account}{state}" for state in _states(filters, add)]
    else:
        if filters.status:
            rest += f" AND o.status IN ({_places(filters.status, add)})"
        if filters.payment_status:
            rest += f" AND o.payment_status IN ({_places(filters.payment_status, add)})"
    if named:
        table, key = "orders AS o", ("o.created_at", "o.id")
        chosen = [f"o.account_id = {account} AND o.order_id = {add(value)}" for value in named]
    elif leading is not None:
        name, values = leading
        table, key = "order_marks AS mark", ("mark.created_at", "mark.order_ref")
        if rest:
            table += " JOIN orders AS o ON o.account_id = mark.account_id AND o.id = mark.order_ref"
        where = f"mark.account_id = {account} AND mark.name = {add(name)}"
        chosen = [f"{where} AND mark.value = {add(value)}" for value in sorted({*values})]
    rest += _between(key, filters, start, add)
    order = f"ORDER BY {key[0]} DESC, {key[1]} DESC LIMIT {page.limit:d}"
    # The names of tables and columns are ours, everything else goes through ``add``.
    select = f"SELECT {key[0]} AS created_at, {key[1]} AS id FROM {table} WHERE "  # noqa: S608
    sources = [f"{select}{one}{rest} {order}" for one in chosen]
    if len(sources) == 1:
        return sources[0]
    # The same order may have several of the values.
    together = " UNION ".join(f"SELECT created_at, id FROM ({source}) AS source" for source in sources)  # noqa: S608
    return f"SELECT created_at, id FROM ({together}) AS found ORDER BY created_at DESC, id DESC LIMIT {page.limit:d}"  # noqa: S608


def _states(filters: Filters, add: Add) -> list[str]:
    """The states asked for, one by one: in the index each of them is in the order of the list."""
    if not filters.status and not filters.payment_status:
        return [""]
    return [
        f" AND o.status = {add(status)} AND o.payment_status = {add(payment)}"
        for status in sorted({*(filters.status or _STATUSES)})
        for payment in sorted({*(filters.payment_status or _PAYMENTS)})
    ]


def _with_marks(marks: Collection[tuple[str, tuple[str, ...]]], account: str, add: Add) -> str:
    return "".join(
        f" AND EXISTS (SELECT 1 FROM order_marks AS other WHERE other.account_id = {account} "  # noqa: S608
        f"AND other.order_ref = o.id AND other.name = {add(name)} AND other.value IN ({_places(values, add)}))"
        for name, values in marks
    )


def _between(key: tuple[str, str], filters: Filters, start: str | None, add: Add) -> str:
    sql = ""
    for comparison, time in ((">=", filters.created_from), ("<=", filters.created_to)):
        if time is not None:
            sql += f" AND {key[0]} {comparison} {add(milliseconds(time))}"
    if start is not None:
        sql += f" AND ({key[0]}, {key[1]}) < ({start})"
    return sql


def _places(values: Collection[str], add: Add) -> str:
    return ", ".join(add(value) for value in sorted({*values}))
