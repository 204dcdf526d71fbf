"""What waits: gateway calls to look up, callbacks to deliver; and the tries that were made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from kasse.domain.callbacks import Attempt
from kasse.store.port import Backlog, Loads, Store
from tests.store import records
from tests.store.records import ACCOUNT, LATER, NOW, OTHER, put

MOMENT = timedelta(milliseconds=1)


async def _due_calls(store: Store, limit: int = 10) -> list[str]:
    return [call.key for call in await store.read(lambda loads: loads.due_gateway_calls(NOW, limit))]


async def test_calls_are_due_from_their_moment_on_until_they_are_done_oldest_first(store: Store) -> None:
    due = {
        "at the moment": NOW,
        "long ago": NOW - timedelta(days=400),
        "a moment ago": NOW - MOMENT,
        "in a moment": NOW + MOMENT,
    }
    await put(store, *(records.gateway_call(key=key, look_up_at=at) for key, at in due.items()))
    await put(
        store,
        records.gateway_call(key="never", look_up_at=None),
        records.gateway_call(key="done", state="done", look_up_at=NOW),
        records.gateway_call(OTHER, key="another account's", state="started", look_up_at=NOW - timedelta(hours=1)),
        records.gateway_call(key="at the bank", state="waiting_for_payer", look_up_at=NOW - timedelta(hours=2)),
    )
    oldest_first = ["long ago", "at the bank", "another account's", "a moment ago", "at the moment"]
    assert await _due_calls(store) == oldest_first
    assert await _due_calls(store, 2) == oldest_first[:2]


async def test_a_call_that_is_put_off_or_done_is_not_due(store: Store) -> None:
    await put(store, records.gateway_call(key="a"), records.gateway_call(key="b"))
    await put(
        store,
        records.gateway_call(key="a", look_up_at=NOW + MOMENT, version=2),
        records.gateway_call(key="b", state="done", look_up_at=None, version=2),
    )
    assert await _due_calls(store) == []


async def _due(store: Store, limit: int = 10, busy: Sequence[str] = ()) -> list[str]:
    return [one.id for one in await store.read(lambda loads: loads.due_deliveries(NOW, limit, busy))]


async def test_deliveries_are_due_from_their_moment_on_until_they_end_oldest_first(store: Store) -> None:
    due = {"now": NOW, "long ago": NOW - timedelta(days=400), "a moment ago": NOW - MOMENT, "soon": NOW + MOMENT}
    await put(store, *(records.delivery(id=id, due_at=at) for id, at in due.items()))
    await put(
        store,
        records.delivery(id="delivered", status="delivered"),
        records.delivery(id="failed", status="failed"),
        records.delivery(OTHER, id="another account's", due_at=NOW - timedelta(hours=1)),
    )
    oldest_first = ["long ago", "another account's", "a moment ago", "now"]
    assert await _due(store) == oldest_first
    assert await _due(store, 3) == oldest_first[:3]


async def test_busy_receivers_are_left_out_before_the_limit_counts(store: Store) -> None:
    await put(
        store,
        *(records.delivery(id=f"slow-{n}", receiver="https://slow", due_at=NOW - (90 - n) * MOMENT) for n in range(9)),
        *(records.delivery(id=f"stuck-{n}", receiver="https://stuck", due_at=NOW - (9 - n) * MOMENT) for n in range(9)),
        records.delivery(id="quick", receiver="https://quick"),
    )
    assert await _due(store, 2) == ["slow-0", "slow-1"]
    assert await _due(store, 2, ["https://slow"]) == ["stuck-0", "stuck-1"]
    assert await _due(store, 2, ["https://slow", "https://stuck", "https://nobody"]) == ["quick"]
    assert await _due(store, 100, ["https://slow", "https://stuck", "https://quick"]) == []


async def test_the_deliveries_of_a_session_come_in_the_order_they_were_owed(store: Store) -> None:
    for n, id in enumerate(("b", "a", "c")):
        await put(store, records.delivery(id=id, created_at=NOW + n * MOMENT))
    await put(store, records.delivery(id="d", session_id="session-2"), records.delivery(OTHER, id="e"))
    # A later try must not move it.
    await put(store, records.delivery(id="b", version=2, due_at=LATER, status="failed"))
    found = await store.read(lambda loads: loads.deliveries_of(ACCOUNT, "session-1"))
    assert [delivery.id for delivery in found] == ["b", "a", "c"]


async def test_the_tries_of_a_session_are_told_for_each_delivery_oldest_first(store: Store) -> None:
    await put(store, *(records.delivery(id=id) for id in ("a", "b", "c")), records.delivery(id="d", session_id="s2"))
    tries = {
        id: [records.attempt(delivery_id=id, number=number, duration_ms=number) for number in range(1, count + 1)]
        for id, count in (("b", 12), ("a", 2), ("d", 1))
    }
    for each in tries.values():
        await put(store, *reversed(each))
    await put(store, records.attempt(OTHER, delivery_id="a"))

    async def query(loads: Loads) -> tuple[dict[str, list[Attempt]], list[Attempt], list[Attempt]]:
        return (
            await loads.attempts_of(ACCOUNT, "session-1"),
            await loads.attempts(ACCOUNT, "b"),
            await loads.attempts(ACCOUNT, "c"),
        )

    assert await store.read(query) == ({"a": tries["a"], "b": tries["b"]}, tries["b"], [])


async def test_the_backlog_counts_what_waits_in_all_accounts(store: Store) -> None:
    assert await store.read(lambda loads: loads.backlog()) == Backlog(0, None, {})
    await put(
        store,
        records.delivery(id="first", due_at=NOW - MOMENT),
        records.delivery(OTHER, id="later", due_at=LATER),
        records.delivery(id="heard", status="delivered", due_at=NOW - timedelta(days=1)),
        records.gateway_call(key="a", state="unknown"),
        records.gateway_call(OTHER, key="b", state="unknown", look_up_at=None),
        records.gateway_call(key="c", state="started"),
        records.gateway_call(key="d", state="done"),
    )
    found = await store.read(lambda loads: loads.backlog())
    assert (found.waiting, found.due_first) == (2, NOW - MOMENT)
    assert found.open_calls == {"unknown": 2, "started": 1}
