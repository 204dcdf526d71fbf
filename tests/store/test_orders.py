"""Orders: their lines, history and sums; found by either id; listed page by page."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from kasse.domain import history
from kasse.domain.history import EntryAdded, OrderState, OrderStep, SessionOpened
from kasse.domain.ledger import LineSums
from kasse.domain.paging import Filters, Page
from kasse.store.port import Contradiction, Loads, Store
from tests.store import records
from tests.store.records import ACCOUNT, LATER, NOW, OTHER, created, entry, follow, life, put


async def _order(store: Store, name: str = "order-1", lines: Sequence[int] | None = None) -> OrderState | None:
    return await store.read(lambda loads: loads.order(ACCOUNT, name, lines))


async def test_an_order_is_found_by_its_order_id_and_by_its_internal_id(store: Store) -> None:
    steps, state = life()
    await put(store, *steps)
    assert await _order(store, "ABC234DEF") == state
    assert await _order(store, "order-1") == state


async def test_an_internal_id_names_its_order_even_if_another_chose_it_as_order_id(store: Store) -> None:
    """The sessions and transactions of an order name it by its internal id: that must not lead anywhere else."""
    await put(store, created(id="order-2", order_id="order-1"), created(id="order-1", order_id="ABC234DEF"))
    found = await _order(store, "order-1")
    assert found is not None
    assert found.order.id == "order-1"


async def test_a_name_is_taken_whether_it_is_an_order_id_or_an_internal_id(store: Store) -> None:
    await put(store, created())
    for name, taken in (("ABC234DEF", True), ("order-1", True), ("order-2", False)):
        assert await store.read(lambda loads, name=name: loads.order_exists(ACCOUNT, name)) is taken  # type: ignore[misc]


async def test_only_the_lines_named_are_loaded(store: Store) -> None:
    steps, state = life()
    await put(store, *steps)
    for chosen in ([1], [7, 2], [1, 2, 7]):
        assert await _order(store, lines=chosen) == OrderState(
            state.order, {n: state.lines[n] for n in chosen}, {n: state.sums[n] for n in chosen}
        )
    for chosen in ([], [3], [2**70], [-(2**70)]):
        assert await _order(store, lines=chosen) == OrderState(state.order)


async def test_more_lines_may_be_named_than_an_order_has(store: Store) -> None:
    """As many as a body of a mebibyte can name."""
    steps, state = life()
    await put(store, *steps)
    assert await _order(store, lines=range(80_000)) == state


async def test_a_change_that_names_very_many_lines_harms_no_other(store: Store) -> None:
    await put(store, created())

    async def greedy(loads: Loads) -> tuple[Any, Sequence[Any]]:
        return await loads.order(ACCOUNT, "order-1", range(80_000)), ()

    accounts = [records.account(f"T{n:08d}") for n in range(20)]
    await asyncio.gather(*(put(store, account) for account in accounts[:10]), store.change(greedy))
    await asyncio.gather(*(put(store, account) for account in accounts[10:]))


async def test_the_lines_of_one_order_are_not_those_of_another(store: Store) -> None:
    await put(store, *life()[0], created(id="order-2", order_id="X", lines=[records.line(1, 5), records.line(9, 7)]))
    found = await _order(store, "order-2")
    assert found is not None
    assert sorted(found.lines) == sorted(found.sums) == [1, 9]
    assert await _order(store, "order-1") == life()[1]


async def test_order_ids_are_unique_within_an_account(store: Store) -> None:
    await put(store, created())
    with pytest.raises(Contradiction):
        await put(store, created(id="order-2"))
    await put(store, created(OTHER, id="order-2"))


async def test_an_event_that_was_decided_on_an_old_version_is_refused_with_all_it_brings(store: Store) -> None:
    await put(store, created())
    state = history.after(created())
    first = follow(state, SessionOpened("session-1", ()))
    late = follow(state, EntryAdded(entry("authorization", (1, 10_000))))
    await put(store, first)
    for step in (first, late):
        with pytest.raises(Contradiction):
            await put(store, records.draft(), step)
    assert await store.read(lambda loads: loads.events(ACCOUNT, "order-1")) == [created().event, first.event]
    assert await store.read(lambda loads: loads.entries(ACCOUNT, "order-1")) == []
    assert await store.read(lambda loads: loads.draft(ACCOUNT, "draft-1")) is None
    assert await _order(store) == history.after(first, state)


async def test_an_event_of_an_order_that_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(Contradiction):
        await put(store, follow(history.after(created()), SessionOpened("session-1", ())))


async def test_sums_of_a_line_that_is_not_there_are_refused(store: Store) -> None:
    await put(store, created(lines=[records.line(1, 100)]))
    step = follow(history.after(created(lines=[records.line(1, 100)])), SessionOpened("session-1", ()))
    with pytest.raises(Contradiction):
        await put(store, replace(step, sums={2: LineSums(2, 100, 50)}))


async def test_the_same_ledger_entry_is_not_stored_twice(store: Store) -> None:
    first = created()
    second = follow(history.after(first), EntryAdded(entry("authorization", (1, 100))))
    state = history.after(second, history.after(first))
    await put(store, first, second)
    with pytest.raises(Contradiction):
        await put(store, follow(state, EntryAdded(entry("authorization", (1, 100)))))


# -- the sums of a line


def _with_sums(number: int, sums: LineSums) -> OrderStep:
    """A new order with one line that has these sums."""
    line = records.line(1, sums.payable)
    return replace(created(id=f"order-{number}", order_id=f"o{number}", lines=[line]), sums={1: sums})


async def test_the_database_refuses_exactly_the_sums_that_break_a_rule(store: Store) -> None:
    every = [
        LineSums(1, payable, *amounts)
        for payable in (-2, -1, 0, 1, 2)
        for amounts in itertools.product((-2, -1, 0, 1, 2), repeat=2)
        for amounts in [(*amounts, *rest) for rest in itertools.product((-1, 0, 1), repeat=3)]
    ]

    async def refused(number: int, sums: LineSums) -> bool:
        try:
            await put(store, _with_sums(number, sums))
        except Contradiction:
            return True
        return False

    found = await asyncio.gather(*(refused(number, sums) for number, sums in enumerate(every)))
    wrong = [sums for sums, was_refused in zip(every, found, strict=True) if was_refused != bool(sums.broken_rule())]
    assert wrong == []
    assert 50 < found.count(False) < found.count(True)


@pytest.mark.parametrize("sign", [1, -1], ids=["a line", "a reversal line"])
@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ({"authorized": 101}, "more than there is to pay is authorized"),
        ({"claimed": 101}, "more than there is to pay is claimed"),
        ({"authorized": 60, "claimed": 41}, "a paid line is claimed"),
        ({"authorized": 60, "cancelled": 61}, "more is cancelled than authorized"),
        ({"authorized": 60, "captured": 61}, "more is captured than authorized"),
        ({"authorized": 60, "captured": 30, "cancelled": 31}, "what is cancelled is captured"),
        ({"authorized": 60, "captured": 30, "refunded": 31}, "more is refunded than captured"),
        ({"authorized": 60, "captured": 60, "refunded": -1}, "a refund has the wrong sign"),
        ({"claimed": -1}, "a claim has the wrong sign"),
        ({"payable": 59, "authorized": 60}, "less is to pay than is authorized"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_line_in_use_takes_no_broken_sum(store: Store, sign: int, broken: dict[str, int], rule: str) -> None:
    first = created(lines=[records.line(1, sign * 100), records.line(2, sign * 100)])
    await put(store, first)
    step = follow(history.after(first), SessionOpened("session-1", ()))
    sums = msgspec.structs.replace(LineSums(1, sign * 100), **{name: sign * each for name, each in broken.items()})
    assert sums.broken_rule(), rule
    # The good line comes first: it must not stay.
    with pytest.raises(Contradiction):
        await put(store, replace(step, sums={2: LineSums(2, sign * 100, sign * 100), 1: sums}))
    assert await _order(store) == history.after(first)
    assert len(await store.read(lambda loads: loads.events(ACCOUNT, "order-1"))) == 1


# -- lists


def _heads(states: Sequence[OrderState]) -> list[str]:
    return [state.order.id for state in states]


async def _pages(store: Store, size: int, by: str = "id") -> list[str]:
    """All orders page by page; between two pages, new ones come in."""
    found: list[str] = []
    after = None
    for number in itertools.count():
        page = await store.read(lambda loads, after=after: loads.orders(ACCOUNT, Filters(), Page(size, after)))  # type: ignore[misc]
        if not page:
            break
        assert len(page) <= size
        found += _heads(page)
        after = getattr(page[-1].order, by)
        for n, at in enumerate((NOW + timedelta(minutes=1), NOW - timedelta(days=9))):
            await put(store, created(id=f"new-{number}-{n}", order_id=f"N{number}-{n}", created_at=at))
    return found


@pytest.mark.parametrize("by", ["id", "order_id"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_orders_come_newest_first_and_each_once_while_new_ones_come_in(store: Store, size: int, by: str) -> None:
    # Three of each time, so that pages end between orders of one moment.
    times = [NOW + timedelta(milliseconds=n // 3) for n in range(10)]
    orders = [created(id=f"old-{n * 7 % 10}", order_id=f"O{n}", created_at=at) for n, at in enumerate(times)]
    await put(store, *orders)
    await put(store, created(OTHER))
    at_once = _heads(await store.read(lambda loads: loads.orders(ACCOUNT, Filters(), Page(100))))
    assert len(at_once) == 10
    when = {step.order.id: step.order.created_at for step in orders}
    assert [when[id] for id in at_once] == sorted(times, reverse=True)
    found = [id for id in await _pages(store, size, by) if id.startswith("old")]
    assert found == at_once


async def test_a_list_has_every_order_with_all_its_lines(store: Store) -> None:
    await put(store, *life()[0])
    other = created(id="order-2", order_id="X", created_at=LATER, lines=[records.line(n, n) for n in range(1, 40)])
    await put(store, other)
    found = await store.read(lambda loads: loads.orders(ACCOUNT, Filters(), Page()))
    assert found == [history.after(other), life()[1]]


async def test_a_page_after_something_unknown_or_anothers_is_empty(store: Store) -> None:
    await put(store, created(), created(OTHER, id="order-9", order_id="order-9"))
    for after in ("nobody", "order-9"):
        page = Page(10, after)
        assert await store.read(lambda loads, page=page: loads.orders(ACCOUNT, Filters(), page)) == []  # type: ignore[misc]


async def test_the_sessions_of_an_order_come_newest_first_and_each_once_while_new_ones_come_in(store: Store) -> None:
    times = [NOW + timedelta(milliseconds=n // 3) for n in range(10)]
    old = [records.session(id=f"old-{n * 7 % 10}", created_at=at) for n, at in enumerate(times)]
    await put(store, *old, records.session(id="another", order="order-2"), records.session(id="none", order=None))
    at_once = await store.read(lambda loads: loads.sessions_of(ACCOUNT, "order-1", Page(100)))
    assert [session.created_at for session in at_once] == sorted(times, reverse=True)
    found: list[str] = []
    after = None
    for number in itertools.count():
        page = Page(2, after)
        part = await store.read(lambda loads, page=page: loads.sessions_of(ACCOUNT, "order-1", page))  # type: ignore[misc]
        if not part:
            break
        found += [session.id for session in part]
        after = found[-1]
        await put(store, records.session(id=f"new-{number}", created_at=LATER + timedelta(minutes=1)))
    assert found == [session.id for session in at_once]


async def test_each_order_shows_its_newest_sessions_and_no_more(store: Store) -> None:
    await put(store, *(records.session(id=f"s{n}", created_at=NOW + timedelta(seconds=n // 2)) for n in range(5)))
    await put(store, records.session(id="other", order="order-2"), records.session(OTHER, id="theirs"))
    names = ["order-2", "order-1", "order-3"]
    found = await store.read(lambda loads: loads.newest_sessions(ACCOUNT, names, 3))
    ids = {order: [session.id for session in sessions] for order, sessions in found.items()}
    assert ids == {"order-1": ["s4", "s3", "s2"], "order-2": ["other"], "order-3": []}
    assert await store.read(lambda loads: loads.newest_sessions(ACCOUNT, [], 3)) == {}


async def test_all_orders_of_all_accounts_come_in_the_order_of_their_names(store: Store) -> None:
    names = [(account_id, f"order-{n}") for account_id in (ACCOUNT, OTHER) for n in range(1, 6)]
    for account_id, id in reversed(names):
        await put(store, created(account_id, id=id, order_id=f"P{id}"))
    found: list[tuple[str, str]] = []
    after = None
    while part := await store.read(lambda loads, after=after: loads.orders_from(after, 3)):  # type: ignore[misc]
        assert len(part) <= 3
        assert all(len(state.lines) == len(state.sums) == 3 for state in part)
        found += [(state.order.account_id, state.order.id) for state in part]
        after = found[-1]
    assert found == names


async def test_the_transactions_of_an_order_come_oldest_first(store: Store) -> None:
    at = {"b": NOW, "a": LATER, "c": NOW - timedelta(days=1)}
    await put(store, *(records.transaction(id=id, created_at=created_at) for id, created_at in at.items()))
    await put(store, records.transaction(id="d", order="order-2"), records.transaction(id="e", order=None))
    found = await store.read(lambda loads: loads.transactions_of_order(ACCOUNT, "order-1"))
    assert [transaction.id for transaction in found] == ["c", "b", "a"]


async def test_ledgers_and_histories_of_several_orders_are_kept_apart(store: Store) -> None:
    await put(store, *life()[0], *life(id="order-2", order_id="X")[0], *life(OTHER, id="order-3")[0])
    names = ["order-2", "order-1", "order-3"]
    entries = await store.read(lambda loads: loads.entries_of(ACCOUNT, names))
    events = await store.read(lambda loads: loads.events_of(ACCOUNT, names))
    for name in ("order-1", "order-2"):
        steps = life(id=name, order_id={"order-1": "ABC234DEF", "order-2": "X"}[name])[0]
        assert entries[name] == [step.entry for step in steps if step.entry]
        assert events[name] == [step.event for step in steps]
    assert (entries["order-3"], events["order-3"]) == ([], [])
    assert await store.read(lambda loads: loads.events_of(ACCOUNT, [])) == {}
