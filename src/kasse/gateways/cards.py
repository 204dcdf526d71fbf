"""What the sandbox's test cards and amounts do. Source: checkout reference, section 15.

The numbers are those that Dintero documents; any expiry to come and any check code go with them. Every other
card is turned away, so no real number gets further than ``check``.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Literal

import msgspec

from kasse.domain.money import exponent
from kasse.domain.transaction import CallKind, Card, PaymentError, RetryCode, RetryPolicy
from kasse.gateways.port import CardDetails, CardRefused

ThreeDSecure = Literal["no_challenge", "challenge", "attempt", "fails"]


class TimeOut(msgspec.Struct, frozen=True):
    """Which call gets no answer. Either the gateway acted and its answer was lost (Visa), or the call never
    arrived (Mastercard). ``automatic_only`` spares what is asked for by hand."""

    call: CallKind
    arrives: bool
    automatic_only: bool = False

    def hits(self, call: CallKind, automatic: bool) -> bool:
        return call == self.call and (automatic or not self.automatic_only)


class Script(msgspec.Struct, frozen=True):
    """What happens to payments with a card."""

    brand: Literal["Visa", "Mastercard"]
    three_d_secure: ThreeDSecure = "no_challenge"
    time_out: TimeOut | None = None


CARDS: dict[str, Script] = {
    "4000000000000002": Script("Visa"),
    "5200000000000007": Script("Mastercard"),
    "4000100000000000": Script("Visa", "challenge"),
    "5200000000000015": Script("Mastercard", "challenge"),
    "4000200000000008": Script("Visa", "attempt"),
    "5200000000000023": Script("Mastercard", "attempt"),
    "4000300000000006": Script("Visa", "fails"),
    "5200000000000031": Script("Mastercard", "fails"),
    # Without 3-D Secure the issuer would answer 1A, authenticate first: so the payer is challenged.
    "4100000000000076": Script("Visa", "challenge"),
    "4100000000000001": Script("Visa", time_out=TimeOut("authorize", arrives=True)),
    "4100000000000019": Script("Visa", time_out=TimeOut("capture", arrives=True)),
    "4100000000000027": Script("Visa", time_out=TimeOut("refund", arrives=True)),
    "4100000000000043": Script("Visa", time_out=TimeOut("void", arrives=True)),
    "5100000000000008": Script("Mastercard", time_out=TimeOut("authorize", arrives=False)),
    "5100000000000016": Script("Mastercard", time_out=TimeOut("capture", arrives=False)),
    "5100000000000024": Script("Mastercard", time_out=TimeOut("refund", arrives=False)),
    "5100000000000040": Script("Mastercard", time_out=TimeOut("void", arrives=False)),
    "4100000000000035": Script("Visa", time_out=TimeOut("capture", arrives=True, automatic_only=True)),
    "5100000000000032": Script("Mastercard", time_out=TimeOut("capture", arrives=False, automatic_only=True)),
}

_ELECTRONIC_COMMERCE_INDICATORS = {
    "Visa": {"Y": "05", "A": "06", "N": "07"},
    "Mastercard": {"Y": "02", "A": "01", "N": "00"},
}

_ISSUER_RESPONSES = {
    "01": ("the card's issuer wants to be called first", "DECLINED"),
    "02": ("the card's issuer wants to be called first", "DECLINED"),
    "03": ("the merchant is not valid", "INVALID_MERCHANT"),
    "04": ("the card is to be withdrawn", "PICK_UP_CARD"),
    "05": ("the card's issuer declined the payment", "DECLINED"),
    "06": ("an error occurred at the card's issuer", "ERROR"),
    "07": ("the card is to be withdrawn because of suspected fraud", "PICK_UP_CARD"),
    "12": ("the transaction is not valid", "INVALID_TRANSACTION"),
    "13": ("the amount is not valid", "INVALID_AMOUNT"),
    "14": ("the issuer knows no such card number", "DECLINED"),
    "15": ("there is no such issuer", "ISSUER_ERROR"),
    "19": ("the transaction has to be entered again", "ERROR"),
    "30": ("the message to the issuer had the wrong format", "ERROR"),
    "41": ("the card was reported lost", "PICK_UP_CARD"),
    "43": ("the card was reported stolen", "PICK_UP_CARD"),
    "46": ("the account is closed", "CLOSED_ACCOUNT"),
    "51": ("the funds are insufficient", "INSUFFICIENT_FUNDS"),
    "54": ("the card has expired", "EXPIRED_CARD"),
    "55": ("the PIN was wrong", "FAILED_VERIFICATION"),
    "57": ("the card may not be used for such a payment", "RESTRICTED_CARD"),
    "58": ("the merchant may not take such a payment", "INVALID_MERCHANT"),
    "59": ("the card's issuer suspects fraud", "DECLINED"),
    "61": ("the amount is above the card's limit", "EXCEEDS_APPROVAL_LIMIT"),
    "62": ("the card is restricted", "RESTRICTED_CARD"),
    "63": ("the security check failed", "FAILED_VERIFICATION"),
    "65": ("the card was used too often", "EXCEEDS_WITHDRAWAL_FREQUENCY_LIMIT"),
    "70": ("the PIN is required", "PIN_REQUIRED"),
    "75": ("the PIN was wrong too often", "FAILED_VERIFICATION"),
    "78": ("the card is blocked", "RESTRICTED_CARD"),
    "82": ("the check code is wrong", "FAILED_VERIFICATION"),
    "91": ("the card's issuer cannot be reached", "ISSUER_ERROR"),
    "92": ("the card's issuer cannot be found", "ISSUER_ERROR"),
    "94": ("the transaction was sent twice", "INVALID_TRANSACTION"),
    "96": ("the card's issuer has a system failure", "ISSUER_ERROR"),
}
"""ISO 8583 response codes: what they mean and what the checkout reference calls that (7.3)."""

_NEVER_APPROVED = frozenset({"03", "04", "07", "12", "13", "14", "15", "41", "43", "46", "57", "58", "94"})
_ENTERED_WRONG = frozenset({"19", "54", "55", "70", "82"})


def check(card: CardDetails, today: date) -> Script:
    """What will happen with the card. Raises ``CardRefused``, which never tells the number.

    No name here is bound to the number, so that a traceback with local values does not tell it either.
    """
    if not _is_digits(card.number, 12, 19):
        raise CardRefused("number", "incomplete", "expected a card number of 12 to 19 digits")
    if not _check_digit_fits(card.number):
        raise CardRefused("number", "check_digits", "the card number has a wrong digit: its check digit does not fit")
    expiry = _month(card.expiry)
    if expiry is None:
        raise CardRefused("expiry", "incomplete", "expected the expiry as MM/YY")
    if expiry < (today.year, today.month):
        raise CardRefused("expiry", "expired", "the card has expired")
    if not _is_digits(card.cvc, 3, 4):
        raise CardRefused("cvc", "incomplete", "expected a check code of 3 or 4 digits")
    script = CARDS.get(card.number)
    if script is None:
        raise CardRefused("number", "not_a_test_card", "the sandbox takes test cards only, this is not one of them")
    return script


def kept(card: CardDetails, script: Script) -> Card:
    """What may be kept of a card that passed ``check``."""
    year, month = _month(card.expiry) or (0, 0)
    return Card(
        brand=script.brand,
        masked_pan=f"{card.number[:6]}******{card.number[-4:]}",
        expiry_date=f"{month:02d}/{year:04d}",
        type="Credit",
        country="NO",
        three_ds_version="2.2.0",
        region="domestic",
        product_platform="consumer",
        issuing_bank="Sandbox Bank",
    )


def authenticated(card: Card, status: Literal["Y", "A", "N"]) -> Card:
    """The card with the outcome of 3-D Secure: yes, attempted or no."""
    eci = _ELECTRONIC_COMMERCE_INDICATORS[card.brand][status]
    return msgspec.structs.replace(card, authentication_status=status, eci=eci)


def issuer_error(amount: int, currency: str) -> PaymentError | None:
    """What the issuer has against it: 995XX in major units simulates its response code XX, 00 approves.

    Raises ``Refusal`` (unknown_currency).
    """
    whole = amount // 10 ** exponent(currency)
    response = f"{whole % 100:02d}"
    if whole // 100 != 995 or response == "00":
        return None
    message, error_type = _ISSUER_RESPONSES.get(response, ("the card's issuer declined the payment", "DECLINED"))
    return PaymentError(
        message,
        code=f"issuer_{response}",
        type=(error_type,),
        result_code=response,
        retry_policy=RetryPolicy((_retry_code(response),)),
    )


def _retry_code(response: str) -> RetryCode:
    """As the card schemes sort their response codes: never to be approved, not now, or not with what was entered."""
    if response in _NEVER_APPROVED:
        return "DO_NOT_RETRY"
    return "RETRY_IMMEDIATELY" if response in _ENTERED_WRONG else "RETRY_AFTER_DELAY"


def _is_digits(text: str, at_least: int, at_most: int) -> bool:
    return text.isascii() and text.isdigit() and at_least <= len(text) <= at_most


def _check_digit_fits(number: str) -> bool:
    """Luhn's sum: every second digit from the right counts double, its own digits added up."""
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def _month(expiry: str) -> tuple[int, int] | None:
    """Year and month of ``MM/YY`` or ``MM/YYYY``."""
    match = re.fullmatch(r"(0[1-9]|1[0-2])/([0-9]{2}|[0-9]{4})", expiry)
    if match is None:
        return None
    month, year = int(match[1]), int(match[2])
    return (year if len(match[2]) == 4 else 2000 + year), month
