"""The engine for production: PostgreSQL, any number of processes beside each other.

A change is decided first and guarded afterwards. Each load is a statement of its own; then one statement stores
everything if what was seen is still so, all in one round trip. Then the loads were as of one moment, that of the
commit: each record had the version there that it was read with.

That is not so when a decision has looked for something in a list, where a row may have been added, or when it comes
to nothing that could be guarded, such as a refusal after several loads. It is then made again in a serializable
transaction, and the database vouches for it.

Somebody may be faster: then it is decided again, on what is there now. If the connection is lost during the commit,
the change's id is looked up on another one; it is decided again only if it is certain that it was not stored.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
import msgspec
import structlog

from kasse.store.port import Contradiction, Decide, Query, Record, StoreUnavailable
from kasse.store.postgres_errors import Again, ConnectionLost, Faster, opening, plain_errors
from kasse.store.postgres_migrate import migrate
from kasse.store.postgres_reads import EVERY_ACCOUNT, PostgresLoads, Question, Rows, answer, in_room
from kasse.store.postgres_writes import LISTED, statement
from kasse.store.times import milliseconds

T = TypeVar("T")

POOL_SIZE = 8
TRIES = 50
_TRIES_BESIDE_OTHERS = 5
_PATIENCE_S = 10.0
_LOOK_UP_PATIENCE_S = 60.0
_LONGEST_STATEMENT_S = 30.0
_COMMITS_KEPT_S = 3600
_PURGE_EVERY_S = 300
_log = structlog.get_logger()


class _SecondQuestion(Exception):
    """A query that was taken to need one statement has another."""


class _Unknown(Again):
    """The connection was lost while a change was being committed."""

    def __init__(self, commit: UUID, result: Any) -> None:
        super().__init__()
        self.commit, self.result = commit, result


class PostgresStore:
    """A PostgreSQL database. Make it with ``await PostgresStore.open``; it belongs to the event loop it was made in."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._closed = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        # Whoever was too slow several times waits for this, so that those of one process stop disturbing each other.
        self._turn = asyncio.Lock()
        self._purging = asyncio.create_task(self._purge())

    @classmethod
    async def open(cls, url: str, pool_size: int = POOL_SIZE) -> PostgresStore:
        """Open the database and bring it up to date as needed, under a lock.

        Raises ``StoreUnavailable`` with the reason when that cannot be done.
        """
        settings = {"application_name": "kasse", "default_transaction_isolation": "read committed"}
        with opening(url):
            # A migration may take its time, so this is not one of the pool's connections.
            connection = await asyncpg.connect(url, server_settings=settings)
            try:
                await migrate(connection)
                locked = await connection.fetchval("SELECT row_security_active('orders')")
            finally:
                await connection.close()
            pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=pool_size,
                command_timeout=_LONGEST_STATEMENT_S,
                # Nothing is left behind on a connection; clearing it would be one more round trip.
                reset=_nothing,
                server_settings=settings,
            )
        if not locked:
            _log.warning("row_security_off", reason="the role is a superuser or has BYPASSRLS; give Kasse one without")
        return cls(pool)

    # -- changes

    async def change(self, decide: Decide[T]) -> T:
        with self._working():
            return await self._patiently(lambda: self._change(decide))

    async def _change(self, decide: Decide[T]) -> T:
        before: list[Rows] | None = None
        for number in range(TRIES):
            view: list[Rows] = []
            try:
                async with self._turn if number >= _TRIES_BESIDE_OTHERS else nullcontext():
                    return await self._try(decide, view)
            except _Unknown as unknown:
                if await self._is_stored(unknown.commit):
                    result: T = unknown.result
                    return result
            except Faster as faster:
                if view == before:
                    # Decided again on the same, it comes to the same: nobody was faster, it is impossible.
                    raise Contradiction(str(faster)) from faster.__cause__
                before = view
            except ConnectionLost:
                raise
            except Again:
                pass
            await asyncio.sleep(random.uniform(0, min(0.001 * 2**number, 0.1)))  # noqa: S311 (not a secret)
        raise StoreUnavailable(f"others were faster {TRIES} times; nothing of the change is stored")

    async def _try(self, decide: Decide[T], view: list[Rows]) -> T:
        """Decide first and guard afterwards, if that is enough."""
        async with self._connection() as connection:
            loads = PostgresLoads()
            try:
                result, records = await answer(decide(loads), _asking(connection, view))
            except (Again, StoreUnavailable, Contradiction):
                raise
            except Exception:
                if len(view) <= 1:
                    raise
            else:
                if not records and len(view) <= 1:
                    return result
                added = view and any(isinstance(record, LISTED) for record in records)
                if records and not added and not loads.saw_a_list:
                    await _store(connection, result, records, loads)
                    return result
            view.clear()
            return await _try_in_transaction(connection, decide, view)

    async def _is_stored(self, commit: UUID) -> bool:
        """Whether a change was committed. After a no it never will be: its id is taken, whatever is still under way."""
        _log.warning("commit_looked_up", commit=str(commit))
        sql = (
            "INSERT INTO server_commits AS c VALUES ($1, false) ON CONFLICT (id) DO UPDATE SET stored = c.stored "
            "RETURNING stored"
        )
        try:
            return bool((await self._patiently(lambda: self._fetch(sql, commit), _LOOK_UP_PATIENCE_S))[0][0])
        except StoreUnavailable as error:
            raise StoreUnavailable(f"it is not known whether the change is stored: {error}") from None

    # -- reads

    async def read(self, query: Query[T]) -> T:
        with self._working():
            return await self._patiently(lambda: self._read(query))

    async def glance(self, query: Query[T]) -> T:
        return await self.read(query)

    async def _read(self, query: Query[T]) -> T:
        """A single statement is as of one moment by itself; for more it takes a transaction."""
        async with self._connection() as connection:
            try:
                return await answer(query(PostgresLoads()), _asking(connection, [], at_most=1))
            except _SecondQuestion:
                async with _transaction(connection, isolation="repeatable_read", readonly=True):
                    return await answer(query(PostgresLoads()), _asking(connection, []))

    # -- the sandbox gateway's book

    async def book_put(self, account_id: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        sql = (
            "INSERT INTO sandbox_book SELECT room.id, $2, $3 "
            "FROM (SELECT set_config('kasse.account', $1, true) AS id OFFSET 0) AS room ON CONFLICT DO NOTHING"
        )
        with self._working():
            await self._patiently(lambda: self._fetch(sql, account_id, key, _encode(entry)))
            found = await self._patiently(lambda: self._book_get(account_id, key))
        return entry if found is None else found

    async def book_replace(self, account_id: str, key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        values = (account_id, key, _encode(before), _encode(after))
        lost = False

        async def swap() -> bool:
            nonlocal lost
            try:
                swapped = bool((await self._fetch("SELECT kasse_swap($1, $2, $3, $4)", *values))[0][0])
            except ConnectionLost:
                lost = True
                raise
            # What was lost on the way may have done it.
            return swapped or (lost and await self._book_get(account_id, key) == after)

        with self._working():
            return await self._patiently(swap)

    async def book_get(self, account_id: str, key: str) -> dict[str, Any] | None:
        with self._working():
            return await self._patiently(lambda: self._book_get(account_id, key))

    async def _book_get(self, account_id: str, key: str) -> dict[str, Any] | None:
        return await self._read(lambda loads: cast(PostgresLoads, loads).book_entry(account_id, key))

    async def forget_answers(self, before: datetime) -> int:
        """One account after the other, because no statement may write to several."""
        sql = in_room(
            "SELECT account_id FROM answers WHERE room.id = $1 AND created_at < $2 "
            "UNION SELECT account_id FROM notices WHERE room.id = $1 AND told AND created_at < $2"
        )
        removed = 0
        with self._working():
            for (account_id,) in await self._fetch(sql, EVERY_ACCOUNT, milliseconds(before)):
                removed += (await self._fetch("SELECT kasse_forget($1, $2)", account_id, milliseconds(before)))[0][0]
        return removed

    # -- connections

    async def _fetch(self, sql: str, *values: Any) -> Rows:
        async with self._connection() as connection:
            return await _ask(connection, Question(sql, values))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with plain_errors():
            connection = await self._pool.acquire()
        try:
            yield connection
        except (ConnectionLost, _Unknown):
            # Whatever state it is in: nobody gets it again.
            with suppress(asyncpg.InterfaceError):
                connection.terminate()
            raise
        finally:
            with suppress(ConnectionLost), plain_errors():
                await self._pool.release(connection)

    async def _patiently(self, work: Callable[[], Awaitable[T]], patience_s: float = _PATIENCE_S) -> T:
        """Do it again while the connection gets lost: the server may be starting anew."""
        deadline = time.monotonic() + patience_s
        pause_s = 0.01
        while True:
            try:
                return await work()
            except Again as error:
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"the database cannot be reached: {error}") from None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Something is under way until the end of the block."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def _purge(self) -> None:
        """Forget the ids of commits that nobody asks for any more."""
        while True:
            oldest = _commit_id(time.time() - _COMMITS_KEPT_S)
            with suppress(Again, StoreUnavailable):
                await self._fetch("DELETE FROM server_commits WHERE id < $1", oldest)
            await asyncio.sleep(_PURGE_EVERY_S)

    async def close(self) -> None:
        """Finish the changes that wait, then close the connections."""
        self._closed = True
        await self._idle.wait()
        self._purging.cancel()
        await asyncio.gather(self._purging, return_exceptions=True)
        await self._pool.close()


async def _store(connection: Any, result: Any, records: Sequence[Record], loads: PostgresLoads) -> None:
    commit = _commit_id(time.time())
    try:
        await _write(connection, commit, records, loads)
    except ConnectionLost:
        raise _Unknown(commit, result) from None


async def _try_in_transaction(connection: Any, decide: Decide[T], view: list[Rows]) -> T:
    """Decide and store as if nobody else were there; the database refuses it if that is not so."""
    loads, commit, written, result = PostgresLoads(), _commit_id(time.time()), False, None
    try:
        async with _transaction(connection, isolation="serializable"):
            result, records = await answer(decide(loads), _asking(connection, view))
            if records:
                written = True
                await _write(connection, commit, records, loads)
        return result
    except ConnectionLost:
        if written:
            raise _Unknown(commit, result) from None
        raise


@asynccontextmanager
async def _transaction(connection: Any, **kind: Any) -> AsyncIterator[None]:
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


def _asking(connection: Any, view: list[Rows], at_most: int | None = None) -> Callable[[Question], Awaitable[Rows]]:
    """Put questions to the database and note in ``view`` what it answers."""

    async def ask(question: Question) -> Rows:
        if len(view) == at_most:
            raise _SecondQuestion
        view.append(await _ask(connection, question))
        return view[-1]

    return ask


async def _ask(connection: Any, question: Question) -> Rows:
    with plain_errors():
        rows: Rows = await connection.fetch(question.sql, *question.values)
        return rows


async def _write(connection: Any, commit: UUID, records: Sequence[Record], loads: PostgresLoads) -> None:
    sql, *values = statement(commit, records, loads.seen)
    with plain_errors():
        await connection.fetchval(sql, *values)


def _commit_id(at: float) -> UUID:
    """A new id that begins with the time, so that ids come in order and the old ones lie together."""
    return UUID(int=int(at * 1000) << 80 | secrets.randbits(80))


def _encode(entry: dict[str, Any]) -> str:
    return msgspec.json.encode(entry, order="deterministic").decode()


async def _nothing(connection: Any) -> None:
    return None
