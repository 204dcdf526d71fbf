"""Items as real merchants send them who do not follow the documents, made into items that do.

Only where the operator wants it (``relaxed_items``). What has the wrong type stays as it is, to be refused in the usual
words. Source: orders reference, O-6 and O-7.
"""

from __future__ import annotations

import re
from typing import Any, TypeGuard


def order_body(raw: dict[str, Any]) -> dict[str, Any]:
    """A body that has ``items``. Those without a ``line_id`` get the number that is their id, if it is free, else the
    next one that is."""
    items = raw.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return raw
    taken = {number for item in items if (number := _number(item.get("line_id"))) is not None}
    found = []
    for item in items:
        if item.get("line_id") is None:
            numbers = (number for number in (_own_number(item), *range(1, len(items) + len(taken) + 1)) if number)
            item = {**item, "line_id": next(number for number in numbers if number not in taken)}
            taken.add(item["line_id"])
        found.append(_priced(item))
    return {**raw, "items": found}


def draft_body(raw: dict[str, Any]) -> dict[str, Any]:
    """A body that has an ``order`` with items."""
    order = raw.get("order")
    return {**raw, "order": order_body(order)} if isinstance(order, dict) else raw


def item_body(raw: dict[str, Any]) -> dict[str, Any]:
    """One item, to be added to others: without a ``line_id`` it has the number that is its id."""
    number = _own_number(raw) if raw.get("line_id") is None else None
    return _priced(raw if number is None else {**raw, "line_id": number})


def _priced(raw: dict[str, Any]) -> dict[str, Any]:
    """``amount`` is what is to be paid, missing taxes are none, and a ``net_amount`` that contradicts gross and
    discounts is not heeded: it may leave the tax out."""
    item = {"tax_lines": [], **raw}
    discount = _sum(item.get("discount_lines") or ())
    if discount is None:
        return item
    if "gross_amount" not in item and _is_whole(item.get("amount")):
        item["gross_amount"] = item["amount"] + discount
    gross, net = item.get("gross_amount"), item.get("net_amount")
    if _is_whole(gross) and _is_whole(net) and net != gross - discount:
        del item["net_amount"]
    return item


def _own_number(item: dict[str, Any]) -> int | None:
    numbers = (_number(item.get(name)) for name in ("id", "external_id"))
    return next((number for number in numbers if number), None)


def _sum(lines: Any) -> int | None:
    """The sum of amounts, or None where they are not to be read."""
    if not isinstance(lines, list | tuple):
        return None
    amounts = [line.get("amount") if isinstance(line, dict) else None for line in lines]
    whole = [amount for amount in amounts if _is_whole(amount)]
    return sum(whole) if len(whole) == len(amounts) else None


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> int | None:
    """An integer, or the same as text."""
    if _is_whole(value):
        return int(value)
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}", value, re.ASCII) else None
