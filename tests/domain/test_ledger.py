"""What is left of a line, who pays for what, and what an order's sums amount to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.domain.ledger import (
    Entry,
    EntryKind,
    LineAmount,
    LineSums,
    OrderSums,
    Part,
    PaymentStatus,
    allocate,
    authorization_sums,
    check_amount,
    left_for,
    payment_status,
    spread,
)
from kasse.domain.refusals import Refusal
from tests.domain.plain import entry, items

KINDS: tuple[EntryKind, ...] = ("authorization", "capture", "refund", "cancellation")


def sums(payable: int = 1000, line_id: int = 1, **amounts: int) -> LineSums:
    return LineSums(line_id, payable, **amounts)


# -- what is left of a line


def test_what_no_authorization_covers_is_left_to_pay() -> None:
    assert sums().left_to_pay == 1000
    assert sums(authorized=400).left_to_pay == 600
    assert sums(authorized=1000).left_to_pay == 0


def test_what_was_cancelled_may_be_paid_anew() -> None:
    assert sums(authorized=1000, cancelled=300).left_to_pay == 300
    assert sums(authorized=1300, cancelled=300).left_to_pay == 0


def test_a_payment_under_way_leaves_less_to_claim_but_as_much_to_pay() -> None:
    claimed = sums(authorized=400).claim(500)
    assert (claimed.left_to_pay, claimed.left_to_claim) == (600, 100)
    assert claimed.claim(-500) == sums(authorized=400)


def test_what_is_authorized_can_be_captured_or_cancelled_once() -> None:
    assert sums(authorized=1000).left_to_capture == 1000
    assert sums(authorized=1000, captured=300, cancelled=200).left_to_capture == 500
    assert sums(authorized=1000, captured=300, cancelled=700).left_to_capture == 0


def test_what_is_captured_can_be_refunded_once() -> None:
    assert sums(authorized=1000).left_to_refund == 0
    assert sums(authorized=1000, captured=600, refunded=100).left_to_refund == 500


def test_a_reversal_line_follows_the_same_rules_mirrored() -> None:
    line = sums(-1000, authorized=-700, captured=-500, cancelled=-100, refunded=-200, claimed=-50)
    assert (line.left_to_pay, line.left_to_claim) == (-400, -350)
    assert (line.left_to_capture, line.left_to_refund) == (-100, -300)
    assert line.broken_rule() is None


@pytest.mark.parametrize(
    ("kind", "left"), [("authorization", 100), ("capture", 300), ("cancellation", 300), ("refund", 350)]
)
def test_each_kind_of_entry_takes_from_what_is_left_for_it(kind: EntryKind, left: int) -> None:
    line = sums(authorized=900, cancelled=200, captured=400, refunded=50, claimed=200)
    assert left_for(kind, line) == left


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_of_each_kind_is_added_to_its_own_sum(kind: EntryKind) -> None:
    field = {"authorization": "authorized", "capture": "captured", "refund": "refunded", "cancellation": "cancelled"}
    line, order = sums().add(kind, 70), OrderSums().add(kind, 70)
    assert [getattr(line, name) for name in field.values()] == [70 * (name == field[kind]) for name in field.values()]
    assert [getattr(order, name) for name in field.values()] == [70 * (name == field[kind]) for name in field.values()]


# -- the invariants


@pytest.mark.parametrize(
    ("amounts", "rule"),
    [
        ({}, None),
        ({"authorized": 1000, "captured": 600, "cancelled": 400, "refunded": 600}, None),
        ({"authorized": 1400, "cancelled": 400}, None),
        ({"authorized": 600, "claimed": 400}, None),
        ({"captured": 1}, "more is captured and cancelled than authorized"),
        ({"authorized": 1000, "captured": 600, "cancelled": 401}, "more is captured and cancelled than authorized"),
        ({"authorized": 1000, "captured": 600, "refunded": 601}, "more is refunded than captured"),
        ({"authorized": 1001}, "more is authorized and claimed than there is to pay"),
        ({"authorized": 600, "claimed": 401}, "more is authorized and claimed than there is to pay"),
        ({"claimed": -1}, "a sum has the wrong sign"),
        ({"authorized": -1}, "a sum has the wrong sign"),
    ],
)
def test_a_broken_rule_is_named_for_lines_of_either_sign(amounts: dict[str, int], rule: str | None) -> None:
    assert sums(**amounts).broken_rule() == rule
    assert sums(-1000, **{name: -amount for name, amount in amounts.items()}).broken_rule() == rule


# -- amounts that do not fit


def refused(kind: EntryKind, line: LineSums, amount: int) -> Refusal:
    with pytest.raises(Refusal) as found:
        check_amount(kind, line, amount, left_for(kind, line), "/items/0/amount")
    assert found.value.path == "/items/0/amount"
    return found.value


@pytest.mark.parametrize(
    ("kind", "verb", "left"),
    [
        ("authorization", "pay", 100),
        ("capture", "capture", 300),
        ("cancellation", "cancel", 300),
        ("refund", "refund", 350),
    ],
)
def test_an_amount_above_what_is_left_is_refused_with_the_sum_in_hand(kind: EntryKind, verb: str, left: int) -> None:
    line = sums(authorized=900, cancelled=200, captured=400, refunded=50, claimed=200)
    check_amount(kind, line, left, left_for(kind, line), "")
    refusal = refused(kind, line, left + 1)
    assert refusal.reason == "amount_above_left"
    assert refusal.message == f"line 1 has {left} left to {verb}, {left + 1} was asked for"


def test_an_amount_beyond_what_is_left_of_a_reversal_line_is_refused() -> None:
    line = sums(-1000, authorized=-1000, captured=-400)
    check_amount("capture", line, -600, line.left_to_capture, "")
    refusal = refused("capture", line, -601)
    assert refusal.reason == "amount_above_left"
    assert refusal.message == "line 1 has -600 left to capture, -601 was asked for"


@pytest.mark.parametrize("amount", [0, -1, -1000])
def test_a_line_takes_amounts_of_its_own_sign_only(amount: int) -> None:
    refusal = refused("authorization", sums(), amount)
    assert refusal.reason == "amount_sign"
    assert refusal.message == f"line 1 takes a positive amount, got {amount}"
    mirrored = refused("authorization", sums(-1000), -amount)
    assert mirrored.reason == "amount_sign"
    assert mirrored.message == f"line 1 takes a negative amount, got {-amount}"


def test_nothing_may_be_taken_where_nothing_is_left() -> None:
    assert refused("capture", sums(), 1).message == "line 1 has 0 left to capture, 1 was asked for"
    assert refused("refund", sums(-1000), -1).message == "line 1 has 0 left to refund, -1 was asked for"


@given(
    st.sampled_from(KINDS),
    st.integers(-30, 30),
    st.tuples(*[st.integers(0, 30)] * 5),
    st.integers(-40, 40),
)
def test_an_amount_is_taken_if_and_only_if_the_rules_still_hold(
    kind: EntryKind, payable: int, amounts: tuple[int, ...], amount: int
) -> None:
    sign = -1 if payable < 0 else 1
    names = ("authorized", "cancelled", "captured", "refunded", "claimed")
    line = sums(payable, **{name: sign * each for name, each in zip(names, amounts, strict=True)})
    if line.broken_rule() is not None:
        return
    after = line.add(kind, amount)
    fits = amount * sign > 0 and after.broken_rule() is None
    try:
        check_amount(kind, line, amount, left_for(kind, line), "")
    except Refusal:
        assert not fits
    else:
        assert fits


# -- which authorization an entry draws on


def take(kind: EntryKind, amounts: dict[int, int], entries: list[Entry], of: str | None = None) -> tuple[Part, ...]:
    """Allocate on an order whose lines 1, 2 and 3 cost 1000, 500 and -200."""
    lines = {1: sums(), 2: sums(500, 2), 3: sums(-200, 3)}
    for each in entries:
        for item in each.items if each.success else ():
            lines[item.line_id] = lines[item.line_id].add(each.kind, item.amount)
    return allocate(kind, items(amounts), lines, entries, of)


def allocation_refused(*arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as found:
        take(*arguments)
    return found.value


TWO = [entry("authorization", {1: 400, 2: 500}, "a1"), entry("authorization", {1: 600, 3: -200}, "a2")]


def test_the_oldest_authorization_is_used_up_first() -> None:
    assert take("capture", {1: 300}, TWO) == (Part("a1", 1, 300),)
    assert take("capture", {1: 700}, TWO) == (Part("a1", 1, 400), Part("a2", 1, 300))
    assert take("cancellation", {1: 1000, 2: 1}, TWO) == (Part("a1", 1, 400), Part("a2", 1, 600), Part("a1", 2, 1))


def test_a_reversal_line_is_allocated_mirrored() -> None:
    assert take("capture", {1: 1, 3: -200}, TWO) == (Part("a1", 1, 1), Part("a2", 3, -200))


def test_what_was_taken_before_is_not_taken_again() -> None:
    taken = [*TWO, entry("capture", {1: 300}, "c1", of="a1"), entry("cancellation", {1: 50}, "x1", of="a1")]
    assert take("capture", {1: 100}, taken) == (Part("a1", 1, 50), Part("a2", 1, 50))


def test_a_refund_draws_on_what_each_authorization_had_captured() -> None:
    taken = [*TWO, entry("capture", {1: 300}, "c1", of="a2"), entry("refund", {1: 100}, "r1", of="a2")]
    assert take("refund", {1: 200}, taken) == (Part("a2", 1, 200),)
    assert allocation_refused("refund", {1: 201}, taken).message == "line 1 has 200 left to refund, 201 was asked for"


def test_a_named_authorization_pays_alone() -> None:
    assert take("capture", {1: 500}, TWO, "a2") == (Part("a2", 1, 500),)
    refusal = allocation_refused("capture", {1: 601}, TWO, "a2")
    assert refusal.message == "line 1 has 600 left to capture, 601 was asked for"


def test_an_authorization_that_does_not_exist_or_failed_is_not_found() -> None:
    failed = [*TWO, entry("authorization", {1: 1}, "a3", success=False)]
    for name in ("a3", "a4"):
        refusal = allocation_refused("capture", {1: 1}, failed, name)
        assert (refusal.reason, refusal.path) == ("authorization_not_found", "/authorization_id")


def test_failed_entries_do_not_count() -> None:
    failed = [*TWO, entry("capture", {1: 1000}, "c1", success=False), entry("authorization", {2: 500}, success=False)]
    assert take("capture", {1: 400}, failed) == (Part("a1", 1, 400),)
    assert allocation_refused("capture", {2: 501}, failed).reason == "amount_above_left"


def test_an_unknown_line_is_refused_by_its_place() -> None:
    refusal = allocation_refused("capture", {1: 1, 9: 1}, TWO)
    assert (refusal.reason, refusal.path) == ("line_not_found", "/items/1/line_id")


def test_nothing_is_left_of_a_line_that_is_not_authorized() -> None:
    assert allocation_refused("capture", {3: -1}, TWO[:1]).message == "line 3 has 0 left to capture, -1 was asked for"


@given(st.lists(st.tuples(st.sampled_from(KINDS[1:]), st.integers(1, 700)), max_size=12))
def test_however_money_is_taken_no_authorization_gives_more_than_it_has(steps: list[tuple[EntryKind, int]]) -> None:
    entries = list(TWO)
    for n, (kind, amount) in enumerate(steps):
        try:
            parts = take(kind, {1: amount}, entries)
        except Refusal:
            continue
        assert sum(part.amount for part in parts) == amount
        entries.append(Entry(f"e{n}", kind, items({1: amount}), True, TWO[0].created_at, "test", None, parts))
    for authorization in TWO:
        assert authorization_sums(authorization, entries)[1].broken_rule() is None


# -- spreading an amount over lines


def test_an_amount_fills_the_positive_lines_in_their_order() -> None:
    lines = items({1: 1000, 2: -200, 3: 500})
    assert spread(1200, lines) == (items({1: 1000, 3: 200}), 0)


def test_all_there_is_takes_every_line_whole_negative_ones_included() -> None:
    lines = items({1: 1000, 2: -200, 3: 0})
    assert spread(800, lines) == (items({1: 1000, 2: -200}), 0)


def test_what_fits_nowhere_is_told() -> None:
    assert spread(1200, items({1: 1000})) == (items({1: 1000}), 200)
    assert spread(10, ()) == ((), 10)


@given(st.integers(0, 100), st.lists(st.integers(-30, 30), max_size=6))
def test_the_shares_and_the_rest_add_up_and_no_share_is_more_than_its_line(amount: int, lefts: list[int]) -> None:
    lines = [LineAmount(n, left) for n, left in enumerate(lefts)]
    shares, rest = spread(amount, lines)
    assert sum(share.amount for share in shares) + rest == amount
    assert rest >= 0
    assert len({share.line_id for share in shares}) == len(shares)
    for share in shares:
        assert 0 < share.amount / lefts[share.line_id] <= 1


# -- the payment status (orders reference, section 9)


@pytest.mark.parametrize(
    ("net", "totals", "status"),
    [
        (1000, OrderSums(), "pending"),
        (1000, OrderSums(authorized=1000), "pending"),
        (1000, OrderSums(authorized=1000, cancelled=1000), "pending"),
        (1000, OrderSums(authorized=1000, captured=1), "partially_paid"),
        (1000, OrderSums(authorized=1000, captured=999), "partially_paid"),
        (1000, OrderSums(authorized=1000, captured=1000), "paid"),
        (1000, OrderSums(authorized=1000, captured=600, cancelled=400), "paid"),
        (1000, OrderSums(authorized=1000, captured=600, cancelled=399), "partially_paid"),
        (1000, OrderSums(authorized=1000, captured=1000, refunded=1), "partially_refunded"),
        (1000, OrderSums(authorized=1000, captured=600, refunded=599), "partially_refunded"),
        (1000, OrderSums(authorized=1000, captured=600, refunded=600), "refunded"),
        (1000, OrderSums(authorized=1000, captured=1000, refunded=1000), "refunded"),
        # Reversal lines: the totals are signed.
        (800, OrderSums(authorized=800, captured=-200), "pending"),
        (800, OrderSums(authorized=800, captured=800), "paid"),
        (800, OrderSums(authorized=800, captured=1000, cancelled=-200), "paid"),
    ],
)
def test_the_payment_status_follows_the_table_of_the_reference(
    net: int, totals: OrderSums, status: PaymentStatus
) -> None:
    assert payment_status(net, totals) == status


def test_the_worked_example_of_the_reference_goes_through_its_statuses() -> None:
    totals = OrderSums().add("authorization", 108820)
    assert payment_status(108820, totals) == "pending"
    totals = totals.add("capture", 97320)
    assert payment_status(108820, totals) == "partially_paid"
    assert payment_status(108820, totals.add("cancellation", 11500)) == "paid"
    totals = totals.add("capture", 11500)
    assert payment_status(108820, totals) == "paid"
    assert payment_status(108820, totals.add("refund", 44910)) == "partially_refunded"
    assert payment_status(108820, totals.add("refund", 108820)) == "refunded"


def test_what_was_cancelled_and_paid_anew_has_to_be_captured_again() -> None:
    anew = OrderSums(authorized=2000, cancelled=1000)
    assert payment_status(1000, anew.add("capture", 300)) == "partially_paid"
    assert payment_status(1000, anew.add("capture", 1000)) == "paid"
    in_part = OrderSums(authorized=1600, cancelled=1000)
    assert payment_status(1000, in_part.add("capture", 599)) == "partially_paid"
    assert payment_status(1000, in_part.add("capture", 600)) == "paid"
