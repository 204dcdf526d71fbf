"""A database for each test, on every engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import pytest

from kasse.main import open_store
from kasse.store.port import Store
from tests.store.postgres_server import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of a process; each test has a database of its own."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def name(postgres: PostgresServer) -> Iterator[str]:
    """The name of a new database with Kasse's tables."""
    with postgres.kasse_database() as found:
        yield found


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new database, as the settings have it. This is where another engine joins."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/kasse.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.kasse_database() as name:
        yield server.url(name)


def migrations(engine: str) -> list[str]:
    """The names of an engine's migrations, in their order."""
    folder = resources.files("kasse.store") / "migrations" / engine
    return sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[Store]:
    store = await open_store(database)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    async with opened(database) as found:
        yield found


@pytest.fixture
async def second(store: Store, database: str) -> AsyncIterator[Store]:
    """The same database as ``store``, opened once more: what another process sees and does."""
    async with opened(database) as found:
        yield found
