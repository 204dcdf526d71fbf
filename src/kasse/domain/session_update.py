"""What a merchant may change of a session that nobody has paid yet.

Source: checkout reference, section 3.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from kasse.domain import checkout
from kasse.domain.express import express_of
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession, SessionEvent, with_order

WHOLE_UPDATES = 20
"""So many updates, the latest, are noted with what was there before and after; of older ones only that they were."""

_STAYS = ("merchant_reference", "currency")
_READ_ONLY = ("gross_amount", "is_changed")
_COPIES = ("previous_order", "updated_order", "previous_express", "updated_express")


class Update(msgspec.Struct, frozen=True):
    """What a merchant says anew; amounts are checked whole numbers. None, or a key left out, stays as it was.

    ``strict`` refuses an amount that is not what the items and the shipping add up to.
    """

    order: Mapping[str, Any] | None = None
    express: Mapping[str, Any] | None = None
    customer: Mapping[str, Any] | None = None
    strict: bool = False


def updated(session: PaymentSession, update: Update) -> PaymentSession:
    """The session as the merchant wants it.

    Its amount is what the items and the chosen shipping add up to: clients send one without the shipping. That of a
    partial payment is what the merchant says, or said before. The lines of an order of ours stay what they are; a
    session of one may get other shipping, addresses and words.
    Raises ``Refusal``: wrong_value, wrong_state (express options for a session that is not express), duplicate_line,
    amount_mismatch, amount_not_positive.
    """
    given = dict(update.order or {})
    for name in _STAYS:
        if given.get(name) is not None and given[name] != session.checkout_order.get(name):
            was = session.checkout_order.get(name)
            raise Refusal(
                "wrong_value", f"expected {name} to stay {was!r}, got {str(given[name])[:100]!r}", path=f"/order/{name}"
            )
    if given.get("amount") is not None:
        checkout.check_amount({"amount": given["amount"]}, strict=False)
    changed = _with_express(session, update.express)
    order = _merged(changed.checkout_order, given)
    if session.order is not None:
        order = _of_order(session, order, given)
    order = checkout.with_line_ids(order)
    order = _with_amount(changed.checkout_order, order, given, update)
    order = _with_offered(changed, order, given, update)
    _check_options(changed, order, update)
    checkout.check_amount(order, strict=update.strict)
    if update.customer:
        before = changed.given.get("customer")
        customer = {**(before if isinstance(before, dict) else {}), **update.customer}
        changed = msgspec.structs.replace(changed, given={**changed.given, "customer": customer})
    return with_order(changed, order)


def _with_express(session: PaymentSession, express: Mapping[str, Any] | None) -> PaymentSession:
    before = express_of(session)
    if not express:
        return session
    if before is None:
        if "shipping_options" not in express:
            return session
        raise Refusal("wrong_state", f"expected an express session, session {session.id} is none", path="/express")
    said = {name: value for name, value in express.items() if value is not None}
    if "shipping_options" in said:
        said["shipping_options"] = [{**each, "line_id": str(each["line_id"])} for each in said["shipping_options"]]
    return msgspec.structs.replace(session, given={**session.given, "express": {**before, **said}})


def _merged(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The order with what is said anew. Null takes the chosen shipping away, and says nothing about anything else."""
    said = {name: value for name, value in given.items() if value is not None and name not in _READ_ONLY}
    order = {**before, **said}
    if "shipping_option" in given and given["shipping_option"] is None:
        order.pop("shipping_option", None)
    return order


