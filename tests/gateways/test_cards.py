"""Which cards the sandbox takes, and what it says of the others."""

from __future__ import annotations

import traceback
from datetime import date

import pytest

from kasse.domain.money import EXPONENTS
from kasse.gateways.cards import CARDS, check, issuer_error, kept
from kasse.gateways.port import CardDetails, CardRefused
from tests.gateways.pretend import card

TODAY = date(2026, 3, 14)
GOOD = "4000000000000002"


def refused(details: CardDetails) -> CardRefused:
    with pytest.raises(CardRefused) as caught:
        check(details, TODAY)
    return caught.value


@pytest.mark.parametrize("number", CARDS)
def test_every_test_card_is_taken(number: str) -> None:
    assert check(card(number), TODAY) is CARDS[number]


def test_there_are_as_many_cards_as_documented() -> None:
    assert len(CARDS) == 19


@pytest.mark.parametrize(
    ("details", "field", "problem"),
    [
        (card(""), "number", "incomplete"),
        (card("40000000000"), "number", "incomplete"),
        (card("40000000000000000002"), "number", "incomplete"),
        (card("4000 0000 0000 0002"), "number", "incomplete"),
        (card("400000000000000²"), "number", "incomplete"),
        (card("٤٠٠٠٠٠٠٠٠٠٠٠٠٠٠٢"), "number", "incomplete"),
        (card("4000000000000001"), "number", "check_digits"),
        (card("4000000000000020"), "number", "check_digits"),
        (card("4111111111111111"), "number", "not_a_test_card"),
        (card("378282246310005"), "number", "not_a_test_card"),
        (card(GOOD, expiry=""), "expiry", "incomplete"),
        (card(GOOD, expiry="13/30"), "expiry", "incomplete"),
        (card(GOOD, expiry="00/30"), "expiry", "incomplete"),
        (card(GOOD, expiry="1/30"), "expiry", "incomplete"),
        (card(GOOD, expiry="12/030"), "expiry", "incomplete"),
        (card(GOOD, expiry="12-30"), "expiry", "incomplete"),
        (card(GOOD, expiry="12/30\n"), "expiry", "incomplete"),
        (card(GOOD, expiry="02/26"), "expiry", "expired"),
        (card(GOOD, expiry="12/2025"), "expiry", "expired"),
        (card(GOOD, expiry="12/0030"), "expiry", "expired"),
        (card(GOOD, cvc=""), "cvc", "incomplete"),
        (card(GOOD, cvc="12"), "cvc", "incomplete"),
        (card(GOOD, cvc="12345"), "cvc", "incomplete"),
        (card(GOOD, cvc="12x"), "cvc", "incomplete"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_card_is_told(details: CardDetails, field: str, problem: str) -> None:
    refusal = refused(details)
    assert (refusal.field, refusal.problem) == (field, problem)


@pytest.mark.parametrize("expiry", ["03/26", "03/2026", "12/99", "12/2099"])
def test_a_card_is_good_until_its_month_is_over(expiry: str) -> None:
    check(card(GOOD, expiry=expiry), TODAY)


@pytest.mark.parametrize("cvc", ["000", "1234"])
def test_any_check_code_will_do(cvc: str) -> None:
    check(card(GOOD, cvc=cvc), TODAY)


def test_a_real_card_is_told_that_this_is_a_sandbox() -> None:
    assert "sandbox takes test cards only" in refused(card("4111111111111111")).message


@pytest.mark.parametrize("number", ["4111111111111111", "4111111111111112", "411111111111111111111"])
def test_a_refusal_tells_the_number_nowhere(number: str) -> None:
    refusal = refused(card(number, cvc="987"))
    report = "".join(traceback.TracebackException.from_exception(refusal, capture_locals=True).format())
    ours = report[report.index("gateways/cards.py") :]
    for text in (str(refusal), repr(refusal), repr(refusal.__context__), ours, repr(card(number, cvc="987"))):
        assert number not in text
        assert "987" not in text


def test_only_the_ends_of_the_number_are_kept() -> None:
    details = card("5200000000000015", expiry="01/31")
    assert kept(details, check(details, TODAY)).masked_pan == "520000******0015"
    assert kept(details, check(details, TODAY)).expiry_date == "01/2031"


@pytest.mark.parametrize("currency", ["JPY", "NOK", "KWD", "CLF"])
def test_the_amount_is_read_in_major_units(currency: str) -> None:
    unit = 10 ** EXPONENTS[currency]
    error = issuer_error(99551 * unit, currency)
    assert error is not None
    assert (error.code, error.type, error.result_code) == ("issuer_51", ("INSUFFICIENT_FUNDS",), "51")
    assert issuer_error(99552 * unit - 1, currency) == error
    assert issuer_error(99500 * unit, currency) is None
    assert issuer_error(99499 * unit, currency) is None
    assert issuer_error(99600 * unit, currency) is None


ERROR_TYPES = """
ERROR DECLINED ISSUER_ERROR PICK_UP_CARD INVALID_MERCHANT INVALID_TRANSACTION INVALID_AMOUNT INSUFFICIENT_FUNDS
CLOSED_ACCOUNT EXPIRED_CARD EXCEEDS_APPROVAL_LIMIT EXCEEDS_WITHDRAWAL_FREQUENCY_LIMIT RESTRICTED_CARD
PIN_REQUIRED FAILED_VERIFICATION ADDITIONAL_VERIFICATION_REQUIRED UNKNOWN
"""


@pytest.mark.parametrize("response", range(1, 100))
def test_every_response_but_00_declines_with_a_known_type(response: int) -> None:
    error = issuer_error((99500 + response) * 100, "NOK")
    assert error is not None
    assert error.result_code == f"{response:02d}"
    assert error.message
    assert len(error.type) == 1
    assert error.type[0] in ERROR_TYPES.split()
