"""Checkout sessions: found by what is known of them, page by page, and those whose time is over."""

from __future__ import annotations

import json
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import msgspec
import pytest

from kasse.domain.paging import Page, SessionFilters
from kasse.domain.session import PaymentSession
from kasse.store.port import Store
from tests.store import records
from tests.store.conftest import opened
from tests.store.postgres_server import PostgresServer
from tests.store.records import ACCOUNT, GIVEN, NOW, OTHER, put

DAY = timedelta(days=1)
OVER = NOW - timedelta(milliseconds=1)


def session(n: int, account_id: str = ACCOUNT, order: dict[str, Any] | None = None, **changes: Any) -> PaymentSession:
    checkout_order = {"amount": 9_000, "currency": "NOK", "merchant_reference": f"web-{n}", **(order or {})}
    at = NOW + timedelta(seconds=n)
    made = {"id": f"session-{n}", "checkout_order": checkout_order, "created_at": at, "expires_at": at + DAY}
    return records.session(account_id, **{**made, "status": "open", **changes})


async def found(store: Store, page: Page | None = None, **filters: Any) -> list[str]:
    chosen = SessionFilters(**filters)
    listed = await store.read(lambda loads: loads.sessions(ACCOUNT, chosen, page or Page()))
    return [each.id.removeprefix("session-") for each in listed]


async def test_sessions_are_found_by_what_is_known_of_them(store: Store) -> None:
    kari = {"first_name": "Kari", "last_name": "Nordmann"}
    await put(
        store,
        session(1, order={"merchant_reference": "A", "shipping_address": kari}),
        session(2, order={"merchant_reference_2": "a", "store": {"id": "oslo"}}),
        session(3, order={"billing_address": {**kari, "last_name": "Øy"}, "store": {"id": "bergen"}}),
        session(4, order={"shipping_address": {"first_name": "Kari"}}),
        session(5, OTHER, order={"merchant_reference": "a", "store": {"id": "oslo"}}),
        records.transaction(id="t2", session_id="session-2"),
        records.transaction(id="t3", session_id="session-3"),
        records.transaction(OTHER, id="t4", session_id="session-4"),
    )
    assert await found(store) == ["4", "3", "2", "1"]
    assert await found(store, search="a") == ["2", "1"]
    assert await found(store, search="KARI nordmann") == ["1"]
    assert await found(store, search="kari øy") == ["3"]
    assert await found(store, search="kari") == []
    assert await found(store, search="%") == []
    assert await found(store, store_ids=("oslo",)) == ["2"]
    assert await found(store, store_ids=("oslo", "bergen")) == ["3", "2"]
    assert await found(store, transaction_ids=("t2", "t3", "t4")) == ["3", "2"]
    assert await found(store, ids=("session-1", "session-4", "session-5", "nothing")) == ["4", "1"]
    assert await found(store, ids=("session-1", "session-2"), store_ids=("oslo",), search="A") == ["2"]
    assert await found(store, created_from=NOW + timedelta(seconds=2), created_to=NOW + timedelta(seconds=3)) == [
        "3",
        "2",
    ]


@pytest.mark.parametrize("filters", [{}, {"store_ids": ("oslo",)}, {"search": "cart"}])
async def test_a_list_goes_on_after_a_session(store: Store, filters: dict[str, Any]) -> None:
    order = {"merchant_reference": "cart", "store": {"id": "oslo"}}
    await put(store, *(session(n, order=order, created_at=NOW) for n in range(1, 6)))
    assert await found(store, Page(2), **filters) == ["5", "4"]
    assert await found(store, Page(2, "session-4"), **filters) == ["3", "2"]
    assert await found(store, Page(2, "session-2"), **filters) == ["1"]
    assert await found(store, Page(2, "nobody"), **filters) == []


async def test_a_session_is_found_by_what_it_says_now(store: Store) -> None:
    await put(store, session(1, order={"merchant_reference_2": "before"}))
    await put(store, session(1, order={"merchant_reference_2": "after"}, version=2))
    assert await found(store, search="before") == []
    assert await found(store, search="after") == ["1"]


async def due(store: Store, limit: int = 10) -> list[str]:
    return [each.id for each in await store.read(lambda loads: loads.due_sessions(NOW, limit))]


