"""Bringing a PostgreSQL database up to date."""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from kasse.store.port import StoreUnavailable

_LOCK = 0x6B61737365  # "kasse"


async def migrate(connection: Any) -> list[str]:
    """Apply the migrations that are missing, all in one transaction; answers their names.

    Whoever else starts now waits for it. A database that is up to date is only read, so that a role that may not
    change tables can be the one that serves.
    """
    if not await _missing(connection):
        return []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL)"
        )
        missing = await _missing(connection)
        for script in missing:
            await connection.execute(script.read_text())
            await connection.execute("INSERT INTO migrations VALUES ($1, now())", script.name)
    return [script.name for script in missing]


async def _missing(connection: Any) -> list[Traversable]:
    folder = resources.files("kasse.store") / "migrations" / "postgres"
    scripts = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    done = set()
    if await connection.fetchval("SELECT to_regclass('migrations')") is not None:
        done = {row["name"] for row in await connection.fetch("SELECT name FROM migrations")}
    unknown = done - {script.name for script in scripts}
    if unknown:
        raise StoreUnavailable(f"the database was made by a newer Kasse: it has {', '.join(sorted(unknown))}")
    return [script for script in scripts if script.name not in done]
