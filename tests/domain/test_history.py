"""The history of an order: numbered, chained, and enough to rebuild it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.domain import history
from kasse.domain.access import Caller, RequestNote
from kasse.domain.history import (
    EntryAdded,
    Event,
    OrderCreated,
    OrderState,
    OrderStep,
    PaymentEnded,
    PaymentStarted,
    SessionOpened,
    What,
    evolve,
    hash_of,
)
from kasse.domain.ledger import LineSums, OrderSums
from tests.domain.plain import CALLER, NOW, entry, items, new_order, state_of, then

LINES = {1: 1000, 2: 500, 3: -200}
LIFE: list[What] = [
    SessionOpened("s1", items(LINES)),
    PaymentStarted("s1", "t1", items(LINES)),
    PaymentEnded("s1", "t1", items(LINES)),
    PaymentStarted("s1", "t2", items(LINES)),
    EntryAdded(entry("authorization", LINES, "a1"), releases_claim=True),
    EntryAdded(entry("capture", {1: 400, 3: -200}, "c1", of="a1")),
    EntryAdded(entry("capture", {1: 600}, "c2", of="a1", success=False)),
    EntryAdded(entry("cancellation", {2: 500}, "x1", of="a1")),
    EntryAdded(entry("refund", {1: 100}, "r1", of="a1")),
]


def steps(whats: list[What] = LIFE) -> list[OrderStep]:
    """An order's life, each event a minute after the one before."""
    noted = Caller(CALLER.account_id, "clerk", frozenset(), "request-2", RequestNote("POST", "/orders", '{"å": 1.5}'))
    made = [history.create(*new_order(*LINES.values()), noted, "event-1", NOW)]
    state = history.after(made[0])
    for n, what in enumerate(whats, 2):
        made.append(history.advance(state, what, CALLER, f"event-{n}", NOW + timedelta(minutes=n)))
        state = history.after(made[-1], state)
    return made


def rebuilt(events: list[Event]) -> OrderState:
    state = None
    for event in events:
        state = evolve(state, event)
    assert state is not None
    return state


# -- numbers and hashes


def test_events_are_numbered_without_gaps_and_each_holds_the_hash_of_the_one_before() -> None:
    events = [step.event for step in steps()]
    assert [event.seq for event in events] == list(range(1, len(LIFE) + 2))
    assert [event.previous_hash for event in events] == ["", *(event.hash for event in events[:-1])]
    assert len({event.hash for event in events}) == len(events)
    assert all(hash_of(event) == event.hash for event in events)


def test_the_order_holds_the_number_hash_and_time_of_its_last_event() -> None:
    for step in steps():
        assert (step.order.version, step.order.last_hash) == (step.event.seq, step.event.hash)
        assert step.order.updated_at == step.event.at


def test_an_event_says_who_caused_it_in_which_request() -> None:
    created, *_, last = (step.event for step in steps())
    assert (created.by, created.request_id) == ("clerk", "request-2")
    assert created.request == RequestNote("POST", "/orders", '{"å": 1.5}')
    assert (last.by, last.request_id, last.request) == ("test", "request-1", None)


