"""What is PostgreSQL's own: others who are faster."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from kasse.domain.history import EntryAdded, OrderState
from kasse.domain.refusals import Refusal
from kasse.store.port import Loads, Record, Store, StoreUnavailable
from tests.store import records
from tests.store.conftest import opened
from tests.store.postgres_server import PostgresServer, connected
from tests.store.records import ACCOUNT, NOW, created, entry, follow, put

pytestmark = pytest.mark.postgres


@pytest.fixture
def database(postgres: PostgresServer, name: str) -> str:
    """What the contract's fixtures open: here PostgreSQL only."""
    return postgres.url(name)


# -- as of one moment, and as good as one after the other


async def _money(loads: Loads) -> list[Any]:
    found = [await loads.profile(ACCOUNT, id) for id in ("a", "b")]
    return [one.configuration["count"] for one in found if one is not None]


async def _move_money(database: str) -> None:
    """What another process does: from one profile to the other."""
    async with opened(database) as other:

        async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
            one, two = await _money(loads)
            version = await _version(loads)
            return None, [
                records.profile(id="a", version=version + 1, configuration={"count": one - 1}),
                records.profile(id="b", version=version + 1, configuration={"count": two + 1}),
            ]

        await other.change(decide)


async def _version(loads: Loads) -> int:
    found = await loads.profile(ACCOUNT, "a")
    assert found is not None
    return found.version


def _meanwhile(database: str) -> None:
    """Do it while a decision is being made, which cannot wait."""
    thread = threading.Thread(target=lambda: asyncio.run(_move_money(database)))
    thread.start()
    thread.join()


@pytest.fixture
async def moneyed(store: Store) -> Store:
    await put(store, *(records.profile(id=id, configuration={"count": 100}) for id in ("a", "b")))
    return store


class _Torn:
    """A decision or query that looks at both profiles while money moves between them, the first time."""

    def __init__(self, database: str) -> None:
        self.database, self.made = database, 0

    async def look(self, loads: Loads) -> int:
        self.made += 1
        one = await loads.profile(ACCOUNT, "a")
        if self.made == 1:
            _meanwhile(self.database)
        two = await loads.profile(ACCOUNT, "b")
        assert one is not None
        assert two is not None
        return int(one.configuration["count"] + two.configuration["count"])


async def test_what_was_seen_in_two_moments_is_not_decided_on(moneyed: Store, database: str) -> None:
    torn = _Torn(database)

    async def decide(loads: Loads) -> tuple[int, Sequence[Record]]:
        both = await torn.look(loads)
        return both, [records.draft(id=f"draft-{both}")]

    assert await moneyed.change(decide) == 200
    assert torn.made == 2
    assert await moneyed.read(lambda loads: loads.draft(ACCOUNT, "draft-201")) is None


async def test_a_refusal_of_what_was_seen_in_two_moments_does_not_pass(moneyed: Store, database: str) -> None:
    torn = _Torn(database)

    async def decide(loads: Loads) -> tuple[int, Sequence[Record]]:
        both = await torn.look(loads)
        if both != 200:
            raise Refusal("wrong_state", f"{both} is not 200")
        return both, ()

    assert await moneyed.change(decide) == 200
    assert torn.made == 2


@pytest.mark.parametrize("how", ["read", "glance"])
async def test_a_read_sees_one_moment(moneyed: Store, database: str, how: str) -> None:
    class Late(_Torn):
        async def look(self, loads: Loads) -> int:
            self.made += 1
            one = await loads.profile(ACCOUNT, "a")
            _meanwhile(self.database)
            two = await loads.profile(ACCOUNT, "b")
            assert one is not None
            assert two is not None
            return int(one.configuration["count"] + two.configuration["count"])

    assert await getattr(moneyed, how)(Late(database).look) == 200


async def test_what_a_change_was_decided_on_holds_until_it_is_stored(moneyed: Store, database: str) -> None:
    """Also what it only looked at: here the money that it counts, and that moves after it has looked."""
    counts = []

    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        one, _ = await _money(loads)
        counts.append(one)
        if len(counts) == 1:
            _meanwhile(database)
        return None, [records.draft(given={"count": one})]

    await moneyed.change(decide)
    assert counts == [100, 99]
    draft = await moneyed.read(lambda loads: loads.draft(ACCOUNT, "draft-1"))
    assert draft is not None
    assert draft.given == {"count": 99}


async def test_who_only_reads_neither_waits_nor_is_disturbed(store: Store, database: str) -> None:
    await put(store, created())
    made = 0

    async def decide(loads: Loads) -> tuple[OrderState | None, Sequence[Record]]:
        nonlocal made
        made += 1
        return await loads.order(ACCOUNT, "order-1"), ()

    async with connected(database) as connection, connection.transaction():
        await connection.execute("SELECT set_config('kasse.account', $1, true)", ACCOUNT)
        await connection.execute("SELECT FROM orders FOR UPDATE")
        await asyncio.wait_for(asyncio.gather(*(store.change(decide) for _ in range(20))), 5)
    assert made == 20


