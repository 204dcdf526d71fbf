"""What the PostgreSQL engine says on one connection: looks, writes, and a whole change in a transaction."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

from kasse.store.port import Decide, StoreUnavailable
from kasse.store.postgres_errors import Again, CommitLost, ConnectionLost, plain_errors
from kasse.store.postgres_questions import Ask, Asked, Look, Rows, View, answer
from kasse.store.postgres_reads import PostgresLoads
from kasse.store.postgres_writes import Write, statement

T = TypeVar("T")


class Unknown(Again):
    """The connection was lost while a change was being committed."""

    def __init__(self, commit: UUID, result: Any) -> None:
        super().__init__()
        self.commit, self.result = commit, result


async def try_in_transaction(connection: Any, decide: Decide[T], view: View) -> T:
    """Decide and store as if nobody else were there; the database refuses it if that is not so."""
    loads, commit, written, result = PostgresLoads(), commit_id(time.time()), False, None
    try:
        async with transaction(connection, isolation="serializable"):
            result, records = await answer(decide(loads), asking(connection, view))
            if records:
                written = True
                await write_one(connection, Write.of(commit, records, loads.seen))
        return result
    except ConnectionLost:
        if written:
            raise Unknown(commit, result) from None
        raise


@asynccontextmanager
async def transaction(connection: Any, **kind: Any) -> AsyncIterator[None]:
    transaction = connection.transaction(**kind)
    with plain_errors():
        await transaction.start()
    try:
        yield
    except BaseException:
        with suppress(Again, StoreUnavailable), plain_errors():
            await transaction.rollback()
        raise
    with plain_errors():
        await transaction.commit()


def asking(connection: Any, view: View) -> Ask:
    """Put questions to the database in the transaction that the connection is in."""

    async def ask(asked: Sequence[Asked]) -> Sequence[Rows]:
        rows = [await ask_one(connection, one) for one in asked]
        view.add(asked, rows)
        return rows

    return ask


async def ask_one(connection: Any, asked: Asked) -> Rows:
    if isinstance(asked, Look):
        return (await look_up(connection, [asked]))[0]
    with plain_errors():
        rows: Rows = await connection.fetch(asked.sql, *asked.values)
        return rows


async def look_up(connection: Any, looks: Sequence[Look]) -> Sequence[Rows]:
    """What each of them finds: no row, or one."""
    columns = zip(*((look.what, look.account, look.key, look.chosen) for look in looks), strict=True)
    with plain_errors():
        rows = await connection.fetch("SELECT * FROM kasse_read($1, $2, $3, $4)", *map(list, columns))
    found: list[list[Any]] = [[] for _ in looks]
    for number, parts, lines in rows:
        found[number - 1].append((parts, lines))
    return found


async def write_one(connection: Any, write: Write) -> None:
    await commit(connection, *statement(write))


async def commit(connection: Any, sql: str, *values: Any) -> Any:
    try:
        with plain_errors():
            return await connection.fetchval(sql, *values)
    except ConnectionLost as error:
        raise CommitLost(str(error)) from error


def commit_id(at: float) -> UUID:
    """A new id that begins with the time, so that ids come in order and the old ones lie together."""
    return UUID(int=int(at * 1000) << 80 | secrets.randbits(80))
