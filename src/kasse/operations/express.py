"""The payer's steps in express: address, way of shipping, discount codes. The merchant's server is asked in between.

Nothing is stored before the merchant has answered, and no transaction is open while he is asked. What was changed by
someone else meanwhile makes the answer one to another question: then he is asked anew, or, where the caller said which
state he means, the change is refused. So of two changes at once none is mixed with the other.
Source: checkout reference, sections 2 (rows 20 to 21b) and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from kasse.domain import checkout
from kasse.domain import express as rules
from kasse.domain import session as session_rules
from kasse.domain.access import Caller
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession, SessionEvent
from kasse.operations import sessions
from kasse.operations.house import House
from kasse.store.port import Loads, Record

TRIES = 4
MOST_CHANGES = 200
"""So many changes a payer may make to one session; its history is read with it every time."""

_Change = Callable[[PaymentSession], PaymentSession]
_NAMES = {
    "shipping_address": "SET_SHIPPING_ADDRESS",
    "billing_address": "SET_BILLING_ADDRESS",
    "shipping_option": "SET_SHIPPING_OPTION",
    "discount_codes": "SET_DISCOUNT_CODES",
}
_CHANGES = frozenset(_NAMES.values())


async def set_addresses(
    house: House,
    caller: Caller,
    session_id: str,
    shipping: Mapping[str, Any] | None,
    billing: Mapping[str, Any] | None = None,
    if_unmodified_since: datetime | int | None = None,
    *,
    ask: bool = True,
) -> PaymentSession:
    """Set the payer's addresses; one that is None stays. Where the merchant's server wants to hear of a shipping
    address it says what the shipping may be and what the order costs then. ``ask`` is False where the shop's own page
    has done that (checkout reference, section 11).

    Raises ``Refusal``: session_not_found, wrong_state (no express session, too many changes), wrong_value,
    session_changed, session_locked, session_paid, session_being_paid, session_cancelled, session_expired,
    callback_failed, unavailable.
    """

    def change(session: PaymentSession) -> PaymentSession:
        return rules.with_addresses(session, shipping, billing)

    def url(express: Mapping[str, Any]) -> str | None:
        return express.get("shipping_address_callback_url") if ask and shipping is not None else None

    field = "billing_address" if shipping is None else "shipping_address"
    return await _change(house, caller, session_id, if_unmodified_since, change, field, url)


async def set_shipping_option(
    house: House,
    caller: Caller,
    session_id: str,
    id: str,
    line_id: str | None = None,
    if_unmodified_since: datetime | int | None = None,
) -> PaymentSession:
    """Choose one of the ways of shipping on offer by its ``id``, and its ``line_id`` where several have that one.

    Raises ``Refusal`` as ``set_addresses`` does.
    """

    def change(session: PaymentSession) -> PaymentSession:
        option = rules.chosen(session, id, line_id)
        order = checkout.with_shipping(session.checkout_order, option)
        checkout.check_amount({"amount": order["amount"]}, strict=False)
        return session_rules.with_order(session, order)

    return await _change(house, caller, session_id, if_unmodified_since, change, "shipping_option")


async def set_discount_codes(
    house: House,
    caller: Caller,
    session_id: str,
    codes: Sequence[str],
    if_unmodified_since: datetime | int | None = None,
) -> PaymentSession:
    """Set the payer's discount codes, in place of those before. The merchant's server says what they are worth.

    Raises ``Refusal`` as ``set_addresses`` does.
    """

    def change(session: PaymentSession) -> PaymentSession:
        return rules.with_discount_codes(session, codes)

    def url(express: Mapping[str, Any]) -> str | None:
        return (express.get("discount_codes") or {}).get("callback_url")

    return await _change(house, caller, session_id, if_unmodified_since, change, "discount_codes", url)


async def _change(
    house: House,
    caller: Caller,
    session_id: str,
    since: datetime | int | None,
    change: _Change,
    field: str,
    url_of: Callable[[Mapping[str, Any]], str | None] = lambda express: None,
) -> PaymentSession:
    """Change ``field`` of a session, with what the merchant's server makes of it."""
    for _ in range(TRIES):
        before = await sessions.get(house, caller.account_id, session_id)
        _require_changeable(house, before, since)
        wished = change(before)
        url = url_of(rules.require_express(before))
        after = wished if url is None else await asked(house, wished, url, discount=field == "discount_codes")
        stored = await _store(house, caller, before, after, field)
        if stored is not None:
            return stored
    raise Refusal("session_changed", f"session {session_id} was changed by others all the while, try again")


async def asked(house: House, wished: PaymentSession, url: str, *, discount: bool) -> PaymentSession:
    """What the merchant's server at ``url`` makes of a session; nothing is stored.

    Raises ``Refusal``: callback_failed, unavailable.
    """
    reply = rules.read_reply(await house.merchants.ask(wished, url))
    return rules.with_reply(wished, reply, house.ids.uuid(), discount=discount)


def _require_changeable(house: House, session: PaymentSession, since: datetime | int | None) -> None:
    session_rules.require_unmodified(session, since)
    session_rules.require_payable(session, house.clock.now(session.account_id))
    rules.require_express(session)
    if sum(event.name in _CHANGES for event in session.events) >= MOST_CHANGES:
        expected = f"expected at most {MOST_CHANGES} changes by the payer"
        raise Refusal("wrong_state", f"{expected}, session {session.id} has had them")


async def _store(
    house: House, caller: Caller, before: PaymentSession, after: PaymentSession, field: str
) -> PaymentSession | None:
    """Store a change unless the session is another one by now; then None."""
    if after == before:
        return before

    async def decide(loads: Loads) -> tuple[PaymentSession | None, Sequence[Record]]:
        now = house.clock.now(caller.account_id)
        found = await sessions.load(loads, caller.account_id, before.id)
        if found.version != before.version:
            return None, ()
        session_rules.require_payable(found, now)
        changed = session_rules.note(after, *_events(house, caller, before, after, field, now))
        return changed, (changed,)

    return await house.store.change(decide)


def _events(
    house: House, caller: Caller, before: PaymentSession, after: PaymentSession, field: str, now: datetime
) -> list[SessionEvent]:
    """What has changed, by the names of the checkout reference, section 4."""
    old, new = before.checkout_order, after.checkout_order
    changed = [name for name in _NAMES if name == field or old.get(name) != new.get(name)]
    return [
        sessions.event_by(house, caller, _NAMES[name], now, **{name: new.get(name), "amount": after.amount})
        for name in changed
    ]
