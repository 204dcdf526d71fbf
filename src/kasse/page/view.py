"""What the payer's page shows: finished texts and addresses, nothing left to compute in a template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from kasse.page.express_view import ExpressView
from kasse.page.framing import ANYONE
from kasse.page.languages import LANGUAGES, direction, texts
from kasse.page.methods import MethodView
from kasse.page.visit import Visit

State = Literal[
    "express",  # an address or a way of shipping is missing before anything can be paid
    "ready",  # the ways to pay
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
    "loading",  # a pop-out whose shop is still checking the order
]


@dataclass(frozen=True)
class PageLine:
    """One order line. ``quantity_text`` is empty where it would only say "one"."""

    description: str
    quantity_text: str
    amount_text: str


@dataclass(frozen=True)
class LanguageLink:
    """The same page in a language, by that language's own name."""

    code: str
    name: str
    href: str


@dataclass(frozen=True)
class PayView:
    """The payment page in one of its states.

    ``texts`` are those of ``language`` (a BCP 47 tag). ``message`` is the translated reason for a decline, or
    another notice above the form. ``field_errors`` maps ``card_number``, ``card_expiry``, ``card_cvc`` to a
    translated text. ``entered`` keeps ``card_expiry`` over a mistake; card number and CVC never come back.
    ``this_month`` (``YYYY-MM``) is the account's own idea of today, for the expiry check in the browser:
    sandbox clocks move and payers' clocks are wrong. With ``goes_on`` the page opens ``return_href`` by itself.
    What is ``None`` or empty is not shown. ``amount`` is the total in minor units: a payment of another is not begun,
    and the page says that the order has ``changed``.

    ``locked`` while the shop is changing the order: the forms are shown, but cannot be used.

    ``data`` is for the script, as attributes of the body. ``inline`` is a page that is a part of the shop's, a
    ``launcher`` one that leads to a pop-out. ``frame_ancestors`` says who may put it into a frame.
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
    amount: int = 0
    changed: bool = False
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
    challenge_url: str | None = None
    methods: tuple[MethodView, ...] = ()
    express: ExpressView | None = None
    theme_href: str | None = None
    leaves_frame: bool = False
    locked: bool = False
    data: Mapping[str, str] = field(default_factory=dict)
    inline: bool = False
    embedded: bool = False
    launcher: bool = False
    hides_test: bool = False
    languages: tuple[LanguageLink, ...] = ()
    frame_ancestors: str = ANYONE


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
    data: Mapping[str, str] = field(default_factory=dict)
    inline: bool = False
    embedded: bool = False
    theme_href: str | None = None
    languages: tuple[LanguageLink, ...] = ()


def plain_view(state: State, visit: Visit, session_id: str = "", result: bool = False) -> PayView:
    """A page about no session in particular, such as ``not_found`` and ``unavailable``.

    ``session_id`` is what was asked for, so that a shop's script knows whose message it gets.
    """
    language = visit.language
    embedded, inline = visit.embedded or result, visit.inline or result
    data = page_data(visit, session_id) if embedded else {}
    return PayView(
        session_id,
        state,
        language,
        direction(language),
        texts(language),
        data={**data, "result": "true"} if result else data,
        inline=inline,
        embedded=embedded,
        languages=() if result else language_links("", visit, **({"sid": session_id} if session_id else {})),
    )


def language_links(path: str, visit: Visit, **more: str) -> tuple[LanguageLink, ...]:
    """An empty path is that of the page which has the links."""
    return tuple(
        LanguageLink(code, texts(code)["language_name"], f"{path}?{urlencode(more | visit.spoken_in(code).carried)}")
        for code in LANGUAGES
    )


def page_data(visit: Visit, session_id: str) -> dict[str, str]:
    """What the script needs to know on any page that a shop may listen to."""
    return {"sid": session_id, "language": visit.language, "role": visit.role}


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
