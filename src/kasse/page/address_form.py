"""The payer's address as a form: which fields it has, and what was typed into them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kasse.domain.express import CustomerType
from kasse.page.countries import WITHOUT_POSTAL_CODES

CONTACT = ("email", "phone_number")
COMPANY = ("business_name", "organization_number")
PLACE = ("first_name", "last_name", "address_line", "address_line_2", "postal_code", "postal_place", "country")
BILLING = "billing_"
OPTIONAL = frozenset({"address_line_2"})
LONGEST = 100

_OF_THE_FORM = frozenset({*CONTACT, *COMPANY, *PLACE, "latitude", "longitude"})
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+?[0-9]{5,15}", re.ASCII)


@dataclass(frozen=True)
class Typed:
    """Both addresses as an order has them. ``mistakes`` says of a field of the form what is wrong: ``missing``, else
    the key of a text."""

    shipping: dict[str, Any]
    billing: dict[str, Any]
    mistakes: Mapping[str, str]


def read_address(form: Mapping[str, str], order: Mapping[str, Any], different_billing: bool) -> Typed:
    """What was typed. What ``order`` says of an address besides what the form asks for is kept."""
    company = form.get("customer_type") == "b2b"
    shipping, mistakes = _read(form, "", company)
    if different_billing and form.get("different_billing"):
        billing, more = _read(form, BILLING, company)
        contact = {name: shipping[name] for name in CONTACT if name in shipping}
        return Typed(
            _kept(order, "shipping_address") | shipping,
            _kept(order, "billing_address") | billing | contact,
            mistakes | more,
        )
    whole = _kept(order, "shipping_address") | shipping
    return Typed(whole, whole, mistakes)


def typed_of(order: Mapping[str, Any], customer: Any, default_type: CustomerType) -> dict[str, str]:
    """What the form shows of the addresses that are there already, by the names of its fields."""
    shipping, billing = order.get("shipping_address") or {}, order.get("billing_address") or {}
    known = customer if isinstance(customer, dict) else {}
    found = {name: known[name] for name in CONTACT if isinstance(known.get(name), str)}
    found |= {name: shipping[name] for name in (*CONTACT, *COMPANY, *PLACE) if isinstance(shipping.get(name), str)}
    found |= {BILLING + name: billing[name] for name in (*COMPANY, *PLACE) if isinstance(billing.get(name), str)}
    is_company = bool(shipping.get("business_name") or shipping.get("organization_number"))
    found["customer_type"] = ("b2b" if is_company else "b2c") if shipping.get("address_line") else default_type
    return found


def is_complete(address: Mapping[str, Any] | None) -> bool:
    """Whether something can be sent there: a merchant may have given no more than a country."""
    given = address or {}
    named = any(given.get(name) for name in ("first_name", "last_name", "business_name"))
    return bool(named and given.get("address_line") and given.get("country"))


def same_place(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    return all((one or {}).get(name) == (other or {}).get(name) for name in (*COMPANY, *PLACE))


def _kept(order: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {field: value for field, value in (order.get(name) or {}).items() if field not in _OF_THE_FORM}


def _read(form: Mapping[str, str], prefix: str, company: bool) -> tuple[dict[str, Any], dict[str, str]]:
    names = (*(CONTACT if not prefix else ()), *(COMPANY if company else ()), *PLACE)
    found = {name: " ".join(form.get(prefix + name, "").split())[:LONGEST] for name in names}
    if "phone_number" in found:
        found["phone_number"] = re.sub(r"[\s().-]", "", found["phone_number"])
    mistakes = {}
    for name, value in found.items():
        wrong = _mistake(name, value, found)
        if wrong is not None:
            mistakes[prefix + name] = wrong
    return {name: value for name, value in found.items() if value}, mistakes


def _mistake(name: str, value: str, found: Mapping[str, str]) -> str | None:
    if not value:
        optional = name in OPTIONAL or (name == "postal_code" and found["country"] in WITHOUT_POSTAL_CODES)
        return None if optional else "missing"
    if name == "email" and not _EMAIL.fullmatch(value):
        return "express_email_wrong"
    if name == "phone_number" and not _PHONE.fullmatch(value):
        return "express_phone_wrong"
    if name == "country" and not re.fullmatch("[A-Z]{2}", value):
        return "missing"
    return None