async def test_open_sessions_are_over_from_their_moment_on_oldest_first(store: Store) -> None:
    await put(
        store,
        session(1, expires_at=NOW),
        session(2, expires_at=NOW - DAY),
        session(3, expires_at=NOW + timedelta(milliseconds=1)),
        session(4, OTHER, expires_at=OVER, status="paying"),
        records.gateway_call(OTHER, key="transaction-1", state="waiting_for_payer"),
        session(10, expires_at=OVER, status="paying"),
        records.gateway_call(key="transaction-1", state="unknown"),
        *(
            session(n, expires_at=OVER, status=status)
            for n, status in enumerate(("paid", "cancelled", "expired", "on_hold", "failed"), 5)
        ),
    )
    assert await due(store) == ["session-2", "session-4", "session-1"]
    assert await due(store, 1) == ["session-2"]


async def test_where_an_account_has_a_clock_of_its_own_that_says_what_is_over(store: Store) -> None:
    behind, ahead, stopped, plain = ("T00000001", "T00000002", "T00000003", "T00000004")
    hour = 3_600_000
    await put(
        store,
        records.account_clock(behind, ahead=-hour, stopped_at=None),
        records.account_clock(ahead, ahead=hour, stopped_at=None),
        records.account_clock(stopped, ahead=-hour, stopped_at=NOW + DAY),
        *(
            session(n, account_id, expires_at=NOW + timedelta(minutes=minutes))
            for account_id in (behind, ahead, stopped, plain)
            for n, minutes in enumerate((-61, -1, 59, 61))
        ),
    )
    found = await store.read(lambda loads: loads.due_sessions(NOW, 100))
    assert {
        account_id: sorted(each.id for each in found if each.account_id == account_id)
        for account_id in (behind, ahead, stopped, plain)
    } == {
        behind: ["session-0"],
        ahead: ["session-0", "session-1", "session-2"],
        stopped: ["session-0", "session-1", "session-2", "session-3"],
        plain: ["session-0", "session-1"],
    }


# -- databases from before


def _before() -> tuple[dict[str, Any], str]:
    """The columns and the doc of a session as the first tables have it, and the doc of its profile."""
    address = {"first_name": "Kari", "last_name": "Nordmann"}
    order = {"merchant_reference_2": "Second", "shipping_address": address, "store": {"id": "oslo"}}
    doc = msgspec.to_builtins(session(1, order=order, expires_at=NOW))
    for name in ("configuration", "pay_lock", "customer_ip", "user_agent"):
        del doc[name]
    row = {"account_id": ACCOUNT, "id": "session-1", "status": "open", "created_at": 1, "version": 1}
    return {**row, "doc": json.dumps(doc)}, json.dumps({"configuration": {"auto_capture": True, **GIVEN}})


def _scripts(engine: str) -> list[str]:
    folder = resources.files("kasse.store") / "migrations" / engine
    return [(folder / name).read_text() for name in ("0001_first.sql", "0002_orders.sql")]


async def _check(database: str) -> None:
    async with opened(database) as store:
        [kept] = await store.read(lambda loads: loads.sessions(ACCOUNT, SessionFilters(search="second"), Page()))
        assert kept.configuration == {"auto_capture": True, **GIVEN}
        for filters in ({"search": "WEB-1"}, {"search": "kari nordmann"}, {"store_ids": ("oslo",)}):
            assert await found(store, **filters) == ["1"]
        assert await due(store) == ["session-1"]


async def test_sessions_of_an_older_sqlite_database_are_found_as_well(tmp_path: Path) -> None:
    path = f"{tmp_path}/old.db"
    connection = apsw.Connection(path)
    row, profile = _before()
    for script in _scripts("sqlite"):
        connection.execute(script)
    connection.execute("INSERT INTO profiles VALUES (?, 'default', 1, ?)", (ACCOUNT, profile))
    names, places = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO sessions ({names}) VALUES ({places})", tuple(row.values()))  # noqa: S608
    connection.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL)")
    connection.execute("INSERT INTO migrations VALUES ('0001_first.sql', 'then'), ('0002_orders.sql', 'then')")
    connection.close()
    await _check(f"sqlite:///{path}")


@pytest.mark.postgres
async def test_sessions_of_an_older_postgresql_database_are_found_as_well(postgres: PostgresServer) -> None:
    with postgres.database() as name:
        connection = await asyncpg.connect(postgres.url(name))
        row, profile = _before()
        for script in _scripts("postgres"):
            await connection.execute(script)
        await connection.execute("SELECT set_config('kasse.account', $1, false)", ACCOUNT)
        await connection.execute("INSERT INTO profiles VALUES ($1, 'default', 1, $2)", ACCOUNT, profile)
        names, places = ", ".join(row), ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await connection.execute(f"INSERT INTO sessions ({names}) VALUES ({places})", *row.values())  # noqa: S608
        await connection.execute("CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL)")
        await connection.execute("INSERT INTO migrations VALUES ('0001_first.sql', now()), ('0002_orders.sql', now())")
        await connection.close()
        await _check(postgres.url(name))
