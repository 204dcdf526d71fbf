"""The payer chooses his language on the page itself, at any step, and loses nothing by it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from kasse.page.languages import LANGUAGES, texts
from tests.page.browsing import CONFIRM, REFUSED, Browsing, Payer
from tests.page.conftest import Payers
from tests.page.embedding import Cart
from tests.page.express import POST, Steps
from tests.page.states import STATES, Shopping
from tests.running import Json

pytestmark = pytest.mark.browser

OVER = {"loading", "result"}


def link(payer: Payer, language: str) -> Locator:
    return payer.page.locator(f"nav.languages a[lang={language}]")


def speaks(payer: Payer, language: str) -> None:
    expect(payer.page.locator(f"html[lang={language}]")).to_be_attached()
    expect(link(payer, language)).to_have_attribute("aria-current", "true")


def all_types() -> list[Json]:
    return [{**POST, "line_id": f"post-{n}", "title": f"Parcel post {n}"} for n in (1, 2)]


@pytest.mark.parametrize("script", [True, False])
def test_every_language_is_one_press_away(shopping: Shopping, payers: Payers, browsing: Browsing, script: bool) -> None:
    payer = payers(java_script_enabled=script)
    payer.open(shopping.session())
    for language in LANGUAGES:
        link(payer, language).click()
        speaks(payer, language)
        payer.sees("ready")
        expect(payer.page.get_by_role("button", name=texts(language)["cancel_button"])).to_be_visible()
    expect(payer.page.get_by_role("navigation", name=texts("de")["language_choice"])).to_be_visible()


def test_the_language_is_chosen_by_keyboard_and_stays_to_the_end(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    link(payer, "en").focus()
    payer.page.keyboard.press("Tab")
    expect(link(payer, "nb")).to_be_focused()
    payer.page.keyboard.press("Enter")
    speaks(payer, "nb")
    payer.pay(REFUSED)
    payer.sees("declined")
    speaks(payer, "nb")
    link(payer, "sv").click()
    payer.sees("declined")
    speaks(payer, "sv")
    payer.pay(CONFIRM)
    payer.sees("bank")
    speaks(payer, "sv")
    link(payer, "fi").click()
    speaks(payer, "fi")
    payer.sees("bank")
    payer.page.locator(".choice .button").first.click()
    payer.is_at_the_shop()


@pytest.mark.parametrize("state", sorted(STATES))
def test_each_state_is_the_same_in_another_language(
    shopping: Shopping, payers: Payers, browsing: Browsing, state: str
) -> None:
    payer = payers(reduced_motion="reduce")
    STATES[state](shopping, payer, {"language": "nb"})
    was = payer.page.locator("body").get_attribute("data-state")
    if state in OVER:
        expect(link(payer, "de")).to_have_count(0)
        return
    link(payer, "de").click()
    speaks(payer, "de")
    payer.sees(str(was))


def test_what_was_typed_in_express_stays_but_never_a_card(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.express_session(*all_types()))
    steps = Steps(payer.page)
    steps.field("type-b2b").check()
    steps.fill(business_name="Nordmann AS")
    link(payer, "nb").click()
    speaks(payer, "nb")
    expect(steps.field("type-b2b")).to_be_checked()
    expect(steps.field("business_name")).to_have_value("Nordmann AS")
    expect(steps.field("postal_place")).to_have_value("Oslo")
    expect(steps.field("country")).to_have_value("NO")
    steps.field("type-b2c").check()
    steps.send_address.click()
    steps.option("post-2").check()
    payer.sees("ready")
    payer.fill()
    link(payer, "de").click()
    speaks(payer, "de")
    payer.sees("ready")
    expect(steps.option("post-2")).to_be_checked()
    expect(payer.number).to_have_value("")
    assert payer.page.evaluate("[window.name, Object.values(sessionStorage)]") == ["", []]


def test_the_way_to_pay_that_was_picked_stays(shopping: Shopping, payer: Payer) -> None:
    STATES["several_ways"](shopping, payer, {})
    payer.page.locator("[data-method='swish.swish'] > summary").click()
    link(payer, "nb").click()
    speaks(payer, "nb")
    expect(payer.page.locator("[data-method='swish.swish']")).to_have_attribute("open", "")


def test_a_shop_hears_which_language_its_frame_speaks(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer)
    assert cart.waits_for("LanguageChanged")["language"] == "en"
    cart.frame.locator("nav.languages a[lang=fi]").click()
    assert cart.waits_for("LanguageChanged", 2)["language"] == "fi"
    cart.sees("ready")


def test_what_was_typed_stays_when_the_shop_sets_the_language(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer, shopping.express_session(POST))
    steps = Steps(cart.frame)
    cart.waits_for("SessionLoaded")
    steps.fill()
    payer.page.evaluate(
        """([sid, to]) => document.querySelector("iframe").contentWindow.postMessage(
            { type: "SetLanguage", sid, language: "da" }, to)""",
        [cart.session["id"], shopping.server.base_url],
    )
    assert cart.waits_for("LanguageChanged", 2)["language"] == "da"
    expect(steps.field("address_line")).to_have_value("Storgata 7")
