"""The ways to pay are those of the session's configuration, and the page has the merchant's colours."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from kasse.page.theme import SURFACES, Colour, contrast, theme_css
from tests.page.browsing import Payer
from tests.page.embedding import Cart
from tests.page.states import WAYS, Shopping, several_ways

pytestmark = pytest.mark.browser

OPEN = "[data-method][open] > summary"


def test_one_way_is_open_at_a_time_and_the_default_first(shopping: Shopping, payer: Payer) -> None:
    several_ways(shopping, payer, {})
    expect(payer.page.locator(OPEN)).to_have_text(["Pay by card"])
    payer.page.get_by_text("Swish", exact=True).click()
    expect(payer.page.locator(OPEN)).to_have_text(["Swish"])


def test_a_wallet_leads_elsewhere_and_back(shopping: Shopping, payer: Payer) -> None:
    session = shopping.direct_session(configuration=WAYS)
    payer.open(session)
    payer.page.get_by_text("Swish", exact=True).click()
    payer.page.locator("[data-method='swish.swish'] [type=submit]").click()
    payer.sees("bank")
    payer.page.get_by_role("button", name="Approve").click()
    payer.is_at_the_shop()
    transaction = shopping.shop.transaction(shopping.shop.read_session(session)["transaction_id"])
    assert (transaction["payment_product_type"], transaction["status"]) == ("swish.swish", "AUTHORIZED")


def test_what_is_paid_outside_is_told_in_the_merchants_words(shopping: Shopping, payer: Payer) -> None:
    session = shopping.direct_session(configuration=WAYS)
    payer.open(session)
    payer.page.get_by_text("Counter sale").click()
    way = payer.page.locator("[data-method='dintero.external']")
    expect(way).to_contain_text("By cash, on collection.")
    expect(way.get_by_role("link", name="Our terms")).to_have_attribute("href", "https://shop.example/terms")
    way.get_by_role("button", name="Order now, settle later").click()
    payer.is_at_the_shop()
    assert "error" not in payer.page.url
    assert shopping.shop.transaction(shopping.shop.read_session(session)["transaction_id"])["status"] == "ON_HOLD"


def test_an_order_that_costs_nothing_is_completed_without_a_card(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session(shopping.order(0), configuration=WAYS))
    expect(payer.number).to_have_count(0)
    payer.page.get_by_role("button", name="Complete the order").click()
    payer.is_at_the_shop()


def test_a_session_with_an_order_of_nothing_ends_like_any_other(shopping: Shopping, payer: Payer) -> None:
    session = shopping.direct_session(0, configuration=WAYS)
    payer.open(session)
    expect(payer.page.locator(".total")).to_have_text("NOK 0.00")
    expect(payer.page.locator("[data-method]")).to_have_count(0)
    expect(payer.number).to_have_count(0)
    payer.page.get_by_role("button", name="Complete the order").dblclick()
    payer.is_at_the_shop()
    transaction_id = shopping.shop.read_session(session)["transaction_id"]
    assert f"transaction_id={transaction_id}" in payer.page.url
    assert "error" not in payer.page.url
    transaction = shopping.shop.transaction(transaction_id)
    assert (transaction["payment_product_type"], transaction["amount"]) == ("dintero.zero", 0)
    assert dict(shopping.merchant.callback().query)["transaction_id"] == transaction_id
    assert shopping.attempts(session) == 1
    payer.page.go_back()
    payer.sees("paid")


def test_an_order_of_nothing_cannot_be_paid_where_the_shop_has_not_turned_that_on(
    shopping: Shopping, payer: Payer
) -> None:
    session = shopping.direct_session(0)
    payer.open(session)
    payer.sees("unavailable")
    assert shopping.attempts(session) == 0


def test_a_method_that_the_session_does_not_offer_is_not_taken(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.open(session)
    payer.page.locator("[name=payment_product_type]").evaluate("field => field.value = 'dintero.external'")
    payer.pay()
    payer.sees("ready")
    assert shopping.attempts(session) == 0


def test_the_shop_hears_which_way_is_picked_and_may_pick_one(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(
        shopping,
        payer,
        shopping.direct_session(configuration=WAYS),
        handlers=["onActivePaymentType", "onPayment"],
    )
    cart.frame.get_by_text("Swish", exact=True).click()
    assert cart.is_told("onActivePaymentType")["payment_product_type"] == "swish.swish"
    cart.page.evaluate("checkout.setActivePaymentProductType('dintero.external')")
    expect(cart.frame.locator(OPEN)).to_have_text(["Counter sale"])
    cart.page.evaluate("checkout.setActivePaymentProductType()")
    expect(cart.frame.locator(OPEN)).to_have_count(0)
    cart.page.evaluate("checkout.setActivePaymentProductType('dintero.external')")
    cart.frame.get_by_role("button", name="Order now, settle later").click()
    assert cart.is_told("onPayment")["type"] == "SessionPaymentOnHold"


# -- colours


def colours(css: str, name: str) -> list[Colour]:
    found = re.findall(rf"--{name}: #([0-9a-f]{{6}})", css)
    return [(float(int(each[:2], 16)), float(int(each[2:4], 16)), float(int(each[4:], 16))) for each in found]


@pytest.mark.parametrize("primary", ["#ffff00", "#000", "#ffffff", "rgb(228, 87, 46)", "rgba(0,0,255,0.1)", "#7f7f7f"])
def test_whatever_colour_a_merchant_wants_can_be_read(primary: str) -> None:
    css = theme_css({"primary": primary, "backdrop": "#12355b"})
    for ground, accent, on_accent, strong in zip(
        SURFACES.values(),
        colours(css, "accent"),
        colours(css, "on-accent"),
        colours(css, "accent-strong"),
        strict=False,
    ):
        assert contrast(accent, ground) >= 4.5
        assert contrast(on_accent, accent) >= 4.5
        assert contrast(on_accent, strong) >= 4.5


@pytest.mark.parametrize(
    "theme",
    [
        None,
        [],
        {"primary": "red; } body { display: none"},
        {"primary": "#12", "backdrop": "url(//elsewhere)", "cardRadius": "1px}", "buttonRadius": True},
        {"primary": "rgb(1,2)", "backdrop": "rgb(300,0,0)", "cardRadius": -1, "buttonRadius": 101},
    ],
)
def test_what_is_no_colour_and_no_radius_counts_for_nothing(theme: object) -> None:
    assert theme_css(theme) == ""
