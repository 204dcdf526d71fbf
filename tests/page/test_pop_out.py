"""The payment in a window of its own that the published browser SDK opens. Source: page reference, section 8."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from kasse.page import paying, present
from tests.page.browsing import CONFIRM, Payer
from tests.page.embedding import Cart
from tests.page.states import Shopping
from tests.page.test_embed import VALIDATES
from tests.running import Json

pytestmark = pytest.mark.browser


def opens(shopping: Shopping, payer: Payer, more: str = "{}", session: Json | None = None) -> Cart:
    cart = Cart.opens(shopping, payer, session, popOut=True, more=more)
    expect(cart.pop_out_button).to_be_visible()
    return cart


def test_the_button_of_the_shop_lies_where_the_page_has_left_room(shopping: Shopping, payer: Payer) -> None:
    cart = opens(shopping, payer)
    expect(cart.pop_out_button).to_have_text("Pay NOK\xa0100.00")
    expect(cart.number).to_have_count(0)
    cart.waits_for("HeightChanged")
    button = "document.querySelector('#dintero-checkout-sdk-launch-pop-out').getBoundingClientRect()"
    for width in (1280, 390):
        payer.page.set_viewport_size({"width": width, "height": 800})
        place = cart.frame.locator("[data-pop-out-place]").evaluate("place => place.getBoundingClientRect().toJSON()")
        payer.page.wait_for_function(
            f"(place) => ['width', 'height'].every((name) => Math.abs({button}[name] - place[name]) < 1.5)", arg=place
        )
        offset = payer.page.locator("iframe").bounding_box()
        found = cart.pop_out_button.bounding_box()
        assert offset is not None
        assert found is not None
        assert abs(found["y"] - offset["y"] - place["top"]) < 1.5
        assert abs(found["x"] - offset["x"] - place["left"]) < 1.5


@pytest.mark.parametrize("card", ["4000 0000 0000 0002", CONFIRM])
def test_a_payment_in_a_pop_out_is_told_to_the_shop_and_closes_it(shopping: Shopping, payer: Payer, card: str) -> None:
    cart = opens(shopping, payer)
    with cart.pop_out() as window:
        window.sees("ready")
        expect(payer.page.locator("#dintero-checkout-sdk-backdrop")).to_contain_text("Show the payment window")
        window.pay(card)
        if card == CONFIRM:
            window.sees("bank")
            window.page.get_by_role("button", name="Approve").click()
    paid = cart.is_told("onPayment")
    assert paid["type"] == "SessionPaymentAuthorized"
    assert paid["context"] == "popOut"
    payer.page.wait_for_function("() => checkout.popOutWindow === undefined || checkout.popOutWindow.closed")
    expect(cart.pop_out_button).to_have_count(0)
    expect(payer.page.locator("#dintero-checkout-sdk-backdrop")).to_have_count(0)
    assert shopping.merchant.returns() == []


def test_the_button_of_the_shop_follows_the_amount(shopping: Shopping, payer: Payer) -> None:
    session = shopping.direct_session()
    cart = opens(shopping, payer, session=session)
    expect(cart.pop_out_button).to_have_text("Pay NOK\xa0100.00")
    looks = "each => [getComputedStyle(each).backgroundColor, getComputedStyle(each).cursor]"
    pressable = cart.pop_out_button.evaluate(looks)
    cart.page.evaluate("checkout.lockSession()")
    expect(cart.pop_out_button).to_be_disabled()
    expect(cart.pop_out_button).to_have_css("cursor", "default")
    expect(cart.pop_out_button).not_to_have_css("background-color", pressable[0])
    changed = {"order": {"amount": 12_500, "items": [shopping.item(12_500)]}}
    shopping.shop.ok("PUT", f"/v1/sessions/{session['id']}", changed)
    cart.page.evaluate("checkout.refreshSession()")
    expect(cart.pop_out_button).to_have_text("Pay NOK\xa0125.00")
    expect(cart.pop_out_button).to_be_enabled()
    expect(cart.pop_out_button).to_have_css("background-color", pressable[0])
    expect(cart.pop_out_button).to_have_css("cursor", pressable[1])
    expect(cart.frame.locator("[data-pop-out-place]")).to_have_text("Pay NOK\xa0125.00")
    # The merchant alone, without the shop's page knowing.
    changed = {"order": {"amount": 7_500, "items": [shopping.item(7_500)]}}
    shopping.shop.ok("PUT", f"/v1/sessions/{session['id']}?update_without_lock=true", changed)
    expect(cart.pop_out_button).to_have_text("Pay NOK\xa075.00")
    with cart.pop_out() as window:
        expect(window.pay_button).to_have_text("Pay NOK\xa075.00")


def test_a_pop_out_that_the_payer_closes_can_be_opened_again(shopping: Shopping, payer: Payer) -> None:
    cart = opens(shopping, payer)
    with cart.pop_out() as window:
        window.sees("ready")
        expect(cart.frame.get_by_text("The payment is open in another window.")).to_be_visible()
        window.page.close()
    cart.waits_for("SessionUpdated")
    expect(cart.frame.get_by_text("The payment is open in another window.")).to_have_count(0)
    expect(cart.pop_out_button).to_be_enabled()
    with cart.pop_out() as window:
        window.sees("ready")


def test_cancelling_in_a_pop_out_is_told_to_the_shop(shopping: Shopping, payer: Payer) -> None:
    cart = opens(shopping, payer)
    with cart.pop_out() as window:
        window.cancel_button.click()
    assert cart.is_told("onSessionCancel")["href"].endswith("&error=cancelled")


def test_a_pop_out_waits_until_the_shop_has_checked_the_order(shopping: Shopping, payer: Payer) -> None:
    cart = opens(shopping, payer, VALIDATES)
    with cart.pop_out() as window:
        window.sees("loading")
        expect(window.page.locator("form, a")).to_have_count(0)
        cart.is_told("onValidateSession")
        expect(cart.frame.get_by_text("The shop is checking your order")).to_be_visible()
        cart.page.evaluate("answer({ success: true })")
        window.sees("ready")
        window.pay()
    cart.is_told("onPayment")


def test_a_shop_that_refuses_the_order_closes_the_pop_out_and_the_frame_says_why(
    shopping: Shopping, payer: Payer
) -> None:
    payer.forgives = "We are out of jumpers."
    cart = opens(shopping, payer, VALIDATES)
    with cart.pop_out() as window:
        window.sees("loading")
        cart.is_told("onValidateSession")
        cart.page.evaluate("answer({ success: false, clientValidationError: 'We are out of jumpers.' })")
    expect(cart.frame.get_by_role("alert")).to_contain_text("We are out of jumpers.")
    expect(cart.pop_out_button).to_be_enabled()
    assert shopping.attempts(cart.session) == 0


def test_where_no_window_can_be_opened_the_payer_pays_in_the_frame(shopping: Shopping, payer: Payer) -> None:
    payer.context.add_init_script("window.open = () => null")
    cart = opens(shopping, payer)
    cart.page.evaluate("addEventListener('unhandledrejection', (event) => event.preventDefault())")
    cart.pop_out_button.click()
    cart.pay()
    assert cart.is_told("onPayment")["type"] == "SessionPaymentAuthorized"


def test_a_payment_elsewhere_ends_the_frame_that_waits_for_a_pop_out(shopping: Shopping, payer: Payer) -> None:
    cart = opens(shopping, payer)
    shopping.shop.pay(cart.session)
    assert cart.is_told("onPayment")["type"] == "SessionPaymentAuthorized"
    expect(cart.pop_out_button).to_have_count(0)


def test_a_pop_out_whose_shop_has_gone_leads_to_it_by_itself(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.page.goto(f"{shopping.server.base_url}/?ui=fullscreen&role=pop_out_payment&sid={session['id']}&sdk=0.8.30")
    payer.pay()
    payer.is_at_the_shop()


def test_a_pop_out_stays_one_when_the_payer_comes_back_from_elsewhere(
    shopping: Shopping, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test bank stands in for one on a site of its own, which takes nothing of the visit along."""
    for module in (paying, present):
        monkeypatch.setattr(module, "is_own", lambda house, url: False)
    cart = opens(shopping, payer)
    with cart.pop_out() as window:
        window.pay(CONFIRM)
        window.sees("bank")
        assert "role" not in window.page.url
        [cookie] = payer.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["path"] == f"/v1/sessions/{cart.session['id']}/redirect"
        window.page.get_by_role("button", name="Approve").click()
    assert cart.is_told("onPayment")["type"] == "SessionPaymentAuthorized"
    assert shopping.merchant.returns() == []
