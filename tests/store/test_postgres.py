"""What is PostgreSQL's own: the second lock, its constraints, how it is opened."""

# ruff: noqa: S608 (what is put into statements here are names of tables and databases)

from __future__ import annotations

import asyncio
import re
import traceback
from collections.abc import Awaitable, Sequence
from typing import Any

import asyncpg
import pytest

from kasse.domain.paging import Filters, Page
from kasse.store.port import Contradiction, Loads, Store, StoreUnavailable
from kasse.store.postgres import PostgresStore
from kasse.store.postgres_loading import in_room
from kasse.store.postgres_questions import Asked, Question, answer
from kasse.store.postgres_reads import PostgresLoads
from tests.store import records
from tests.store.conftest import migrations, opened
from tests.store.postgres_server import PostgresServer, connected
from tests.store.records import ACCOUNT, OTHER, created, life, put

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(postgres: PostgresServer, name: str) -> str:
    """What the contract's fixtures open: here PostgreSQL only."""
    return postgres.url(name)


async def _everything(store: Store) -> None:
    """A row of ours and of another account in every table of accounts."""
    for account_id in (ACCOUNT, OTHER):
        await put(
            store,
            *(make(account_id) for make in (records.account, records.client, records.grant, records.profile)),
            *(make(account_id) for make in (records.signature_secret, records.draft, records.session)),
            *(make(account_id) for make in (records.transaction, records.gateway_call, records.delivery)),
            records.attempt(account_id),
            records.transaction_marks(account_id),
            records.account_clock(account_id),
            records.stored_answer(account_id),
            records.api_key(account_id),
            records.subscription(account_id),
            records.notice(account_id),
            *life(account_id)[0],
        )
        await store.book_put(account_id, "key", {})


# -- the second lock

_OF_ACCOUNTS = "SELECT table_name FROM information_schema.columns WHERE column_name = 'account_id'"


async def test_every_table_of_accounts_is_locked_for_its_owner_too(database: str) -> None:
    async with connected(database) as connection:
        tables = {row[0] for row in await connection.fetch(_OF_ACCOUNTS)}
        forced = await connection.fetch("SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity")
        others = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert len(tables) == 23
    assert {row[0] for row in forced} == tables
    assert {row[0] for row in others} - tables == {
        "migrations", "server_commits", "server_secrets", "server_signing_keys",
    }  # fmt: skip


@pytest.mark.parametrize("account", ["", "T33333333", ACCOUNT + " ", "%"])
async def test_who_names_another_account_sees_and_changes_nothing(store: Store, database: str, account: str) -> None:
    await _everything(store)
    async with connected(database) as connection:
        await connection.execute("SELECT set_config('kasse.account', $1, false)", account)
        for (table,) in await connection.fetch(_OF_ACCOUNTS):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table
            assert await connection.execute(f"UPDATE {table} SET account_id = 'x'") == "UPDATE 0", table
            assert await connection.execute(f"DELETE FROM {table}") == "DELETE 0", table
    assert await store.read(lambda loads: loads.order(ACCOUNT, "order-1")) == life()[1]


async def test_who_names_no_account_sees_nothing(store: Store, database: str) -> None:
    await _everything(store)
    async with connected(database) as connection:
        for (table,) in await connection.fetch(_OF_ACCOUNTS):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_who_names_an_account_sees_its_rows_and_cannot_write_others(store: Store, database: str) -> None:
    await _everything(store)
    async with connected(database) as connection:
        await connection.execute("SELECT set_config('kasse.account', $1, false)", ACCOUNT)
        for (table,) in await connection.fetch(_OF_ACCOUNTS):
            assert await connection.fetchval(f"SELECT array_agg(DISTINCT account_id) FROM {table}") == [ACCOUNT], table
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"UPDATE {table} SET account_id = $1", OTHER)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO profiles VALUES ($1, 'mine', 1, '{}')", OTHER)


