"""A payment's states and steps, the amounts left, and the lines that an operation falls on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kasse.domain.ledger import LineAmount, LineSums
from kasse.domain.refusals import Refusal
from kasse.domain.transaction import (
    ALLOWED,
    ENTRY_KINDS,
    EVENT_NAMES,
    STEPS,
    Amounts,
    CallKind,
    Pending,
    Transaction,
    TransactionStatus,
    amounts,
    check_operation,
    left_for,
    record,
    require_allowed,
    status_after,
)
from kasse.domain.transaction_lines import fall_on_lines, left_on_lines, require_lines
from tests.domain.plain import items, transaction, transaction_event

STATUSES: tuple[TransactionStatus, ...] = get_args(TransactionStatus)
OPERATIONS: tuple[CallKind, ...] = ("capture", "refund", "void")
LINES = {1: 1000, 2: 500, 3: -200}


def paid(lines: Mapping[int, int] = LINES, shipping: int = 0) -> Transaction:
    """An authorized transaction."""
    started = transaction(lines, shipping)
    event = transaction_event("AUTHORIZE", started.amount, "AUTHORIZED", started.lines)
    return record(started, event, "AUTHORIZED", authorization_id="a1")


def done(it: Transaction, kind: CallKind, amount: int, named: Mapping[int, int] | None = None) -> Transaction:
    """The transaction after an operation that the gateway approved."""
    check_operation(it, kind, amount)
    return settled(it, kind, amount, fall_on_lines(it, kind, amount, items(named or {})))


def settled(it: Transaction, kind: CallKind, amount: int, lines: tuple[LineAmount, ...], **more: Any) -> Transaction:
    event = transaction_event(EVENT_NAMES[kind], amount, it.status, lines)
    status = status_after(amounts(msgspec.structs.replace(it, events=(*it.events, event))))
    return record(it, event, status, **more)


def waiting(it: Transaction, kind: CallKind, amount: int, lines: Mapping[int, int], key: str = "k1") -> Transaction:
    """The transaction with a call that has no answer yet."""
    return msgspec.structs.replace(it, pending=(*it.pending, Pending(key, kind, amount, items(lines))))


def refused(it: Transaction, kind: CallKind, amount: int) -> Refusal:
    with pytest.raises(Refusal) as found:
        check_operation(it, kind, amount)
    return found.value


# -- the status that the sums amount to (checkout reference, 8.1)


def expected_status(authorized: int, captured: int, refunded: int, voided: int) -> str:
    """The table of the reference, row by row."""
    open_ = captured + voided < authorized
    if captured == 0 and voided == authorized:
        return "AUTHORIZATION_VOIDED"
    if captured == 0:
        return "AUTHORIZED"
    if refunded == 0 and open_:
        return "PARTIALLY_CAPTURED"
    if refunded == 0:
        return "CAPTURED"
    if open_:
        return "PARTIALLY_CAPTURED_REFUNDED"
    if refunded < captured:
        return "PARTIALLY_REFUNDED"
    return "REFUNDED"


def test_the_status_follows_the_table_for_all_small_sums() -> None:
    for authorized, captured, voided in product(range(1, 8), range(8), range(8)):
        for refunded in range(captured + 1):
            if captured + voided <= authorized:
                found = status_after(Amounts(authorized, captured, refunded, voided))
                assert found == expected_status(authorized, captured, refunded, voided)


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ([("capture", 400)], "PARTIALLY_CAPTURED"),
        ([("capture", 1300)], "CAPTURED"),
        ([("void", 1300)], "AUTHORIZATION_VOIDED"),
        ([("void", 300)], "AUTHORIZED"),
        ([("void", 300), ("capture", 1000)], "CAPTURED"),
        ([("void", 300), ("capture", 1)], "PARTIALLY_CAPTURED"),
        ([("void", 300), ("void", 1000)], "AUTHORIZATION_VOIDED"),
        ([("capture", 400), ("void", 900)], "CAPTURED"),
        ([("capture", 400), ("void", 100)], "PARTIALLY_CAPTURED"),
        ([("capture", 400), ("refund", 100)], "PARTIALLY_CAPTURED_REFUNDED"),
        ([("capture", 400), ("refund", 400)], "PARTIALLY_CAPTURED_REFUNDED"),
        ([("capture", 400), ("refund", 100), ("capture", 900)], "PARTIALLY_REFUNDED"),
        ([("capture", 400), ("refund", 100), ("void", 900)], "PARTIALLY_REFUNDED"),
        ([("capture", 400), ("refund", 400), ("void", 900)], "REFUNDED"),
        ([("capture", 1300), ("refund", 1), ("refund", 1299)], "REFUNDED"),
    ],
)
def test_operations_lead_from_status_to_status(steps: list[tuple[CallKind, int]], status: str) -> None:
    it = paid()
    for kind, amount in steps:
        it = done(it, kind, amount)
    assert it.status == status


# -- the tables


def test_the_tables_know_every_status() -> None:
    assert set(STEPS) == set(STATUSES)
    assert {after for steps in STEPS.values() for after in steps} <= set(STATUSES)
    assert {status for statuses in ALLOWED.values() for status in statuses} <= set(STATUSES)
    assert {before for before, steps in STEPS.items() if not steps} == {
        "REFUNDED",
        "AUTHORIZATION_VOIDED",
        "DECLINED",
        "FAILED",
    }


@pytest.mark.parametrize("after", STATUSES)
@pytest.mark.parametrize("before", STATUSES)
def test_a_transaction_stays_or_takes_a_step_of_the_table(before: TransactionStatus, after: TransactionStatus) -> None:
    it, event = transaction(LINES, status=before), transaction_event("CAPTURE", 1, after)
    if after == before or after in STEPS[before]:
        moved = record(it, event, after)
        assert (moved.status, moved.events, moved.version) == (after, (event,), it.version + 1)
    else:
        with pytest.raises(ValueError, match=f"from {before} to {after}"):
            record(it, event, after)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("kind", OPERATIONS)
def test_an_operation_is_refused_by_name_where_the_status_does_not_allow_it(
    kind: CallKind, status: TransactionStatus
) -> None:
    it = transaction(LINES, status=status)
    if status in ALLOWED[kind]:
        require_allowed(it, kind)
        return
    refusal = refused(it, kind, 1)
    assert refusal.reason == "wrong_status"
    assert status in refusal.message
    assert all(allowed in refusal.message for allowed in ALLOWED[kind])


def test_every_status_with_something_left_allows_what_may_be_done_with_it() -> None:
    for authorized, captured, voided in product(range(1, 6), range(6), range(6)):
        for refunded in range(captured + 1):
            sums = Amounts(authorized, captured, refunded, voided)
            if sums.left_to_capture >= 0:
                status = status_after(sums)
                assert (status in ALLOWED["capture"]) == (status in ALLOWED["void"]) == (sums.left_to_capture > 0)
                if sums.left_to_refund > 0:
                    assert status in ALLOWED["refund"]


# -- what is left


@pytest.mark.parametrize("amount", [0, -1])
def test_an_operation_takes_more_than_nothing(amount: int) -> None:
    assert refused(paid(), "capture", amount).reason == "amount_not_positive"


def test_an_operation_above_what_is_left_is_refused_with_the_sum_in_hand() -> None:
    it = done(done(paid(), "capture", 400), "refund", 100)
    left_by_kind: dict[CallKind, int] = {"capture": 900, "void": 900, "refund": 300}
    for kind, left in left_by_kind.items():
        check_operation(it, kind, left)
        refusal = refused(it, kind, left + 1)
        assert (refusal.reason, refusal.path) == ("amount_above_left", "/amount")
        assert refusal.message.endswith(f"has {left} left to {kind}, {left + 1} was asked for")


def test_failed_operations_take_nothing() -> None:
    failed = transaction_event("CAPTURE", 1300, "AUTHORIZED", items(LINES), success=False)
    it = record(paid(), failed, "AUTHORIZED")
    assert amounts(it) == Amounts(authorized=1300)
    assert left_on_lines(it, "capture") == LINES


def test_operations_that_are_only_initiated_take_nothing_by_themselves() -> None:
    it = record(paid(), transaction_event("INITIATE_CAPTURE", 1300, "AUTHORIZED", items(LINES)), "AUTHORIZED")
    assert amounts(it) == Amounts(authorized=1300)


@pytest.mark.parametrize(
    ("pending", "left"),
    [
        ("capture", {"capture": 400, "void": 400, "refund": 500}),
        ("void", {"capture": 400, "void": 400, "refund": 500}),
        ("refund", {"capture": 800, "void": 800, "refund": 100}),
    ],
)
def test_a_call_without_an_answer_keeps_its_money_from_those_that_want_the_same(
    pending: CallKind, left: dict[CallKind, int]
) -> None:
    it = waiting(done(paid(), "capture", 500), pending, 400, {1: 400})
    assert {kind: left_for(it, kind) for kind in OPERATIONS} == left


@pytest.mark.parametrize(
    ("pending", "kind"),
    [
        ("capture", "capture"),
        ("capture", "void"),
        ("void", "capture"),
        ("refund", "refund"),
        ("capture", "refund"),  # what it captures could be refunded
    ],
)
def test_it_is_too_early_for_an_amount_that_depends_on_a_missing_answer(pending: CallKind, kind: CallKind) -> None:
    it = waiting(done(paid(), "capture", 500), pending, 300, {1: 300})
    refusal = refused(it, kind, left_for(it, kind) + 300)
    assert refusal.reason == "outcome_unknown"
    assert "while 300 waits for the gateway's answer" in refusal.message
    assert refused(it, kind, left_for(it, kind) + 301).reason == "amount_above_left"


@pytest.mark.parametrize("pending", ["capture", "void"])
@pytest.mark.parametrize("kind", ["capture", "void"])
def test_of_a_payment_of_nothing_only_one_of_a_capture_and_a_void_is_under_way(
    pending: CallKind, kind: CallKind
) -> None:
    it = paid({1: 0})
    check_operation(it, kind, 0)
    assert refused(waiting(it, pending, 0, {1: 0}), kind, 0).reason == "outcome_unknown"


def test_no_answer_to_a_refund_can_give_more_to_capture() -> None:
    it = waiting(done(paid(), "capture", 500), "refund", 300, {1: 300})
    assert refused(it, "capture", 801).reason == "amount_above_left"


# -- the lines that an operation falls on


def falls(it: Transaction, kind: CallKind, amount: int, named: Mapping[int, int] | None = None) -> dict[int, int]:
    return {line.line_id: line.amount for line in fall_on_lines(it, kind, amount, items(named or {}))}


def test_an_amount_without_lines_fills_them_in_their_order() -> None:
    assert falls(paid(), "capture", 400) == {1: 400}
    assert falls(paid(), "capture", 1200) == {1: 1000, 2: 200}


def test_what_takes_all_takes_every_line_whole_negative_ones_included() -> None:
    for kind in ("capture", "void"):
        assert falls(paid(), kind, 1300) == LINES
    assert falls(done(paid(), "capture", 1300), "refund", 1300) == LINES
    assert falls(done(paid(), "capture", 1200), "capture", 100) == {2: 300, 3: -200}


def test_the_lines_that_a_caller_names_come_first() -> None:
    assert falls(paid(), "capture", 300, {2: 300}) == {2: 300}
    assert falls(paid(), "capture", 300, {2: 500, 3: -200}) == {2: 500, 3: -200}
    assert falls(paid(), "capture", 700, {2: 500}) == {2: 500, 1: 200}


def test_a_named_line_takes_no_more_than_it_has_left() -> None:
    it = done(paid(), "capture", 400, {1: 400})
    assert falls(it, "capture", 700, {1: 700}) == {1: 600, 2: 100}


def test_names_that_do_not_fit_the_amount_are_not_followed() -> None:
    assert falls(paid(), "capture", 400, {2: 500}) == {1: 400}
    assert falls(paid(), "capture", 400, {2: 900, 3: -500}) == {2: 500, 3: -200, 1: 100}
    assert falls(paid({1: 1000, 3: -200, 2: 10}), "capture", 500, {1: 1000, 3: -500}) == {1: 500}


def test_names_of_lines_that_are_not_paid_here_are_passed_over() -> None:
    assert falls(paid(), "capture", 300, {9: 300}) == {1: 300}


def test_a_line_may_be_named_in_several_parts() -> None:
    named = (LineAmount(2, 100), LineAmount(2, 200))
    assert fall_on_lines(paid(), "capture", 300, named) == items({2: 300})


def test_shipping_that_is_no_line_takes_what_the_lines_leave() -> None:
    it = paid({1: 1000}, shipping=150)
    assert falls(it, "capture", 1150) == {1: 1000}
    assert falls(done(it, "capture", 1000, {1: 1000}), "capture", 150) == {}


def test_the_last_operation_takes_every_line_whole_beside_shipping_too() -> None:
    it = paid({1: 1000, 2: -200}, shipping=100)
    assert falls(it, "capture", 900) == {1: 1000, 2: -200}
    assert falls(done(it, "capture", 850), "capture", 50) == {1: 150, 2: -200}


def test_a_refund_falls_on_what_is_captured_not_on_a_capture_without_an_answer() -> None:
    it = waiting(done(paid({1: 1000, 2: 1000}), "capture", 1000, {2: 1000}), "capture", 1000, {1: 1000})
    assert falls(it, "refund", 1000) == {2: 1000}
    assert falls(it, "refund", 400) == {2: 400}


@pytest.mark.parametrize(("pending", "kind"), [("capture", "capture"), ("capture", "void"), ("void", "capture")])
def test_a_call_that_names_a_line_again_before_the_answer_takes_no_other_line_instead(
    pending: CallKind, kind: CallKind
) -> None:
    it = waiting(paid({1: 1000, 2: 1000}), pending, 1000, {1: 1000})
    with pytest.raises(Refusal) as found:
        falls(it, kind, 1000, {1: 1000})
    assert found.value.reason == "outcome_unknown"
    assert falls(it, kind, 1000, {2: 1000}) == {2: 1000}


def test_a_refund_named_again_before_the_answer_takes_no_other_line_instead() -> None:
    it = waiting(done(paid({1: 1000, 2: 1000}), "capture", 2000), "refund", 1000, {1: 1000})
    with pytest.raises(Refusal) as found:
        falls(it, "refund", 1000, {1: 1000})
    assert found.value.reason == "outcome_unknown"


# -- the lines that an entry of an order names


def test_an_entry_of_an_order_may_take_what_its_lines_have_left() -> None:
    require_lines(paid(), "capture", items(LINES))
    require_lines(done(paid(), "capture", 400, {1: 400}), "capture", items({1: 600, 3: -1}))
    require_lines(done(paid(), "capture", 400, {1: 400}), "refund", items({1: 400}))


@pytest.mark.parametrize(
    ("named", "n", "line_id", "left"), [({2: 500, 1: 601}, 1, 1, 600), ({3: -201}, 0, 3, -200), ({9: 1}, 0, 9, 0)]
)
def test_no_line_stands_in_for_one_that_an_entry_of_an_order_names(
    named: dict[int, int], n: int, line_id: int, left: int
) -> None:
    with pytest.raises(Refusal) as found:
        require_lines(done(paid(), "capture", 400, {1: 400}), "capture", items(named))
    assert (found.value.reason, found.value.path) == ("amount_above_left", f"/items/{n}/amount")
    assert f"line {line_id} has {left} left to capture" in found.value.message


@pytest.mark.parametrize("held", [1, 700, 1000])
def test_a_named_line_that_waits_for_an_answer_may_yet_have_enough(held: int) -> None:
    with pytest.raises(Refusal) as found:
        require_lines(waiting(paid(), "capture", held, {1: held}), "capture", items({1: 1000}))
    assert found.value.reason == "outcome_unknown"


# -- any life of a transaction


@settings(max_examples=300)
@given(st.lists(st.integers(-3, 6).filter(bool), min_size=1, max_size=3), st.sampled_from([0, 0, 2]), st.data())
def test_whatever_is_asked_and_whenever_answers_come_the_sums_and_steps_hold(
    prices: list[int], shipping: int, data: st.DataObject
) -> None:
    lines = dict(enumerate(prices, 1))
    assume(sum(prices) >= 0 and sum(prices) + shipping > 0)
    it = paid(lines, shipping)
    for n in range(data.draw(st.integers(3, 8))):
        kinds = [kind for kind in OPERATIONS if it.status in ALLOWED[kind]]
        calls = len(it.pending)
        if calls and data.draw(st.booleans()):
            it = answered(it, data.draw(st.integers(0, calls - 1)), data.draw(st.booleans()))
        elif kinds:
            it = asked(it, data.draw(st.sampled_from(kinds)), f"k{n}", data)
        check(it, lines, shipping)


def asked(it: Transaction, kind: CallKind, key: str, data: st.DataObject) -> Transaction:
    """What the operation does: refuse, or hold the money and settle it now or later."""
    left, on_lines = left_for(it, kind), left_on_lines(it, kind)
    amount = data.draw(st.just(left) | st.integers(1, left + 1))
    named = data.draw(
        st.just({}) | st.dictionaries(st.sampled_from([*on_lines, 9]), st.integers(-3, 6).filter(bool), max_size=2)
    )
    try:
        check_operation(it, kind, amount)
        fallen = fall_on_lines(it, kind, amount, items(named))
    except Refusal:
        assert amount > left or amount == 0 or (it.pending and named)
        return it
    assert 0 < amount <= left
    assert sum(line.amount for line in fallen) <= amount
    assert len({line.line_id for line in fallen}) == len(fallen)
    for line in fallen:
        assert 0 < line.amount / on_lines[line.line_id] <= 1
    if it.amount == sum(line.amount for line in it.lines):
        assert sum(line.amount for line in fallen) == amount
    it = msgspec.structs.replace(it, pending=(*it.pending, Pending(key, kind, amount, fallen)))
    return it if data.draw(st.booleans()) else answered(it, len(it.pending) - 1, data.draw(st.booleans()))


def answered(it: Transaction, n: int, approved: bool) -> Transaction:
    call = it.pending[n]
    pending = (*it.pending[:n], *it.pending[n + 1 :])
    if approved:
        return settled(it, call.kind, call.amount, call.lines, pending=pending)
    event = transaction_event(EVENT_NAMES[call.kind], call.amount, it.status, call.lines, success=False)
    return record(it, event, it.status, pending=pending)


def check(it: Transaction, lines: dict[int, int], shipping: int) -> None:
    sums = amounts(it)
    assert 0 <= sums.refunded <= sums.captured
    assert 0 <= sums.captured + sums.voided <= sums.authorized == sum(lines.values()) + shipping
    assert it.status == expected_status(sums.authorized, sums.captured, sums.refunded, sums.voided)
    assert all(left_for(it, kind) >= 0 for kind in OPERATIONS)
    for line_id, price in lines.items():
        line = LineSums(line_id, price)
        for event in it.events:
            for each in event.lines:
                kinds = {EVENT_NAMES[call]: kind for call, kind in ENTRY_KINDS.items()}
                if event.success and each.line_id == line_id:
                    line = line.add(kinds[event.event], each.amount)
        assert line.broken_rule() is None
