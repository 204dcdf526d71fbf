"""Fields that several requests share, and the links and times of answers.

Request structs type what the house acts on; whatever else is sent is kept as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kasse.api.wire import Amount, LineId, Reference, Text, Time, http_url, line_id
from kasse.domain.ledger import LineAmount, check_splits
from kasse.domain.money import EXPONENTS, unknown_currency
from kasse.domain.refusals import Refusal
from kasse.domain.session import SessionUrl

Currency = Annotated[str, Meta(description="ISO 4217 code.", examples=["NOK"])]
Unrounded = Annotated[Text, Meta(description="The amount before rounding, as a decimal number.", examples=["27920.22"])]
Quantity = Annotated[float, Meta(gt=0, le=1_000_000_000)]
JsonObject = dict[str, Any]
# Neither "." nor "..", which clients take out of an address; "$" alone would let a newline follow.
OrderId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$(?!\n)", description="Your own id for the order.")
]


class DiscountLine(msgspec.Struct):
    amount: Annotated[Amount, Meta(description="Taken off the line's gross amount.")]
    amount_dwh: Unrounded | None = None
    percentage: float | None = None
    discount_type: Annotated[str, Meta(max_length=255, examples=["manual"])] | None = None
    discount_subtype: Text | None = None
    discount_id: Text | None = None
    description: Text | None = None


class TaxLine(msgspec.Struct):
    amount: Amount
    amount_dwh: Unrounded | None = None
    percentage: float | None = None
    included_in_price: bool | None = None
    exempt: bool | None = None
    tax_basis: Amount | None = None
    tax_basis_dwh: Unrounded | None = None
    tax_code: Text | None = None
    tax_group: Text | None = None


class ExchangeRate(msgspec.Struct, kw_only=True):
    """What a line cost in another currency: kept and sent back, never computed with (O-14)."""

    original_currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)", description="ISO 4217 code.")] | None = None
    original_gross_amount: Amount | None = None
    conversion_rate_ppm: Annotated[int, Meta(gt=0, le=2**53, description="The rate times a million.")] | None = None
    conversion_rate_timestamp: Time | None = None
    conversion_rate_source: Text | None = None


class RelatedItem(msgspec.Struct):
    """The line that another one is about: ``type`` is "reversed" where it takes it back."""

    line_id: LineId
    type: Text | None = None


class Item(ExchangeRate, kw_only=True):
    """A line of an order. Amounts are for the whole quantity, tax included (orders reference, section 5)."""

    id: Reference
    line_id: LineId
    gross_amount: Annotated[Amount, Meta(description="Before discounts, tax included; negative to reverse a line.")]
    tax_lines: list[TaxLine]
    net_amount: Amount | None = None
    quantity: Quantity | None = None
    unit: Text | None = None
    unit_price: float | None = None
    unit_gross_price: float | None = None
    description: Text | None = None
    description_alias: Text | None = None
    groups: list[JsonObject] | None = None
    discount_lines: list[DiscountLine] | None = None
    eligible_for_discount: bool | None = None
    is_changed: bool | None = None
    external_id: Text | None = None
    store: JsonObject | None = None
    status: Text | None = None
    reversed_reason: Text | None = None
    related_item: RelatedItem | None = None
    manual_payout: JsonObject | None = None


class Address(msgspec.Struct):
    first_name: Text | None = None
    last_name: Text | None = None
    address_line: Text | None = None
    address_line_2: Text | None = None
    co_address: Text | None = None
    business_name: Text | None = None
    postal_code: Text | None = None
    postal_place: Text | None = None
    country: Text | None = None
    phone_number: Text | None = None
    email: Text | None = None
    comment: str | None = None
    organization_number: Text | None = None
    organization_type: Text | None = None
    customer_reference: Text | None = None
    cost_center: Text | None = None
    latitude: float | None = None
    longitude: float | None = None


class OrderFields(msgspec.Struct, kw_only=True):
    """What may be said of an order besides its lines; unknown fields are kept as well."""

    merchant_reference: Reference | None = None
    customer: JsonObject | None = None
    shipping_address: Address | None = None
    billing_address: Address | None = None
    external_ids: list[Any] | None = None
    external_links: list[Any] | None = None
    itinerary: list[JsonObject] | JsonObject | None = None
    attachments: list[Any] | None = None
    courier_id: Text | None = None
    pickup_at: Text | None = None
    delivery_id: Text | None = None
    metadata: JsonObject | None = None


class NewOrder(OrderFields, kw_only=True):
    """An order to be. Its totals are worked out by the server."""

    currency: Currency
    order_id: OrderId | None = None
    store: JsonObject | None = None
    discounts: list[JsonObject] | None = None
    payment_details: JsonObject | None = None


class Link(msgspec.Struct):
    href: str
    rel: str


class Urls(msgspec.Struct):
    """Where the payer's browser returns to, and where the merchant is told."""

    return_url: str
    callback_url: str | None = None
    merchant_terms_url: str | None = None


