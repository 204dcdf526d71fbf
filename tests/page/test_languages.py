"""The payer reads one language all the way, and amounts the way that language writes them."""

from __future__ import annotations

import json
import string
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.page import languages
from kasse.page.declines import DECLINES, decline_text
from kasse.page.languages import (
    LANGUAGES,
    choose_language,
    date_text,
    direction,
    money_text,
    quantity_text,
    texts,
)
from kasse.page.render import render_challenge, render_pay
from kasse.page.view import TEST_CARDS, ChallengeView, PageLine, PayView, State

FOLDER = Path(languages.__file__).parent / "languages"


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def typed(text: str) -> str:
    """The text with the spaces and the minus sign of a keyboard."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def test_every_language_on_disk_is_offered_and_the_other_way_round() -> None:
    assert sorted(LANGUAGES) == sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_key_is_written_twice(language: str) -> None:
    keys: list[str] = []
    json.loads(
        (FOLDER / f"{language}.json").read_text("utf-8"),
        object_pairs_hook=lambda pairs: keys.extend(key for key, _ in pairs),
    )
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_in_the_same_order(language: str) -> None:
    assert list(texts(language)) == list(texts("en"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_there_with_the_same_placeholders(language: str) -> None:
    for key, english in texts("en").items():
        text = texts(language)[key]
        assert text.strip() == text != "", key
        assert placeholders(text) == placeholders(english), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_decline_and_every_test_card_has_its_text(language: str) -> None:
    assert {*DECLINES.values(), *(card.text_key for card in TEST_CARDS)} <= set(texts(language))


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_of_the_page_is_told_in_every_language(language: str, state: State) -> None:
    view = PayView(
        session_id="T1.a",
        state=state,
        language=language,
        direction=direction(language),
        texts=texts(language),
        merchant_name="Fjord & <Fjell>",
        lines=(PageLine("Ullgenser", "", "899,00 kr"),),
        total_text="899,00 kr",
        is_test=True,
        pay_action="/pay",
    )
    page = render_pay(view)
    assert f'<html lang="{language}"' in page
    assert "Fjord &amp; &lt;Fjell&gt;" in page
    assert "{" not in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pretend_bank_speaks_every_language(language: str) -> None:
    bank = ChallengeView(
        language=language,
        direction=direction(language),
        texts=texts(language),
        merchant_name="Fjord",
        amount_text="899,00 kr",
        masked_card="4000 10•• •••• 0000",
        approve_action="/approve",
        reject_action="/reject",
    )
    assert texts(language)["bank_approve"] in render_challenge(bank)


@pytest.mark.parametrize(
    ("requested", "accept_language", "chosen"),
    [
        (None, None, "en"),
        ("sv", "de", "sv"),
        ("no", None, "nb"),
        ("nn", None, "nb"),
        ("nb-NO", None, "nb"),
        ("NB_no", None, "nb"),
        ("fr", "da", "da"),
        ("", "fi-FI,fi;q=0.9", "fi"),
        (None, "fr-FR, sv;q=0.5, da;q=0.8", "da"),
        (None, "sv;q=0.5,da;q=0.5", "sv"),
        (None, "de;q=0, nn;q=0.1", "nb"),
        (None, "de ; Q=0.3 , en;q=0.2", "de"),
        (None, "*", "en"),
        (None, "de;q=1.000", "de"),
    ],
)
def test_the_language_asked_for_comes_first_then_the_browsers_best(
    requested: str | None, accept_language: str | None, chosen: str
) -> None:
    assert choose_language(requested, accept_language) == chosen


@pytest.mark.parametrize(
    "junk",
    [
        "",
        ",",
        ";;;",
        "q=1",
        ";q=1",
        "de;q=",
        "de;q=nan",
        "de;q=1e9",
        "de;q=-1",
        "../en",
        "\0",
        "ÆØÅ",
        "," * 9999,
    ],
)
def test_junk_is_answered_in_english(junk: str) -> None:
    assert choose_language(junk, junk) == "en"


@given(st.none() | st.text(), st.none() | st.text())
def test_no_header_and_no_parameter_can_hurt(requested: str | None, accept_language: str | None) -> None:
    assert choose_language(requested, accept_language) in LANGUAGES


@pytest.mark.parametrize(
    ("amount", "currency", "exponent", "language", "written"),
    [
        (129990, "NOK", 2, "nb", "1 299,90 kr"),
        (129990, "NOK", 2, "en", "NOK 1,299.90"),
        (129990, "SEK", 2, "sv", "1 299,90 kr"),
        (129990, "DKK", 2, "da", "1.299,90 kr."),
        (129990, "EUR", 2, "fi", "1 299,90 €"),
        (129990, "EUR", 2, "de", "1.299,90 €"),
        (129990, "EUR", 2, "en", "€1,299.90"),
        (1500, "JPY", 0, "nb", "1 500 JPY"),
        (1500, "JPY", 0, "de", "1.500 ¥"),
        (1500, "ISK", 0, "en", "ISK 1,500"),
        (1234567, "KWD", 3, "en", "KWD 1,234.567"),
        (5, "KWD", 3, "nb", "0,005 KWD"),
        (100000, "IQD", 3, "de", "100,000 IQD"),
        (12345, "CLF", 4, "en", "CLF 1.2345"),
        (-5000, "NOK", 2, "nb", "-50,00 kr"),
        (-5000, "NOK", 2, "en", "-NOK 50.00"),
        (-1, "KWD", 3, "fi", "-0,001 KWD"),
        (-7, "JPY", 0, "sv", "-7 JPY"),
        (0, "NOK", 2, "nb", "0,00 kr"),
        (2**53 - 1, "EUR", 2, "en", "€90,071,992,547,409.91"),
    ],
)
def test_money_is_written_as_its_reader_writes_it(
    amount: int, currency: str, exponent: int, language: str, written: str
) -> None:
    assert typed(money_text(amount, currency, exponent, language)) == written


@given(st.integers(-(2**53), 2**53), st.sampled_from([0, 2, 3, 4]), st.sampled_from(LANGUAGES))
def test_no_digit_of_an_amount_is_lost(amount: int, exponent: int, language: str) -> None:
    written = money_text(amount, "XTS", exponent, language)
    assert int("".join(filter(str.isdecimal, written))) == abs(amount)
    assert ("\N{MINUS SIGN}" in written) == (amount < 0)


def test_an_amount_does_not_break_across_lines() -> None:
    for language in LANGUAGES:
        assert " " not in money_text(-129990, "NOK", 2, language)


def test_a_quantity_of_one_goes_without_saying() -> None:
    assert quantity_text(1, "nb") == quantity_text(Decimal("1.0"), "nb") == ""
    assert typed(quantity_text(2, "nb")) == "2 ×"
    assert typed(quantity_text(Decimal("0.5"), "nb")) == "0,5 ×"


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("en", "24 November 2026"),
        ("nb", "24. november 2026"),
        ("sv", "24 november 2026"),
        ("da", "24. november 2026"),
        ("fi", "24. marraskuuta 2026"),
        ("de", "24. November 2026"),
    ],
)
def test_dates_are_written_out(language: str, written: str) -> None:
    assert date_text(date(2026, 11, 24), language) == written


def test_a_decline_without_a_text_of_its_own_gets_the_general_one() -> None:
    english = texts("en")
    assert decline_text("EXPIRED_CARD", "en") == english["decline_expired_card"]
    assert decline_text("SOMETHING_NEW", "en") == decline_text(None, "en") == english["decline_generic"]
