"""The tax in an amount, as far as the items tell: for show, never for sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kasse.domain.transaction import Transaction, TransactionEvent


def calculated_vat_amount(transaction: Transaction, event: TransactionEvent) -> int | None:
    """The tax in an event's amount: of its items, as they say or in proportion to the transaction's own; without items,
    of all of the transaction. None where something is not known.
    """
    if not event.items:
        return (
            _sum(item.get("vat_amount") for item in transaction.items) if event.amount == transaction.amount else None
        )
    known = {str(item.get("line_id")): item for item in transaction.items}
    return _sum(_of(item, known.get(str(item.get("line_id")))) for item in event.items)


def _of(item: Mapping[str, Any], known: Mapping[str, Any] | None) -> int | None:
    if item.get("vat_amount") is not None:
        return _whole(item["vat_amount"])
    tax, of = (_whole(known.get("vat_amount")), _whole(known.get("amount"))) if known else (None, None)
    amount = _whole(item.get("amount"))
    if tax is None or not of or amount is None:
        return None
    return (2 * amount * tax + of) // (2 * of)


def _sum(amounts: Iterable[Any]) -> int | None:
    found = [_whole(amount) for amount in amounts]
    return None if not found or None in found else sum(each for each in found if each is not None)


def _whole(value: Any) -> int | None:
    """Amounts are integers, however a client writes them."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)
