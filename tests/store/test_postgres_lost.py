"""What is PostgreSQL's own: connections that get lost, a server that goes away."""

# ruff: noqa: S608 (what is put into statements here are names of tables and databases)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from kasse.domain.history import SessionOpened
from kasse.store.port import Loads, Record, Store, StoreUnavailable
from kasse.store.postgres_questions import Asked, Question, answer
from tests.store import records
from tests.store.conftest import opened
from tests.store.postgres_proxy import Network, network
from tests.store.postgres_server import ROLE, PostgresServer, connected
from tests.store.records import ACCOUNT, created, follow, put

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(postgres: PostgresServer, name: str) -> str:
    """What the contract's fixtures open: here PostgreSQL only."""
    return postgres.url(name)


# -- lost connections


@pytest.fixture
async def cut_store(postgres: PostgresServer, name: str) -> AsyncIterator[tuple[Store, Network]]:
    """A store behind a network that can be cut."""
    async with network(postgres.port) as found:
        url = postgres.url(name).replace(f":{postgres.port}/", f":{found.port}/")
        async with opened(url) as store:
            yield store, found


class _Opening:
    """A decision that opens a session of an order; ``then`` happens before it is stored, the first time."""

    def __init__(self, then: Any = None) -> None:
        self.then, self.made = then, 0

    async def __call__(self, loads: Loads) -> tuple[int, Sequence[Record]]:
        self.made += 1
        state = await loads.order(ACCOUNT, "order-1", ())
        assert state is not None
        if self.made == 1 and self.then is not None:
            self.then()
        id = f"session-{self.made}-{state.order.version}"
        return self.made, [follow(state, SessionOpened(id, ())), records.session(id=id)]


async def _sessions(store: Store) -> list[str]:
    events = await store.read(lambda loads: loads.events(ACCOUNT, "order-1"))
    return [event.what.session_id for event in events if isinstance(event.what, SessionOpened)]


async def test_a_change_whose_answer_is_lost_is_looked_up_and_not_repeated(cut_store: tuple[Store, Network]) -> None:
    store, network = cut_store
    await put(store, created())
    opening = _Opening(lambda: network.cut_at("the next answer"))
    assert await store.change(opening) == 1
    assert network.cut.is_set()
    assert opening.made == 1
    assert await _sessions(store) == ["session-1-1"]


async def test_a_change_that_never_arrived_is_decided_again(cut_store: tuple[Store, Network]) -> None:
    store, network = cut_store
    await put(store, created())
    opening = _Opening(lambda: network.cut_at("the next request"))
    assert await store.change(opening) == 2
    assert network.cut.is_set()
    assert await _sessions(store) == ["session-2-1"]


async def test_a_change_that_is_still_under_way_when_its_connection_is_lost_is_waited_for(
    cut_store: tuple[Store, Network], database: str
) -> None:
    store, network = cut_store
    await put(store, created())
    opening = _Opening(lambda: network.cut_at("the request has gone"))
    async with connected(database) as connection:
        holding = connection.transaction()
        await holding.start()
        await connection.execute("SELECT set_config('kasse.account', $1, true)", ACCOUNT)
        await connection.execute("SELECT FROM orders FOR UPDATE")
        change = asyncio.create_task(store.change(opening))
        await network.cut.wait()
        await asyncio.sleep(0.5)
        assert not change.done()
        await holding.rollback()
        assert await change == 1
    assert opening.made == 1
    assert await _sessions(store) == ["session-1-1"]


async def test_a_connection_killed_before_the_commit_is_no_harm(
    store: Store, postgres: PostgresServer, name: str
) -> None:
    await put(store, created())
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND usename = '{ROLE}'"
    opening = _Opening(lambda: postgres.sql(kill))
    assert await store.change(opening) == 2
    assert await _sessions(store) == ["session-2-1"]


