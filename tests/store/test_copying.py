"""Everything moves from one database to another, whatever their engines, or nothing does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kasse.store import copying
from kasse.store.copying import CopyRefused
from kasse.store.port import StoreUnavailable
from kasse.store.tables import OF_AN_ENGINE, TABLES, Table
from tests.store import records
from tests.store.conftest import opened
from tests.store.postgres_server import PostgresServer
from tests.store.records import ACCOUNT, OTHER, life, put

pytestmark = pytest.mark.postgres
NUMBER = 30


@pytest.fixture
def target(database: str, postgres: PostgresServer, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of the other engine."""
    if database.startswith("postgresql:"):
        yield f"sqlite:///{tmp_path}/copy.db"
        return
    with postgres.kasse_database() as name:
        yield postgres.url(name)


async def fill(database: str) -> None:
    """One of everything in each of two accounts, and deliveries enough to be in some order."""
    async with opened(database) as store:
        await put(store, records.signing_key(), records.server_secret())
        for account_id in (ACCOUNT, OTHER):
            await put(
                store,
                records.account(account_id),
                records.client(account_id),
                records.client(account_id, id="gone", client_id="gone", deleted_at=records.LATER),
                records.grant(account_id),
                records.signature_secret(account_id),
                records.api_key(account_id),
                records.subscription(account_id),
                records.notice(account_id),
                records.stored_answer(account_id),
                records.profile(account_id),
                records.account_clock(account_id),
                records.draft(account_id),
                records.session(account_id),
                records.transaction(account_id),
                records.transaction_marks(account_id),
                records.gateway_call(account_id),
                *life(account_id)[0],
                *life(account_id, id="order-2", order_id="X", given={**records.GIVEN, "customer": {"id": "c"}})[0],
            )
            for n in range(NUMBER):
                # Neither by name nor by time.
                await put(store, records.delivery(account_id, id=f"delivery-{n * 7 % NUMBER}"))
            await put(store, records.attempt(account_id))
            await store.book_put(account_id, "key", {"state": "approved", "n": [1, 2.5, None]})


async def held(database: str) -> dict[str, list[Sequence[Any]]]:
    """Every row of every table, in order, truths as truths."""
    found: dict[str, list[Sequence[Any]]] = {}
    async with copying._side(database, write=False) as side:
        for table in TABLES:
            columns = sorted(await side.columns(table.name))
            rows = [tuple(row) async for row in side.rows(table, columns)]
            truths = {columns.index(name) for name in ("deleted", "told") if name in columns}
            found[table.name] = [
                tuple(bool(value) if n in truths else value for n, value in enumerate(row)) for row in rows
            ]
    return found


async def copy(source: str, target: str) -> dict[str, int]:
    told: dict[str, int] = {}

    def tell(name: str, rows: int, done: bool) -> None:
        told[name] = rows

    assert await copying.copy(source, target, tell) == sum(told.values())
    return told


async def test_everything_arrives_as_it_was(database: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_BATCH_ROWS", 7)
    await fill(database)
    before = await held(database)
    assert all(before.values()), [name for name, rows in before.items() if not rows]
    told = await copy(database, target)
    assert await held(target) == before
    assert told == {name: len(rows) for name, rows in before.items()}
    assert await held(database) == before
    async with opened(target) as store:
        deliveries = await store.read(lambda loads: loads.deliveries_of(ACCOUNT, "session-1"))
        assert [each.id for each in deliveries] == [f"delivery-{n * 7 % NUMBER}" for n in range(NUMBER)]
        # What is copied is gone on with like any other.
        await put(store, *life(id="order-3", order_id="Y")[0], records.delivery(id="the-last"))
        deliveries = await store.read(lambda loads: loads.deliveries_of(ACCOUNT, "session-1"))
        assert deliveries[-1].id == "the-last"


async def test_a_long_text_makes_its_own_batch(database: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_BATCH_CHARACTERS", 10)
    await fill(database)
    await copy(database, target)
    assert await held(target) == await held(database)


async def test_a_database_that_holds_something_is_left_alone(database: str, target: str) -> None:
    await fill(database)
    async with opened(target) as store:
        await put(store, records.account("T99999999"), records.account("T99999998"), records.server_secret())
    before = await held(target)
    with pytest.raises(CopyRefused) as refused:
        await copy(database, target)
    assert "it holds server_secrets (1), accounts (2); nothing was copied" in str(refused.value)
    assert await held(target) == before


async def test_a_copy_that_is_cut_off_leaves_nothing(
    database: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)

    def tell(name: str, rows: int, done: bool) -> None:
        if name == "sandbox_book":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copying.copy(database, target, tell)
    assert not any((await held(target)).values())
    await copy(database, target)
    assert await held(target) == await held(database)


async def test_a_row_that_does_not_arrive_is_noticed(
    database: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)

    async def lose_one(rows: AsyncIterator[Any]) -> AsyncIterator[list[Any]]:
        async for batch in real(rows):
            yield batch if len(batch) < NUMBER else batch[1:]

    real = copying._batches
    monkeypatch.setattr(copying, "_batches", lose_one)
    with pytest.raises(CopyRefused, match=r"deliveries has 60 rows, 59 arrived; nothing was kept"):
        await copy(database, target)
    assert not any((await held(target)).values())


async def test_what_is_not_there_is_not_made_to_copy_from(tmp_path: Path) -> None:
    file = tmp_path / "none.db"
    with pytest.raises(StoreUnavailable, match="there is no database"):
        await copy(f"sqlite:///{file}", f"sqlite:///{tmp_path}/other.db")
    assert not file.exists()


async def test_every_table_of_the_engines_is_declared_and_has_the_same_columns(database: str, target: str) -> None:
    async with copying._side(database, write=True) as one, copying._side(target, write=True) as other:
        for side in (one, other):
            assert await side.tables() - OF_AN_ENGINE == {table.name for table in TABLES}
        for table in TABLES:
            columns = set(await one.columns(table.name))
            assert columns == set(await other.columns(table.name))
            assert {*table.key} <= columns
            assert table.key[0] == "account_id" or table.name.startswith("server_")


async def test_a_table_that_nobody_declared_is_not_left_behind(
    database: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    monkeypatch.setattr(copying, "TABLES", tuple(table for table in TABLES if table.name != "answers"))
    with pytest.raises(CopyRefused, match="the database has account_clocks, accounts, answers"):
        await copy(database, target)
    monkeypatch.setattr(copying, "TABLES", (*TABLES, Table("new", ("account_id",))))
    with pytest.raises(CopyRefused, match=r"expected the tables .*new"):
        await copy(database, target)
