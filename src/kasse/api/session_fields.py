"""What a merchant says of a checkout session. Source: checkout reference, sections 3 and 5."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from kasse.api import fields, shipping_fields
from kasse.api.configuration_fields import Configuration, CustomerTypes
from kasse.api.fields import Currency, JsonObject, Quantity, Urls
from kasse.api.routes import Call
from kasse.api.shipping_fields import Shipping, ShippingOption
from kasse.api.wire import Amount, LineId, Reference, Text, Time, http_url
from kasse.domain import checkout
from kasse.domain.money import MAX_AMOUNT
from kasse.domain.refusals import Refusal

Metadata = dict[str, str | float | int]
Tax = Annotated[
    float,
    Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT, description="Minor units, for show only: a fraction is rounded."),
]


class Group(msgspec.Struct):
    id: LineId
    name: Text | None = None


class Discount(msgspec.Struct):
    """For show only: what an item costs has it taken off already."""

    amount: Amount | None = None
    percentage: float | None = None
    discount_type: Text | None = None
    discount_id: Text | None = None
    description: Text | None = None
    line_id: LineId | None = None


class CheckoutItem(msgspec.Struct):
    """A line to pay: ``amount`` is for the whole quantity, tax and discounts included; it may be negative."""

    amount: Amount
    line_id: LineId | None = None
    id: Text | None = None
    description: Text | None = None
    quantity: Quantity | None = None
    vat_amount: Tax | None = None
    vat: float | None = None
    type: Literal["physical", "digital", "service", "gift_card", "shipping", "surcharge"] | None = None
    thumbnail_url: str | None = None
    groups: list[Group] | None = None
    unit_volume: float | None = None
    unit_weight: float | None = None
    unit_dimensional_weight: float | None = None
    eligible_for_discount: bool | None = None
    is_changed: bool | None = None
    discount_lines: list[Discount] | None = None
    splits: list[JsonObject] | None = None
    fee_split: JsonObject | None = None
    store: JsonObject | None = None


class StoreAddress(msgspec.Struct):
    address_line: Text | None = None
    address_line_2: Text | None = None
    postal_code: Text | None = None
    postal_place: Text | None = None
    country: Text | None = None


class Store(msgspec.Struct):
    id: Reference
    name: Text | None = None
    business_name: Text | None = None
    chain: Text | None = None
    email: Text | None = None
    gln: Text | None = None
    organization_number: Text | None = None
    phone_number: Text | None = None
    mcc: Text | None = None
    bax: Text | None = None
    terminal_id: Text | None = None
    payout_destination_id: Text | None = None
    address: StoreAddress | None = None


class OrderUpdate(msgspec.Struct):
    """What is said anew; a field that is left out stays as it was, and null takes the shipping option away."""

    amount: Annotated[Amount, Meta(description="What the payer is charged, in minor units.")] | None = None
    currency: Currency | None = None
    merchant_reference: Reference | None = None
    merchant_reference_2: Text | None = None
    event_reference: Text | None = None
    vat_amount: Tax | None = None
    partial_payment: bool | None = None
    items: list[CheckoutItem] | None = None
    shipping_option: Shipping | None = None
    shipping_address: fields.Address | None = None
    billing_address: fields.Address | None = None
    store: Store | None = None
    discount_codes: list[Text] | None = None
    discount_lines: list[Discount] | None = None
    gift_cards: list[JsonObject] | None = None
    payout_destination_id: Text | None = None


class CheckoutOrder(OrderUpdate, kw_only=True):
    """``amount`` may be 0: such a session is paid by ``dintero.zero``."""

    amount: Annotated[Amount, Meta(description="What the payer is charged, in minor units.")]
    currency: Currency
    merchant_reference: Reference


class CheckboxLink(msgspec.Struct):
    url: Text
    text: Text


class Checkbox(msgspec.Struct):
    id: LineId
    label: Text
    checked: bool | None = None
    required: bool | None = None
    link: CheckboxLink | None = None


class DiscountCodes(msgspec.Struct):
    max_count: Annotated[int, Meta(ge=0, le=100)] = 1
    callback_url: str | None = None


class Express(shipping_fields.Express):
    """Express checkout; without options, the merchant's server says what they are."""

    discount_codes: DiscountCodes | None = None
    customer_types: CustomerTypes | None = None
    default_different_billing_shipping_address: CustomerTypes | None = None


class ShownMerchant(msgspec.Struct):
    """Who sells, as the payer sees it. What cannot be shown safely is left out of the page."""

    name: Text
    logo_url: Text
    website: Text | None = None
    email: Text | None = None
    phone_number: Text | None = None
    merchant_category_code: Text | None = None
    platform_type: Literal["aggregator", "marketplace"] | None = None
    country: Text | None = None
    postal_code: Text | None = None
    postal_place: Text | None = None
    address_line: Text | None = None
    address_line_2: Text | None = None


