"""The engine for production: PostgreSQL, any number of processes beside each other.

A change is decided first and guarded afterwards. Each load is as of a moment of its own; then one statement stores
everything if what was seen is still so, all in one round trip. Then the loads were as of one moment, that of the
commit: each record had the version there that it was read with.

Changes that come at about the same time share the round trips of their loads, and a commit. Each is guarded for
itself: one that cannot be stored with the others is stored alone, or hears there why it cannot be.

A decision that comes to nothing, such as a refusal, has nothing to guard. After several loads all that it looked up
is looked up once more, together: if it is the same, the loads were as of that moment. So it is with reads.

That is not enough when a decision has looked for something in a list, where a row may have been added. It is then
made again in a serializable transaction, and the database vouches for it.

Somebody may be faster: then it is decided again, on what is there now. If the connection is lost during the commit,
the change's id is looked up on another one; it is decided again only if it is certain that it was not stored.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from datetime import datetime
from typing import Any, TypeVar, cast
from uuid import UUID

import asyncpg
import msgspec
import structlog

from kasse.store.batches import Batches
from kasse.store.port import Contradiction, Decide, Query, Record, StoreUnavailable
from kasse.store.postgres_connection import (
    Unknown,
    ask_one,
    asking,
    commit,
    commit_id,
    look_up,
    transaction,
    try_in_transaction,
    write_one,
)
from kasse.store.postgres_errors import Again, CommitLost, ConnectionLost, Faster, opening, plain_errors
from kasse.store.postgres_loading import EVERY_ACCOUNT, in_room
from kasse.store.postgres_migrate import migrate
from kasse.store.postgres_questions import Ask, Asked, Look, Question, Rows, View, answer, statements
from kasse.store.postgres_reads import PostgresLoads
from kasse.store.postgres_writes import LISTED, Write, independent, statement_for_each
from kasse.store.times import milliseconds

T = TypeVar("T")

POOL_SIZE = 8
# Far fewer than may be under way: else all of them wait for the database at once, and it for all of them in turn.
# (A transaction with more parts than 64 would also make others look for them on disk.)
_LARGEST_COMMIT = 16
_LARGEST_LOOK = 16
_AT_ONCE = 2
TRIES = 50
_TRIES_BESIDE_OTHERS = 5
_PATIENCE_S = 10.0
_LOOK_UP_PATIENCE_S = 60.0
_LONGEST_STATEMENT_S = 30.0
_COMMITS_KEPT_S = 3600
_PURGE_EVERY_S = 300
_log = structlog.get_logger()


class _SecondQuestion(Exception):
    """A query asks for more than can be known to be as of one moment without a transaction."""


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
        self._looks = Batches(self._look, _LARGEST_LOOK, _AT_ONCE)
        self._writes = Batches(self._write, _LARGEST_COMMIT, _AT_ONCE)
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
        before: View | None = None
        for number in range(TRIES):
            view = View()
            try:
                async with self._turn if number >= _TRIES_BESIDE_OTHERS else nullcontext():
                    return await self._try(decide, view)
            except Unknown as unknown:
                if await self._is_stored(unknown.commit):
                    result: T = unknown.result
                    return result
            except Faster as faster:
                if before is not None and view.answers == before.answers:
                    # Decided again on the same, it comes to the same: nobody was faster, it is impossible.
                    raise Contradiction(str(faster)) from faster.__cause__
                before = view
            except ConnectionLost:
                raise
            except Again:
                pass
            await asyncio.sleep(random.uniform(0, min(0.001 * 2**number, 0.1)))  # noqa: S311 (not a secret)
        raise StoreUnavailable(f"others were faster {TRIES} times; nothing of the change is stored")

    async def _try(self, decide: Decide[T], view: View) -> T:
        """Decide first and guard afterwards, if that is enough."""
        loads = PostgresLoads()
        try:
            result, records = await answer(decide(loads), self._asking(view))
        except (Again, StoreUnavailable, Contradiction):
            raise
        except Exception:
            if await self._is_of_one_moment(view):
                raise
        else:
            if not records and await self._is_of_one_moment(view):
                return result
            added = view.answers and any(isinstance(record, LISTED) for record in records)
            if records and not added and not loads.saw_a_list:
                await self._store(result, records, loads)
                return result
        view.clear()
        async with self._connection() as connection:
            return await try_in_transaction(connection, decide, view)

    async def _is_of_one_moment(self, view: View) -> bool:
        """Whether all that was told was so at the same moment. A single statement is as of one by itself."""
        if view.statements <= 1:
            return True
        if view.looked is None:
            return False
        return await self._looks.do(list(view.looked)) == list(view.looked.values())

    async def _store(self, result: Any, records: Sequence[Record], loads: PostgresLoads) -> None:
        write = Write.of(commit_id(time.time()), records, loads.seen)
        try:
            if not await self._writes.do(write):
                async with self._connection() as connection:
                    await write_one(connection, write)
        except CommitLost:
            raise Unknown(write.commit, result) from None

    async def _write(self, writes: Sequence[Write]) -> Sequence[bool]:
        """Store several changes; answers for each whether it is stored. One that is alone raises why it is not."""
        async with self._connection() as connection:
            if len(writes) == 1:
                await write_one(connection, writes[0])
                return [True]
            together = list(independent(writes))
            left_out = await commit(connection, *statement_for_each(together))
        stored = {write.commit for n, write in enumerate(together, 1) if n not in left_out}
        return [write.commit in stored for write in writes]

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
        """What is not known to be as of one moment otherwise is read in a transaction."""
        view = View()
        try:
            result = await answer(query(PostgresLoads()), self._asking(view, for_a_read=True))
            if await self._is_of_one_moment(view):
                return result
        except _SecondQuestion:
            pass
        except (Again, StoreUnavailable):
            raise
        except Exception:
            if await self._is_of_one_moment(view):
                raise
        async with (
            self._connection() as connection,
            transaction(connection, isolation="repeatable_read", readonly=True),
        ):
            return await answer(query(PostgresLoads()), asking(connection, View()))

    def _asking(self, view: View, for_a_read: bool = False) -> Ask:
        """Put questions to the database, each at a moment of its own, and note in ``view`` what it answers.

        What is asked for together is one statement if all of it is looked up by key.
        """

        async def ask(asked: Sequence[Asked]) -> Sequence[Rows]:
            looks = [one for one in asked if isinstance(one, Look)]
            again = view.looked is not None and all(isinstance(one, Look) or one.of_order for one in asked)
            if for_a_read and not again and view.statements + statements(asked) > 1:
                raise _SecondQuestion
            if len(looks) == len(asked):
                rows = await self._looks.do(looks)
            else:
                async with self._connection() as connection:
                    rows = [await ask_one(connection, one) for one in asked]
            view.add(asked, rows)
            return rows

        return ask

    async def _look(self, several: Sequence[Sequence[Look]]) -> Sequence[Sequence[Rows]]:
        async with self._connection() as connection:
            found = iter(await look_up(connection, [look for looks in several for look in looks]))
        return [[next(found) for _ in looks] for looks in several]

    # -- the sandbox gateway's book

    async def book_put(self, account_id: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        sql = (
            "INSERT INTO sandbox_book SELECT room.id, $2, $3 "
            "FROM (SELECT set_config('kasse.account', $1, true) AS id OFFSET 0) AS room "
            "ON CONFLICT DO NOTHING RETURNING 1"
        )
        with self._working():
            if await self._patiently(lambda: self._fetch(sql, account_id, key, _encode(entry))):
                return entry
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
            return await ask_one(connection, Question(sql, values))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with plain_errors():
            connection = await self._pool.acquire()
        try:
            yield connection
        except (ConnectionLost, Unknown):
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
            oldest = commit_id(time.time() - _COMMITS_KEPT_S)
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


def _encode(entry: dict[str, Any]) -> str:
    return msgspec.json.encode(entry, order="deterministic").decode()


async def _nothing(connection: Any) -> None:
    return None
