"""Mistakes in the card form: told in words, nothing is paid, and no card comes back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Request, expect

from tests.page.browsing import Payer
from tests.page.states import Shopping

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("number", "expiry", "cvc", "field", "text"),
    [
        ("", "12/30", "123", "Card number", "Enter the card number."),
        ("4000 0000 000", "12/30", "123", "Card number", "The card number is not complete."),
        ("4000 0000 0000 0003", "12/30", "123", "Card number", "One of the digits seems to be wrong."),
        ("4000 0000 0000 0002", "", "123", "Expiry date", "Enter the expiry date as month and year"),
        ("4000 0000 0000 0002", "13/30", "123", "Expiry date", "The month must be between 01 and 12."),
        ("4000 0000 0000 0002", "12/20", "123", "Expiry date", "This card has expired."),
        ("4000 0000 0000 0002", "12/30", "", "Security code", "Enter the 3 digits on the back of the card."),
        ("3782 822463 10005", "12/30", "123", "Security code", "Enter the 4 digits on the front of the card."),
    ],
)
def test_a_mistake_is_told_at_its_field_and_nothing_is_sent(
    shopping: Shopping, payer: Payer, number: str, expiry: str, cvc: str, field: str, text: str
) -> None:
    sent: list[Request] = []
    payer.page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    payer.open(shopping.session())
    payer.pay(number, expiry, cvc)
    wrong = payer.page.get_by_label(field)
    expect(wrong).to_be_focused()
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_have_accessible_description(re.compile(re.escape(text)))
    expect(payer.page.locator("[aria-invalid=true]")).to_have_count(1)
    expect(payer.pay_button).to_be_enabled()
    assert sent == []


def test_all_mistakes_are_told_at_once_and_the_first_is_gone_to(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    payer.pay_button.click()
    expect(payer.page.locator(".error:not(:empty)")).to_have_text(
        [
            "Enter the card number.",
            "Enter the expiry date as month and year, for example 04/29.",
            "Enter the 3 digits on the back of the card.",
        ]
    )
    expect(payer.number).to_be_focused()


def test_a_mistake_goes_away_as_soon_as_it_is_put_right(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    payer.number.fill("4000 0000 0000 0003")
    payer.number.blur()
    error = payer.page.locator("#card_number-error")
    expect(error).to_have_text("Check the card number. One of the digits seems to be wrong.")
    payer.number.press("End")
    payer.number.press("Backspace")
    payer.number.press("2")
    expect(error).to_be_empty()
    expect(payer.page.locator("[aria-invalid]")).to_have_count(0)


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("card_number", "4000000000000003", "Check the card number. One of the digits seems to be wrong."),
        ("card_number", "378282246310006", "Check the card number. One of the digits seems to be wrong."),
        ("card_number", "400000000000000", ""),
        ("card_expiry", "1325", "The month must be between 01 and 12."),
        ("card_expiry", "1221", "This card has expired. Use another card."),
        ("card_expiry", "1220", ""),
        ("card_expiry", "122030", ""),
    ],
)
def test_what_cannot_become_right_any_more_is_told_while_it_is_typed(
    shopping: Shopping, payer: Payer, field: str, typed: str, told: str
) -> None:
    payer.open(shopping.session())
    payer.page.locator(f"#{field}").press_sequentially(typed)
    expect(payer.page.locator(f"#{field}")).to_be_focused()
    expect(payer.page.locator(f"#{field}-error")).to_have_text(told)


def test_an_unfinished_number_is_not_told_while_it_is_typed(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session())
    payer.number.press_sequentially("400000")
    expect(payer.page.locator("#card_number-error")).to_be_empty()


def test_a_card_of_the_real_world_is_turned_away(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.open(session)
    payer.pay("4242 4242 4242 4242")
    expect(payer.alert).to_be_focused()
    expect(payer.alert).to_contain_text("This is a test. Use one of the test cards listed at the top of the page.")
    assert shopping.attempts(session) == 0
    assert shopping.authorizations(order) == []


@pytest.mark.parametrize(
    ("number", "cvc"), [("4242 4242 4242 4242", "7391"), ("4000 0000 0000 0003", "7391"), ("4242424242424242", "739z")]
)
def test_neither_card_number_nor_security_code_ever_come_back(
    shopping: Shopping, payer: Payer, number: str, cvc: str
) -> None:
    session = shopping.session()
    payer.open(session)
    answer = payer.page.evaluate(
        """async (card) => {
            const reply = await fetch(document.querySelector("[data-card-form]").action, {
                method: "POST", body: new URLSearchParams(card)
            });
            return [reply.status, await reply.text(), JSON.stringify([...reply.headers])];
        }""",
        {"card_number": number, "card_expiry": "12/30", "card_cvc": cvc},
    )
    status, text, headers = answer
    assert status == 422
    for secret in (number, number.replace(" ", ""), cvc):
        assert not re.search(rf"\b{secret}\b", text + headers)
    assert 'value="12/30"' in text
    assert shopping.attempts(session) == 0


def test_loading_a_page_with_a_mistake_by_its_address_shows_the_form(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.open(session)
    payer.pay("4242 4242 4242 4242")
    expect(payer.alert).to_be_visible()
    assert payer.page.url.partition("?")[0].endswith("/pay")
    payer.page.goto(payer.page.url)
    payer.sees("ready")
    expect(payer.alert).to_have_count(0)
    payer.arrives(f"{session['url']}?language=en")


def test_a_mistake_after_the_order_was_paid_shows_that_it_is_paid(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    session = shopping.session(order)
    payer.goes_deaf()
    payer.open(session)
    shopping.shop.pay(session)
    payer.pay("4242 4242 4242 4242")
    payer.sees("paid")
    payer.arrives(f"{session['url']}?language=en")
    assert shopping.authorizations(order) == [10_000]


def test_a_form_that_no_page_of_ours_sends_is_turned_away_in_words(shopping: Shopping, payer: Payer) -> None:
    session = shopping.session()
    payer.open(session)
    statuses = payer.page.evaluate(
        """async (bodies) => Promise.all(bodies.map(async (body) => {
            const reply = await fetch(document.querySelector("[data-card-form]").action, { method: "POST", body });
            return [reply.status, reply.headers.get("content-type")];
        }))""",
        ["", "x", "x=1&" * 100, "x" * 10_000, "card_number=%ff%00&card_cvc=%"],
    )
    assert [status for status, _ in statuses] == [422, 422, 413, 413, 422]
    assert {kind for _, kind in statuses} == {"text/html; charset=utf-8"}
    assert shopping.attempts(session) == 0