async def test_a_connection_killed_while_it_commits_is_no_harm(
    store: Store, postgres: PostgresServer, name: str
) -> None:
    """The commit is on disk and waits for a replica when its connection is killed."""
    await put(store, created())
    opening = _Opening()
    of_this = f"FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'SyncRep'"
    postgres.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    try:
        postgres.sql("SELECT pg_reload_conf()")
        await asyncio.sleep(0.2)
        change = asyncio.create_task(store.change(opening))
        while not await asyncio.to_thread(postgres.sql, f"SELECT 1 {of_this}"):
            await asyncio.sleep(0.02)
        await asyncio.to_thread(postgres.sql, f"SELECT pg_terminate_backend(pid) {of_this}")
        await asyncio.sleep(0.3)
        assert not change.done()
    finally:
        postgres.sql("ALTER SYSTEM RESET synchronous_standby_names")
        postgres.sql("SELECT pg_reload_conf()")
    assert await change == 1
    assert opening.made == 1
    assert await _sessions(store) == ["session-1-1"]


async def test_reads_and_the_book_survive_a_lost_connection(cut_store: tuple[Store, Network]) -> None:
    store, network = cut_store
    await put(store, records.draft())
    for when in ("the next request", "the next answer"):
        network.cut_at(when)
        assert await store.read(lambda loads: loads.draft(ACCOUNT, "draft-1")) == records.draft()
        network.cut_at(when)
        assert await store.book_put(ACCOUNT, when, {"n": 1}) == {"n": 1}
        network.cut_at("the next answer")
        assert await store.book_replace(ACCOUNT, when, {"n": 1}, {"n": 2})
        assert await store.book_get(ACCOUNT, when) == {"n": 2}


async def test_a_server_that_is_restarted_is_waited_for(store: Store, postgres: PostgresServer) -> None:
    await put(store, created())
    for how in (postgres.crash, postgres.stop):
        await asyncio.gather(*(store.read(lambda loads: loads.draft(ACCOUNT, "draft-1")) for _ in range(8)))
        how()
        waiting = [asyncio.create_task(store.change(_Opening())) for _ in range(3)]
        reading = asyncio.create_task(store.read(lambda loads: loads.order(ACCOUNT, "order-1")))
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in (*waiting, reading))
        postgres.start()
        await asyncio.gather(*waiting, reading)
    assert len(await _sessions(store)) == 6


async def test_a_server_that_stays_away_is_told(
    store: Store, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kasse.store.postgres._PATIENCE_S", 0.2)
    postgres.stop()
    try:
        for work in (put(store, created()), store.read(lambda loads: loads.account(ACCOUNT))):
            with pytest.raises(StoreUnavailable, match="cannot be reached") as raised:
                await work
            assert postgres.password not in str(raised.value)
    finally:
        postgres.start()
    await put(store, created())


# -- round trips


async def test_opening_a_session_takes_three_round_trips_and_a_glance_one(cut_store: tuple[Store, Network]) -> None:
    store, network = cut_store
    await put(store, created(), records.profile())

    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        state = await loads.order(ACCOUNT, "ABC234DEF", (1, 2, 7))
        assert state is not None
        assert await loads.profile(ACCOUNT, "default")
        id = f"session-{state.order.version}"
        return None, [records.session(id=id), follow(state, SessionOpened(id, ()))]

    async def glance() -> Any:
        return await store.glance(lambda loads: loads.session(ACCOUNT, "session-1"))

    for _ in range(2):
        await store.change(decide)
        assert await glance()
    before = network.requests
    await store.change(decide)
    assert network.requests - before == 3
    await glance()
    assert network.requests - before == 4


async def test_old_ids_of_commits_are_forgotten(store: Store, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(store, records.draft())
    async with connected(database) as connection:
        assert await connection.fetchval("SELECT count(*) FROM server_commits") == 1
        async with opened(database):
            await asyncio.sleep(0.2)
        assert await connection.fetchval("SELECT count(*) FROM server_commits") == 1
        monkeypatch.setattr("kasse.store.postgres._COMMITS_KEPT_S", -1)
        async with opened(database):
            while await connection.fetchval("SELECT count(*) FROM server_commits"):
                await asyncio.sleep(0.02)


async def test_a_decision_is_run_by_the_engine_alone() -> None:
    """What a load waits for is a question; whoever runs the work answers it."""

    async def work() -> list[Any]:
        return [await Question("SELECT 1", ()), await Question("SELECT 2", ())]

    async def ask(asked: Sequence[Asked]) -> Any:
        return [[(one.sql,)] for one in asked if isinstance(one, Question)]

    assert await answer(work(), ask) == [[("SELECT 1",)], [("SELECT 2",)]]
