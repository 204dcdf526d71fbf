"""Lists of transactions, the same SQL for both engines.

A list is put together from *walks*: each follows one index from the newest on and stops when it has a page. So what
is read does not grow with the table, whichever filter leads. ``?1`` or ``$1`` is the account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kasse.domain.paging import Page
from kasse.domain.transaction_list import MARKS, SEARCH, Range, TransactionFilters
from kasse.store.times import milliseconds


@dataclass
class _Values:
    """The values of a statement, each with its place in the SQL."""

    sign: str
    account: str
    all: list[Any] = field(default_factory=list)

    def __call__(self, value: Any) -> str:
        self.all.append(value)
        return f"{self.sign}{len(self.all) + 1}"

    def any_of(self, several: Sequence[Any]) -> str:
        return ", ".join(self(value) for value in several)


def transaction_list(filters: TransactionFilters, page: Page, sign: str, account: str) -> tuple[str, list[Any]]:
    """SQL and its values after the account. ``sign`` begins a numbered place, ``account`` is what names the account."""
    values = _Values(sign, account)
    start = None
    if page.after is not None:
        start = (
            f"SELECT created_at, id FROM transactions WHERE account_id = {account} AND id = "  # noqa: S608
            f"{values(page.after)}"
        )
    conditions = _conditions(filters, values)
    walks = [_walk(source, conditions, start, page.limit, account) for source in _sources(filters, values)]
    several = " UNION ".join(f"SELECT * FROM ({walk}) AS walk_{n}" for n, walk in enumerate(walks))  # noqa: S608
    return (
        f"SELECT found.doc FROM ({several}) AS page CROSS JOIN transactions AS found "  # noqa: S608
        f"WHERE found.account_id = {account} AND found.id = page.id "
        f"ORDER BY page.created_at DESC, page.id DESC LIMIT {page.limit:d}",
        values.all,
    )


@dataclass(frozen=True)
class _Source:
    """Where a walk goes along: ``where`` narrows it to a stretch of an index that is ordered by ``key``."""

    tables: str
    where: str
    key: tuple[str, str] = ("t.created_at", "t.id")


def _walk(source: _Source, conditions: str, start: str | None, limit: int, account: str) -> str:
    created_at, id = source.key
    sql = f"SELECT t.created_at, t.id FROM {source.tables} WHERE {source.where} AND t.account_id = {account}"  # noqa: S608
    sql += conditions
    if start is not None:
        sql += f" AND ({created_at}, {id}) < ({start})"
    return f"{sql} ORDER BY {created_at} DESC, {id} DESC LIMIT {limit:d}"


def _sources(filters: TransactionFilters, values: _Values) -> list[_Source]:
    """The filter that leads: the one that the fewest transactions have in common, one walk for each of its values."""
    account = values.account
    if filters.ids:
        sought = "" if filters.search is None else _sought(filters.search, values)
        return [_Source("transactions AS t", f"t.id IN ({values.any_of(filters.ids)}){sought}")]
    if filters.search is not None:
        return [
            _Source("transactions AS t", f"t.id = {values(filters.search)}"),
            *_columns(values, "session_id", (filters.search,)),
            *_columns(values, "merchant_reference_2", (filters.search,)),
            *_marked(values, "merchant_reference", (filters.search,)),
            *_marked(values, "token_id", (filters.search,)),
            *_marked(values, SEARCH, (filters.search.lower(),)),
        ]
    if filters.session_ids:
        return _columns(values, "session_id", filters.session_ids)
    if filters.merchant_reference_2 is not None:
        return _columns(values, "merchant_reference_2", (filters.merchant_reference_2,))
    marks = dict(filters.marks)
    for name in MARKS:
        if name in marks:
            return _marked(values, name, marks[name])
    if filters.statuses:
        return _columns(values, "status", filters.statuses)
    return [_Source("transactions AS t", f"t.account_id = {account}")]


def _sought(text: str, values: _Values) -> str:
    """That a transaction is found by a text, where another filter leads to it: the same as the walks for that."""
    names = {"merchant_reference": text, "token_id": text, SEARCH: text.lower()}
    ways = [f"t.{column} = {values(text)}" for column in ("id", "session_id", "merchant_reference_2")]
    ways += [_has_mark(values, name, (value,)) for name, value in names.items()]
    return f" AND ({' OR '.join(ways)})"


def _has_mark(values: _Values, name: str, several: Sequence[str]) -> str:
    return (
        f"EXISTS (SELECT 1 FROM transaction_marks AS other WHERE other.account_id = {values.account} "  # noqa: S608
        f"AND other.name = {values(name)} AND other.value IN ({values.any_of(several)}) "
        "AND other.created_at = t.created_at AND other.transaction_id = t.id)"
    )


def _columns(values: _Values, column: str, several: Sequence[str]) -> list[_Source]:
    return [_Source("transactions AS t", f"t.{column} = {values(value)}") for value in several]


def _marked(values: _Values, name: str, several: Sequence[str]) -> list[_Source]:
    # A cross join keeps the order in which the tables are read.
    return [
        _Source(
            "transaction_marks AS mark CROSS JOIN transactions AS t",
            f"mark.account_id = {values.account} AND mark.name = {values(name)} AND mark.value = {values(value)} "
            "AND t.id = mark.transaction_id",
            ("mark.created_at", "mark.transaction_id"),
        )
        for value in several
    ]


def _conditions(filters: TransactionFilters, values: _Values) -> str:
    """Every filter, the leading one too: it is true for what its walks find, and costs next to nothing."""
    sql = ""
    if filters.statuses:
        sql += f" AND t.status IN ({values.any_of(filters.statuses)})"
    if filters.session_ids:
        sql += f" AND t.session_id IN ({values.any_of(filters.session_ids)})"
    if filters.merchant_reference_2 is not None:
        sql += f" AND t.merchant_reference_2 = {values(filters.merchant_reference_2)}"
    for name, several in filters.marks:
        sql += f" AND {_has_mark(values, name, several)}"
    for column in ("amount", "created_at", "captured_at", "refunded_at"):
        sql += _within(column, getattr(filters, column), values)
    for later in (filters.captured_at.high, filters.refunded_at.high):
        # Nothing is captured or refunded before it is made: so the walk can begin further down.
        if later is not None:
            sql += f" AND t.created_at <= {values(_number(later))}"
    return sql


def _within(column: str, range: Range, values: _Values) -> str:
    sql = "" if range.low is None else f" AND t.{column} >= {values(_number(range.low))}"
    return sql if range.high is None else f"{sql} AND t.{column} <= {values(_number(range.high))}"


def _number(value: datetime | int) -> int:
    return milliseconds(value) if isinstance(value, datetime) else value