async def test_who_looks_across_accounts_sees_all_and_writes_nothing(store: Store, database: str) -> None:
    await _everything(store)
    async with connected(database) as connection:
        await connection.execute("SELECT set_config('kasse.account', '*', false)")
        for (table,) in await connection.fetch(_OF_ACCOUNTS):
            found = await connection.fetchval(f"SELECT array_agg(DISTINCT account_id) FROM {table}")
            assert sorted(found) == [ACCOUNT, OTHER], table
            assert await connection.execute(f"UPDATE {table} SET account_id = 'x'") == "UPDATE 0", table
            assert await connection.execute(f"DELETE FROM {table}") == "DELETE 0", table
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("INSERT INTO profiles VALUES ('*', 'mine', 1, '{}')")


async def test_a_read_that_forgets_the_account_gets_no_other_accounts_rows(store: Store, database: str) -> None:
    await _everything(store)
    async with connected(database) as connection:
        for forced in ("SELECT", "SET enable_nestloop = off", "SET enable_indexscan = off", "SET enable_seqscan = off"):
            await connection.execute(forced)
            for (table,) in await connection.fetch(_OF_ACCOUNTS):
                rows = await connection.fetch(in_room(f"SELECT account_id FROM {table}"), ACCOUNT)
                assert {row[0] for row in rows} == {ACCOUNT}, table
                assert await connection.fetchval("SELECT current_setting('kasse.account')") == ""


async def test_a_write_names_the_account_of_each_record(store: Store, database: str) -> None:
    """A change may be about two accounts, as when a worker takes what is due."""
    await put(store, records.draft(), records.draft(OTHER), records.draft(id="draft-2"))
    for account_id in (ACCOUNT, OTHER):
        assert await store.read(lambda loads, id=account_id: loads.draft(id, "draft-1"))  # type: ignore[misc]


# Sessions that this transaction has looked at.
_LOOKED_AT = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'sessions'"


async def _asked(load: Awaitable[Any]) -> list[Question]:
    """What a load asks; nothing is found."""
    asked: list[Question] = []

    async def ask(several: Sequence[Asked]) -> Any:
        asked.extend(one for one in several if isinstance(one, Question))
        return [() for _ in several]

    await answer(load, ask)
    return asked


async def test_a_page_of_a_large_account_is_read_from_its_index(store: Store, database: str) -> None:
    """The second lock must not lead the planner astray: it looks as if it left hardly a row."""
    loads = PostgresLoads()
    asked = await _asked(loads.orders(ACCOUNT, Filters(), Page()))
    asked += await _asked(loads.orders(ACCOUNT, Filters(), Page(10, "id-500")))
    async with connected(database) as connection:
        await connection.execute("SELECT set_config('kasse.account', $1, false)", ACCOUNT)
        await connection.execute(
            "INSERT INTO orders "
            "SELECT $1, 'id-' || n, 'o-' || n, '', '', 0, 0, 0, 0, n, n, 1, '', repeat('x', 900) "
            "FROM generate_series(1, 5000) AS n",
            ACCOUNT,
        )
        await connection.execute("ANALYZE orders")
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for question in asked:
            plan = await connection.fetch("EXPLAIN (ANALYZE, TIMING OFF) " + question.sql, *question.values)
            read = [
                int(rows) for (line,) in plan for rows in re.findall(r"Scan.* on orders .*\(actual rows=(\d+)", line)
            ]
            assert read, plan
            assert max(read) <= 10, plan


@pytest.mark.parametrize("clocks", [0, 1])
async def test_what_has_run_out_is_found_without_looking_at_what_has_not(
    store: Store, database: str, clocks: int
) -> None:
    """Every second, among all open sessions there are."""
    await put(store, records.session(), *[records.account_clock(OTHER)][:clocks])
    (question,) = await _asked(PostgresLoads().due_sessions(records.session().created_at, 50))
    async with connected(database) as connection:
        await connection.execute("SELECT set_config('kasse.account', $1, false)", ACCOUNT)
        await connection.execute(
            "INSERT INTO sessions (account_id, id, status, created_at, expires_at, version, doc) "
            "SELECT account_id, 'id-' || n, 'open', created_at, 4000000000000 + n, 1, doc "
            "FROM sessions, generate_series(1, 30000) AS n"
        )
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        statement = await connection.prepare(question.sql)
        async with connection.transaction():
            assert await statement.fetch(*question.values) == []
            assert await connection.fetchval(_LOOKED_AT) <= 10


# -- constraints


