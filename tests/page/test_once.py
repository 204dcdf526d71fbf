"""Whatever the payer does, he pays once, and each page says clearly how things are."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Route, expect

from tests.page.browsing import CONFIRM, REFUSED, SILENT_VISA, Payer
from tests.page.states import STATES, Shopping

pytestmark = pytest.mark.browser

OVER = re.compile("^(Back at the shop|Thank you, your payment is complete)$")


def test_a_double_click_pays_once(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.fill()
    payer.pay_button.dblclick()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


def test_while_paying_the_page_says_so_and_takes_no_second_click(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    # The answer is held back here, so that it does not come and end it.
    payer.page.route("**/state", lambda route: None)
    payer.pay()
    expect(payer.pay_button).to_be_disabled()
    expect(payer.pay_button).to_have_text("Paying …")
    expect(payer.page.get_by_role("status").last).to_have_text(re.compile("Please keep this page open"))
    expect(payer.cancel_button).to_be_disabled()


def test_a_second_tab_finds_out_by_itself_that_the_first_one_has_paid(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    other = payer.new_tab()
    payer.open(session)
    other.open(session)
    payer.pay()
    payer.is_at_the_shop()
    other.sees("paid")
    expect(other.heading).to_have_text("Thank you, your payment is complete")
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


def test_paying_in_two_tabs_at_once_pays_once(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    other = payer.new_tab()
    for tab in (payer, other):
        tab.goes_deaf()
        tab.open(session)
        tab.fill()
    for tab in (payer, other):
        tab.pay_button.evaluate("button => setTimeout(() => button.click(), 50)")
    for tab in (payer, other):
        # Whoever finds the other one paying waits for what comes of it.
        tab.hears_again()
        expect(tab.heading).to_have_text(OVER)
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


def test_paying_in_a_second_tab_while_the_bank_is_silent_waits_too(shopping: Shopping, payer: Payer) -> None:
    shopping.never_looks_up()
    order = shopping.order()
    session = shopping.session(order)
    other = payer.new_tab()
    other.open(session)
    payer.open(session)
    payer.pay(SILENT_VISA)
    payer.sees("waiting")
    other.sees("waiting")
    other.page.goto(session["url"])
    other.sees("waiting")
    assert shopping.attempts(session) == 1
    shopping.look_up(session)
    for tab in (payer, other):
        tab.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_paying_in_a_second_tab_while_the_bank_asks_in_the_first_ends_the_first(
    shopping: Shopping, payer: Payer
) -> None:
    order = shopping.order()
    session = shopping.session(order)
    other = payer.new_tab()
    other.open(session)
    payer.open(session)
    payer.pay(CONFIRM)
    payer.sees("bank")
    other.sees("challenge")
    other.page.locator("details.start-over > summary").click()
    other.pay()
    other.is_at_the_shop()
    payer.page.get_by_role("button", name="Approve").click()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_without_a_network_nothing_is_sent_and_the_payer_is_told(shopping: Shopping, payer: Payer) -> None:
    payer.forgives = "ERR_INTERNET_DISCONNECTED"
    session = shopping.session()
    payer.open(session)
    payer.context.set_offline(True)
    payer.pay()
    expect(payer.alert).to_be_focused()
    expect(payer.alert).to_contain_text("Nothing has been sent and you have not been charged.")
    expect(payer.pay_button).to_be_enabled()
    payer.context.set_offline(False)
    payer.pay_button.click()
    payer.is_at_the_shop()
    assert shopping.attempts(session) == 1


def test_a_payment_whose_answer_is_lost_on_the_way_is_not_made_again(shopping: Shopping, payer: Payer) -> None:
    payer.forgives = "ERR_"
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.fill()

    def lose(route: Route) -> None:
        route.fetch(max_redirects=0)
        route.abort("connectionreset")

    payer.page.route("**/pay?*", lose)
    with payer.page.expect_event("requestfailed", lambda request: request.method == "POST"):
        payer.pay_button.click()
    assert shopping.authorizations(order) == [10_000]
    payer.page.unroute("**/pay?*")
    # He sends the same form again, as his browser offers him to.
    payer.page.reload()
    expect(payer.heading).to_have_text(OVER)
    payer.open(session)
    payer.sees("paid")
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


def test_a_form_that_is_sent_again_after_a_decline_pays_once(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.pay(REFUSED)
    payer.sees("declined")
    payer.page.reload()
    payer.sees("declined")
    assert shopping.attempts(session) == 1
    payer.pay()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 2


def test_a_page_that_expires_while_it_is_open_says_so_by_itself(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    payer.fill()
    shopping.move_time(timedelta(hours=25))
    payer.sees("expired")


def test_going_back_after_paying_shows_that_it_is_paid(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.pay()
    payer.is_at_the_shop()
    payer.page.go_back()
    payer.sees("paid")
    payer.page.reload()
    payer.sees("paid")
    payer.page.get_by_role("link", name="Back to Fjord & Fjell").click()
    payer.is_at_the_shop()
    assert f"transaction_id={shopping.shop.account_id}" in payer.page.url
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


def test_a_page_that_the_browser_kept_as_it_was_finds_out_how_things_are(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.open(session)
    payer.fill()
    shopping.shop.pay(session)
    payer.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    payer.sees("paid")


def test_a_card_is_not_left_in_the_form_for_whoever_goes_back(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    payer.fill()
    payer.page.goto(f"{shopping.merchant.base}/done")
    payer.page.go_back()
    payer.sees("ready")
    for field in (payer.number, payer.expiry, payer.cvc):
        expect(field).to_have_value("")


def test_reloading_at_the_shop_pays_nothing(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.pay()
    payer.is_at_the_shop()
    payer.page.reload()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]
    assert shopping.attempts(session) == 1


@pytest.mark.parametrize(
    ("state", "title", "text", "leads_back"),
    [
        ("paid", "Thank you, your payment is complete", "You have paid NOK 1,676.00 to Fjord & Fjell.", True),
        ("cancelled", "The payment was cancelled", "You have not been charged.", True),
        ("expired", "This payment page has expired", "Go back to the shop to start a new payment.", True),
        ("paid_elsewhere", "This order is already paid", "There is nothing left to pay here.", True),
        ("not_found", "We cannot find this payment", "The address may be incomplete", False),
        ("unavailable", "The payment page is not available right now", "check with the shop", True),
    ],
)
def test_a_link_that_cannot_be_paid_says_why(
    shopping: Shopping, payer: Payer, state: str, title: str, text: str, leads_back: bool
) -> None:
    STATES[state](shopping, payer, {})
    expect(payer.heading).to_have_text(title)
    expect(payer.page.get_by_role("main")).to_contain_text(text)
    expect(payer.pay_button).to_have_count(0)
    back = payer.page.get_by_role("link", name="Back to Fjord & Fjell")
    expect(back).to_have_count(int(leads_back))
    if leads_back:
        back.click()
        payer.is_at_the_shop()


@pytest.mark.parametrize("state", ["cancelled", "expired"])
def test_a_form_that_is_still_open_when_its_session_ends_pays_nothing(
    shopping: Shopping, payer: Payer, state: str
) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.goes_deaf()
    payer.open(session)
    payer.fill()
    if state == "cancelled":
        shopping.shop.ok("POST", f"/v1/sessions/{session['id']}/cancel")
    else:
        shopping.move_time(timedelta(hours=25))
    payer.pay_button.click()
    payer.sees(state)
    assert shopping.authorizations(order) == []
    assert shopping.attempts(session) == 0


@pytest.mark.parametrize("path", ["/v1/view/nonsense", "/v1/view/T00000000.nothing", "/", "/?sid=../../etc/passwd"])
def test_an_address_that_leads_nowhere_is_told_in_words(shopping: Shopping, payer: Payer, path: str) -> None:
    response = payer.page.goto(shopping.server.base_url + path)
    assert response is not None
    assert response.status == 404
    payer.sees("not_found")


def test_the_address_of_the_web_sdk_opens_the_page_too(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.page.goto(f"{shopping.server.base_url}/?language=nb&sid={session['id']}")
    payer.sees("ready")
    payer.pay()
    payer.is_at_the_shop()
