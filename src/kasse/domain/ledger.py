"""What has been authorized, cancelled, captured and refunded of each line, and what is left.

Facts are entries that are only ever added. Sums over them are kept per line; every sum has the sign of its
line, so a reversal line (negative payable) follows the same rules mirrored.

Invariants, per line, in absolute amounts:

* ``captured + cancelled <= authorized`` and ``refunded <= captured``
* ``authorized - cancelled + claimed <= payable``: a line is never paid twice; what was cancelled may be paid anew

Source: orders reference, section 6 and decisions O-3, O-8, O-27.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from kasse.domain.refusals import Refusal

EntryKind = Literal["authorization", "capture", "refund", "cancellation"]
PaymentStatus = Literal["pending", "partially_paid", "paid", "partially_refunded", "refunded"]


class LineAmount(msgspec.Struct, frozen=True, omit_defaults=True):
    """An amount of one line, in minor units of the order's currency."""

    line_id: int
    amount: int


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """The share of a capture, refund or cancellation that falls on one authorization."""

    authorization_id: str
    line_id: int
    amount: int


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fact in an order's ledger. Only entries with ``success`` count.

    ``parts`` says which authorizations a capture, refund or cancellation draws on. ``transaction_id`` is set when
    the money moved through a transaction of ours, and ``from_order`` when the merchant asked for it on the order.
    """

    id: str
    kind: EntryKind
    items: tuple[LineAmount, ...]
    success: bool
    created_at: datetime
    created_by: str
    authorization_id: str | None = None
    parts: tuple[Part, ...] = ()
    transaction_id: str | None = None
    from_order: bool = True
    given: dict[str, Any] = {}

    @property
    def amount(self) -> int:
        return sum(item.amount for item in self.items)


class LineSums(msgspec.Struct, frozen=True):
    """The sums over one line's entries. ``claimed`` is what payments under way hold of it."""

    line_id: int
    payable: int
    authorized: int = 0
    cancelled: int = 0
    captured: int = 0
    refunded: int = 0
    claimed: int = 0

    @property
    def left_to_pay(self) -> int:
        """What no authorization covers; payments under way are not considered (O-3)."""
        return self.payable - (self.authorized - self.cancelled)

    @property
    def left_to_claim(self) -> int:
        return self.left_to_pay - self.claimed

    @property
    def left_to_capture(self) -> int:
        return self.authorized - self.cancelled - self.captured

    @property
    def left_to_refund(self) -> int:
        return self.captured - self.refunded

    def add(self, kind: EntryKind, amount: int) -> LineSums:
        field = {
            "authorization": "authorized",
            "capture": "captured",
            "refund": "refunded",
            "cancellation": "cancelled",
        }[kind]
        return msgspec.structs.replace(self, **{field: getattr(self, field) + amount})

    def claim(self, amount: int) -> LineSums:
        """Hold ``amount`` for a payment under way; a negative one of a claim gives it back."""
        return msgspec.structs.replace(self, claimed=self.claimed + amount)

    def broken_rule(self) -> str | None:
        """The first invariant that does not hold, in words, or None."""
        sign = -1 if self.payable < 0 else 1
        payable, authorized, cancelled = sign * self.payable, sign * self.authorized, sign * self.cancelled
        captured, refunded, claimed = sign * self.captured, sign * self.refunded, sign * self.claimed
        if min(authorized, cancelled, captured, refunded, claimed) < 0:
            return "a sum has the wrong sign"
        if captured + cancelled > authorized:
            return "more is captured and cancelled than authorized"
        if refunded > captured:
            return "more is refunded than captured"
        if authorized - cancelled + claimed > payable:
            return "more is authorized and claimed than there is to pay"
        return None


class OrderSums(msgspec.Struct, frozen=True):
    """The signed totals of an order's ledger, kept so that its payment status needs no line to be read."""

    authorized: int = 0
    cancelled: int = 0
    captured: int = 0
    refunded: int = 0

    def add(self, kind: EntryKind, amount: int) -> OrderSums:
        field = {
            "authorization": "authorized",
            "capture": "captured",
            "refund": "refunded",
            "cancellation": "cancelled",
        }[kind]
        return msgspec.structs.replace(self, **{field: getattr(self, field) + amount})


def payment_status(net_amount: int, sums: OrderSums) -> PaymentStatus:
    """Derive the payment status (orders reference, section 9; an authorized order stays pending, O-10).

    What was cancelled needs no capture, unless it has been authorized anew.
    """
    captured, refunded = sums.captured, sums.refunded
    uncovered = net_amount - (sums.authorized - sums.cancelled)
    _, given_up, _ = sorted((0, sums.cancelled, uncovered))  # as much of it as nothing covers now
    if captured > 0 and refunded >= captured:
        return "refunded"
    if captured > 0 and refunded > 0:
        return "partially_refunded"
    if captured <= 0:
        return "pending"
    return "paid" if captured >= net_amount - given_up else "partially_paid"