async def test_the_database_holds_the_sums_by_itself(store: Store, database: str) -> None:
    await put(store, *life()[0])
    async with connected(database) as connection:
        await connection.execute("SELECT set_config('kasse.account', $1, false)", ACCOUNT)
        for column in ("authorized", "captured", "refunded", "claimed", "payable"):
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.execute(f"UPDATE order_lines SET {column} = 999999999 WHERE payable < 0")


@pytest.mark.parametrize("name_", ["a\0b", "half \ud800", "\0"])
async def test_what_cannot_be_stored_is_not_there(store: Store, name_: str) -> None:
    async def query(loads: Loads) -> list[Any]:
        return [
            await loads.session(ACCOUNT, name_),
            await loads.session(name_, "session-1"),
            await loads.order(ACCOUNT, name_),
        ]

    await put(store, records.session())
    assert await store.read(query) == [None, None, None]
    assert await store.book_get(ACCOUNT, name_) is None


async def test_text_of_a_merchant_with_a_nul_is_kept(store: Store) -> None:
    step = created(given={"merchant_reference": "a\0b", "more": "\0"})
    await put(store, step)
    found = await store.read(lambda loads: loads.order(ACCOUNT, "order-1"))
    assert found is not None
    assert found.order.given == {"merchant_reference": "a\0b", "more": "\0"}


@pytest.mark.parametrize(
    "id", ["a\0b", "".join(chr(n) for n in range(256, 3000))], ids=["NUL", "too long for an index"]
)
async def test_an_id_that_cannot_be_stored_is_refused(store: Store, id: str) -> None:
    with pytest.raises(Contradiction):
        await put(store, records.draft(id=id))


# -- starting


async def test_ten_may_bring_an_empty_database_up_to_date_at_once(postgres: PostgresServer) -> None:
    with postgres.database() as name:
        stores = await asyncio.gather(*(PostgresStore.open(postgres.url(name), pool_size=1) for _ in range(10)))
        await asyncio.gather(*(put(store, records.draft(id=f"draft-{n}")) for n, store in enumerate(stores)))
        for store in stores:
            await store.close()
        applied = postgres.sql("SELECT name FROM migrations ORDER BY name", name).split("\n")
        assert applied == migrations("postgres")


async def test_a_database_of_a_newer_kasse_is_refused_and_stays_as_it_is(
    postgres: PostgresServer, name: str, database: str
) -> None:
    postgres.sql("INSERT INTO migrations VALUES ('9999_later.sql', now())", name)
    with pytest.raises(StoreUnavailable, match=r"newer Kasse.*9999_later\.sql"):
        await PostgresStore.open(database)


async def test_a_role_that_owns_nothing_may_serve(postgres: PostgresServer, name: str) -> None:
    with postgres.role("clerk", name) as url:
        async with opened(url) as store:
            await _everything(store)
            assert await store.read(lambda loads: loads.order(ACCOUNT, "order-1")) == life()[1]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda url: url.replace("kasse:", "kasse:x"), "password authentication failed"),
        (lambda url: url.replace("kasse:", "nobody:"), "password authentication failed"),
        (lambda url: url + "_not_there", "does not exist"),
        (lambda url: url.replace("127.0.0.1", "127.0.0.1:1/x?"), ""),
        (lambda url: url.replace("%2F", "/"), "not understood"),
        (lambda url: url.replace("%3F", "?").replace("%2F", "#"), "not understood"),
        (lambda url: url.replace("127.0.0.1", "no.such.host.invalid"), "cannot be opened"),
        (lambda url: url.partition("@")[0] + "@127.0.0.1:1/kasse", "cannot be opened"),
        (lambda url: url + "?sslmode=nonsense", "not understood"),
        (lambda url: url + "?sslmode=verify-full&sslrootcert=/nowhere", "cannot be opened"),
    ],
)
async def test_why_it_cannot_be_opened_is_told_without_the_password(
    postgres: PostgresServer, database: str, wrong: Any, reason: str
) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        await PostgresStore.open(wrong(database))
    assert reason in str(raised.value)
    told = "".join(traceback.format_exception(raised.value, chain=True)) + repr(raised.value)
    quoted = database.split(":")[2].partition("@")[0]
    for secret in (postgres.password, quoted, postgres.password.partition("/")[0]):
        assert secret not in told
