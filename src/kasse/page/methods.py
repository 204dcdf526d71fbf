"""The ways to pay that a session offers, as the payer chooses among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kasse.domain.profile import CARD, payment_methods
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.operations import payments
from kasse.operations.house import House
from kasse.page.wording import sentence

Kind = Literal["card", "external", "zero", "other"]
ZERO = "dintero.zero"
EXTERNAL = "dintero.external"
# Names that nobody translates.
_NAMES = {
    "applepay": "Apple Pay",
    "billie": "Billie",
    "clicktopay": "Click to Pay",
    "googlepay": "Google Pay",
    "klarna": "Klarna",
    "mobilepay": "MobilePay",
    "swish": "Swish",
    "vipps": "Vipps",
}


@dataclass(frozen=True)
class MethodView:
    """One way to pay. ``active`` is the one whose form is open; ``terms`` are labels and addresses."""

    type: str
    kind: Kind
    label: str
    button: str
    active: bool = False
    title: str = ""
    description: str = ""
    terms: tuple[tuple[str, str], ...] = ()


def offered_types(house: House, session: PaymentSession) -> dict[str, bool]:
    """The ``payment_product_type`` of each method that can be paid by now, and whether it takes a card."""
    found = {}
    for method in payment_methods(session.configuration):
        if (method == ZERO) != (session.amount == 0) or not _is_payable(session.configuration, method):
            continue
        try:
            _, offer = payments.gateway_for(house, session.account_id, method)
        except Refusal:
            continue
        found[method] = offer.takes_card
    return found


def method_views(
    house: House, session: PaymentSession, texts: Mapping[str, str], amount: str, asked: str | None = None
) -> tuple[MethodView, ...]:
    """``asked`` is the one that the payer has just tried, else the configuration's default is open."""
    types = offered_types(house, session)
    default = session.configuration.get("default_payment_type")
    active = next((each for each in (asked, default) if each in types), next(iter(types), None))
    return tuple(
        _view(session, method, takes_card, texts, amount, method == active) for method, takes_card in types.items()
    )


def _view(
    session: PaymentSession, method: str, takes_card: bool, texts: Mapping[str, str], amount: str, active: bool
) -> MethodView:
    pay = sentence(texts["pay_button"], amount=amount)
    if method == ZERO:
        return MethodView(method, "zero", texts["zero_label"], texts["zero_button"], active)
    if method == EXTERNAL:
        return _external(_settings(session.configuration, method).get("display"), texts, pay, active)
    if takes_card:
        return MethodView(method, "card", texts["card_heading" if method == CARD else "card_label"], pay, active)
    product = method.rpartition(".")[2]
    return MethodView(method, "other", _NAMES.get(product, product.replace("_", " ").capitalize()), pay, active)


def _external(display: Any, texts: Mapping[str, str], pay: str, active: bool) -> MethodView:
    """By the words of the merchant (checkout reference, 3.5)."""
    display = display if isinstance(display, dict) else {}
    content = display.get("content")
    content = content if isinstance(content, dict) else {}
    terms = display.get("terms")
    links = [each for each in terms if isinstance(each, dict)] if isinstance(terms, list) else []
    return MethodView(
        EXTERNAL,
        "external",
        _text(display.get("payment_method_label")) or texts["external_label"],
        _text(display.get("button_label")) or texts["external_button"],
        active,
        _text(content.get("title")),
        _text(content.get("description")),
        tuple((_text(each.get("label")), each["href"]) for each in links if _is_web(each.get("href"))),
    )


def _settings(configuration: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    provider, _, product = method.partition(".")
    found = configuration.get(provider, {}).get(product)
    return found if isinstance(found, dict) else {}


def _is_payable(configuration: Mapping[str, Any], method: str) -> bool:
    return bool(_settings(configuration, method).get("payability", "payable") == "payable")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_web(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("https://", "http://"))
