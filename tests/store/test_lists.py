"""Lists: filters, and orders found by what is said of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kasse.domain import history
from kasse.domain.history import LinesAdded, OrderReplaced, OrderState, OrderUpdated
from kasse.domain.paging import Filters, Page
from kasse.store.port import Store
from tests.store import records
from tests.store.records import ACCOUNT, NOW, OTHER, created, follow, put


def _order(n: int, account_id: str = ACCOUNT, **given: Any) -> history.OrderStep:
    at = NOW + timedelta(seconds=n)
    return created(account_id, id=f"order-{n}", order_id=f"O{n}", created_at=at, given=given)


async def _found(store: Store, page: Page | None = None, **filters: Any) -> list[str]:
    chosen = Filters(**filters)
    found = await store.read(lambda loads: loads.orders(ACCOUNT, chosen, page or Page()))
    return [state.order.id for state in found]


async def test_orders_are_found_by_what_is_said_of_them(store: Store) -> None:
    await put(
        store,
        _order(1, merchant_reference="a", customer={"id": "kari"}),
        _order(2, merchant_reference="b", customer={"id": "kari"}, store={"id": "oslo"}),
        _order(3, merchant_reference="a", itinerary={"travel_mode": "FERRY"}),
        _order(4, OTHER, merchant_reference="a"),
    )
    assert await _found(store, marks=(("merchant_reference", ("a",)),)) == ["order-3", "order-1"]
    assert await _found(store, marks=(("merchant_reference", ("a", "b")),)) == ["order-3", "order-2", "order-1"]
    both = (("merchant_reference", ("a",)), ("customer_id", ("kari",)))
    assert await _found(store, marks=both) == ["order-1"]
    assert await _found(store, marks=(("store_id", ("oslo",)),)) == ["order-2"]
    assert await _found(store, marks=(("itinerary_travel_mode", ("FERRY",)),)) == ["order-3"]
    assert await _found(store, marks=(("merchant_reference", ("c",)),)) == []
    named = await store.read(lambda loads: loads.order(ACCOUNT, "order-2", ()))
    assert named is not None
    ids = (named.order.order_id, "none")
    assert await _found(store, order_ids=ids) == ["order-2"]
    assert await _found(store, order_ids=ids, marks=(("store_id", ("oslo",)),)) == ["order-2"]
    assert await _found(store, order_ids=ids, marks=(("itinerary_travel_mode", ("FERRY",)),)) == []
    assert await _found(store, order_ids=ids, status=("closed",)) == []


@pytest.mark.parametrize("marks", [(), (("customer_id", ("kari",)),), (("customer_id", ("kari", "ola")),)])
async def test_a_list_goes_on_after_either_id_of_an_order(store: Store, marks: Any) -> None:
    await put(store, *(_order(n, customer={"id": "kari"}) for n in range(1, 6)))
    for after in ("order-4", "O4"):
        assert await _found(store, Page(2, after), marks=marks) == ["order-3", "order-2"]


async def test_orders_are_found_by_their_state_and_time(store: Store) -> None:
    await put(store, *(_order(n) for n in range(1, 4)))
    assert await _found(store, status=("open", "closed")) == ["order-3", "order-2", "order-1"]
    assert await _found(store, status=("cancelled",)) == []
    assert await _found(store, payment_status=("pending",), created_from=NOW + timedelta(seconds=2)) == [
        "order-3",
        "order-2",
    ]
    assert await _found(store, created_to=NOW + timedelta(seconds=2)) == ["order-2", "order-1"]


async def test_an_order_is_found_by_what_it_says_now(store: Store) -> None:
    first = _order(1, merchant_reference="before")
    await put(store, first)
    changed = follow(history.after(first), OrderUpdated({"merchant_reference": "after"}))
    await put(store, changed)
    assert await _found(store, marks=(("merchant_reference", ("before",)),)) == []
    assert await _found(store, marks=(("merchant_reference", ("after",)),)) == ["order-1"]
    found = await store.read(lambda loads: loads.order(ACCOUNT, "order-1"))
    assert found == history.after(changed, history.after(first))


async def test_lines_join_an_order_and_take_the_place_of_others(store: Store) -> None:
    first = _order(1)
    await put(store, first)
    state: OrderState = history.after(first)
    for what in (
        LinesAdded("draft-2", (records.line(90, 500), records.line(91, -200))),
        OrderReplaced("draft-3", {"merchant_reference": "new"}, (records.line(1, 700), records.line(90, 3))),
    ):
        step = follow(state, what)
        await put(store, step)
        state = history.after(step, state)
        assert await store.read(lambda loads: loads.order(ACCOUNT, "O1")) == state
    assert sorted(state.lines) == [1, 90]
    assert state.order.net_amount == 703


async def test_drafts_are_listed_newest_first_and_by_status(store: Store) -> None:
    drafts = [
        records.draft(id=f"draft-{n}", created_at=NOW + timedelta(seconds=n), status="open" if n % 2 else "deleted")
        for n in range(4)
    ]
    await put(store, *drafts, records.draft(OTHER))

    async def listed(filters: Filters, page: Page) -> list[str]:
        return [draft.id for draft in await store.read(lambda loads: loads.drafts(ACCOUNT, filters, page))]

    assert await listed(Filters(), Page()) == ["draft-3", "draft-2", "draft-1", "draft-0"]
    assert await listed(Filters(status=("open",)), Page()) == ["draft-3", "draft-1"]
    assert await listed(Filters(created_from=NOW + timedelta(seconds=1)), Page(2, "draft-3")) == ["draft-2", "draft-1"]


async def test_answers_are_forgotten_when_they_are_old(store: Store) -> None:
    await put(
        store, records.stored_answer(), records.stored_answer(OTHER, id="old", created_at=NOW - timedelta(days=2))
    )
    assert await store.forget_answers(NOW - timedelta(days=1)) == 1
    assert await store.read(lambda loads: loads.stored_answer(OTHER, "old")) is None
    assert await store.read(lambda loads: loads.stored_answer(ACCOUNT, "answer-1")) == records.stored_answer()
