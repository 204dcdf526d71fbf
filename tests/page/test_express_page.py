"""Express on the page: address, the shop's answer, shipping, discount codes. Source: checkout reference, section 10."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.asking import MerchantServer, merchant_server
from tests.page.browsing import Browsing, Payer
from tests.page.conftest import Payers
from tests.page.embedding import Cart
from tests.page.states import ADDRESS, EXPRESS, OPTIONS, Shopping
from tests.running import Json

pytestmark = pytest.mark.browser


@pytest.fixture
def asked() -> Iterator[MerchantServer]:
    with merchant_server() as found:
        found.say = lambda session: {"shipping_options": OPTIONS}
        yield found


def gives_address(payer: Payer, **changes: str) -> None:
    for name, value in {**ADDRESS, **changes}.items():
        field = payer.page.locator(f"[name={name}]")
        if name == "country":
            field.select_option(value)
        else:
            field.fill(value)


def goes_on(payer: Payer) -> None:
    payer.page.locator("[data-address-form] [type=submit]").click()


@pytest.mark.parametrize("javascript", [True, False])
def test_address_shipping_and_payment_step_by_step(
    shopping: Shopping, payers: Payers, browsing: Browsing, asked: MerchantServer, javascript: bool
) -> None:
    payer = payers(java_script_enabled=javascript)
    express = {"shipping_options": [], "shipping_address_callback_url": asked.url}
    session = shopping.direct_session(express=express)
    payer.open(session)
    payer.sees("express")
    expect(payer.number).to_have_count(0)
    gives_address(payer)
    goes_on(payer)
    expect(payer.page.get_by_text("Storgata 1")).to_be_visible()
    assert asked.asked[-1]["order"]["shipping_address"]["postal_code"] == "0155"
    expect(payer.page.locator(".options")).to_have_count(2)
    payer.page.locator("[name=option]").last.check()
    if not javascript:
        payer.page.get_by_role("button", name="Use this delivery").click()
    payer.sees("ready")
    expect(payer.page.locator(".total")).to_have_text("NOK\xa0199.00")
    payer.pay()
    payer.is_at_the_shop()
    found = shopping.shop.read_session(session)
    assert found["order"]["shipping_option"]["line_id"] == "bike-1"
    assert shopping.shop.transaction(found["transaction_id"])["amount"] == 19_900


def test_a_shop_that_does_not_answer_is_told_and_nothing_is_lost(
    shopping: Shopping, payer: Payer, asked: MerchantServer
) -> None:
    asked.say = lambda session: (500, b"")
    express = {"shipping_options": [], "shipping_address_callback_url": asked.url}
    payer.open(shopping.direct_session(express=express))
    gives_address(payer)
    goes_on(payer)
    expect(payer.alert).to_contain_text("The shop did not answer.")
    expect(payer.page.locator("[name=address_line]")).to_have_value("Storgata 1")
    asked.say = lambda session: {"shipping_options": OPTIONS}
    goes_on(payer)
    expect(payer.page.locator("[name=option]")).to_have_count(3)


def test_what_is_missing_is_told_at_its_field(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.direct_session(express=EXPRESS))
    gives_address(payer, postal_code=" ")
    goes_on(payer)
    expect(payer.page.locator("#postal_code-error")).to_have_text("Fill in: Postal code.")
    expect(payer.page.locator("[name=first_name]")).to_have_value("Kari")


def test_a_business_and_another_billing_address(shopping: Shopping, payer: Payer) -> None:
    allowed = {"allow_different_billing_shipping_address": ["b2c", "b2b"]}
    session = shopping.direct_session(express=EXPRESS, configuration=allowed)
    payer.open(session)
    payer.page.get_by_label("Business").check()
    gives_address(payer, business_name="Fjord AS", organization_number="987654321")
    payer.page.get_by_text("Another billing address").click()
    payer.page.get_by_label("Send the bill to this address").check()
    for name in ("first_name", "last_name", "address_line", "postal_code", "postal_place"):
        payer.page.locator(f"[name=billing_{name}]").fill("Lillegata 2" if name == "address_line" else ADDRESS[name])
    payer.page.locator("[name=billing_country]").select_option("NO")
    goes_on(payer)
    expect(payer.page.locator("[name=option]")).to_have_count(3)
    order = shopping.shop.read_session(session)["order"]
    assert order["shipping_address"]["business_name"] == "Fjord AS"
    assert order["billing_address"]["address_line"] == "Lillegata 2"


def test_a_discount_code_lowers_the_amount_and_can_be_taken_away(
    shopping: Shopping, payer: Payer, asked: MerchantServer
) -> None:
    def discounted(session: Json) -> Json:
        codes = session["order"].get("discount_codes") or []
        good = codes == ["SPRING"]
        amount = 8_000 if good else 10_000
        order = {"amount": amount, "items": [shopping.item(amount)], "discount_codes": codes if good else []}
        return {"shipping_options": [], "order": order}

    asked.say = discounted
    express = {
        "shipping_options": [],
        "shipping_mode": "shipping_not_required",
        "discount_codes": {"max_count": 1, "callback_url": asked.url},
    }
    payer.open(shopping.direct_session(express=express, order={"shipping_address": ADDRESS}))
    payer.page.locator("#code").fill("WINTER")
    payer.page.get_by_role("button", name="Use the code").click()
    expect(payer.page.locator("#code-error")).to_have_text("The shop does not accept this code.")
    payer.page.locator("#code").fill("SPRING")
    payer.page.get_by_role("button", name="Use the code").click()
    expect(payer.page.locator(".total")).to_have_text("NOK\xa080.00")
    payer.page.get_by_role("button", name="Remove SPRING").click()
    expect(payer.page.locator(".total")).to_have_text("NOK\xa0100.00")


def test_the_shops_own_page_is_asked_for_an_address(shopping: Shopping, payer: Payer, asked: MerchantServer) -> None:
    """Version 0.8.30 of the SDK does not pass this on, so the shop listens itself."""
    express = {**EXPRESS, "shipping_address_callback_url": asked.url}
    session = shopping.direct_session(express=express)
    cart = Cart(shopping, payer, session)
    payer.page.goto(f"{shopping.merchant.elsewhere}/cart")
    payer.page.evaluate(
        """(src) => {
            const frame = document.body.appendChild(document.createElement("iframe"));
            frame.style = "width: 100%; height: 900px";
            addEventListener("message", ({ data, source }) => {
                if (data.type !== "AddressCallback") return;
                source.postMessage({ type: "AddressCallbackResult", sid: data.sid, success: true }, "*");
            });
            frame.src = src;
        }""",
        f"{session['url']}?ui=inline&client_side_address_callback=true&language=en",
    )
    for name, value in ADDRESS.items():
        field = cart.frame.locator(f"[name={name}]")
        if name == "country":
            field.select_option(value)
        else:
            field.fill(value)
    cart.frame.locator("[data-address-form] [type=submit]").click()
    expect(cart.frame.locator("[name=option]")).to_have_count(3)
    assert cart.heard("AddressCallback")[0]["session"]["order"]["shipping_address"]["postal_code"] == "0155"
    assert asked.asked == [], "the server was asked as well"
