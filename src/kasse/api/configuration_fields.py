"""What a profile, or a session over it, turns on. Source: checkout reference, section 3.5."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from kasse.api.fields import JsonObject
from kasse.api.wire import Text

CustomerTypes = list[Literal["b2c", "b2b"]]


class Switch(msgspec.Struct):
    enabled: bool | None = None


class Countries(msgspec.Struct):
    preferred_country: Text | None = None
    allow_countries: list[Text] | None = None
    deny_countries: list[Text] | None = None


class Discounts(msgspec.Struct):
    express_discount_codes: Switch | None = None
    order: Switch | None = None


class Content(msgspec.Struct):
    title: Text | None = None
    description: str | None = None


class Term(msgspec.Struct):
    ref: Text | None = None
    label: Text | None = None
    href: str | None = None


class Display(msgspec.Struct):
    """How the page shows a payment that is made elsewhere."""

    payment_method_label: Text | None = None
    button_label: Text | None = None
    content: Content | None = None
    terms: list[Term] | None = None


class External(Switch):
    type: Text | None = None
    display: Display | None = None


class OwnMethods(msgspec.Struct):
    type: Text | None = None
    zero: Switch | None = None
    external: External | None = None


class Configuration(msgspec.Struct):
    """What sessions offer. Other providers, such as ``dintero_psp``, and other keys are kept as they are."""

    auto_capture: bool | None = None
    channel: Text | None = None
    default_payment_type: Text | None = None
    active_payment_types: Switch | None = None
    dintero: OwnMethods | None = None
    discounts: Discounts | None = None
    theme: JsonObject | None = None
    countries: Countries | None = None
    default_customer_type: Text | None = None
    allow_different_billing_shipping_address: CustomerTypes | None = None
    allow_express_wallet_payment: bool | None = None
    publish: list[Any] | None = None
    merchant: JsonObject | None = None
