"""Move everything from one database to another, whatever their engines: what ``kasse copy`` does.

The source is read as of one moment. The target is written in one transaction, so that it holds everything or nothing.
Rows go through in batches; how much there is does not matter to the memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from kasse.store.postgres_copy import postgres_side
from kasse.store.sqlite_copy import sqlite_side
from kasse.store.tables import OF_AN_ENGINE, TABLES, Table

_BATCH_ROWS = 1000
_BATCH_CHARACTERS = 4_000_000
_TELL_EVERY = 100_000

Row = Sequence[Any]


class CopyRefused(Exception):
    """The copy cannot be made; the target is as it was."""


class TargetNotEmpty(CopyRefused):
    """The target holds something already."""


class Side(Protocol):
    """A database inside the transaction that the copy reads or writes it in."""

    async def tables(self) -> frozenset[str]: ...

    async def columns(self, table: str) -> tuple[str, ...]:
        """Those that hold something; not those that the engine fills by itself."""
        ...

    async def count(self, table: str) -> int: ...

    def rows(self, table: Table, columns: Sequence[str]) -> AsyncIterator[Row]: ...

    async def clear(self) -> None:
        """Remove every row, for good only when the transaction ends."""
        ...

    async def put(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None: ...


async def copy(source: str, target: str, tell: Callable[[str, int, bool], None], *, replace: bool = False) -> int:
    """Copy everything from one database (a URL) to an empty other one; answers the number of rows.

    With ``replace`` the other one need not be empty: what it holds is removed.

    ``tell`` hears of each table: its name, the rows so far, and whether that is all of them.
    Raises ``CopyRefused`` (the target is not empty, or they do not have the same tables), ``StoreUnavailable``.
    """
    async with _side(source, write=False) as here, _side(target, write=True) as there:
        await _require_same_tables(here, there)
        if replace:
            await there.clear()
        await _require_empty(there)
        total = 0
        for table in TABLES:
            total += await _copy_table(here, there, table, tell)
        return total


def _side(url: str, *, write: bool) -> AbstractAsyncContextManager[Side]:
    if url.startswith("postgresql://"):
        return postgres_side(url, write=write)
    return sqlite_side(url.removeprefix("sqlite:///"), write=write)


async def _require_same_tables(*sides: Side) -> None:
    """What is not declared would be left behind."""
    declared = {table.name for table in TABLES}
    for side in sides:
        found = await side.tables() - OF_AN_ENGINE
        if found != declared:
            raise CopyRefused(f"expected the tables {_names(declared)}, the database has {_names(found)}")


async def _require_empty(target: Side) -> None:
    held = {table.name: await target.count(table.name) for table in TABLES}
    found = ", ".join(f"{name} ({count})" for name, count in held.items() if count)
    if found:
        raise TargetNotEmpty(f"expected an empty database to copy to, it holds {found}; nothing was copied")


async def _copy_table(source: Side, target: Side, table: Table, tell: Callable[[str, int, bool], None]) -> int:
    columns = await source.columns(table.name)
    theirs = await target.columns(table.name)
    if {*columns} != {*theirs}:
        raise CopyRefused(f"expected {table.name} with the columns {_names(columns)}, the target has {_names(theirs)}")
    copied = told = 0
    async for batch in _batches(source.rows(table, columns)):
        await target.put(table.name, columns, batch)
        copied += len(batch)
        if copied - told >= _TELL_EVERY:
            tell(table.name, copied, False)
            told = copied
    there, arrived = await source.count(table.name), await target.count(table.name)
    if arrived != there:
        raise CopyRefused(f"{table.name} has {there} rows, {arrived} arrived; nothing was kept")
    tell(table.name, copied, True)
    return copied


async def _batches(rows: AsyncIterator[Row]) -> AsyncIterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    async for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