def changed(value: Any) -> Iterator[Any]:
    """The value with one thing changed, for every thing in it."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            for other in changed(getattr(value, name)):
                yield msgspec.structs.replace(value, **{name: other})
    elif isinstance(value, RequestNote):
        for name in ("method", "path", "body"):
            for other in changed(getattr(value, name)):
                yield RequestNote(**{"method": value.method, "path": value.path, "body": value.body, name: other})
    elif isinstance(value, dict):
        yield {**value, "more": 1}
        for name in value:
            yield {key: each for key, each in value.items() if key != name}
            for other in changed(value[name]):
                yield {**value, name: other}
    elif isinstance(value, tuple):
        yield (*value, "more")
        for n, each in enumerate(value):
            yield (*value[:n], *value[n + 1 :])
            for other in changed(each):
                yield (*value[:n], other, *value[n + 1 :])
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, datetime):
        yield value + timedelta(milliseconds=1)
    elif value is None:
        yield "something"
    else:
        assert isinstance(value, str), value
        yield value + "x"


@pytest.mark.parametrize("n", range(len(LIFE) + 1))
def test_an_event_with_anything_in_it_changed_no_longer_fits_its_hash(n: int) -> None:
    event = steps()[n].event
    others = [other for other in changed(event) if other.hash == event.hash]
    assert len(others) > 10
    for other in others:
        assert hash_of(other) != event.hash, f"{other} has the hash of {event}"


# -- what is stored is what was meant


def round_trip(event: Event) -> Event:
    return msgspec.json.decode(msgspec.json.encode(event), type=Event)


@pytest.mark.parametrize("n", range(len(LIFE) + 1))
def test_an_event_of_every_kind_comes_back_from_json_as_it_was(n: int) -> None:
    event = steps()[n].event
    assert round_trip(event) == event
    assert hash_of(round_trip(event)) == event.hash


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_whatever_a_merchant_sent_along_keeps_the_hash(sent: dict[str, Any]) -> None:
    order, (first, *others) = new_order(1000, 500)
    order = msgspec.structs.replace(order, given=sent, options=sent)
    first = msgspec.structs.replace(first, given=sent)
    created = history.create(order, (first, *others), CALLER, "event-1", NOW)
    added = history.advance(
        history.after(created), EntryAdded(entry("authorization", {1: 1000}, given=sent)), CALLER, "event-2", NOW
    )
    for step in (created, added):
        assert hash_of(round_trip(step.event)) == step.event.hash


def test_the_order_of_keys_in_what_was_sent_does_not_matter() -> None:
    order, lines = new_order(1000)
    one = msgspec.structs.replace(order, given={"a": 1, "b": {"c": 1, "d": 2}})
    other = msgspec.structs.replace(order, given={"b": {"d": 2, "c": 1}, "a": 1})
    assert history.create(one, lines, CALLER, "e", NOW).event.hash == (
        history.create(other, lines, CALLER, "e", NOW).event.hash
    )


# -- evolving


def test_evolving_the_events_gives_the_state_that_the_steps_led_to() -> None:
    state: OrderState | None = None
    made = steps()
    for n, step in enumerate(made):
        state = history.after(step, state)
        assert rebuilt([each.event for each in made[: n + 1]]) == state


def test_a_step_holds_only_what_its_event_touched() -> None:
    created, opened, started, *_, refunded = steps()
    assert set(created.lines) == set(created.sums) == {1, 2, 3}
    assert (dict(opened.lines), dict(opened.sums)) == ({}, {})
    assert (dict(started.lines), set(started.sums)) == ({}, {1, 2, 3})
    assert set(refunded.sums) == {1}
    assert refunded.entry == entry("refund", {1: 100}, "r1", of="a1")
    assert started.entry is None


def test_only_the_loaded_lines_that_an_event_names_are_needed() -> None:
    whole = state_of(1000, 500)
    part = OrderState(whole.order, {2: whole.lines[2]}, {2: whole.sums[2]})
    step = history.advance(part, PaymentStarted("s", "t", items({2: 500})), CALLER, "event-2", NOW)
    assert dict(step.sums) == {2: LineSums(2, 500, claimed=500)}


def test_opening_a_session_changes_no_sum() -> None:
    before = state_of(1000)
    assert then(before, SessionOpened("s1", items({1: 1000}))).sums == before.sums


def test_starting_to_pay_claims_and_ending_gives_back() -> None:
    claimed = then(state_of(1000, -200), PaymentStarted("s1", "t1", items({1: 700, 2: -200})))
    assert {n: sums.claimed for n, sums in claimed.sums.items()} == {1: 700, 2: -200}
    ended = then(claimed, PaymentEnded("s1", "t1", items({1: 700, 2: -200})))
    assert ended.sums == state_of(1000, -200).sums


def test_an_authorization_takes_the_place_of_its_claim() -> None:
    claimed = then(state_of(1000), PaymentStarted("s1", "t1", items({1: 700})))
    paid = then(claimed, EntryAdded(entry("authorization", {1: 700}), releases_claim=True))
    assert paid.sums[1] == LineSums(1, 1000, authorized=700)
    beside = then(claimed, EntryAdded(entry("authorization", {1: 300})))
    assert beside.sums[1] == LineSums(1, 1000, authorized=300, claimed=700)


def test_entries_move_the_sums_of_lines_and_order_and_the_payment_status() -> None:
    state = rebuilt([step.event for step in steps()])
    assert state.sums == {
        1: LineSums(1, 1000, authorized=1000, captured=400, refunded=100),
        2: LineSums(2, 500, authorized=500, cancelled=500),
        3: LineSums(3, -200, authorized=-200, captured=-200),
    }
    assert state.order.sums == OrderSums(authorized=1300, cancelled=500, captured=200, refunded=100)
    assert state.order.payment_status == "partially_refunded"


def test_a_failed_entry_is_noted_and_changes_no_sum() -> None:
    before = then(state_of(1000), EntryAdded(entry("authorization", {1: 1000})))
    after = then(before, EntryAdded(entry("capture", {1: 1000}, success=False)))
    assert (after.sums, after.order.sums) == (before.sums, before.order.sums)
    assert after.order.payment_status == "pending"
    assert after.order.version == before.order.version + 1


def test_the_first_event_must_create_the_order() -> None:
    with pytest.raises(ValueError, match="must create it"):
        evolve(None, steps()[1].event)


def test_the_created_order_remembers_its_draft() -> None:
    order, lines = new_order(1000)
    created = history.create(msgspec.structs.replace(order, draft_id="draft-1"), lines, CALLER, "event-1", NOW)
    opened = history.advance(history.after(created), LIFE[0], CALLER, "event-2", NOW)
    assert (created.event.draft_id, opened.event.draft_id) == ("draft-1", None)
    assert isinstance(created.event.what, OrderCreated)
