"""Orders, their lines and the drafts that become orders.

What a merchant sends and the house has no rule for stays in ``given`` and is sent back as it came.
Source: orders reference, sections 3, 4, 5 and decisions O-6, O-7, O-17, O-24, O-25.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from kasse.domain.access import RequestNote
from kasse.domain.ledger import OrderSums, PaymentStatus
from kasse.domain.money import MAX_AMOUNT
from kasse.domain.refusals import Refusal

OrderStatus = Literal["open", "closed", "cancelled"]
DraftStatus = Literal["open", "completed", "deleted"]


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an order. Amounts are minor units, tax included; ``given`` is the item as it was sent."""

    line_id: int
    gross_amount: int
    discount_amount: int
    given: dict[str, Any]
    version: int = 1


class Comment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A remark on an order."""

    id: str
    text: str
    created_at: datetime
    created_by: str


class DraftNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change of a draft, kept with it."""

    id: str
    created_at: datetime
    created_by: str
    version: int
    request: RequestNote | None


class Draft(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order in the making. ``orders`` holds the ids of what it became."""

    account_id: str
    id: str
    currency: str
    lines: tuple[Line, ...]
    given: dict[str, Any]
    options: dict[str, Any]
    created_at: datetime
    created_by: str
    updated_at: datetime
    status: DraftStatus = "open"
    notes: tuple[DraftNote, ...] = ()
    orders: tuple[str, ...] = ()
    version: int = 1


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """The head of an order; its lines and their sums are kept beside it.

    ``version`` counts its events, ``last_hash`` is the end of their chain. ``status_changes`` tells who closed or
    cancelled it, when and why, under the names of the wire. ``replaced`` is the version in which a draft took the place
    of all that it held; sessions from before are not paid. ``matched`` names the ledger entries of our transactions
    that the merchant has recorded here as well.
    """

    account_id: str
    id: str
    order_id: str
    currency: str
    gross_amount: int
    net_amount: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    given: dict[str, Any]
    options: dict[str, Any] = {}
    status: OrderStatus = "open"
    draft_id: str | None = None
    comments: tuple[Comment, ...] = ()
    status_changes: dict[str, Any] = {}
    sums: OrderSums = OrderSums()
    payment_status: PaymentStatus = "pending"
    version: int = 0
    last_hash: str = ""
    replaced: int = 0
    matched: tuple[str, ...] = ()

    @property
    def merchant_reference(self) -> str | None:
        reference = self.given.get("merchant_reference")
        return reference if isinstance(reference, str) else None


def payable(line: Line) -> int:
    """What a line costs: gross less discounts, tax included (O-24). The only place that knows."""
    return line.gross_amount - line.discount_amount


def line_from_item(item: Mapping[str, Any], path: str, version: int = 1) -> Line:
    """Read a line from an item whose types the door has checked.

    Raises ``Refusal``: amount_mismatch when ``net_amount`` contradicts the sums (O-7), wrong_value when a tax
    line is not included in the price (O-25).
    """
    discount = sum(each["amount"] for each in item.get("discount_lines") or ())
    line = Line(int(item["line_id"]), item["gross_amount"], discount, dict(item), version)
    net = item.get("net_amount")
    if net is not None and net != payable(line):
        raise Refusal(
            "amount_mismatch",
            f"expected net_amount {payable(line)} (gross_amount {line.gross_amount} less discounts {discount}), "
            f"got {net}",
            path=f"{path}/net_amount",
        )
    for n, tax in enumerate(item.get("tax_lines") or ()):
        if tax.get("included_in_price") is False:
            raise Refusal(
                "wrong_value",
                "expected taxes that are included in the price (included_in_price true), got false",
                path=f"{path}/tax_lines/{n}/included_in_price",
            )
    return line


def check_unique(lines: Sequence[Line], path: str) -> None:
    """Raises ``Refusal`` (duplicate_line) when two lines share a ``line_id``."""
    seen: dict[int, int] = {}
    for n, line in enumerate(lines):
        if line.line_id in seen:
            raise Refusal(
                "duplicate_line",
                f"expected each line_id once, got {line.line_id} in items {seen[line.line_id]} and {n}",
                path=f"{path}/{n}/line_id",
            )
        seen[line.line_id] = n


def check_total(lines: Iterable[Line], path: str) -> None:
    """Raises ``Refusal`` (wrong_value) for more money than clients can tell apart, whatever lines are paid together."""
    size = sum(max(abs(line.gross_amount), abs(payable(line))) for line in lines)
    if size > MAX_AMOUNT:
        raise Refusal("wrong_value", f"expected items of at most {MAX_AMOUNT} in all, got {size}", path=path)


def totals(lines: Iterable[Line]) -> tuple[int, int]:
    """Gross and net of all lines: before and after discounts, tax included."""
    lines = tuple(lines)
    return sum(line.gross_amount for line in lines), sum(payable(line) for line in lines)


def manual_discount(lines: Iterable[Line]) -> int:
    """What was taken off by hand: the discounts of type "manual" of all lines."""
    discounts = [each for line in lines for each in line.given.get("discount_lines") or ()]
    return sum(each["amount"] for each in discounts if each.get("discount_type") == "manual")


def require_open(draft: Draft) -> None:
    if draft.status != "open":
        raise Refusal(
            "draft_not_open", f"expected an open draft, draft {draft.id} is {draft.status}: {_ALLOWED[draft.status]}"
        )


def with_line(draft: Draft, line: Line) -> Draft:
    """Add a line. Raises ``Refusal``: draft_not_open, duplicate_line, wrong_value (too much in all)."""
    require_open(draft)
    if any(line.line_id == each.line_id for each in draft.lines):
        raise Refusal(
            "duplicate_line",
            f"expected a line_id that the draft does not have, got {line.line_id}",
            path="/line_id",
        )
    check_total((*draft.lines, line), "/gross_amount")
    return msgspec.structs.replace(draft, lines=(*draft.lines, line))


def with_changed_line(draft: Draft, line: Line) -> Draft:
    """Replace the line of the same ``line_id``. Raises ``Refusal``: draft_not_open, line_not_found."""
    require_open(draft)
    require_line(draft, line.line_id)
    lines = tuple(line if each.line_id == line.line_id else each for each in draft.lines)
    check_total(lines, "/gross_amount")
    return msgspec.structs.replace(draft, lines=lines)


def without_line(draft: Draft, line_id: int) -> Draft:
    """Remove a line. Raises ``Refusal``: draft_not_open, line_not_found."""
    require_open(draft)
    require_line(draft, line_id)
    return msgspec.structs.replace(draft, lines=tuple(each for each in draft.lines if each.line_id != line_id))


def require_line(draft: Draft, line_id: int) -> None:
    if all(line_id != each.line_id for each in draft.lines):
        raise Refusal("line_not_found", f"draft {draft.id} has no line {line_id}")


DRAFT_STEPS: dict[DraftStatus, frozenset[DraftStatus]] = {
    "open": frozenset({"completed", "deleted"}),
    "completed": frozenset(),
    "deleted": frozenset(),
}
ORDER_STEPS: dict[OrderStatus, frozenset[OrderStatus]] = {
    "open": frozenset({"closed", "cancelled"}),
    "closed": frozenset({"open"}),
    "cancelled": frozenset(),
}
"""The lives of drafts and orders (orders reference, section 9 and O-9)."""
_ALLOWED: dict[str, str] = {
    "completed": "it can be read, and completed again, which answers the same orders",
    "deleted": "it can be read",
    "closed": "it takes refunds, updates, comments and events, and can be opened again",
    "cancelled": "it can be read, and takes comments and events",
}


def draft_step(draft: Draft, status: DraftStatus) -> Draft:
    """Move a draft on. Raises ``Refusal`` (draft_not_open)."""
    if status not in DRAFT_STEPS[draft.status]:
        require_open(draft)
    return msgspec.structs.replace(draft, status=status)


def check_order_step(order: Order, status: OrderStatus) -> None:
    """Raises ``Refusal`` (wrong_state) for a step that the table does not have."""
    if status not in ORDER_STEPS[order.status]:
        allowed = ", ".join(sorted(ORDER_STEPS[order.status])) or "nothing"
        raise Refusal(
            "wrong_state",
            f"order {order.order_id} is {order.status} and can become {allowed}, {status} was asked for",
        )


def store_of(line: Line, given: Mapping[str, Any]) -> str | None:
    """The store that sells a line: its own, else the order's (O-17)."""
    for owner in (line.given, given):
        store = owner.get("store")
        if isinstance(store, dict) and store.get("id") is not None:
            return str(store["id"])
    return None


def split(draft: Draft) -> list[tuple[Line, ...]]:
    """The lines of each order that a draft becomes: one for each store, unless ``split_draft`` is false (O-17).

    Raises ``Refusal`` (wrong_value) when the draft has an order id of its own and would become several.
    """
    if draft.options.get("split_draft") is False:
        return [draft.lines]
    groups: dict[str | None, list[Line]] = {}
    for line in draft.lines:
        groups.setdefault(store_of(line, draft.given), []).append(line)
    if len(groups) > 1 and (draft.given.get("order_id") is not None):
        raise Refusal(
            "wrong_value",
            f"expected split_draft false with an order_id of your own, this draft becomes {len(groups)} orders",
            path="/options/split_draft",
        )
    return [tuple(lines) for lines in groups.values()] or [()]


def marks(order: Order, lines: Iterable[Line]) -> frozenset[tuple[str, str]]:
    """The names and values by which an order is found in lists (orders reference, section 10)."""
    given, lines = order.given, tuple(lines)
    found: set[tuple[str, Any]] = {("merchant_reference", given.get("merchant_reference"))}
    found.add(("customer_id", _id_of(given.get("customer"))))
    found |= {("store_id", store_of(line, given)) for line in lines}
    found.add(("store_id", _id_of(given.get("store"))))
    for line in lines:
        for discount in line.given.get("discount_lines") or ():
            found.add(("items_discount_lines_discount_type", discount.get("discount_type")))
    trips = given.get("itinerary")
    for trip in trips if isinstance(trips, list) else [trips]:
        if isinstance(trip, dict):
            found.add(("itinerary_travel_mode", _word(trip.get("travel_mode"))))
            found |= {
                (f"itinerary_{name}", _id_of(trip.get(name))) for name in ("arrival_address", "departure_address")
            }
    return frozenset((name, str(value)) for name, value in found if value is not None and len(str(value)) <= 255)


def _id_of(value: Any) -> Any:
    """The id of an object, or its name; None where that is no word."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else None
    return _word(value.get("id", value.get("name")))


def _word(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else None


UPDATABLE = (
    "external_ids",
    "external_links",
    "itinerary",
    "attachments",
    "courier_id",
    "pickup_at",
    "delivery_id",
    "customer",
    "shipping_address",
    "billing_address",
    "metadata",
    "merchant_reference",
)
UPDATABLE_OF_ITEMS = (
    "status",
    "original_currency",
    "original_gross_amount",
    "conversion_rate_ppm",
    "conversion_rate_timestamp",
    "conversion_rate_source",
)
"""What may change on an order once it is made: never amounts, currency or ids (O-13)."""


def merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a merge patch (RFC 7396): null removes, objects merge, everything else replaces."""
    result = dict(before)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            inner = result.get(name)
            result[name] = merged(inner if isinstance(inner, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def updated_item(lines: Mapping[int, Line], line_id: int, patch: Mapping[str, Any]) -> dict[str, Any]:
    """An item with what may change of it changed. Discounts may be described anew, not altered in sum.

    Raises ``Refusal``: line_not_found, amount_mismatch.
    """
    line = lines.get(line_id)
    if line is None:
        raise Refusal("line_not_found", f"the order has no line {line_id}", path="/items")
    item = merged(line.given, {name: value for name, value in patch.items() if name in UPDATABLE_OF_ITEMS})
    for name, now in (("gross_amount", line.gross_amount), ("net_amount", payable(line))):
        if patch.get(name, now) != now:
            raise Refusal(
                "amount_mismatch", f"line {line_id} has {name} {now}, which cannot become {patch[name]}", path="/items"
            )
    discounts = patch.get("discount_lines")
    if discounts is not None:
        total = sum(each["amount"] for each in discounts)
        if total != line.discount_amount:
            raise Refusal(
                "amount_mismatch",
                f"line {line_id} has discounts of {line.discount_amount}, which cannot become {total}",
                path="/items",
            )
        item["discount_lines"] = discounts
    return item


def require_lines(draft: Draft) -> None:
    """A draft that can be completed. Raises ``Refusal``: draft_not_open, wrong_state (no lines at all)."""
    require_open(draft)
    if not draft.lines:
        raise Refusal("wrong_state", f"expected at least one item to make an order of, draft {draft.id} has none")


def order_from_draft(
    draft: Draft, lines: Sequence[Line], id: str, order_id: str, by: str, now: datetime
) -> tuple[Order, tuple[Line, ...]]:
    """Turn lines of an open draft into an order.

    Raises ``Refusal``: draft_not_open, wrong_state (no lines at all), wrong_value (too much in all).
    """
    require_lines(draft)
    given = {name: value for name, value in draft.given.items() if name != "order_id"}
    order = new_order(draft.account_id, id, order_id, draft.currency, lines, given, by, now)
    return msgspec.structs.replace(order, options=draft.options, draft_id=draft.id), tuple(lines)


def new_order(
    account_id: str,
    id: str,
    order_id: str,
    currency: str,
    lines: Sequence[Line],
    given: dict[str, Any],
    by: str,
    now: datetime,
) -> Order:
    """An open order of these lines. Raises ``Refusal`` (wrong_value: too much in all)."""
    check_total(lines, "/items")
    gross, net = totals(lines)
    return Order(
        account_id=account_id,
        id=id,
        order_id=order_id,
        currency=currency,
        gross_amount=gross,
        net_amount=net,
        created_at=now,
        created_by=by,
        updated_at=now,
        given=given,
    )


def require_order_open(order: Order) -> None:
    if order.status != "open":
        raise Refusal(
            "order_not_open",
            f"expected an open order, order {order.order_id} is {order.status}: {_ALLOWED[order.status]}",
        )
