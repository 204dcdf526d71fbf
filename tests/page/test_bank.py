"""3-D Secure: the payer confirms at his bank, or does not, or leaves and comes back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from tests.page.browsing import CONFIRM, Payer
from tests.page.states import Shopping
from tests.running import Json

pytestmark = pytest.mark.browser


def at_the_bank(payer: Payer, session: Json) -> None:
    payer.open(session)
    payer.pay(CONFIRM)
    payer.sees("bank")


def press(payer: Payer, name: str) -> None:
    payer.page.get_by_role("button", name=name).click()


def test_a_payment_that_is_approved_at_the_bank(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    at_the_bank(payer, session)
    expect(payer.heading).to_have_text("Do you approve this payment?")
    expect(payer.page.get_by_role("definition")).to_have_text(["Fjord & Fjell", "NOK 100.00", "400010******0000"])
    assert shopping.authorizations(order) == []
    press(payer, "Approve")
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]
    assert f"transaction_id={shopping.shop.read_session(session)['transaction_id']}" in payer.page.url


def test_the_bank_leads_to_a_shop_that_has_moved(shopping: Shopping, payer: Payer) -> None:
    at_the_bank(payer, shopping.session(url={"return_url": f"{shopping.merchant.base}/moved"}))
    press(payer, "Approve")
    payer.is_at_the_shop()


def test_a_payment_that_is_rejected_at_the_bank_and_then_paid_with_another_card(
    shopping: Shopping, payer: Payer
) -> None:
    order = shopping.order()
    at_the_bank(payer, shopping.session(order))
    press(payer, "Reject")
    payer.sees("declined")
    expect(payer.alert).to_be_focused()
    expect(payer.alert).to_contain_text("Your bank could not confirm that it is you.")
    expect(payer.alert).to_contain_text("You have not been charged.")
    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_an_amount_that_is_refused_after_it_was_approved_at_the_bank(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order(99_551_00)
    at_the_bank(payer, shopping.session(order))
    press(payer, "Approve")
    payer.sees("declined")
    expect(payer.alert).to_contain_text("There is not enough money available on the card.")
    assert shopping.authorizations(order) == []


def test_reloading_at_the_bank_asks_the_same_again(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    at_the_bank(payer, session)
    asked = payer.page.url
    payer.page.reload()
    payer.sees("bank")
    assert payer.page.url == asked
    assert shopping.attempts(session) == 1
    press(payer, "Approve")
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


def test_a_payer_who_comes_back_from_the_bank_goes_there_again(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    at_the_bank(payer, session)
    payer.page.go_back()
    payer.sees("challenge")
    expect(payer.heading).to_have_text("Confirm with your bank")
    expect(payer.number).to_be_hidden()
    payer.page.get_by_role("link", name="Continue to your bank").click()
    payer.sees("bank")
    press(payer, "Approve")
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


def test_a_payer_who_comes_back_from_the_bank_starts_over_with_another_card(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    at_the_bank(payer, session)
    bank_url = payer.page.url
    payer.page.go_back()
    payer.page.get_by_text("Start over").click()
    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 2

    payer.page.goto(bank_url)
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_a_mistake_while_starting_over_is_told_and_the_bank_still_waits(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    at_the_bank(payer, session)
    payer.page.go_back()
    payer.page.get_by_text("Start over").click()
    payer.pay("4242424242424242")
    expect(payer.alert).to_be_focused()
    expect(payer.alert).to_contain_text("Use one of the test cards")
    expect(payer.number).to_be_visible()
    assert shopping.attempts(session) == 1
    payer.page.get_by_role("link", name="Continue to your bank").click()
    press(payer, "Approve")
    payer.is_at_the_shop()


def test_a_mistake_while_starting_over_keeps_the_language(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session(), language="nb")
    payer.pay(CONFIRM)
    payer.sees("bank")
    payer.page.go_back()
    payer.page.get_by_text("Begynn på nytt").click()
    payer.pay("4242424242424242")
    expect(payer.alert).to_contain_text("Dette er en test.")
    payer.page.get_by_role("link", name="Fortsett til banken").click()
    expect(payer.heading).to_have_text("Godkjenner du denne betalingen?")


def test_a_payer_who_comes_back_from_the_bank_cancels(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    at_the_bank(payer, session)
    bank_url = payer.page.url
    payer.page.go_back()
    payer.sees("challenge")
    payer.cancel_button.click()
    payer.is_at_the_shop()
    assert "error=cancelled" in payer.page.url
    assert shopping.events(session)[-1] == "CANCELLED"

    payer.page.goto(bank_url)
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == []


def test_the_bank_is_answered_in_another_tab(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    at_the_bank(payer, session)
    other = payer.new_tab()
    other.open(session)
    other.page.get_by_role("link", name="Continue to your bank").click()
    press(other, "Approve")
    other.is_at_the_shop()
    # The first answer counts: this one comes too late, and ends where the first one did.
    press(payer, "Reject")
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_starting_over_after_the_bank_was_answered_in_another_tab_pays_once(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    at_the_bank(payer, session)
    other = payer.new_tab()
    other.goes_deaf()
    other.open(session)
    other.page.get_by_text("Start over").click()
    press(payer, "Approve")
    payer.is_at_the_shop()
    other.pay()
    other.sees("paid")
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


def test_a_bank_that_is_answered_twice_at_once_answers_once(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    at_the_bank(payer, shopping.session(order))
    payer.page.get_by_role("button", name="Approve").dblclick()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_the_bank_does_not_wait_for_ever(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    at_the_bank(payer, shopping.session(order))
    shopping.move_time(timedelta(minutes=16))
    press(payer, "Approve")
    payer.sees("declined")
    expect(payer.alert).to_contain_text("You have not been charged.")
    assert shopping.authorizations(order) == []


def test_the_address_of_an_answer_answers_nothing_by_itself(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    at_the_bank(payer, shopping.session(order))
    action = payer.page.locator("form").first.evaluate("form => form.action")
    payer.page.goto(action)
    payer.sees("bank")
    assert shopping.authorizations(order) == []


def test_a_payment_that_the_bank_does_not_know_is_not_found(shopping: Shopping, payer: Payer) -> None:
    at_the_bank(payer, shopping.session())
    response = payer.page.goto(f"{shopping.server.base_url}/sandbox/challenge/{shopping.shop.account_id}.nothing")
    assert response is not None
    assert response.status == 404
    payer.sees("not_found")
