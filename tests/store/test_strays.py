"""What belongs to nothing, or is filed where nobody looks for it, is named."""

from __future__ import annotations

import apsw
import asyncpg
import pytest

from kasse.domain.hooks import EVENTS
from kasse.store.port import Record, Store
from tests.store import records
from tests.store.conftest import opened
from tests.store.records import ACCOUNT, put


async def _strays(store: Store) -> list[tuple[str, str, str]]:
    found = await store.read(lambda loads: loads.strays())
    return [(each.table, each.key, each.why) for each in found if each.account_id == ACCOUNT]


async def _well(store: Store) -> None:
    """One of each, and each belongs to something."""
    steps, _ = records.life()
    for step in steps:
        await put(store, step)
    await put(store, records.draft(), records.subscription(events=EVENTS))
    await put(store, records.session(), records.transaction(), records.transaction_marks(), records.gateway_call())
    await put(
        store,
        records.delivery(),
        records.delivery(id="to a webhook", session_id="", subscription_id="subscription-1"),
        records.attempt(),
        records.notice(),
        records.stored_answer(),
        records.draft(id="open", status="open"),
        records.stored_answer(id="waits", status=0, call="transaction-1:capture:1"),
    )
    await store.book_put(ACCOUNT, "transaction-1", {"state": "approved"})
    await store.book_put(ACCOUNT, "another-gateway:anything", {})


async def test_where_everything_belongs_to_something_there_are_none(store: Store) -> None:
    await _well(store)
    assert await _strays(store) == []


ALONE: dict[str, tuple[Record, tuple[str, str, str]]] = {
    "a payment without a session": (
        records.transaction(id="lone", session_id="gone"),
        ("transactions", "lone", "its session_id is gone, which is not in sessions"),
    ),
    "a session of an order that is not there": (
        records.session(id="lone", order="gone"),
        ("sessions", "lone", "its order_ref is gone, which is not in orders"),
    ),
    "a call to a gateway for no payment": (
        records.gateway_call(key="lone", transaction_id="gone"),
        ("gateway_calls", "lone", "its transaction_id is gone, which is not in transactions"),
    ),
    "a callback about no session": (
        records.delivery(id="lone", session_id="gone"),
        ("deliveries", "lone", "its session_id is gone, which is not in sessions"),
    ),
    "a call to no webhook": (
        records.delivery(id="lone", session_id="", subscription_id="gone"),
        ("deliveries", "lone", "its subscription_id is gone, which is not in subscriptions"),
    ),
    "a try of no call": (
        records.attempt(delivery_id="gone"),
        ("delivery_attempts", "gone try 1", "its delivery_id is gone, which is not in deliveries"),
    ),
    "what was delivered without a try": (
        records.delivery(id="lone", status="delivered"),
        ("deliveries", "lone", "it is delivered, and was never tried"),
    ),
    "what subscribers are to be told of no order": (
        records.notice(id="lone", event="shopping_order_event_add", subject="gone"),
        ("notices", "lone", "it tells of what is not in orders"),
    ),
    "of no draft": (
        records.notice(id="lone", event="shopping_draft_add", subject="gone"),
        ("notices", "lone", "it tells of what is not in drafts"),
    ),
    "of no payment": (
        records.notice(id="lone", subject="gone"),
        ("notices", "lone", "it tells of what is not in transactions"),
    ),
    "an answer that waits for ever": (
        records.stored_answer(id="lone", status=0, call="gone"),
        ("answers", "lone", "it waits for the gateway call gone, which is not there"),
    ),
}


@pytest.mark.parametrize("what", ALONE)
async def test_what_belongs_to_nothing_is_named(store: Store, what: str) -> None:
    await _well(store)
    record, told = ALONE[what]
    await put(store, record)
    assert await _strays(store) == [told]


async def test_an_entry_of_the_book_without_a_payment_is_named(store: Store) -> None:
    await _well(store)
    await store.book_put(ACCOUNT, "lone", {"state": "approved"})
    assert await _strays(store) == [("sandbox_book", "lone", "its key is lone, which is not in transactions")]


MISFILED = {
    "sessions": ("status = 'expired'", "status"),
    "transactions": ("status = 'DECLINED'", "status"),
    "gateway_calls": ("look_up_at = NULL", "look_up_at"),
    "deliveries": ("due_at = due_at + 2000", "due_at"),
    "notices": ("told = NOT told", "told"),
    "drafts": ("status = 'deleted'", "status"),
    "answers": ("created_at = created_at + 90000000", "created_at"),
}


@pytest.mark.parametrize("table", MISFILED)
async def test_what_is_filed_where_nobody_looks_for_it_is_named(database: str, table: str) -> None:
    set_, column = MISFILED[table]
    async with opened(database) as store:
        await _well(store)
        sql = f"UPDATE {table} SET {set_}"  # noqa: S608
        if database.startswith("sqlite"):
            apsw.Connection(database.removeprefix("sqlite:///")).execute(sql)
        else:
            connection = await asyncpg.connect(database)
            await connection.execute("SELECT set_config('kasse.account', $1, false)", ACCOUNT)
            assert (await connection.execute(sql)) != "UPDATE 0"
            await connection.close()
        found = await _strays(store)
    assert (table, f"it is filed under another {column} than its record has") in [(each[0], each[2]) for each in found]