async def test_of_many_who_make_a_key_unless_there_is_one_one_does(store: Store, second: Store) -> None:
    async def make(store: Store, number: int) -> None:
        async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
            return None, () if await loads.signing_keys() else [records.signing_key(kid=f"key-{number}")]

        await store.change(decide)

    await asyncio.gather(*(make((store, second)[n % 2], n) for n in range(20)))
    assert len(await store.read(lambda loads: loads.signing_keys())) == 1


async def test_a_client_that_is_deleted_leaves_no_grant_that_came_meanwhile(store: Store, second: Store) -> None:
    for n in range(15):
        client = records.client(id=f"client-{n}", client_id=f"login-{n}")
        await put(store, client)

        async def delete(loads: Loads, client: Any = client) -> tuple[None, Sequence[Record]]:
            grants = await loads.grants(ACCOUNT, client.id)
            gone = [replace(grant, deleted_at=NOW, version=grant.version + 1) for grant in grants]
            found = await loads.client(ACCOUNT, client.id)
            assert found is not None
            return None, [replace(found, deleted_at=NOW, version=found.version + 1), *gone]

        async def grant(loads: Loads, client: Any = client) -> tuple[None, Sequence[Record]]:
            found = await loads.client(ACCOUNT, client.id)
            assert found is not None
            alive = found.deleted_at is None
            return None, [records.grant(id=f"grant-{client.id}", client=client.id)] if alive else ()

        await asyncio.gather(store.change(delete), second.change(grant))
        assert await store.read(lambda loads, id=client.id: loads.grants(ACCOUNT, id)) == []  # type: ignore[misc]


async def test_a_change_that_is_always_too_late_gives_up_with_nothing_stored(
    moneyed: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kasse.store.postgres.TRIES", 7)
    made = 0

    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        nonlocal made
        made += 1
        version = await _version(loads)
        _meanwhile(database)
        return None, [records.draft(), records.profile(id="a", version=version + 1)]

    with pytest.raises(StoreUnavailable, match="faster 7 times"):
        await moneyed.change(decide)
    assert made == 7
    assert await moneyed.read(lambda loads: loads.draft(ACCOUNT, "draft-1")) is None


# -- what comes to nothing


async def _add_entry(store: Store, number: int) -> None:
    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        state = await loads.order(ACCOUNT, "order-1")
        assert state is not None
        return None, [follow(state, EntryAdded(entry("authorization", (1, 100), id=f"entry-{number}")))]

    await store.change(decide)


async def _seen(loads: Loads, meanwhile: Callable[[], None] = lambda: None) -> tuple[int, int]:
    """The version of an order, and how many entries it has."""
    state = await loads.order(ACCOUNT, "order-1")
    assert state is not None
    meanwhile()
    entries = await loads.entries(ACCOUNT, state.order.id)
    return state.order.version, len(entries)


@pytest.mark.parametrize("how", ["change", "read"])
async def test_a_ledger_is_as_of_its_order_though_nothing_is_decided(store: Store, database: str, how: str) -> None:
    await put(store, created())
    made = 0

    async def add() -> None:
        async with opened(database) as other:
            await _add_entry(other, 1)

    def meanwhile() -> None:
        nonlocal made
        made += 1
        if made == 1:
            thread = threading.Thread(target=lambda: asyncio.run(add()))
            thread.start()
            thread.join()

    async def decide(loads: Loads) -> tuple[tuple[int, int], Sequence[Record]]:
        return await _seen(loads, meanwhile), ()

    found = await (store.change(decide) if how == "change" else store.read(lambda loads: _seen(loads, meanwhile)))
    assert found == (2, 1)


async def test_what_comes_to_nothing_takes_no_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(store, created(), records.profile(), records.draft())
    await _add_entry(store, 1)

    def fail(*arguments: Any, **more: Any) -> None:
        raise AssertionError("a transaction")

    monkeypatch.setattr("kasse.store.postgres.transaction", fail)
    monkeypatch.setattr("kasse.store.postgres_connection.transaction", fail)

    async def nothing(loads: Loads) -> tuple[tuple[int, int], Sequence[Record]]:
        assert await loads.draft(ACCOUNT, "draft-1") is not None
        assert await loads.profile(ACCOUNT, "none") is None
        return await _seen(loads), ()

    async def refuse(loads: Loads) -> tuple[None, Sequence[Record]]:
        raise Refusal("wrong_state", f"it is {await nothing(loads)}")

    assert await store.change(nothing) == (2, 1)
    with pytest.raises(Refusal, match=r"\(2, 1\)"):
        await store.change(refuse)
    assert await store.read(nothing) == ((2, 1), ())


async def test_what_is_missed_and_comes_meanwhile_is_seen(store: Store, database: str) -> None:
    """Also what was not there is as of one moment: the second exists only if the first does."""
    made = 0

    async def put_both() -> None:
        async with opened(database) as other:
            await put(other, records.profile(id="first"), records.profile(id="second"))

    async def decide(loads: Loads) -> tuple[list[bool], Sequence[Record]]:
        nonlocal made
        made += 1
        first = await loads.profile(ACCOUNT, "first")
        if made == 1:
            thread = threading.Thread(target=lambda: asyncio.run(put_both()))
            thread.start()
            thread.join()
        return [first is not None, await loads.profile(ACCOUNT, "second") is not None], ()

    assert await store.change(decide) == [True, True]
