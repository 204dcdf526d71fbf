"""The payer reads his language all the way, and amounts as he writes them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.page.browsing import CONFIRM, REFUSED, SILENT_VISA, Browsing, Payer
from tests.page.conftest import Payers
from tests.page.states import STATES, Shopping

pytestmark = pytest.mark.browser


def test_the_language_of_the_link_is_kept_through_a_decline(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session(), language="nb")
    expect(payer.page.locator("html")).to_have_attribute("lang", "nb")
    expect(payer.heading).to_have_text("Betal med kort")
    payer.pay(REFUSED)
    payer.sees("declined")
    expect(payer.alert).to_contain_text("Betalingen ble ikke gjennomført")
    expect(payer.alert).to_contain_text("Kortet er ikke belastet.")
    payer.pay("4242 4242 4242 4242")
    expect(payer.alert).to_contain_text("Dette er en test.")


def test_the_language_of_the_link_is_kept_through_the_bank(shopping: Shopping, payer: Payer) -> None:
    payer.open(shopping.session(), language="nb")
    payer.pay(CONFIRM)
    expect(payer.heading).to_have_text("Godkjenner du denne betalingen?")
    payer.page.go_back()
    expect(payer.heading).to_have_text("Bekreft hos banken din")
    payer.page.get_by_role("link", name="Fortsett til banken").click()
    expect(payer.page.locator("html")).to_have_attribute("lang", "nb")
    payer.page.get_by_role("button", name="Avvis").click()
    payer.sees("declined")
    expect(payer.alert).to_contain_text("Banken din kunne ikke bekrefte at det er deg.")
    payer.pay()
    payer.is_at_the_shop()


def test_the_language_of_the_link_is_kept_while_waiting(shopping: Shopping, payer: Payer) -> None:
    shopping.never_looks_up()
    session = shopping.session()
    payer.open(session, language="nb")
    payer.pay(SILENT_VISA)
    expect(payer.heading).to_have_text("Venter på banken din")
    payer.page.get_by_role("link", name="Sjekk igjen").click()
    expect(payer.heading).to_have_text("Venter på banken din")
    payer.arrives(f"{session['url']}?language=nb")


@pytest.mark.parametrize(
    ("locale", "language", "title"),
    [
        ("nb-NO", "nb", "Betal med kort"),
        ("sv-SE", "sv", "Betala med kort"),
        ("da-DK", "da", "Betal med kort"),
        ("fi-FI", "fi", "Maksa kortilla"),
        ("de-AT", "de", "Mit Karte zahlen"),
        ("fr-FR", "en", "Pay by card"),
    ],
)
def test_without_a_wish_the_browsers_language_is_spoken(
    shopping: Shopping, payers: Payers, browsing: Browsing, locale: str, language: str, title: str
) -> None:
    payer = payers(locale=locale)
    payer.open(shopping.session())
    expect(payer.page.locator("html")).to_have_attribute("lang", language)
    expect(payer.heading).to_have_text(title)


@pytest.mark.parametrize("state", sorted(STATES))
def test_every_state_speaks_norwegian_only(shopping: Shopping, payer: Payer, state: str) -> None:
    STATES[state](shopping, payer, {"language": "nb"})
    expect(payer.page.locator("html")).to_have_attribute("lang", "nb")
    said = f"{payer.page.title()} {payer.page.locator('body').inner_text()}"
    assert not re.search(r"\b(the|your|card|payment|pay|you|back|shop)\b", said, re.IGNORECASE), said


@pytest.mark.parametrize(
    ("amount", "currency", "language", "written"),
    [
        (129_990, "NOK", "en", "NOK 1,299.90"),
        (129_990, "NOK", "nb", "1 299,90 kr"),
        (1_500, "JPY", "en", "JP¥1,500"),
        (1_500, "JPY", "nb", "1 500 JPY"),
        (1_234_567, "KWD", "en", "KWD 1,234.567"),
        (1_234_567, "KWD", "nb", "1 234,567 KWD"),
    ],
)
def test_amounts_are_written_with_the_decimals_of_their_currency(
    shopping: Shopping, payer: Payer, amount: int, currency: str, language: str, written: str
) -> None:
    order = shopping.order(amount, currency=currency)
    payer.open(shopping.session(order), language=language)
    # Playwright takes any space for any other.
    expect(payer.page.locator(".total")).to_have_text(written)
    expect(payer.page.locator(".lines .sum")).to_have_text(written)
    expect(payer.pay_button).to_have_text(re.compile(re.escape(written).replace(r"\ ", r"\s")))
    payer.pay(CONFIRM)
    expect(payer.page.locator(".facts-amount")).to_have_text(written)
    payer.page.locator("form[action*=approve] button").click()
    payer.is_at_the_shop()
    assert shopping.authorizations(order) == [amount]
