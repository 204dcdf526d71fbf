"""The embedded engine: one change after the other, many of them in one commit, readers beside them.

While a commit waits for the disk, more changes queue up; the next one takes them together and pays for one flush.
Since a change is loaded, decided and written inside the same transaction, nobody can be faster in between, in this
process or another.

Statements run on the event loop, because each takes less time than a change of threads; what waits for the disk or
for another process runs beside it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw
import msgspec

from kasse.store.batches import Batches
from kasse.store.port import Contradiction, Decide, Loads, Query, Record, StoreUnavailable
from kasse.store.sqlite_log import Log
from kasse.store.sqlite_reads import SqliteLoads
from kasse.store.sqlite_writes import write_all
from kasse.store.times import milliseconds

T = TypeVar("T")

_LARGEST_GROUP = 256
_READERS = 4
_BUSY_MS = 15_000
# After so long the others who use the event loop get a turn.
_LONGEST_TURN_S = 0.002
# What a job can do wrong without harm to the transaction that it is a part of.
_OF_THE_JOB = (apsw.SQLError, apsw.MismatchError, apsw.RangeError, apsw.TooBigError, apsw.BindingsError)


@dataclass
class _Job:
    decide: Decide[Any]
    result: Any = None
    error: BaseException | None = None

    def answer(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


class SqliteStore:
    """A database in one file. Make it with ``SqliteStore.open``; it belongs to one event loop."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="kasse-reader")
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="kasse-disk")
        self._open_connections: list[apsw.Connection] = []
        self._front = self._connect()
        self._front_loads = SqliteLoads(self._front)
        self._back = self._connect()
        self._back_loads = SqliteLoads(self._back)
        self._log = Log(self._back, self._connect())
        self._changes = Batches(self._commit, _LARGEST_GROUP, at_once=1)
        self._patience_ms = _BUSY_MS
        self._closed = False

    @classmethod
    def open(cls, path: str) -> SqliteStore:
        """Open the file, create it or bring it up to date as needed, under a lock.

        Raises ``StoreUnavailable`` with the reason when that cannot be done.
        """
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            store = cls(path)
            migrate(store._front)
        except (apsw.Error, OSError) as error:
            raise StoreUnavailable(f"the database {path} cannot be opened: {error}") from error
        return store

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(self._path, statementcachesize=200)
        connection.set_busy_timeout(_BUSY_MS)
        if _patiently(connection, "PRAGMA journal_mode = WAL") != "wal":
            raise StoreUnavailable(
                f"the database {self._path} cannot have a write-ahead log; expected a file on a disk"
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        self._open_connections.append(connection)
        return connection

    # -- changes

    async def change(self, decide: Decide[T]) -> T:
        self._require_open()
        job = await self._changes.do(_Job(decide))
        return cast(T, job.answer())

    async def _commit(self, group: Sequence[_Job]) -> Sequence[_Job]:
        """Run a group in one transaction. Each of its jobs gets a result or an error, whatever happens."""
        try:
            await self._begin()
            pause_at = time.perf_counter() + _LONGEST_TURN_S
            for job in group:
                _run_job(self._back, self._back_loads, job)
                if time.perf_counter() > pause_at:
                    await asyncio.sleep(0)
                    pause_at = time.perf_counter() + _LONGEST_TURN_S
            await self._beside(lambda: self._back.execute("COMMIT"))
        except Exception as error:
            # Nothing of the group is stored, whatever each job thought before.
            for job in group:
                job.result, job.error = None, StoreUnavailable(f"the database cannot be written: {error}")
            await self._beside(lambda: _roll_back(self._back))
        return group

    async def _begin(self) -> None:
        """Begin at once if no other process is writing, or else as soon as it has finished."""
        try:
            self._back.set_busy_timeout(0)
            self._back.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            self._back.set_busy_timeout(self._patience_ms)
            await self._beside(lambda: self._back.execute("BEGIN IMMEDIATE"))

    async def _beside(self, work: Callable[[], object]) -> None:
        """Wait for a disk or another process without holding up anybody."""
        await asyncio.get_running_loop().run_in_executor(self._disk, work)

    # -- reads

    async def read(self, query: Query[T]) -> T:
        self._require_open()
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, query)

    def _read(self, query: Query[T]) -> T:
        if not hasattr(self._local, "loads"):
            try:
                self._local.connection = self._connect()
            except apsw.Error as error:
                raise StoreUnavailable(f"the database cannot be read: {error}") from error
            self._local.loads = SqliteLoads(self._local.connection)
        return _read(self._local.connection, self._local.loads, query)

    async def glance(self, query: Query[T]) -> T:
        self._require_open()
        # On the event loop itself: a look-up by primary key takes less time than a change of threads.
        return _read(self._front, self._front_loads, query)

    # -- the sandbox gateway's book

    async def book_put(self, account_id: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        sql = "INSERT INTO sandbox_book (account_id, key, doc) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        await self._statement(sql, account_id, key, _encode(entry))
        found = await self.book_get(account_id, key)
        return entry if found is None else found

    async def book_replace(self, account_id: str, key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        sql = "UPDATE sandbox_book SET doc = ? WHERE account_id = ? AND key = ? AND doc = ?"
        return await self._statement(sql, _encode(after), account_id, key, _encode(before)) == 1

    async def book_get(self, account_id: str, key: str) -> dict[str, Any] | None:
        sql = "SELECT doc FROM sandbox_book WHERE account_id = ? AND key = ?"

        async def query(loads: Any) -> dict[str, Any] | None:
            return loads._one(dict[str, Any], sql, account_id, key)  # type: ignore[no-any-return]

        return await self.read(query)

    async def forget_answers(self, before: datetime) -> int:
        await self._statement("DELETE FROM notices WHERE told = 1 AND created_at < ?", milliseconds(before))
        return await self._statement("DELETE FROM answers WHERE created_at < ?", milliseconds(before))

    async def _statement(self, sql: str, *bindings: Any) -> int:
        """Run one statement as a change of its own; answers the number of rows it touched."""

        async def decide(loads: Any) -> tuple[int, Sequence[Record]]:
            connection: apsw.Connection = loads._connection
            connection.execute(sql, bindings)
            return connection.changes(), ()

        return await self.change(decide)

    def _require_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    async def close(self) -> None:
        """Finish the changes that wait, then close the file."""
        if self._closed:
            return
        self._closed = True
        await self._changes.end()
        self._disk.shutdown()
        self._readers.shutdown()
        self._log.close()
        for connection in self._open_connections:
            # What cannot be moved from the write-ahead log into the file stays there for the next start.
            with suppress(apsw.Error):
                connection.close()


def _read(connection: apsw.Connection, loads: Loads, query: Query[T]) -> T:
    """Run a query in a transaction of its own, so that all of it is as of one moment."""
    try:
        connection.execute("BEGIN")
        try:
            result: T = _finish(query(loads))
            return result
        finally:
            connection.execute("COMMIT")
    except apsw.Error as error:
        raise StoreUnavailable(f"the database cannot be read: {error}") from error


def _roll_back(connection: apsw.Connection) -> None:
    """End the transaction, unless SQLite has done so by itself. What fails here fails again at the next beginning."""
    with suppress(apsw.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _run_job(connection: apsw.Connection, loads: Loads, job: _Job) -> None:
    """Decide and write one job; its mistakes are its own and leave the rest of the group alone."""
    connection.execute("SAVEPOINT job")
    try:
        job.result, records = _finish(job.decide(loads))
        write_all(connection, records)
    except apsw.ConstraintError as error:
        job.error = Contradiction(str(error))
    except _OF_THE_JOB as error:
        job.error = error
    except apsw.Error:
        raise
    except BaseException as error:
        job.error = error
    if job.error is not None:
        connection.execute("ROLLBACK TO job")
    connection.execute("RELEASE job")


def _finish(work: Any) -> Any:
    """Run a coroutine that never waits to its end."""
    coroutine: Coroutine[Any, Any, Any] = work
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("a decision or query waited for something other than its loads")


def _encode(entry: dict[str, Any]) -> str:
    return msgspec.json.encode(entry, order="deterministic").decode()


def _patiently(connection: apsw.Connection, sql: str) -> Any:
    """Run a statement that SQLite does not wait for by itself when the file is busy; answers its one value."""
    deadline = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            return connection.execute(sql).get
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def migrate(connection: apsw.Connection) -> list[str]:
    """Apply the migrations that are missing, all in one transaction; answers their names."""
    _patiently(connection, "BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL)")
        done = {name for (name,) in connection.execute("SELECT name FROM migrations")}
        folder = resources.files("kasse.store") / "migrations" / "sqlite"
        scripts = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name)
        missing = [script for script in scripts if script.name not in done]
        unknown = done - {script.name for script in scripts}
        if unknown:
            raise StoreUnavailable(f"the database was made by a newer Kasse: it has {', '.join(sorted(unknown))}")
        for script in missing:
            connection.execute(script.read_text())
            connection.execute("INSERT INTO migrations VALUES (?, datetime('now'))", (script.name,))
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise
    return [script.name for script in missing]
