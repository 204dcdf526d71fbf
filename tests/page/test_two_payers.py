"""Two payers want to pay the same lines: the second one is told, and goes on by himself when the first is done."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.page.browsing import CONFIRM, REFUSED, Browsing, Payer
from tests.page.conftest import Payers
from tests.page.states import Shopping

pytestmark = pytest.mark.browser


@pytest.fixture
def second(payers: Payers, browsing: Browsing) -> Payer:
    return browsing.run(payers)


def test_a_second_payer_may_pay_after_the_first_has_failed(shopping: Shopping, payer: Payer, second: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay(CONFIRM)
    payer.sees("bank")

    second.open(shopping.session(order))
    second.sees("locked_elsewhere")
    expect(second.heading).to_have_text("This order is being paid right now")
    expect(second.pay_button).to_have_count(0)

    payer.page.get_by_role("button", name="Reject").click()
    payer.sees("declined")
    second.sees("ready")
    second.pay()
    second.is_at_the_shop()
    payer.pay()
    payer.sees("paid_elsewhere")
    assert shopping.authorizations(order) == [10_000]


def test_a_second_payer_is_told_when_the_first_has_paid(shopping: Shopping, payer: Payer, second: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay(CONFIRM)
    payer.sees("bank")
    second.open(shopping.session(order))
    second.sees("locked_elsewhere")
    payer.page.get_by_role("button", name="Approve").click()
    payer.is_at_the_shop()
    second.sees("paid_elsewhere")
    expect(second.heading).to_have_text("This order is already paid")
    expect(second.page.get_by_role("main")).to_contain_text("There is nothing left to pay here.")
    assert shopping.authorizations(order) == [10_000]


def test_a_second_payer_whose_form_is_open_is_told_when_he_pays(
    shopping: Shopping, payer: Payer, second: Payer
) -> None:
    order = shopping.order()
    session = shopping.session(order)
    second.goes_deaf()
    second.open(session)
    payer.open(shopping.session(order))
    payer.pay(CONFIRM)
    payer.sees("bank")
    second.fill()
    second.page.unroute("**/events")
    second.pay_button.click()
    second.sees("locked_elsewhere")
    assert shopping.attempts(session) == 0
    payer.page.get_by_role("button", name="Approve").click()
    payer.is_at_the_shop()
    second.sees("paid_elsewhere")
    assert shopping.authorizations(order) == [10_000]


def test_two_payers_who_pay_at_once_pay_once(shopping: Shopping, payer: Payer, second: Payer) -> None:
    order = shopping.order()
    for each in (payer, second):
        each.open(shopping.session(order))
        each.fill()
    for each in (payer, second):
        each.pay_button.evaluate("button => setTimeout(() => button.click(), 50)")
    at_the_shop = payer.page.get_by_role("heading", name="Back at the shop")
    too_late = payer.page.get_by_role("heading", name="This order is already paid")
    expect(at_the_shop.or_(too_late)).to_be_visible()
    if at_the_shop.is_visible():
        second.sees("paid_elsewhere")
    else:
        second.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_payers_of_different_lines_do_not_wait_for_each_other(shopping: Shopping, payer: Payer, second: Payer) -> None:
    order = shopping.order(10_000, 5_000)
    payer.open(shopping.session(order, 1))
    payer.pay(CONFIRM)
    payer.sees("bank")
    second.open(shopping.session(order, 2))
    expect(second.page.locator(".total")).to_have_text("NOK 50.00")
    second.pay()
    second.is_at_the_shop()
    payer.page.get_by_role("button", name="Approve").click()
    payer.is_at_the_shop()
    assert sorted(shopping.authorizations(order)) == [5_000, 10_000]


def test_a_decline_of_one_payer_does_not_hold_up_the_other(shopping: Shopping, payer: Payer, second: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay(REFUSED)
    payer.sees("declined")
    second.open(shopping.session(order))
    second.pay()
    second.is_at_the_shop()
    payer.page.reload()
    payer.sees("paid_elsewhere")
