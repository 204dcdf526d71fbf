"""What a line costs, and drafts that become orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.domain.money import MAX_AMOUNT
from kasse.domain.order import (
    Draft,
    DraftStatus,
    Line,
    check_unique,
    line_from_item,
    order_from_draft,
    payable,
    require_open,
    require_order_open,
    totals,
    with_changed_line,
    with_line,
    without_line,
)
from kasse.domain.refusals import Refusal
from tests.domain.plain import ACCOUNT, NOW, line, new_order


def draft(*lines: Line, status: DraftStatus = "open", **given: Any) -> Draft:
    return Draft(ACCOUNT, "draft-1", "NOK", lines, given, {"split_draft": False}, NOW, "test", NOW, status)


def item(gross: int, **more: Any) -> dict[str, Any]:
    return {"id": "SKU", "line_id": 7, "gross_amount": gross, **more}


def refused(call: Callable[..., Any], *arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as found:
        call(*arguments)
    return found.value


# -- what a line costs


def test_a_line_costs_its_gross_amount_less_its_discounts() -> None:
    discounts = [{"amount": 9980, "percentage": 10}, {"amount": 20}]
    assert payable(line_from_item(item(99800), "")) == 99800
    assert payable(line_from_item(item(99800, discount_lines=discounts), "")) == 89800


def test_taxes_do_not_change_what_a_line_costs() -> None:
    taxes = [{"amount": 1500, "percentage": 15}, {"amount": 3, "included_in_price": True}]
    assert payable(line_from_item(item(11500, tax_lines=taxes), "")) == 11500


@pytest.mark.parametrize("nothing", [None, []])
def test_no_discounts_and_no_taxes_may_be_said_in_any_way(nothing: Any) -> None:
    assert payable(line_from_item(item(100, discount_lines=nothing, tax_lines=nothing), "")) == 100


def test_a_reversal_line_costs_less_than_nothing() -> None:
    assert payable(line_from_item(item(-500, net_amount=-400, discount_lines=[{"amount": -100}]), "")) == -400


def test_a_discount_may_make_a_line_free() -> None:
    assert payable(line_from_item(item(500, net_amount=0, discount_lines=[{"amount": 500}]), "")) == 0


@given(st.integers(-1000, 1000), st.lists(st.integers(-100, 100)), st.integers(-1500, 1500))
def test_a_net_amount_is_taken_only_if_it_is_what_the_line_costs(gross: int, discounts: list[int], net: int) -> None:
    sent = item(gross, net_amount=net, discount_lines=[{"amount": each} for each in discounts])
    if net == gross - sum(discounts):
        assert payable(line_from_item(sent, "")) == net
    else:
        assert refused(line_from_item, sent, "").reason == "amount_mismatch"


def test_a_net_amount_that_contradicts_the_sums_is_refused_with_both() -> None:
    sent = item(99800, net_amount=99800, discount_lines=[{"amount": 9980}])
    refusal = refused(line_from_item, sent, "/order/items/3")
    assert (refusal.reason, refusal.path) == ("amount_mismatch", "/order/items/3/net_amount")
    assert refusal.message == "expected net_amount 89820 (gross_amount 99800 less discounts 9980), got 99800"


def test_a_tax_on_top_of_the_price_is_refused_by_its_place() -> None:
    sent = item(100, tax_lines=[{"amount": 20}, {"amount": 5, "included_in_price": False}])
    refusal = refused(line_from_item, sent, "/items/0")
    assert (refusal.reason, refusal.path) == ("wrong_value", "/items/0/tax_lines/1/included_in_price")


def test_what_a_merchant_sends_with_a_line_is_kept() -> None:
    sent = item(100, quantity=1.5, unknown={"nested": [1, None]})
    made = line_from_item(sent, "", version=4)
    assert made == Line(7, 100, 0, sent, 4)


def test_the_totals_of_the_worked_example_add_up() -> None:
    lines = [Line(1, 99800, 9980, {}), Line(2, 11500, 0, {}), Line(3, 7500, 0, {})]
    assert totals(lines) == (118800, 108820)
    assert totals(each for each in lines) == (118800, 108820)
    assert totals([]) == (0, 0)


# -- lines are unique


def test_two_lines_with_one_number_are_refused_naming_both() -> None:
    check_unique([line(1, 5), line(2, 5)], "/order/items")
    refusal = refused(check_unique, [line(1, 5), line(2, 5), line(1, 6)], "/order/items")
    assert (refusal.reason, refusal.path) == ("duplicate_line", "/order/items/2/line_id")
    assert refusal.message == "expected each line_id once, got 1 in items 0 and 2"


# -- drafts


def test_lines_are_added_changed_and_removed_in_their_places() -> None:
    two = with_line(draft(line(1, 5)), line(2, 6))
    assert two.lines == (line(1, 5), line(2, 6))
    assert with_changed_line(two, line(1, 9)).lines == (line(1, 9), line(2, 6))
    assert without_line(two, 1).lines == (line(2, 6),)


def test_a_draft_takes_each_line_number_once() -> None:
    refusal = refused(with_line, draft(line(1, 5)), line(1, 6))
    assert (refusal.reason, refusal.path) == ("duplicate_line", "/line_id")


def test_a_line_that_is_not_there_can_be_neither_changed_nor_removed() -> None:
    for refusal in (
        refused(with_changed_line, draft(line(1, 5)), line(2, 6)),
        refused(without_line, draft(line(1, 5)), 2),
    ):
        assert refusal.reason == "line_not_found"
        assert refusal.message == "draft draft-1 has no line 2"


@pytest.mark.parametrize("status", ["completed", "deleted"])
def test_a_draft_that_is_not_open_never_changes(status: DraftStatus) -> None:
    closed = draft(line(1, 5), status=status)
    for refusal in (
        refused(require_open, closed),
        refused(with_line, closed, line(2, 6)),
        refused(with_changed_line, closed, line(1, 6)),
        refused(without_line, closed, 1),
        refused(order_from_draft, closed, closed.lines, "id", "order-id", "test", NOW),
    ):
        assert refusal.reason == "draft_not_open"
        assert status in refusal.message


def test_a_draft_becomes_an_open_order_with_its_totals() -> None:
    lines = (Line(1, 99800, 9980, {}), Line(2, 11500, 0, {}))
    order, kept = order_from_draft(draft(*lines, merchant_reference="web-1"), lines, "id-1", "K7Q2M9XAB", "clerk", NOW)
    assert kept == lines
    assert (order.gross_amount, order.net_amount, order.currency) == (111300, 101320, "NOK")
    assert (order.status, order.payment_status, order.version) == ("open", "pending", 0)
    assert (order.id, order.order_id, order.draft_id) == ("id-1", "K7Q2M9XAB", "draft-1")
    assert (order.created_by, order.merchant_reference) == ("clerk", "web-1")
    assert order.options == {"split_draft": False}


def test_a_draft_without_lines_becomes_no_order() -> None:
    assert refused(order_from_draft, draft(), (), "id", "order-id", "test", NOW).reason == "wrong_state"


@pytest.mark.parametrize("amounts", [(MAX_AMOUNT, 1), (MAX_AMOUNT, -1), (-MAX_AMOUNT, -1)])
def test_an_order_holds_no_more_money_than_can_be_told_apart(amounts: tuple[int, int]) -> None:
    lines = [line(n, amount) for n, amount in enumerate(amounts)]
    refusal = refused(order_from_draft, draft(*lines), lines, "id", "order-id", "test", NOW)
    assert refusal.reason == "wrong_value"
    assert str(MAX_AMOUNT + 1) in refusal.message
    order_from_draft(draft(lines[0]), lines[:1], "id", "order-id", "test", NOW)


# -- orders


@pytest.mark.parametrize("reference", [None, 7, {"a": 1}])
def test_a_merchant_reference_that_is_no_text_is_none(reference: Any) -> None:
    order, _ = new_order(100)
    assert msgspec.structs.replace(order, given={"merchant_reference": reference}).merchant_reference is None


@pytest.mark.parametrize("status", ["closed", "cancelled"])
def test_an_order_that_is_not_open_says_so(status: str) -> None:
    order, _ = new_order(100)
    require_order_open(order)
    refusal = refused(require_order_open, msgspec.structs.replace(order, status=status))
    assert refusal.reason == "order_not_open"
    allowed = {"closed": "can be opened again", "cancelled": "takes comments and events"}
    assert refusal.message.startswith(f"expected an open order, order K7Q2M9XAB is {status}: it ")
    assert refusal.message.endswith(allowed[status])
