"""The bank says no: the payer is told why and that he has not been charged, and tries again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.page.browsing import REFUSED, Payer
from tests.page.states import Shopping

pytestmark = pytest.mark.browser


def test_after_a_decline_another_card_pays(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.pay(REFUSED)
    payer.sees("declined")
    expect(payer.alert).to_be_focused()
    expect(payer.alert).to_contain_text("The payment did not go through")
    expect(payer.alert).to_contain_text("Your bank could not confirm that it is you.")
    expect(payer.alert).to_contain_text("You have not been charged.")
    expect(payer.page).to_have_title("The payment did not go through – Pay NOK\xa0100.00 to Fjord & Fjell")
    for field in (payer.number, payer.expiry, payer.cvc):
        expect(field).to_have_value("")
    assert shopping.authorizations(order) == []

    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 2


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (99_551_00, "There is not enough money available on the card."),
        (99_554_00, "The card has expired."),
        (99_543_00, "Your bank does not allow payments with this card."),
        (99_591_00, "Your bank could not handle the payment right now."),
        (99_577_00, "Your bank declined the payment."),
    ],
)
def test_the_payer_is_told_why_and_never_that_a_card_is_stolen(
    shopping: Shopping, payer: Payer, amount: int, text: str
) -> None:
    order = shopping.order(amount)
    payer.open(shopping.session(order))
    payer.pay()
    payer.sees("declined")
    expect(payer.alert).to_be_focused()
    expect(payer.alert).to_contain_text(text)
    expect(payer.alert).to_contain_text("You have not been charged.")
    expect(payer.page.locator("body")).not_to_contain_text("stolen")
    assert shopping.authorizations(order) == []


def test_after_a_decline_the_payer_may_cancel(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.open(session)
    payer.pay(REFUSED)
    payer.sees("declined")
    payer.cancel_button.click()
    payer.is_at_the_shop()
    assert shopping.events(session)[-1] == "CANCELLED"


def test_loading_a_declined_page_again_pays_nothing(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.open(session)
    payer.pay(REFUSED)
    payer.sees("declined")
    payer.page.reload()
    payer.sees("declined")
    assert shopping.attempts(session) == 1