def _of_order(session: PaymentSession, order: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The same, its items and their amounts left alone."""
    items = session.checkout_order.get("items") or ()
    if given.get("items") is not None and not checkout.same_lines(given["items"], items):
        raise Refusal(
            "wrong_value",
            f"expected the lines of order {session.order_id} that the session was opened for, got others",
            path="/order/items",
        )
    order = {**order, "items": list(items)}
    lines = checkout.items_sum(order)
    if given.get("amount") is not None and given["amount"] not in (lines, checkout.total(order)):
        raise Refusal(
            "amount_mismatch",
            f"expected what the lines of order {session.order_id} and the shipping add up to, "
            f"{checkout.total(order)}, got {given['amount']}",
            path="/order/amount",
        )
    return order


def _with_amount(
    before: Mapping[str, Any], order: dict[str, Any], given: Mapping[str, Any], update: Update
) -> dict[str, Any]:
    partial = order.get("partial_payment") is True
    if given.get("amount") is not None and (update.strict or partial):
        return order
    told = given.get("amount") is not None or given.get("items") is not None
    if told and order.get("items") and not partial:
        return {**order, "amount": checkout.total(order)}
    if given.get("amount") is None:
        # What is charged beside the shipping stays.
        base = before["amount"] - checkout.shipping_amount(before)
        return {**order, "amount": base + checkout.shipping_amount(order)}
    return order


def _with_offered(
    session: PaymentSession, order: dict[str, Any], given: Mapping[str, Any], update: Update
) -> dict[str, Any]:
    """The chosen shipping is one of those on offer; one that is not offered any more is given up."""
    option = order.get("shipping_option")
    if option is None or update.express is None or update.express.get("shipping_options") is None:
        return order
    offered = (express_of(session) or {}).get("shipping_options") or ()
    same = [each for each in offered if _names(each) == _names(option)]
    if given.get("shipping_option") is not None:
        if not same:
            raise Refusal(
                "wrong_value",
                f"expected one of express.shipping_options, got {option['id']!r} with line_id {option['line_id']!r}",
                path="/order/shipping_option",
            )
        return order
    return checkout.with_shipping(order, same[0] if same else None)


def _check_options(session: PaymentSession, order: Mapping[str, Any], update: Update) -> None:
    """What is on offer has other line ids than the items, whichever of both the update has changed.

    Raises ``Refusal`` (duplicate_line).
    """
    said = (update.express or {}).get("shipping_options") is not None
    places = {item["line_id"]: f"/order/items/{n}/line_id" for n, item in enumerate(order.get("items") or ())}
    for n, option in enumerate((express_of(session) or {}).get("shipping_options") or ()):
        line_id = str(option["line_id"])
        if line_id in places:
            raise Refusal(
                "duplicate_line",
                f"expected each line_id once, among items and shipping options, got {line_id[:100]!r} again",
                path=f"/express/shipping_options/{n}/line_id" if said else places[line_id],
            )


def _names(option: Mapping[str, Any]) -> tuple[str, str]:
    return str(option["id"]), str(option["line_id"])


def needs_callback(session: PaymentSession, update: Update, *, force: bool) -> str | None:
    """The merchant's address to ask what the shipping may be: he is asked unless he has just said so himself."""
    express = express_of(session)
    if express is None or not session.checkout_order.get("shipping_address"):
        return None
    told = update.express is not None and update.express.get("shipping_options") is not None
    url: str | None = express.get("shipping_address_callback_url")
    return url if force or not told else None


def details(before: PaymentSession, after: PaymentSession) -> dict[str, Any]:
    """What an update has changed, as its event tells it."""
    found: dict[str, Any] = {}
    pairs = [("order", before.checkout_order, after.checkout_order)]
    old, new = express_of(before), express_of(after)
    if new is not None:
        pairs.append(("express", old or {}, new))
    for name, was, now in pairs:
        if was == now:
            found[f"updated_{name}_result"] = {"status": "NOT_MODIFIED"}
        else:
            found |= {f"previous_{name}": was, f"updated_{name}": now}
            found[f"updated_{name}_result"] = {"status": "MODIFIED"}
    return found


def without_old_copies(session: PaymentSession) -> PaymentSession:
    """The same history, short of what long past updates have changed: it is read and written with every change."""
    updates = [event.id for event in session.events if event.name == "UPDATE_SESSION"][:-WHOLE_UPDATES]
    if not updates:
        return session
    old = frozenset(updates)
    return msgspec.structs.replace(
        session, events=tuple(_short(event) if event.id in old else event for event in session.events)
    )


def _short(event: SessionEvent) -> SessionEvent:
    return msgspec.structs.replace(
        event, details={name: value for name, value in event.details.items() if name not in _COPIES}
    )
