"""Which lines a session may ask for, when paying may start, and the life of a session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import msgspec
import pytest

from kasse.domain.history import EntryAdded, OrderState, PaymentStarted
from kasse.domain.ledger import LineAmount
from kasse.domain.refusals import Refusal
from kasse.domain.session import (
    LOCK_LIFETIME,
    STEPS,
    ChosenItem,
    PayLock,
    SessionStatus,
    check_claim,
    choose,
    lock_at,
    note,
    require_payable,
    require_unmodified,
    status_at,
    step,
)
from tests.domain.plain import NOW, entry, items, session, session_event, state_of, then

STATUSES: tuple[SessionStatus, ...] = get_args(SessionStatus)


def chosen(state: OrderState, *wanted: tuple[int, int | None]) -> tuple[LineAmount, ...]:
    return choose(state, [ChosenItem(line_id, amount) for line_id, amount in wanted])


def not_chosen(state: OrderState, *wanted: tuple[int, int | None]) -> Refusal:
    with pytest.raises(Refusal) as refused:
        chosen(state, *wanted)
    return refused.value


def authorized(state: OrderState, amounts: dict[int, int], **more: Any) -> OrderState:
    return then(state, EntryAdded(entry("authorization", amounts, **more)))


# -- choosing lines


def test_a_line_without_an_amount_asks_for_all_that_is_left() -> None:
    assert chosen(state_of(1000, 500), (1, None), (2, None)) == items({1: 1000, 2: 500})
    assert chosen(authorized(state_of(1000, 500), {1: 400}), (1, None)) == items({1: 600})


def test_a_line_may_be_paid_in_part() -> None:
    assert chosen(state_of(1000, 500), (2, 1), (1, 999)) == items({2: 1, 1: 999})


def test_what_was_cancelled_may_be_chosen_again() -> None:
    paid = authorized(state_of(1000), {1: 1000}, id="a1")
    cancelled = then(paid, EntryAdded(entry("cancellation", {1: 300}, "x1", of="a1")))
    assert chosen(cancelled, (1, None)) == items({1: 300})


def test_a_payment_under_way_does_not_keep_a_session_from_being_opened() -> None:
    claimed = then(state_of(1000), PaymentStarted("s1", "t1", items({1: 1000})))
    assert chosen(claimed, (1, None)) == items({1: 1000})


def test_a_reversal_line_is_chosen_by_negative_amounts() -> None:
    assert chosen(state_of(1000, -200), (1, None), (2, None)) == items({1: 1000, 2: -200})
    assert chosen(state_of(1000, -200), (1, None), (2, -50)) == items({1: 1000, 2: -50})


def test_lines_of_an_order_that_is_not_open_cannot_be_chosen() -> None:
    state = state_of(1000)
    closed = OrderState(msgspec.structs.replace(state.order, status="cancelled"), state.lines, state.sums)
    assert not_chosen(closed, (1, None)).reason == "order_not_open"


def test_a_line_that_is_not_there_cannot_be_chosen() -> None:
    refusal = not_chosen(state_of(1000), (1, None), (2, None))
    assert (refusal.reason, refusal.path) == ("line_not_found", "/items/1/line_id")


def test_a_line_can_be_chosen_once() -> None:
    refusal = not_chosen(state_of(1000), (1, 400), (1, 600))
    assert (refusal.reason, refusal.path) == ("duplicate_line", "/items/1/line_id")


def test_a_line_that_is_paid_cannot_be_chosen() -> None:
    refusal = not_chosen(authorized(state_of(1000), {1: 1000}), (1, None))
    assert (refusal.reason, refusal.path) == ("nothing_left_to_pay", "/items/0")
    assert refusal.message == "line 1 has nothing left to pay, all 1000 of it is authorized"


@pytest.mark.parametrize(("line_id", "amount"), [(1, 0), (1, -1), (2, 0), (2, 1)])
def test_an_amount_of_the_wrong_sign_cannot_be_chosen(line_id: int, amount: int) -> None:
    refusal = not_chosen(state_of(1000, -200), (line_id, amount))
    assert (refusal.reason, refusal.path) == ("amount_sign", "/items/0/amount")


@pytest.mark.parametrize(("line_id", "amount", "left"), [(1, 601, 600), (2, -201, -200)])
def test_more_than_is_left_cannot_be_chosen(line_id: int, amount: int, left: int) -> None:
    refusal = not_chosen(authorized(state_of(1000, -200), {1: 400}), (line_id, amount))
    assert (refusal.reason, refusal.path) == ("amount_above_left", "/items/0/amount")
    assert refusal.message == f"line {line_id} has {left} left to pay, {amount} was asked for"


# -- starting to pay


def start_refused(state: OrderState, amounts: dict[int, int]) -> Refusal:
    with pytest.raises(Refusal) as refused:
        check_claim(state, items(amounts))
    return refused.value


def test_lines_that_nobody_pays_may_be_claimed_to_the_last_unit() -> None:
    state = then(state_of(1000, -200), PaymentStarted("s1", "t1", items({1: 400})))
    check_claim(state, items({1: 600, 2: -200}))
    assert start_refused(state, {1: 601}).reason == "line_being_paid"


def test_lines_that_are_being_paid_cannot_be_claimed_and_both_sums_are_told() -> None:
    state = then(state_of(1000), PaymentStarted("s1", "t1", items({1: 700})))
    refusal = start_refused(state, {1: 1000})
    assert refusal.reason == "line_being_paid"
    assert refusal.message == (
        "line 1 has 1000 left to pay, of which 700 is being paid right now in another session; "
        "this session asks for 1000"
    )


def test_a_reversal_line_that_is_being_paid_cannot_be_claimed_either() -> None:
    state = then(state_of(1000, -200), PaymentStarted("s1", "t1", items({1: 1000, 2: -200})))
    assert start_refused(state, {2: -1}).reason == "line_being_paid"


def test_lines_that_were_paid_meanwhile_cannot_be_claimed() -> None:
    refusal = start_refused(authorized(state_of(1000, 500), {1: 400}), {2: 500, 1: 601})
    assert refusal.reason == "nothing_left_to_pay"
    assert "line 1 has 600 left to pay, this session asks for 601" in refusal.message


def test_an_order_that_was_closed_meanwhile_cannot_be_paid() -> None:
    state = state_of(1000)
    closed = OrderState(msgspec.structs.replace(state.order, status="closed"), state.lines, state.sums)
    assert start_refused(closed, {1: 1}).reason == "order_not_open"


# -- the life of a session


@pytest.mark.parametrize("status", STATUSES)
def test_only_an_open_session_runs_out_and_does_so_on_time(status: SessionStatus) -> None:
    it = session(status)
    assert status_at(it, it.expires_at - timedelta(milliseconds=1)) == status
    assert status_at(it, it.expires_at) == ("expired" if status == "open" else status)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("paying", "session_being_paid"),
        ("paid", "session_paid"),
        ("cancelled", "session_cancelled"),
        ("expired", "session_expired"),
    ],
)
def test_a_session_that_is_not_open_cannot_be_paid_and_says_why(status: SessionStatus, reason: str) -> None:
    with pytest.raises(Refusal) as refused:
        require_payable(session(status), NOW)
    assert refused.value.reason == reason


def test_an_open_session_can_be_paid_until_it_has_expired() -> None:
    it = session()
    require_payable(it, it.expires_at - timedelta(milliseconds=1))
    with pytest.raises(Refusal) as refused:
        require_payable(it, it.expires_at)
    assert refused.value.reason == "session_expired"


def test_the_table_knows_every_status() -> None:
    assert set(STEPS) == set(STATUSES)
    assert {after for steps in STEPS.values() for after in steps} <= set(STATUSES)
    assert not STEPS["cancelled"]
    assert not STEPS["expired"]


@pytest.mark.parametrize("after", STATUSES)
@pytest.mark.parametrize("before", STATUSES)
def test_a_session_takes_the_steps_of_the_table_and_no_other(before: SessionStatus, after: SessionStatus) -> None:
    it, event = session(before), session_event()
    if after in STEPS[before]:
        moved = step(it, after, event, last_error="DECLINED")
        assert (moved.status, moved.events, moved.last_error) == (after, (event,), "DECLINED")
        assert moved.version == it.version + 1
    else:
        with pytest.raises(ValueError, match=f"from {before} to {after}"):
            step(it, after, event)


def test_a_note_changes_nothing_but_the_history_of_the_session() -> None:
    it = session("paid")
    noted = note(it, session_event())
    moved = NOW + timedelta(milliseconds=1)
    assert noted == msgspec.structs.replace(it, events=(session_event(),), updated_at=moved, version=2)


def test_a_session_that_is_changed_never_has_the_time_it_had() -> None:
    it = session()
    times = [it.updated_at]
    for _ in range(3):
        it = note(it, session_event())
        times.append(it.updated_at)
    assert len(set(times)) == 4
    later = msgspec.structs.replace(session_event(), created_at=NOW + timedelta(hours=1))
    assert note(it, later).updated_at == later.created_at


def test_a_session_is_what_its_reader_saw_by_time_or_version() -> None:
    it = session()
    for same in (None, it.updated_at, it.version):
        require_unmodified(it, same)
    for other in (it.updated_at - timedelta(milliseconds=1), it.updated_at + timedelta(seconds=1), it.version + 1):
        with pytest.raises(Refusal) as refused:
            require_unmodified(it, other)
        assert refused.value.reason == "session_changed"


def test_a_locked_session_cannot_be_paid_until_the_lock_is_off_or_lapses() -> None:
    locked = session(pay_lock=PayLock("lock-1", NOW))
    with pytest.raises(Refusal) as refused:
        require_payable(locked, NOW)
    assert refused.value.reason == "session_locked"
    assert lock_at(locked, NOW) == PayLock("lock-1", NOW)
    assert lock_at(locked, NOW + LOCK_LIFETIME) is None
    require_payable(locked, NOW + LOCK_LIFETIME)
    require_payable(session(), NOW)
