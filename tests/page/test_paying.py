"""A payer opens the link, pays with a card or cancels, and is back at the shop, which is told about it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import expect

from tests.page.browsing import Payer
from tests.page.states import Shopping

pytestmark = pytest.mark.browser


def test_an_order_is_paid_from_the_link_to_the_shop(shopping: Shopping, payer: Payer) -> None:
    secret = shopping.shop.ok("POST", "/v1/admin/signature")["signature"]["secret"]
    order = shopping.cart()
    session = shopping.session(order)

    payer.open(session)
    expect(payer.page).to_have_title("Pay NOK\xa01,676.00 to Fjord & Fjell")
    summary = payer.page.get_by_role("region", name="Your order")
    expect(summary.get_by_text("Fjord & Fjell")).to_be_visible()
    expect(summary.locator(".total")).to_have_text("NOK 1,676.00")
    expect(summary.get_by_role("listitem")).to_have_text(
        [
            re.compile(r"^\s*Wool jumper, moss green\s+NOK.1,299\.00\s*$"),
            re.compile(r"^\s*2.×\s+Socks\s+NOK.298\.00\s*$"),
            re.compile(r"^\s*Delivery, parcel locker\s+NOK.79\.00\s*$"),
        ]
    )

    payer.page.get_by_label("Card number").press_sequentially("4000000000000002")
    expect(payer.number).to_have_value("4000 0000 0000 0002")
    expect(payer.page.locator("[data-brand]")).to_have_text("Visa")
    payer.page.get_by_label("Expiry date").press_sequentially("1230")
    expect(payer.expiry).to_have_value("12/30")
    payer.page.get_by_label("Security code").press_sequentially("123")
    payer.page.get_by_role("button", name="Pay NOK 1,676.00").click()

    payer.is_at_the_shop()
    [authorization] = [each for each in shopping.shop.read_order(order)["authorizations"] if each["success"]]
    transaction_id = authorization["payment_details"]["payment_id"]
    came_back = [("cart", "7"), ("merchant_reference", order["order_id"]), ("transaction_id", transaction_id)]
    assert parse_qsl(urlsplit(payer.page.url).query) == came_back
    assert [call.query for call in shopping.merchant.returns()] == [came_back]
    assert "referer" not in shopping.merchant.returns()[0].headers
    assert authorization["amount"] == 167_600
    assert shopping.shop.transaction(transaction_id)["status"] == "AUTHORIZED"

    call = shopping.merchant.callback()
    assert call.method == "GET"
    assert dict(call.query) == {
        "shop": "north sea",
        "transaction_id": transaction_id,
        "session_id": session["id"],
        "merchant_reference": order["order_id"],
        "time": dict(call.query)["time"],
    }
    assert call.is_signed(secret, shopping.shop.account_id)
    assert not call.is_signed("another secret", shopping.shop.account_id)
    assert not call.is_signed(secret, "T00000000")


@pytest.mark.parametrize(
    ("typed", "shown", "brand"),
    [
        ("4000000000000002", "4000 0000 0000 0002", "Visa"),
        ("5200000000000007", "5200 0000 0000 0007", "Mastercard"),
        ("378282246310005", "3782 822463 10005", "American Express"),
        ("4000-0000 0000/0002", "4000 0000 0000 0002", "Visa"),
        ("40000000000000021234567", "4000 0000 0000 0002 123", "Visa"),
        ("abc", "", ""),
    ],
)
def test_a_card_number_is_spaced_and_its_brand_named_as_one_types(
    shopping: Shopping, payer: Payer, typed: str, shown: str, brand: str
) -> None:
    payer.open(shopping.session())
    payer.number.press_sequentially(typed)
    expect(payer.number).to_have_value(shown)
    expect(payer.page.locator("[data-brand]")).to_have_text(brand)


def test_digits_put_in_later_stay_where_they_are_typed(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    payer.number.press_sequentially("40000000000002")
    for _ in range(4):
        payer.page.keyboard.press("ArrowLeft")
    payer.page.keyboard.type("99")
    expect(payer.number).to_have_value("4000 0000 0009 9002")
    assert payer.number.evaluate("field => field.selectionStart") == len("4000 0000 0009 9")


def test_a_shop_that_sends_its_payers_on_to_another_address_gets_them(shopping: Shopping, payer: Payer) -> None:
    """From ``shop.example`` to ``www.shop.example``, say: browsers hold the redirects of a form to its policy."""
    order = shopping.order()
    payer.open(shopping.session(order, url={"return_url": f"{shopping.merchant.base}/moved?cart=7"}))
    payer.pay()
    payer.is_at_the_shop()
    payer.arrives(re.compile(re.escape(shopping.merchant.elsewhere)))
    assert shopping.authorizations(order) == [10_000]


def test_a_payer_who_cancels_gets_to_a_shop_that_has_moved(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session(url={"return_url": f"{shopping.merchant.base}/moved"}))
    payer.cancel_button.click()
    payer.is_at_the_shop()


@pytest.mark.parametrize("host", ["xn--e1afmkfd.example", "пример.example", "blåbær.example", "[::1]:9", "a;b.example"])
def test_a_shop_may_live_at_any_address(shopping: Shopping, payer: Payer, host: str) -> None:
    payer.open(shopping.session(url={"return_url": f"https://{host}/done"}))
    payer.sees("ready")


def test_a_payer_who_cancels_is_back_at_the_shop_without_a_payment(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.cancel_button.click()
    payer.is_at_the_shop()
    assert parse_qsl(urlsplit(payer.page.url).query) == [
        ("cart", "7"),
        ("merchant_reference", order["order_id"]),
        ("error", "cancelled"),
    ]
    assert shopping.events(session)[-1] == "CANCELLED"
    assert shopping.authorizations(order) == []
    assert shopping.attempts(session) == 0


def test_the_shops_terms_open_beside_the_payment(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    with payer.context.expect_page() as opened:
        payer.page.get_by_role("link", name="Terms and conditions").click()
    opened.value.wait_for_url(f"{shopping.merchant.base}/terms")
    payer.sees("ready")
    assert all("referer" not in call.headers for call in shopping.merchant.calls if call.path == "/terms")
