"""What the payer's page shows: finished texts and addresses, nothing left to compute in a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kasse.page.languages import direction, texts

State = Literal[
    "ready",  # the card form
    "declined",  # the bank said no; the card form again, empty
    "locked_elsewhere",  # another payer pays these lines right now
    "paid_elsewhere",  # another payer has paid them: nothing is left
    "waiting",  # the outcome is unknown: whoever paid now might pay twice
    "challenge",  # the payer came back from his bank without finishing
    "paid",
    "cancelled",
    "failed",  # over without payment and without another try here; /embedResult/ needs it
    "expired",
    "not_found",
    "unavailable",
]


@dataclass(frozen=True)
class PageLine:
    """One order line. ``quantity_text`` is empty where it would only say "one"."""

    description: str
    quantity_text: str
    amount_text: str


@dataclass(frozen=True)
class PayView:
    """The payment page in one of its states.

    ``texts`` are those of ``language`` (a BCP 47 tag). ``message`` is the translated reason for a decline, or
    another notice above the form. ``field_errors`` maps ``card_number``, ``card_expiry``, ``card_cvc`` to a
    translated text. ``entered`` keeps ``card_expiry`` over a mistake; card number and CVC never come back.
    ``this_month`` (``YYYY-MM``) is the account's own idea of today, for the expiry check in the browser:
    sandbox clocks move and payers' clocks are wrong. With ``goes_on`` the page opens ``return_href`` by itself.
    What is ``None`` or empty is not shown.
    """

    session_id: str
    state: State
    language: str
    direction: str
    texts: Mapping[str, str]
    merchant_name: str = ""
    merchant_logo_url: str | None = None
    terms_url: str | None = None
    lines: tuple[PageLine, ...] = ()
    total_text: str = ""
    currency: str = ""
    is_test: bool = False
    message: str | None = None
    field_errors: Mapping[str, str] = field(default_factory=dict)
    entered: Mapping[str, str] = field(default_factory=dict)
    this_month: str | None = None
    return_href: str | None = None
    goes_on: bool = False
    pay_action: str | None = None
    cancel_action: str | None = None
    poll_url: str | None = None
    challenge_url: str | None = None


@dataclass(frozen=True)
class ChallengeView:
    """The sandbox's pretend bank, asking the payer for 3-D Secure, or its wallet, where there is no card.

    Both actions are plain POST forms.
    """

    language: str
    direction: str
    texts: Mapping[str, str]
    merchant_name: str
    amount_text: str
    masked_card: str | None
    approve_action: str
    reject_action: str


def plain_view(state: State, language: str, return_href: str | None = None) -> PayView:
    """A page about no session in particular, such as ``not_found`` and ``unavailable``."""
    return PayView("", state, language, direction(language), texts(language), return_href=return_href)


@dataclass(frozen=True)
class TestCard:
    """A card the sandbox knows, in both brands where there are two. ``text_key`` says what it does."""

    __test__ = False  # pytest: not a test class, whatever its name begins with

    text_key: str
    numbers: tuple[str, ...]


# Source: checkout reference, section 15.
TEST_CARDS = (
    TestCard("test_card_paid", ("4000 0000 0000 0002", "5200 0000 0000 0007")),
    TestCard("test_card_confirm", ("4000 1000 0000 0000", "5200 0000 0000 0015")),
    TestCard("test_card_attempted", ("4000 2000 0000 0008", "5200 0000 0000 0023")),
    TestCard("test_card_refused", ("4000 3000 0000 0006", "5200 0000 0000 0031")),
    TestCard("test_card_required", ("4100 0000 0000 0076",)),
    TestCard("test_card_silent", ("4100 0000 0000 0001", "5100 0000 0000 0008")),
    TestCard("test_card_silent_capture", ("4100 0000 0000 0019", "5100 0000 0000 0016")),
    TestCard("test_card_silent_refund", ("4100 0000 0000 0027", "5100 0000 0000 0024")),
    TestCard("test_card_silent_auto_capture", ("4100 0000 0000 0035", "5100 0000 0000 0032")),
    TestCard("test_card_silent_cancel", ("4100 0000 0000 0043", "5100 0000 0000 0040")),
)