class Customer(msgspec.Struct):
    customer_id: Annotated[int | str, Meta(description="Your own id for the customer.")] | None = None
    email: Text | None = None
    phone_number: Text | None = None
    tokens: JsonObject | None = None
    gift_cards: JsonObject | None = None


class NewSession(msgspec.Struct, kw_only=True):
    """A session with an order of its own. Fields that are not listed here are kept and sent back."""

    url: Urls
    order: CheckoutOrder
    expires_at: Time | None = None
    express: Express | None = None
    customer: Customer | None = None
    merchant: ShownMerchant | None = None
    metadata: Metadata | None = None
    checkboxes: list[Checkbox] | None = None
    discount_codes: list[Text] | None = None


class CreateProfileSession(NewSession, kw_only=True):
    """A session with the settings of a profile; ``configuration`` says what differs from it."""

    profile_id: Reference
    configuration: Configuration | None = None


class CreatePlainSession(NewSession, kw_only=True):
    """A session with settings of its own in place of a profile's."""

    configuration: Configuration


class ExpressUpdate(msgspec.Struct):
    shipping_options: list[ShippingOption] | None = None
    shipping_mode: Literal["shipping_required", "shipping_not_required"] | None = None
    customer_types: CustomerTypes | None = None
    discount_codes: DiscountCodes | None = None
    shipping_address_callback_url: str | None = None
    default_different_billing_shipping_address: CustomerTypes | None = None


class UpdateSession(msgspec.Struct):
    """What a merchant says anew of a session that is not paid. The payer may go on unless ``remove_lock`` is false."""

    order: OrderUpdate | None = None
    express: ExpressUpdate | None = None
    remove_lock: bool | None = None
    customer: Customer | None = None
    discount_codes: list[Text] | None = None


def toggles(call: Call) -> frozenset[str]:
    """What the caller has switched on by ``Dintero-Feature-Toggles`` (auth reference, A-15)."""
    values = call.request.headers.getlist("dintero-feature-toggles")
    return frozenset(each.strip() for value in values for each in value.split(","))


def order_said(raw: Mapping[str, Any]) -> JsonObject | None:
    """The order as it was sent, and the discount codes that some clients send beside it."""
    order, codes = raw.get("order"), raw.get("discount_codes")
    if order is None and codes is None:
        return None
    said: JsonObject = {} if codes is None else {"discount_codes": codes}
    said |= _whole_tax(order or {})
    if said.get("items") is not None:
        said["items"] = [checkout.without_null_quantity(_whole_tax(item)) for item in said["items"]]
    if said.get("shipping_option") is not None:
        said["shipping_option"] = _whole_tax(said["shipping_option"])
    return said


def said_besides(raw: Mapping[str, Any], *known: str) -> JsonObject:
    """What a new session was told besides the fields that the house keeps in its own way."""
    said = fields.given(raw, *known, "express", *fields.SESSION_READ_ONLY)
    return {**said, **fields.present(express=express_said(raw))}


def express_said(raw: Mapping[str, Any]) -> JsonObject | None:
    """The express settings as they were sent."""
    express: JsonObject | None = raw.get("express")
    if not express or not express.get("shipping_options"):
        return express
    return {**express, "shipping_options": [_whole_tax(option) for option in express["shipping_options"]]}


def _whole_tax(line: Mapping[str, Any]) -> JsonObject:
    """Some clients compute the tax of a line and send what comes out; answers hold integers."""
    tax = line.get("vat_amount")
    return {**line, "vat_amount": round(tax)} if isinstance(tax, float) else dict(line)


class _Line(Protocol):
    line_id: Any


def check_express(express: Express | ExpressUpdate | None, items: Iterable[_Line] = ()) -> None:
    """Raises ``Refusal``: bad_url, duplicate_line (an option with the line_id of an item or of another option)."""
    if express is None:
        return
    if express.shipping_address_callback_url is not None:
        http_url(express.shipping_address_callback_url, "/express/shipping_address_callback_url")
    if express.discount_codes is not None and express.discount_codes.callback_url is not None:
        http_url(express.discount_codes.callback_url, "/express/discount_codes/callback_url")
    seen = {str(item.line_id) for item in items if item.line_id is not None}
    for n, option in enumerate(express.shipping_options or ()):
        if str(option.line_id) in seen:
            raise Refusal(
                "duplicate_line",
                f"expected each line_id once, among items and shipping options, got {option.line_id!r} again",
                path=f"/express/shipping_options/{n}/line_id",
            )
        seen.add(str(option.line_id))
