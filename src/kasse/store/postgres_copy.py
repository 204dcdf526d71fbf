"""One side of a copy in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import asyncpg

from kasse.store.port import StoreUnavailable
from kasse.store.postgres import PostgresStore
from kasse.store.postgres_errors import Again, opening, plain_errors
from kasse.store.postgres_loading import EVERY_ACCOUNT
from kasse.store.tables import TABLES, Table

_PREFETCH = 500
_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
# Those that the database numbers by itself are its own.
_COLUMNS = (
    "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 "
    "AND NOT attisdropped AND attidentity = '' ORDER BY attnum"
)
_ARRIVAL = "owed"


class PostgresSide:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._types: dict[str, dict[str, str]] = {}

    async def tables(self) -> frozenset[str]:
        return frozenset(name for (name,) in await self._fetch(_TABLES))

    async def columns(self, table: str) -> tuple[str, ...]:
        return tuple(await self._types_of(table))

    async def count(self, table: str) -> int:
        await self._enter(EVERY_ACCOUNT)
        [(count,)] = await self._fetch(f"SELECT count(*) FROM {table}")  # noqa: S608 (a table of ours)
        return int(count)

    async def rows(self, table: Table, columns: Sequence[str]) -> AsyncIterator[Sequence[Any]]:
        await self._enter(EVERY_ACCOUNT)
        order = (table.key[0], _ARRIVAL) if table.by_arrival else table.key
        sql = f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {', '.join(order)}"  # noqa: S608
        with plain_errors():
            async for row in self._connection.cursor(sql, prefetch=_PREFETCH):
                yield row

    async def clear(self) -> None:
        await self._fetch(f"TRUNCATE {', '.join(table.name for table in TABLES)}")

    async def put(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Rows go in under the name of their account: the database takes no others (see ``kasse_lock``)."""
        types = await self._types_of(table)
        names = ", ".join(columns)
        arrays = ", ".join(f"${n}::{types[name]}[]" for n, name in enumerate(columns, 1))
        sql = (
            f"INSERT INTO {table} ({names}) SELECT {names} "  # noqa: S608
            f"FROM unnest({arrays}) WITH ORDINALITY AS new ({names}, place_) ORDER BY place_"
        )
        for account, own in _by_account(columns, rows):
            if account is not None:
                await self._enter(account)
            values = zip(*own, strict=True)
            await self._fetch(
                sql,
                *([_fitting(types[name], value) for value in each] for name, each in zip(columns, values, strict=True)),
            )

    async def lock(self) -> None:
        """Whoever else would write waits until the copy is done."""
        await self._fetch(f"LOCK TABLE {', '.join(table.name for table in TABLES)} IN EXCLUSIVE MODE")

    async def _types_of(self, table: str) -> dict[str, str]:
        if table not in self._types:
            self._types[table] = {name: type_ for name, type_ in await self._fetch(_COLUMNS, table)}
        return self._types[table]

    async def _enter(self, account: str) -> None:
        await self._fetch("SELECT set_config('kasse.account', $1, true)", account)

    async def _fetch(self, sql: str, *values: Any) -> Any:
        with plain_errors():
            return await self._connection.fetch(sql, *values)


def _by_account(
    columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> Iterator[tuple[str | None, list[Sequence[Any]]]]:
    if "account_id" not in columns:
        yield None, list(rows)
        return
    place = columns.index("account_id")
    for account, own in groupby(rows, key=lambda row: row[place]):
        yield account, list(own)


def _fitting(type_: str, value: Any) -> Any:
    """A value of another engine as this one has it: a truth is no number here, and no text holds NUL."""
    if type_ == "boolean":
        return None if value is None else bool(value)
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


@asynccontextmanager
async def postgres_side(url: str, *, write: bool) -> AsyncIterator[PostgresSide]:
    """A database inside one transaction, brought up to date before. Raises ``StoreUnavailable``."""
    await (await PostgresStore.open(url, pool_size=1)).close()
    with opening(url):
        connection = await asyncpg.connect(url, server_settings={"application_name": "kasse copy"})
    try:
        async with connection.transaction(
            isolation="read_committed" if write else "repeatable_read", readonly=not write
        ):
            side = PostgresSide(connection)
            if write:
                await side.lock()
            yield side
    except (Again, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StoreUnavailable(f"the copy was cut off, the target holds all of it or nothing: {error}") from error
    finally:
        await connection.close()
