"""The page before its script has come, or without it: everything works."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.page.browsing import CONFIRM, REFUSED, SILENT_MASTERCARD, SILENT_VISA, Browsing, Payer
from tests.page.conftest import Payers
from tests.page.states import Shopping

pytestmark = pytest.mark.browser

OVER = re.compile("^(Back at the shop|Thank you, your payment is complete)$")


@pytest.fixture
def payer(payers: Payers, browsing: Browsing) -> Payer:
    return browsing.run(lambda: payers(java_script_enabled=False))


def test_a_card_pays(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


@pytest.mark.parametrize(
    ("number", "expiry"),
    [
        ("4000000000000002", "1230"),
        ("4000 0000 0000 0002", "12 / 30"),
        ("4000-0000-0000-0002", "12-2030"),
        ("4000.0000.0000.0002", "9/31"),
    ],
)
def test_a_card_may_be_written_as_people_write_it(shopping: Shopping, payer: Payer, number: str, expiry: str) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay(number, expiry)
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


@pytest.mark.parametrize(
    ("number", "expiry", "cvc", "field", "text"),
    [
        ("4000 0000 000", "12/30", "123", "number", "The card number is not complete."),
        ("4000 0000 0000 0003", "12/30", "123", "number", "Check the card number."),
        ("4242 4242 4242 4242", "12/30", "123", "number", "This is a test. Use one of the test cards"),
        ("4000 0000 0000 0002", "13/30", "123", "expiry", "Enter the expiry date as month and year"),
        ("4000 0000 0000 0002", "soon", "123", "expiry", "Enter the expiry date as month and year"),
        ("4000 0000 0000 0002", "12/20", "123", "expiry", "This card has expired."),
        ("4000 0000 0000 0002", "12/30", "12", "cvc", "Enter the 3 digits on the back of the card."),
    ],
)
def test_a_mistake_is_told_in_words_and_put_right(
    shopping: Shopping, payer: Payer, number: str, expiry: str, cvc: str, field: str, text: str
) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.pay(number, expiry, cvc)
    expect(payer.page).to_have_title(re.compile("^Please check the card details – Pay"))
    expect(payer.alert).to_be_focused()
    expect(payer.alert).to_contain_text(text)
    wrong = {"number": payer.number, "expiry": payer.expiry, "cvc": payer.cvc}[field]
    expect(wrong).to_have_accessible_description(re.compile(re.escape(text)))
    expect(payer.page.locator("[aria-invalid=true]")).to_have_count(1)
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(payer.expiry).to_have_value(expiry)
    assert shopping.attempts(session) == 0

    payer.alert.get_by_role("link").click()
    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_an_empty_form_is_not_sent(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.open(session)
    payer.pay_button.click()
    expect(payer.number).to_be_focused()
    payer.arrives(session["url"])


def test_after_a_decline_another_card_pays(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay(REFUSED)
    payer.sees("declined")
    expect(payer.alert).to_be_focused()
    expect(payer.alert).to_contain_text("You have not been charged.")
    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_the_bank_approves(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay(CONFIRM)
    payer.page.get_by_role("button", name="Approve").click()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_the_bank_is_left_and_a_payment_started_over(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay(CONFIRM)
    payer.sees("bank")
    payer.page.go_back()
    payer.sees("challenge")
    payer.page.get_by_text("Start over").click()
    payer.pay(CONFIRM)
    payer.page.get_by_role("button", name="Reject").click()
    payer.sees("declined")
    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_the_payer_cancels(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.open(session)
    payer.cancel_button.click()
    payer.is_at_the_shop()
    assert "error=cancelled" in payer.page.url
    assert shopping.events(session)[-1] == "CANCELLED"


def test_a_waiting_page_finds_out_by_loading_itself_again(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay(SILENT_VISA)
    payer.sees("waiting")
    payer.sees("paid")
    payer.page.get_by_role("link", name="Back to Fjord & Fjell").click()
    payer.is_at_the_shop()
    assert "transaction_id=" in payer.page.url
    assert shopping.authorizations(order) == [10_000]


def test_a_payment_that_never_arrived_ends_in_the_form(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    payer.pay(SILENT_MASTERCARD)
    payer.sees("waiting")
    payer.sees("declined")
    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_whoever_has_to_wait_may_ask_again_at_once(shopping: Shopping, payer: Payer) -> None:
    shopping.never_looks_up()
    session = shopping.session()
    payer.open(session)
    payer.pay(SILENT_VISA)
    payer.sees("waiting")
    shopping.look_up(session)
    payer.page.get_by_role("link", name="Check again").click()
    payer.sees("paid")


def test_pressing_twice_pays_once(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.fill()
    payer.pay_button.dblclick()
    expect(payer.heading).to_have_text(OVER)
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1
