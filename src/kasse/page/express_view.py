"""What the page shows of an express session: the address, the ways of shipping, discount codes.

Source: checkout reference, sections 3.4, 3.5 and 10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from kasse.domain import express as rules
from kasse.domain.session import PaymentSession
from kasse.page.languages import locale, money

PERSON = ("first_name", "last_name", "address_line", "postal_code", "postal_place", "country")
CONTACT = ("email", "phone_number")
BUSINESS = ("business_name", "organization_number")
OPTIONAL = frozenset({"phone_number", "organization_number"})
BILLING = "billing_"


@dataclass(frozen=True)
class OptionView:
    value: str
    title: str
    detail: str
    amount_text: str
    chosen: bool


@dataclass(frozen=True)
class ExpressView:
    """``groups`` are options that belong together. ``edits_address`` where its form is open instead of what it says.

    ``entered`` are the values of the form, ``countries`` code and name, ``customer_types`` those who may buy.
    """

    address_action: str
    shipping_action: str
    discount_action: str
    edit_address: str
    edits_address: bool
    address_lines: tuple[str, ...]
    entered: Mapping[str, str]
    countries: tuple[tuple[str, str], ...]
    customer_types: tuple[str, ...]
    billing_types: tuple[str, ...]
    needs_shipping: bool
    groups: tuple[tuple[OptionView, ...], ...]
    takes_codes: bool
    codes: tuple[str, ...] = ()
    most_codes: int = 0
    errors: Mapping[str, str] = field(default_factory=dict)


def express_view(
    session: PaymentSession,
    language: str,
    base: str,
    query: str,
    *,
    editing: bool,
    entered: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
) -> ExpressView | None:
    """None for a session that is not express."""
    settings = rules.express_of(session)
    if settings is None:
        return None
    order = session.checkout_order
    shipping, billing = order.get("shipping_address"), order.get("billing_address")
    codes = settings.get("discount_codes")
    codes = codes if isinstance(codes, dict) else {}
    types = tuple(each for each in settings.get("customer_types") or ("b2c", "b2b") if each in ("b2c", "b2b"))
    return ExpressView(
        address_action=f"{base}/address?{query}",
        shipping_action=f"{base}/shipping?{query}",
        discount_action=f"{base}/discount?{query}",
        edit_address=f"{base}?{query}&edit=address",
        edits_address=editing or not shipping,
        address_lines=tuple(_lines(shipping or {}, language)),
        entered=entered if entered is not None else dict(_form(session, shipping, billing, types)),
        countries=_countries(session, language),
        customer_types=types,
        billing_types=tuple(session.configuration.get("allow_different_billing_shipping_address") or ()),
        needs_shipping=rules.needs_shipping(settings),
        groups=tuple(
            tuple(_option(option, order.get("shipping_option"), session.currency, language) for option in group)
            for group in rules.grouped(rules.offered(session))
        ),
        takes_codes=_takes_codes(session, codes),
        codes=tuple(str(code) for code in order.get("discount_codes") or ()),
        most_codes=codes.get("max_count") or 1,
        errors=errors or {},
    )


def _takes_codes(session: PaymentSession, codes: Mapping[str, Any]) -> bool:
    discounts = session.configuration.get("discounts")
    turned_on = discounts.get("express_discount_codes") if isinstance(discounts, dict) else None
    if isinstance(turned_on, dict) and turned_on.get("enabled") is not True:
        return False
    return bool(codes.get("callback_url"))


def _lines(address: Mapping[str, Any], language: str) -> Iterator[str]:
    name = " ".join(str(address[each]) for each in ("first_name", "last_name") if address.get(each))
    place = " ".join(str(address[each]) for each in ("postal_code", "postal_place") if address.get(each))
    country = _names(language).get(str(address.get("country")), "")
    parts = (address.get("business_name"), name, address.get("address_line"), place, country, address.get("email"))
    yield from (str(part) for part in parts if part)


def _form(
    session: PaymentSession,
    shipping: Mapping[str, Any] | None,
    billing: Mapping[str, Any] | None,
    types: tuple[str, ...],
) -> Iterator[tuple[str, str]]:
    customer = session.given.get("customer")
    known = {each: customer[each] for each in CONTACT if customer.get(each)} if isinstance(customer, dict) else {}
    for name, value in (shipping or known).items():
        yield name, str(value)
    if not (shipping or {}).get("country"):
        countries = session.configuration.get("countries")
        preferred = countries.get("preferred_country") if isinstance(countries, dict) else None
        yield "country", str(preferred or _HOME.get(session.currency, ""))
    default = session.configuration.get("default_customer_type")
    business = rules.customer_type(shipping) == "b2b" if shipping else default == "b2b"
    if business or types == ("b2b",):
        yield "customer_type", "b2b"
    if billing and billing != shipping:
        yield "billing_differs", "on"
        for name, value in billing.items():
            yield BILLING + name, str(value)


_HOME = {"NOK": "NO", "SEK": "SE", "DKK": "DK"}


def _option(option: Mapping[str, Any], chosen: Any, currency: str, language: str) -> OptionView:
    place = option.get("pick_up_address")
    where = place.get("business_name") or place.get("address_line") if isinstance(place, dict) else None
    slot = option.get("time_slot")
    when = f"{slot.get('starts_at', '')} – {slot.get('ends_at', '')}" if isinstance(slot, dict) else None
    is_chosen = isinstance(chosen, Mapping) and all(
        str(chosen.get(each)) == str(option.get(each)) for each in ("id", "line_id")
    )
    details = (option.get("operator"), where, when, option.get("description"))
    return OptionView(
        value=f"{option['id']}\n{option['line_id']}",
        title=str(option.get("title") or option["id"]),
        detail=" · ".join(str(each) for each in details if each),
        amount_text=money(option["amount"], currency, language),
        chosen=is_chosen,
    )


def _countries(session: PaymentSession, language: str) -> tuple[tuple[str, str], ...]:
    settings = session.configuration.get("countries")
    settings = settings if isinstance(settings, dict) else {}
    allowed, denied = settings.get("allow_countries") or (), settings.get("deny_countries") or ()
    names = _names(language)
    codes = [each for each in (allowed or names) if each in names and each not in denied]
    return tuple(sorted(((code, names[code]) for code in codes), key=lambda pair: pair[1]))


_NO_COUNTRIES = frozenset({"EU", "EZ", "UN", "QO", "XA", "XB", "ZZ"})


@cache
def _names(language: str) -> Mapping[str, str]:
    """Every country's name by its two letters."""
    territories: Mapping[str, str] = locale(language).territories
    return {
        code: name
        for code, name in territories.items()
        if len(code) == 2 and code.isalpha() and code not in _NO_COUNTRIES
    }