def items(raw: Sequence[Mapping[str, Any]], path: str) -> list[dict[str, Any]]:
    """Items as they were sent, their ``line_id`` made an integer."""
    return [item(each, f"{path}/{n}") for n, each in enumerate(raw)]


def item(raw: Mapping[str, Any], path: str) -> dict[str, Any]:
    return {**raw, "line_id": line_id(raw["line_id"], f"{path}/line_id")}


def currency(code: str, path: str) -> str:
    """Raises ``Refusal`` (unknown_currency)."""
    if code not in EXPONENTS:
        raise unknown_currency(code, path)
    return code


def session_url(urls: Urls, *, all_required: bool, in_app: bool = False) -> SessionUrl:
    """Check the URLs of a session; in an app, the payer may return to an address of the app's own scheme.

    Raises ``Refusal``: missing_field, bad_url. Source: O-5; checkout reference, section 3.2.
    """
    if in_app and _APP_URL.fullmatch(urls.return_url) and len(urls.return_url) <= 2000:
        http = session_url(msgspec.structs.replace(urls, return_url=_ANY_URL), all_required=all_required)
        return msgspec.structs.replace(http, return_url=urls.return_url)
    found = {"return_url": urls.return_url}
    for name in ("callback_url", "merchant_terms_url"):
        value: str | None = getattr(urls, name)
        if value is not None:
            found[name] = value
        elif all_required:
            raise Refusal("missing_field", f"expected {name} at /url/{name}, got nothing", path=f"/url/{name}")
    return SessionUrl(**{name: http_url(value, f"/url/{name}") for name, value in found.items()})


_ANY_URL = "https://localhost/"
# The browser is sent there by a redirect; these schemes would run or show what the URL itself holds.
_APP_URL = re.compile(r"(?!(?:javascript|data|vbscript|file|blob|about):)[a-z][a-z0-9+.-]*:[!-~]+", re.IGNORECASE)


class Split(msgspec.Struct):
    """The share of a line that goes to one of several receivers."""

    payout_destination_id: Reference
    amount: Amount


class EntryItem(ExchangeRate, kw_only=True):
    line_id: LineId
    amount: Amount
    splits: list[Split] | None = None


def line_amounts(entries: Sequence[EntryItem], path: str) -> tuple[LineAmount, ...]:
    """What each line takes part with. Raises ``Refusal``: wrong_value, amount_mismatch (splits that do not add up)."""
    for n, entry in enumerate(entries):
        if entry.splits is not None:
            check_splits([split.amount for split in entry.splits], entry.amount, f"{path}/{n}/splits")
    return tuple(
        LineAmount(line_id(entry.line_id, f"{path}/{n}/line_id"), entry.amount) for n, entry in enumerate(entries)
    )


def given(raw: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """What was sent besides the fields that the house keeps in its own way."""
    return {name: value for name, value in raw.items() if name not in known}


SESSION_READ_ONLY = (
    *("id", "session_id", "transaction_id", "events", "created_at", "created_by", "updated_at", "_links"),
    *("cancelled_at", "cancelled_by", "customer_ip", "user_agent", "payment_operation"),
    "initiating_system_request_headers",
)


def present(**values: Any) -> dict[str, Any]:
    """Those that have a value."""
    return {name: value for name, value in values.items() if value is not None}


OrderOption = Literal["ALPHANUMERIC_9", "ALPHANUMERIC_9_RESERVE"]
