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


class Line(msgspec.Struct, frozen=True):
    """One line of an order. Amounts are minor units, tax included; ``given`` is the item as it was sent."""

    line_id: int
    gross_amount: int
    discount_amount: int
    given: dict[str, Any]
    version: int = 1


class DraftNote(msgspec.Struct, frozen=True):
    """One change of a draft, kept with it."""

    id: str
    created_at: datetime
    created_by: str
    version: int
    request: RequestNote | None


class Draft(msgspec.Struct, frozen=True):
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


class Order(msgspec.Struct, frozen=True):
    """The head of an order; its lines and their sums are kept beside it.

    ``version`` counts its events, ``last_hash`` is the end of their chain.
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
    sums: OrderSums = OrderSums()
    payment_status: PaymentStatus = "pending"
    version: int = 0
    last_hash: str = ""

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


def require_open(draft: Draft) -> None:
    if draft.status != "open":
        raise Refusal("draft_not_open", f"expected an open draft, draft {draft.id} is {draft.status}")


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


def order_from_draft(draft: Draft, id: str, order_id: str, by: str, now: datetime) -> tuple[Order, tuple[Line, ...]]:
    """Turn an open draft into an order.

    Raises ``Refusal``: draft_not_open, wrong_state (a draft without lines), wrong_value (more money than can be told
    apart, in whatever lines are paid together).
    """
    require_open(draft)
    if not draft.lines:
        raise Refusal("wrong_state", f"expected at least one item to make an order of, draft {draft.id} has none")
    check_total(draft.lines, "")
    gross, net = totals(draft.lines)
    order = Order(
        account_id=draft.account_id,
        id=id,
        order_id=order_id,
        currency=draft.currency,
        gross_amount=gross,
        net_amount=net,
        created_at=now,
        created_by=by,
        updated_at=now,
        given=draft.given,
        options=draft.options,
        draft_id=draft.id,
    )
    return order, draft.lines


def require_order_open(order: Order) -> None:
    if order.status != "open":
        raise Refusal("order_not_open", f"expected an open order, order {order.order_id} is {order.status}")
