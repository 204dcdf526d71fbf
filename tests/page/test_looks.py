"""The page by keyboard, on a small phone and enlarged."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.page.browsing import Browsing, Payer
from tests.page.conftest import Payers
from tests.page.layout import check_width, sentences_torn_apart
from tests.page.states import STATES, Shopping

pytestmark = pytest.mark.browser

FOCUSED = """() => {
    const at = document.activeElement, style = getComputedStyle(at);
    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    return [at.id || at.textContent.trim().replace(/\\s+/g, " "), seen && at.checkVisibility()];
}"""


def test_everything_can_be_reached_by_keyboard_in_the_order_of_reading(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    found = []
    for _ in range(7):
        payer.page.keyboard.press("Tab")
        found.append(payer.page.evaluate(FOCUSED))
    assert found == [
        ["Test No money moves. Use test cards only", True],
        ["card_number", True],
        ["card_expiry", True],
        ["card_cvc", True],
        ["Pay NOK 100.00", True],
        ["Cancel payment", True],
        ["Terms and conditions", True],
    ]


def test_a_payment_without_a_mouse(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    payer.open(shopping.session(order))
    keyboard = payer.page.keyboard
    keyboard.press("Tab")
    for typed in ("4000300000000006", "1230", "123"):
        keyboard.press("Tab")
        keyboard.type(typed)
    keyboard.press("Enter")
    payer.sees("declined")
    expect(payer.alert).to_be_focused()
    for typed in ("4000100000000000", "1230", "123"):
        keyboard.press("Tab")
        keyboard.type(typed)
    keyboard.press("Tab")
    keyboard.press("Space")
    payer.sees("bank")
    keyboard.press("Tab")
    keyboard.press("Enter")
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [10_000]


def test_enter_in_an_empty_form_tells_what_is_missing(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    payer.expiry.press("Enter")
    expect(payer.number).to_be_focused()
    expect(payer.page.locator("#card_number-error")).to_have_text("Enter the card number.")


def test_the_list_of_test_cards_opens_by_keyboard_and_can_be_left(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    payer.page.keyboard.press("Tab")
    payer.page.keyboard.press("Enter")
    expect(payer.page.get_by_text("4000 1000 0000 0000")).to_be_visible()
    payer.page.keyboard.press("Tab")
    expect(payer.number).to_be_focused()


@pytest.mark.parametrize("language", ["fi", "de"])
@pytest.mark.parametrize("state", sorted(STATES))
def test_nothing_is_cut_off_on_a_small_phone_or_enlarged(
    shopping: Shopping, payers: Payers, browsing: Browsing, state: str, language: str
) -> None:
    payer = payers(viewport={"width": 320, "height": 568}, reduced_motion="reduce")
    STATES[state](shopping, payer, {"language": language})
    check_width(payer, "320 px wide")
    assert sentences_torn_apart(payer) == []
    payer.page.set_viewport_size({"width": 640, "height": 400})
    check_width(payer, "1280 px wide at 200 %")
    payer.page.evaluate("document.documentElement.style.fontSize = '200%'")
    for width in (1280, 390):
        payer.page.set_viewport_size({"width": width, "height": 800})
        check_width(payer, f"{width} px wide, letters of double size")


@pytest.mark.parametrize("state", ["ready", "declined", "bank", "challenge", "paid"])
def test_whatever_can_be_pressed_is_large_enough_for_a_finger(
    shopping: Shopping, payers: Payers, browsing: Browsing, state: str
) -> None:
    payer = payers(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    STATES[state](shopping, payer, {})
    small = payer.page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, summary")]
            .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 44)
            .map((each) => each.outerHTML.slice(0, 80))"""
    )
    assert small == []


def test_on_a_phone_the_card_number_is_in_sight_at_once(shopping: Shopping, payers: Payers, browsing: Browsing) -> None:
    payer = payers(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    payer.open(shopping.session(shopping.cart()))
    expect(payer.number).to_be_in_viewport(ratio=1)
    assert payer.number.evaluate("field => parseFloat(getComputedStyle(field).fontSize)") >= 16, "iOS would zoom in"
    assert payer.number.get_attribute("inputmode") == "numeric"
