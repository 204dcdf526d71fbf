"""Ways of shipping, as merchants name them. Source: checkout reference, sections 3.4 and 10."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kasse.api.fields import Address, JsonObject
from kasse.api.wire import Amount, LineId, Reference, Text


class Eta(msgspec.Struct):
    """Days of the week count from 1, Monday; ``working_days`` are the least and the most."""

    starts_at: Text | None = None
    ends_at: Text | None = None
    working_days: list[int] | None = None
    shipping_day_of_week: int | None = None
    arrival_day_of_week: int | None = None


class TimeSlot(msgspec.Struct):
    starts_at: Text | None = None
    ends_at: Text | None = None


class OpeningPeriod(msgspec.Struct):
    opens_at: Text | None = None
    closes_at: Text | None = None
    day_of_week: int | None = None


class OpeningHours(msgspec.Struct):
    open_now: bool | None = None
    timezone: Text | None = None
    periods: list[OpeningPeriod] | None = None


class PickUpAddress(Address):
    """``distance`` in kilometres."""

    website_url: str | None = None
    opening_hours: OpeningHours | None = None
    distance: float | None = None


class EnvironmentalDetail(msgspec.Struct):
    label: Text | None = None
    value: Text | None = None


class EnvironmentalData(msgspec.Struct):
    description: Text | None = None
    details: list[EnvironmentalDetail] | None = None


class ShipmentItem(msgspec.Struct):
    line_id: LineId
    quantity: float | None = None


class ShippingDetails(msgspec.Struct, kw_only=True):
    """What may be said of a way of shipping besides what it is called and costs."""

    operator: Text | None = None
    vat_amount: float | None = None
    vat: float | None = None
    description: Text | None = None
    countries: Annotated[list[Text], Meta(description="Where it goes to, ISO 3166-1.")] | None = None
    operator_product_id: Text | None = None
    thumbnail_url: str | None = None
    metadata: dict[str, str | int | float] | None = None
    delivery_method: Literal["delivery", "pick_up", "unspecified", "none"] | None = None
    eta: Eta | None = None
    time_slot: TimeSlot | None = None
    pick_up_address: PickUpAddress | None = None
    environmental_data: EnvironmentalData | None = None
    shipment_id: Text | None = None
    shipment_items: list[ShipmentItem] | None = None
    pay_in_store: JsonObject | None = None


class Shipping(ShippingDetails, kw_only=True):
    """The way of shipping that is chosen."""

    amount: Amount
    id: Reference
    line_id: LineId
    title: Text


class ShippingOption(ShippingDetails, kw_only=True):
    """A way of shipping on offer."""

    id: Reference
    line_id: LineId
    amount: Annotated[int, Meta(ge=0, le=2**53, description="Minor units, tax included; 0 is free.")]
    title: Text


class Express(msgspec.Struct):
    """Express checkout: the payer gives his address and chooses one of these options."""

    shipping_options: list[ShippingOption] = []
    shipping_mode: Literal["shipping_required", "shipping_not_required"] | None = None
    shipping_address_callback_url: str | None = None
