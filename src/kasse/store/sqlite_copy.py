"""One side of a copy in SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw

from kasse.store.port import StoreUnavailable
from kasse.store.sqlite import SqliteStore
from kasse.store.tables import TABLES, Table

_BUSY_MS = 15_000


class SqliteSide:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def tables(self) -> frozenset[str]:
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        return frozenset(name for (name,) in self._connection.execute(sql))

    async def columns(self, table: str) -> tuple[str, ...]:
        return tuple(name for (name,) in self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,)))

    async def count(self, table: str) -> int:
        return int(self._connection.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608 (a table of ours)

    async def rows(self, table: Table, columns: Sequence[str]) -> AsyncIterator[Sequence[Any]]:
        order = (table.key[0], "rowid") if table.by_arrival else table.key
        sql = f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {', '.join(order)}"  # noqa: S608
        for row in self._connection.execute(sql):
            yield row

    async def clear(self) -> None:
        for table in TABLES:
            self._connection.execute(f"DELETE FROM {table.name}")  # noqa: S608 (a table of ours)

    async def put(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        places = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608


@asynccontextmanager
async def sqlite_side(path: str, *, write: bool) -> AsyncIterator[SqliteSide]:
    """A file inside one transaction, brought up to date before. Only one to write to is made if it is not there.

    Raises ``StoreUnavailable``.
    """
    if not write and not Path(path).is_file():
        raise StoreUnavailable(f"there is no database {path}")
    # Opening brings it up to date, and makes it, with all that SQLite needs to be told about the file.
    await SqliteStore.open(path).close()
    try:
        connection = apsw.Connection(path)
        connection.set_busy_timeout(_BUSY_MS)
        connection.execute("PRAGMA synchronous = FULL")
        try:
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield SqliteSide(connection)
            connection.execute("COMMIT")
        finally:
            # What is not committed is gone with the connection.
            connection.close(force=True)
    except apsw.Error as error:
        raise StoreUnavailable(f"the database {path} cannot be {'written' if write else 'read'}: {error}") from error
