"""The steps of express as the page shows them: address, way of shipping, discount codes.

Source: checkout reference, sections 3.4, 3.5 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from urllib.parse import quote

from kasse.domain import express as rules
from kasse.domain.express import CustomerType
from kasse.domain.session import PaymentSession
from kasse.page import address_form
from kasse.page.address_form import BILLING, COMPANY, CONTACT, LONGEST, OPTIONAL, PLACE
from kasse.page.countries import countries, country_name, preferred
from kasse.page.languages import money
from kasse.page.shipping_choice import GroupView, group_views
from kasse.page.visit import Visit
from kasse.page.wording import plain_sentence

Step = Literal["address", "shipping", "codes"]
_AUTOCOMPLETE = {
    "email": "email",
    "phone_number": "tel",
    "business_name": "organization",
    "organization_number": "off",
    "first_name": "given-name",
    "last_name": "family-name",
    "address_line": "address-line1",
    "address_line_2": "address-line2",
    "postal_code": "postal-code",
    "postal_place": "address-level2",
    "country": "country",
}
_KINDS = {"email": "email", "phone_number": "tel", "country": "select"}
_HALF = frozenset({"first_name", "last_name", "postal_code", "postal_place"})


@dataclass(frozen=True)
class Trouble:
    """Why a step was not taken, in the payer's words. ``fields`` are texts by the form's field, ``typed`` what was in
    it: nothing has to be typed twice."""

    step: Step
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FieldView:
    name: str
    label: str
    value: str
    error: str
    autocomplete: str
    kind: str
    required: bool
    half: bool


@dataclass(frozen=True)
class ExpressView:
    """The steps, as far as they can be taken. ``step`` is the first that is not taken yet. ``version`` is the state
    of the session that they were shown with.

    ``customer_types`` are those to choose from, ``billing_types`` those that may have the bill sent elsewhere.
    ``address_lines`` is empty until there is an address. ``say`` tells, in one sentence, what comes next.
    """

    step: Literal["address", "shipping"] | None
    version: int
    base: str
    query: str
    asks_address: bool
    asks_shop: bool
    customer_types: tuple[CustomerType, ...]
    customer_type: CustomerType
    billing_types: tuple[CustomerType, ...]
    different_billing: bool
    contact: tuple[FieldView, ...]
    company: tuple[FieldView, ...]
    place: tuple[FieldView, ...]
    billing_company: tuple[FieldView, ...]
    billing_place: tuple[FieldView, ...]
    countries: tuple[tuple[str, str], ...]
    address_lines: tuple[str, ...]
    billing_lines: tuple[str, ...]
    groups: tuple[GroupView, ...]
    takes_codes: bool
    codes: tuple[str, ...]
    most_codes: int
    code_typed: str
    say: str
    trouble: Trouble | None = None


def step_of(session: PaymentSession) -> Literal["address", "shipping"] | None:
    """What the payer has to say before there is something to pay; None where that is all there."""
    express = rules.express_of(session)
    if express is None or not rules.needs_shipping(express):
        return None
    order = session.checkout_order
    if not address_form.is_complete(order.get("shipping_address")):
        return "address"
    if order.get("shipping_option") is not None:
        return None
    # Where the merchant has given the address, nobody has been asked what can be sent there.
    asked = any(event.name == "SET_SHIPPING_ADDRESS" for event in session.events)
    return "shipping" if asked or rules.offered(session) else "address"


def express_view(
    session: PaymentSession,
    visit: Visit,
    texts: Mapping[str, str],
    trouble: Trouble | None = None,
) -> ExpressView | None:
    """The steps of a session that can still be paid; None for one that is not express."""
    express = rules.express_of(session)
    if express is None:
        return None
    order, step, language = session.checkout_order, step_of(session), visit.language
    shipping, billing = order.get("shipping_address"), order.get("billing_address")
    types = _types(express.get("customer_types")) or ("b2c", "b2b")
    billing_types = _types(session.configuration.get("allow_different_billing_shipping_address"))
    typed = address_form.typed_of(order, session.given.get("customer"), _default_type(session, types))
    typed["different_billing"] = _differs(express, shipping, billing, typed["customer_type"])
    typed["country"] = typed.get("country") or _country(session, language)
    typed[BILLING + "country"] = typed.get(BILLING + "country") or typed["country"]
    at_address = trouble is not None and trouble.step == "address"
    if trouble is not None and at_address:
        typed = {"different_billing": "", "customer_type": types[0], **trouble.typed}
    errors = trouble.fields if trouble is not None and at_address else {}
    most_codes, codes = _codes(session, express)

    def prices(amount: int) -> str:
        return money(amount, session.currency, language)

    def fields(names: tuple[str, ...], prefix: str = "") -> tuple[FieldView, ...]:
        return tuple(_field(name, prefix, typed, errors, texts) for name in names)

    return ExpressView(
        step=step,
        version=session.version,
        base=f"/v1/view/{quote(session.id)}",
        query=visit.query,
        asks_address=rules.needs_shipping(express),
        asks_shop=bool(express.get("shipping_address_callback_url")),
        customer_types=types,
        customer_type="b2b" if types == ("b2b",) or ("b2b" in types and typed["customer_type"] == "b2b") else "b2c",
        billing_types=tuple(each for each in billing_types if each in types),
        different_billing=bool(typed["different_billing"]),
        contact=fields(CONTACT),
        company=fields(COMPANY) if "b2b" in types else (),
        place=fields(PLACE),
        billing_company=fields(COMPANY, BILLING) if "b2b" in types and "b2b" in billing_types else (),
        billing_place=fields(PLACE, BILLING) if billing_types else (),
        countries=countries(session.configuration, language),
        address_lines=() if step == "address" else _lines(shipping, language),
        billing_lines=() if address_form.same_place(shipping, billing) else _lines(billing, language),
        groups=() if step == "address" else group_views(session, texts, language, prices),
        takes_codes=most_codes > 0 and step != "address",
        codes=codes,
        most_codes=most_codes,
        code_typed=trouble.typed.get("code", "") if trouble is not None and trouble.step == "codes" else "",
        say=_say(session, step, texts, prices),
        trouble=trouble,
    )


def takes_other_billing(session: PaymentSession, customer_type: str) -> bool:
    """Whether this kind of customer may have the bill sent elsewhere."""
    return customer_type in _types(session.configuration.get("allow_different_billing_shipping_address"))


def _say(session: PaymentSession, step: str | None, texts: Mapping[str, str], prices: Callable[[int], str]) -> str:
    if step == "address":
        return ""
    if step == "shipping":
        return texts["express_choose" if rules.offered(session) else "express_cannot_ship"]
    return plain_sentence(texts["express_to_pay"], amount=prices(session.amount))


def _types(value: Any) -> tuple[CustomerType, ...]:
    found = value if isinstance(value, list | tuple) else ()
    return tuple(each for each in get_args(CustomerType) if each in found)


def _default_type(session: PaymentSession, types: tuple[CustomerType, ...]) -> CustomerType:
    wanted = session.configuration.get("default_customer_type")
    return next((each for each in types if each == wanted), types[0])


def _differs(express: Mapping[str, Any], shipping: Any, billing: Any, customer_type: str) -> str:
    if billing:
        return "" if address_form.same_place(shipping, billing) else "true"
    return "true" if customer_type in _types(express.get("default_different_billing_shipping_address")) else ""


def _country(session: PaymentSession, language: str) -> str:
    found = countries(session.configuration, language)
    wanted = preferred(session.configuration)
    if any(code == wanted for code, _ in found):
        return wanted
    return found[0][0] if len(found) == 1 else ""


def _codes(session: PaymentSession, express: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    """How many codes may be used, and those that are."""
    settings = express.get("discount_codes")
    discounts = session.configuration.get("discounts")
    switch = discounts.get("express_discount_codes") if isinstance(discounts, dict) else None
    if not isinstance(settings, dict) or (isinstance(switch, dict) and switch.get("enabled") is False):
        return 0, ()
    return settings.get("max_count", 1), tuple(map(str, session.checkout_order.get("discount_codes") or ()))


def _field(
    name: str, prefix: str, typed: Mapping[str, str], errors: Mapping[str, str], texts: Mapping[str, str]
) -> FieldView:
    whose = "" if name in COMPANY else "billing " if prefix else "shipping " if name in PLACE else ""
    autocomplete = _AUTOCOMPLETE[name]
    return FieldView(
        name=prefix + name,
        label=texts[f"express_{name}"],
        value=typed.get(prefix + name, "")[:LONGEST],
        error=errors.get(prefix + name, ""),
        autocomplete=autocomplete if autocomplete == "off" else whose + autocomplete,
        kind=_KINDS.get(name, "text"),
        required=name not in OPTIONAL,
        half=name in _HALF,
    )


def _lines(address: Any, language: str) -> tuple[str, ...]:
    """An address as it is written on a parcel, and how to reach whoever lives there."""
    given = {name: value for name, value in (address or {}).items() if isinstance(value, str)}

    def joined(*names: str, by: str = " ") -> str:
        return by.join(given[name] for name in names if given.get(name))

    country = given.get("country", "")
    lines = (
        joined("business_name", "organization_number", by=", "),
        joined("first_name", "last_name"),
        joined("address_line", "address_line_2", by=", "),
        ", ".join(each for each in (joined("postal_code", "postal_place"), country_name(country, language)) if each),
        joined("email", "phone_number", by=", "),
    )
    return tuple(line for line in lines if line)
