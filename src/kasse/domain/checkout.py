"""The order inside a session, as the checkout side shows it: what its amounts add up to.

It is a mapping with the names of the wire, because whatever else the merchant says in it is kept. Amounts are minor
units of its ``currency``. Source: checkout reference, sections 3.3, 3.4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from kasse.domain.money import MAX_AMOUNT
from kasse.domain.refusals import Refusal

CheckoutOrder = Mapping[str, Any]


def items_sum(order: CheckoutOrder) -> int:
    return sum(item["amount"] for item in order.get("items") or ())


def shipping_amount(order: CheckoutOrder) -> int:
    """What the chosen shipping costs; nothing while none is chosen."""
    option = order.get("shipping_option")
    return int(option["amount"]) if option else 0


def total(order: CheckoutOrder) -> int:
    """The items and the chosen shipping (checkout reference, section 5, rule 1)."""
    return items_sum(order) + shipping_amount(order)


def with_shipping(order: CheckoutOrder, option: Mapping[str, Any] | None) -> dict[str, Any]:
    """Choose another shipping, or none: what else the payer is charged stays as it was."""
    changed = {**order, "amount": order["amount"] - shipping_amount(order) + (option["amount"] if option else 0)}
    if option is None:
        changed.pop("shipping_option", None)
    else:
        changed["shipping_option"] = dict(option)
    return changed


def without_null_quantity(item: Mapping[str, Any]) -> dict[str, Any]:
    """A quantity that is null is none that was said."""
    return {name: value for name, value in item.items() if name != "quantity" or value is not None}


def with_line_ids(order: CheckoutOrder, path: str = "/order") -> dict[str, Any]:
    """Every item and the shipping option with a ``line_id`` as text, made up where an item has none.

    Raises ``Refusal`` (duplicate_line).
    """
    items: list[dict[str, Any]] = [dict(item) for item in order.get("items") or ()]
    lines = [(item, f"{path}/items/{n}") for n, item in enumerate(items)]
    found = {**order, "items": items}
    if order.get("shipping_option") is not None:
        found["shipping_option"] = dict(order["shipping_option"])
        lines.append((found["shipping_option"], f"{path}/shipping_option"))
    seen: set[str] = set()
    for line, where in lines:
        if line.get("line_id") is None:
            continue
        line["line_id"] = str(line["line_id"])
        if line["line_id"] in seen:
            message = f"expected each line_id once, got {line['line_id'][:100]!r} again"
            raise Refusal("duplicate_line", message, path=f"{where}/line_id")
        seen.add(line["line_id"])
    free = (line_id for n in count(1) if (line_id := f"line-{n}") not in seen)
    for item in items:
        if item.get("line_id") is None:
            item["line_id"] = next(free)
    return found


def with_versions(
    items: Iterable[Mapping[str, Any]], before: Iterable[Mapping[str, Any]], version: int
) -> list[dict[str, Any]]:
    """The items, each told the ``version`` of the session that added or changed it (checkout reference, section 3.4).

    ``version`` is that of the session which these items come with, ``before`` are the items it had until then.
    """
    known = {item.get("line_id"): item for item in before}
    told = []
    for item in items:
        was = known.get(item.get("line_id"))
        since = 1 if was is None else was.get("version", 1)
        same = was is not None and {**item, "version": since} == {**was, "version": since}
        told.append({**item, "version": since if same else version})
    return told


def check_amount(order: CheckoutOrder, *, strict: bool, path: str = "/order") -> None:
    """Whether the amount can be charged.

    Zero is: such a session is paid by ``dintero.zero``. ``strict`` asks for an amount that is what the items and the
    shipping add up to. Raises ``Refusal``: amount_not_positive, amount_mismatch, wrong_value (too large).
    """
    amount, expected = order["amount"], total(order)
    if amount < 0:
        raise Refusal("amount_not_positive", f"expected an amount of at least 0, got {amount}", path=f"{path}/amount")
    if amount > MAX_AMOUNT:
        raise Refusal("wrong_value", f"expected an amount of at most {MAX_AMOUNT}, got {amount}", path=f"{path}/amount")
    if order.get("partial_payment") is True:
        if amount > items_sum(order):
            raise Refusal(
                "amount_mismatch",
                f"expected a partial payment of at most the sum of the items, {items_sum(order)}, got {amount}",
                path=f"{path}/amount",
            )
    elif strict and amount != expected:
        raise Refusal(
            "amount_mismatch",
            f"expected the sum of items and shipping, {expected}, got {amount}",
            path=f"{path}/amount",
        )


def same_lines(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two lists of items ask for the same lines and amounts."""
    return [(str(item.get("line_id")), item["amount"]) for item in one] == [
        (str(item.get("line_id")), item["amount"]) for item in other
    ]