_LEFT = {"capture": "left_to_capture", "cancellation": "left_to_capture", "refund": "left_to_refund"}
_VERB = {"authorization": "pay", "capture": "capture", "cancellation": "cancel", "refund": "refund"}


def left_for(kind: EntryKind, sums: LineSums) -> int:
    """What an entry of this kind may still take of the line."""
    return sums.left_to_claim if kind == "authorization" else int(getattr(sums, _LEFT[kind]))


def check_amount(kind: EntryKind, sums: LineSums, amount: int, left: int, path: str) -> None:
    """Raises ``Refusal`` (amount_sign, amount_above_left) unless ``amount`` is a part of ``left``."""
    if amount == 0 or (amount < 0) != (sums.payable < 0):
        expected = "a negative" if sums.payable < 0 else "a positive"
        raise Refusal("amount_sign", f"line {sums.line_id} takes {expected} amount, got {amount}", path=path)
    if abs(amount) > abs(left) or (left < 0) != (amount < 0):
        raise Refusal(
            "amount_above_left",
            f"line {sums.line_id} has {left} left to {_VERB[kind]}, {amount} was asked for",
            path=path,
        )


def check_splits(splits: Iterable[int], amount: int, path: str) -> None:
    """Raises ``Refusal`` (amount_mismatch) unless the shares of a line add up to what it takes part with."""
    total = sum(splits)
    if total != amount:
        raise Refusal("amount_mismatch", f"expected splits that add up to {amount}, got {total}", path=path)


def authorization_sums(authorization: Entry, entries: Iterable[Entry]) -> dict[int, LineSums]:
    """The sums of each line under one authorization; ``payable`` is what it authorized."""
    sums = {
        item.line_id: LineSums(item.line_id, payable=item.amount, authorized=item.amount)
        for item in authorization.items
    }
    for entry in entries:
        for part in entry.parts if entry.success else ():
            if part.authorization_id == authorization.id:
                sums[part.line_id] = sums[part.line_id].add(entry.kind, part.amount)
    return sums


def allocate(
    kind: EntryKind,
    items: Sequence[LineAmount],
    lines: Mapping[int, LineSums],
    entries: Sequence[Entry],
    authorization_id: str | None,
) -> tuple[Part, ...]:
    """Say which authorizations a capture, refund or cancellation draws on, oldest first.

    Raises ``Refusal``: authorization_not_found, line_not_found, amount_sign, amount_above_left. Nothing is
    allocated unless everything fits.
    """
    authorizations = [entry for entry in entries if entry.kind == "authorization" and entry.success]
    if authorization_id is not None:
        authorizations = [entry for entry in authorizations if entry.id == authorization_id]
        if not authorizations:
            raise Refusal(
                "authorization_not_found",
                f"the order has no successful authorization {authorization_id!r}",
                path="/authorization_id",
            )
    left = {
        (entry.id, line_id): left_for(kind, sums)
        for entry in authorizations
        for line_id, sums in authorization_sums(entry, entries).items()
    }
    parts: list[Part] = []
    for n, item in enumerate(items):
        if item.line_id not in lines:
            raise line_not_found(item.line_id, f"/items/{n}/line_id")
        available = sum(amount for (_, line_id), amount in left.items() if line_id == item.line_id)
        check_amount(kind, lines[item.line_id], item.amount, available, f"/items/{n}/amount")
        wanted = item.amount
        for entry in authorizations:
            here = left.get((entry.id, item.line_id), 0)
            taken = min(here, wanted, key=abs)
            if taken:
                parts.append(Part(entry.id, item.line_id, taken))
                left[entry.id, item.line_id] = here - taken
                wanted -= taken
    return tuple(parts)


def spread(amount: int, lines: Sequence[LineAmount]) -> tuple[tuple[LineAmount, ...], int]:
    """Spread ``amount`` over what is left of ``lines``, in their order; answers the shares and what fits nowhere.

    An amount that is all there is takes every line whole, negative ones included; a smaller one fills the
    positive lines first come first served. The shares and the rest add up to ``amount``.
    """
    if amount == sum(line.amount for line in lines):
        return tuple(line for line in lines if line.amount), 0
    shares = []
    for line in lines:
        share = min(line.amount, amount)
        if share > 0:
            shares.append(LineAmount(line.line_id, share))
            amount -= share
    return tuple(shares), amount


def line_not_found(line_id: object, path: str) -> Refusal:
    return Refusal("line_not_found", f"the order has no line {line_id}", path=path)
