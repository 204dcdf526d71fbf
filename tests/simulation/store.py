"""The SQLite engine on one thread and in memory: the same statements and tables, without waiting for a disk.

Only simulations use it. It passes the same contract as the engines do (tests/store).
"""

from __future__ import annotations

import asyncio
import functools
from typing import TypeVar, cast

import apsw

from kasse.store.port import Decide, Query, StoreUnavailable
from kasse.store.sqlite import SqliteStore, _Job, _read, _roll_back, _run_job, migrate
from kasse.store.sqlite_reads import SqliteLoads

T = TypeVar("T")


@functools.cache
def _template() -> bytes:
    connection = apsw.Connection(":memory:")
    migrate(connection)
    return connection.serialize("main")


class MemoryStore(SqliteStore):
    def __init__(self) -> None:
        self.connection = apsw.Connection(":memory:", statementcachesize=200)
        self.connection.deserialize("main", _template())
        self.connection.execute("PRAGMA foreign_keys = ON")
        self._back, self._back_loads = self.connection, SqliteLoads(self.connection)
        self._closed = False

    async def change(self, decide: Decide[T]) -> T:
        self._require_open()
        await asyncio.sleep(0)
        # Without the engine's own way to do it, which gives turns to others by how long it has taken: that is chance of
        # the machine's, not of the seed's.
        job = _Job(decide)
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            _run_job(self.connection, self._back_loads, job)
            self.connection.execute("COMMIT")
        except apsw.Error as error:
            _roll_back(self.connection)
            raise StoreUnavailable(f"the database cannot be written: {error}") from error
        return cast(T, job.answer())

    async def read(self, query: Query[T]) -> T:
        self._require_open()
        await asyncio.sleep(0)
        return _read(self.connection, self._back_loads, query)

    async def glance(self, query: Query[T]) -> T:
        return await self.read(query)

    async def close(self) -> None:
        self._closed = True
        self.connection.close()
