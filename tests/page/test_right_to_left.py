"""The page read from right to left: no language of ours is, but a translation more must not break it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from babel import Locale
from playwright.sync_api import expect

from kasse.page import languages
from tests.page.browsing import Browsing, Payer
from tests.page.conftest import Payers
from tests.page.layout import amounts_out_of_order, check_apart, check_width
from tests.page.states import STATES, Shopping

pytestmark = pytest.mark.browser

TURNED = "addEventListener('DOMContentLoaded', () => { document.documentElement.dir = 'rtl'; })"


@pytest.mark.parametrize("state", sorted(STATES))
def test_every_state_can_be_read_from_right_to_left(
    shopping: Shopping, payers: Payers, browsing: Browsing, state: str
) -> None:
    payer: Payer = payers(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    payer.context.add_init_script(TURNED)
    STATES[state](shopping, payer, {"language": "nb"})
    for width in (1280, 320):
        payer.page.set_viewport_size({"width": width, "height": 800})
        check_width(payer, f"{width} px wide")
        check_apart(payer, f"{width} px wide")
        # "1 299,00 kr" must not become "kr 1 299,00", nor the minus sign of a discount go behind it.
        assert amounts_out_of_order(payer) == []


def test_the_page_is_mirrored(shopping: Shopping, payer: Payer) -> None:
    payer.context.add_init_script(TURNED)
    payer.page.set_viewport_size({"width": 1280, "height": 900})
    payer.open(shopping.session(shopping.cart()), language="nb")
    payer.sees("ready")
    edges = {
        name: payer.page.locator(name).first.evaluate("each => each.getBoundingClientRect().x")
        for name in (".summary", ".panel", ".lines .what", ".lines .sum", "#card_expiry", "#card_cvc")
    }
    assert edges[".summary"] > edges[".panel"]
    assert edges[".lines .what"] > edges[".lines .sum"]
    assert edges["#card_expiry"] > edges["#card_cvc"]
    assert payer.number.evaluate("each => getComputedStyle(each).direction") == "ltr"


LETTERS = str.maketrans({letter: chr(0x05D0 + n % 27) for n, letter in enumerate("abcdefghijklmnopqrstuvwxyz")})


class Turned(Locale):
    """Writes money and dates as Norwegians do, from right to left."""

    text_direction = "rtl"


def turned(text: str) -> str:
    parts = re.split(r"({\w+})", text)
    return "".join(part if part.startswith("{") else part.lower().translate(LETTERS) for part in parts)


@pytest.fixture
def hebrew(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """A language of Hebrew letters, with the texts of the page in it."""
    words = {key: turned(text) for key, text in languages.texts("en").items()}
    texts, locale = languages._texts, languages._locale
    monkeypatch.setattr(languages, "LANGUAGES", (*languages.LANGUAGES, "he"))
    monkeypatch.setattr(languages, "_texts", lambda language: words if language == "he" else texts(language))
    monkeypatch.setattr(languages, "_locale", lambda language: Turned("nb") if language == "he" else locale(language))
    return words


@pytest.mark.parametrize(
    "state", ["ready", "declined", "paid", "long_order", "launcher", "bank", "express_ready", "express_shipping"]
)
def test_a_language_from_right_to_left_keeps_amounts_and_names_together(
    shopping: Shopping, payers: Payers, browsing: Browsing, hebrew: Mapping[str, str], state: str
) -> None:
    payer: Payer = payers(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    STATES[state](shopping, payer, {"language": "he"})
    assert payer.page.evaluate("document.documentElement.dir") == "rtl"
    for width in (1280, 320):
        payer.page.set_viewport_size({"width": width, "height": 800})
        check_width(payer, f"{width} px wide")
        check_apart(payer, f"{width} px wide")
        assert amounts_out_of_order(payer) == []


def test_where_no_markup_may_be_amounts_are_isolated_by_characters(
    shopping: Shopping, payer: Payer, hebrew: Mapping[str, str]
) -> None:
    payer.open(shopping.session(shopping.cart()), language="he")
    amount, name = "\u20681\xa0676,00\xa0kr\u2069", "\u2068Fjord & Fjell\u2069"
    expect(payer.page).to_have_title(hebrew["page_title"].format(amount=amount, merchant=name))
