"""The bank does not answer: the payer waits without paying twice, and the page goes on by itself."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from tests.page.browsing import SILENT_MASTERCARD, SILENT_VISA, Payer
from tests.page.states import Shopping

pytestmark = pytest.mark.browser


def test_a_payment_whose_answer_was_lost_goes_on_to_the_shop(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.pay(SILENT_VISA)
    payer.sees("waiting")
    expect(payer.heading).to_have_text("Waiting for your bank")
    expect(payer.page.get_by_role("main")).to_contain_text("Please do not pay again.")
    payer.is_at_the_shop()
    transaction_id = shopping.shop.read_session(session)["transaction_id"]
    assert payer.page.url.endswith(
        f"/done?cart=7&merchant_reference={order['order_id']}&transaction_id={transaction_id}"
    )
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


def test_a_payment_that_never_arrived_comes_back_to_the_form(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.pay(SILENT_MASTERCARD)
    payer.sees("waiting")
    payer.sees("declined")
    expect(payer.alert).to_be_focused()
    expect(payer.alert).to_contain_text("Something went wrong on the way to your bank.")
    expect(payer.alert).to_contain_text("You have not been charged.")
    assert shopping.authorizations(order) == []
    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_a_waiting_payment_can_neither_be_paid_again_nor_cancelled(shopping: Shopping, payer: Payer) -> None:
    shopping.never_looks_up()
    order = shopping.order()
    session = shopping.session(order)
    late = payer.new_tab()
    late.open(session)
    payer.open(session)
    payer.pay(SILENT_VISA)
    payer.sees("waiting")
    expect(payer.pay_button).to_have_count(0)
    expect(payer.cancel_button).to_have_count(0)
    late.cancel_button.click()
    late.sees("waiting")
    payer.page.get_by_role("link", name="Check again").click()
    payer.sees("waiting")
    assert shopping.attempts(session) == 1
    assert "CANCELLED" not in shopping.events(session)


def test_a_waiting_page_outlives_a_moment_without_a_network(shopping: Shopping, payer: Payer) -> None:
    payer.forgives = "ERR_INTERNET_DISCONNECTED"
    cut: list[str] = []

    def cut_once(route: Route) -> None:
        cut.append(route.request.url)
        if len(cut) == 1:
            route.abort("internetdisconnected")
        else:
            route.continue_()

    shopping.never_looks_up()
    session = shopping.session()
    payer.open(session)
    payer.page.route("**/events", cut_once)
    payer.pay(SILENT_VISA)
    payer.sees("waiting")
    shopping.look_up(session)
    payer.is_at_the_shop()
    assert cut


def test_a_page_that_the_server_has_no_room_to_tell_asks_now_and_then(shopping: Shopping, payer: Payer) -> None:
    shopping.never_looks_up()
    session = shopping.session()
    payer.open(session)
    payer.page.route("**/events", lambda route: route.fulfill(status=503))
    payer.pay(SILENT_VISA)
    payer.sees("waiting")
    shopping.look_up(session)
    payer.is_at_the_shop()
