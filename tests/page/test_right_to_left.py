"""The page read from right to left: no language of ours is, but a translation more must not break it."""

from __future__ import annotations

import pytest

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
