"""Payment sessions: opened for chosen lines of an order or with an order of their own, read, cancelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from kasse.domain import checkout, history
from kasse.domain import session as rules
from kasse.domain.access import Account, Caller
from kasse.domain.history import OrderState, SessionOpened
from kasse.domain.ledger import LineAmount
from kasse.domain.money import MAX_AMOUNT
from kasse.domain.order import Line
from kasse.domain.paging import Page, SessionFilters
from kasse.domain.profile import (
    Profile,
    check_configuration,
    merged,
    offers_everything,
    payment_methods,
    with_publish_told,
)
from kasse.domain.refusals import Refusal
from kasse.domain.session import LIFETIME, ChosenItem, PayLock, PaymentSession, SessionEvent, SessionUrl
from kasse.gateways.zero import ZERO
from kasse.operations import orders
from kasse.operations.house import House
from kasse.operations.merchant_urls import require_session_urls
from kasse.store.port import Loads, Record


class SessionRequest(msgspec.Struct, frozen=True):
    """What a merchant asks for when he opens a session for an order."""

    items: tuple[ChosenItem, ...]
    profile_id: str
    url: SessionUrl
    configuration: dict[str, Any] | None = None
    merchant_reference: str | None = None
    shipping_option: dict[str, Any] | None = None
    given: dict[str, Any] = {}


async def open_for_order(house: House, caller: Caller, order_id: str, request: SessionRequest) -> PaymentSession:
    """Open a payment session for chosen lines of an order. Amounts are minor units of the order's currency.

    Raises ``Refusal``: order_not_found, order_not_open, unknown_profile, line_not_found, duplicate_line,
    nothing_left_to_pay, amount_sign, amount_above_left, amount_not_positive, bad_url. Source: orders reference,
    section 7.
    """
    require_session_urls(house, caller.account_id, request.url, request.given.get("express"))
    wanted = {item.line_id for item in request.items}

    async def decide(loads: Loads) -> tuple[PaymentSession, Sequence[Record]]:
        now = house.clock.now(caller.account_id)
        state, configuration = await loads.together(
            orders.load(loads, caller.account_id, order_id, wanted),
            _configuration(house, loads, caller.account_id, request),
        )
        items = rules.choose(state, request.items)
        session = _for_order(house, caller, state, items, request, configuration, now)
        step = history.advance(state, SessionOpened(session.id, items), caller, house.ids.uuid(), now)
        return session, (session, step)

    return await house.store.change(decide)


def _for_order(
    house: House,
    caller: Caller,
    state: OrderState,
    items: tuple[LineAmount, ...],
    request: SessionRequest,
    configuration: dict[str, Any],
    now: datetime,
) -> PaymentSession:
    order = state.order
    shipping = request.shipping_option
    amount = sum(item.amount for item in items) + (shipping["amount"] if shipping else 0)
    if amount < 0 or (amount == 0 and ZERO not in payment_methods(configuration)):
        raise Refusal(
            "amount_not_positive",
            f"expected lines that add up to more than 0, or to 0 where {ZERO} is offered, got {amount}",
            path="/items",
        )
    if amount > MAX_AMOUNT:
        raise Refusal(
            "wrong_value",
            f"expected lines and shipping of at most {MAX_AMOUNT} together, got {amount}",
            path="/shipping_option/amount",
        )
    checkout_order: dict[str, Any] = {
        "amount": amount,
        "currency": order.currency,
        "merchant_reference": request.merchant_reference or order.merchant_reference or order.order_id,
        "items": [
            {**asked.given, **_checkout_item(state.lines[item.line_id], item.amount)}
            for asked, item in zip(request.items, items, strict=True)
        ],
    }
    if shipping:
        checkout_order["shipping_option"] = shipping
    for name in ("shipping_address", "billing_address", "store"):
        if isinstance(order.given.get(name), dict):
            checkout_order[name] = order.given[name]
    return PaymentSession(
        account_id=order.account_id,
        id=house.ids.checkout_id(order.account_id),
        order=order.id,
        order_id=order.order_id,
        order_version=order.version,
        items=items,
        amount=amount,
        currency=order.currency,
        url=request.url,
        profile_id=request.profile_id,
        checkout_order=checkout_order,
        created_at=now,
        created_by=caller.by,
        updated_at=now,
        expires_at=now + LIFETIME,
        events=(event_by(house, caller, "INITIATED", now),),
        configuration=configuration,
        given=request.given,
        request_headers=caller.origin.headers,
    )


OF_THE_LINE = (
    *("line_id", "id", "amount", "description", "quantity", "groups", "thumbnail_url", "vat_amount", "vat"),
    "version",
)
"""What an item of the checkout says after the line of the order; what else was asked for with it, it says as well."""


def _checkout_item(line: Line, amount: int) -> dict[str, Any]:
    """A line of the order as an item of the checkout: the same words, the amount that is to be paid."""
    given = line.given
    item: dict[str, Any] = {"line_id": str(line.line_id), "id": given.get("id"), "amount": amount, "version": 1}
    for name in ("description", "quantity", "groups", "thumbnail_url"):
        if given.get(name) is not None:
            item[name] = given[name]
    item.setdefault("quantity", 1)
    taxes = given.get("tax_lines") or ()
    if taxes and amount == line.gross_amount - line.discount_amount:
        item["vat_amount"] = sum(tax["amount"] for tax in taxes)
        if len(taxes) == 1 and "percentage" in taxes[0]:
            item["vat"] = taxes[0]["percentage"]
    return item


class DirectRequest(msgspec.Struct, frozen=True):
    """A session that carries an order of its own; ``order`` is as on the wire, types checked."""

    order: Mapping[str, Any]
    profile_id: str | None
    url: SessionUrl
    configuration: dict[str, Any] | None = None
    expires_at: datetime | None = None
    strict_amounts: bool = False
    given: dict[str, Any] = {}


async def open_direct(house: House, caller: Caller, request: DirectRequest) -> PaymentSession:
    """Open a session that belongs to no order of ours (checkout reference, section 3).

    Raises ``Refusal``: unknown_profile, amount_not_positive, amount_mismatch (only when asked to be strict),
    wrong_value (already expired), bad_url.
    """
    require_session_urls(house, caller.account_id, request.url, request.given.get("express"))
    now = house.clock.now(caller.account_id)
    order = {**request.order, "items": checkout.with_versions(request.order.get("items") or (), (), version=1)}
    checkout.check_amount(order, strict=request.strict_amounts)
    if request.expires_at is not None and request.expires_at <= now:
        raise Refusal(
            "wrong_value",
            f"expected a time to come, got {request.expires_at.isoformat()}",
            path="/expires_at",
        )
    session = PaymentSession(
        account_id=caller.account_id,
        id=house.ids.checkout_id(caller.account_id),
        items=(),
        amount=order["amount"],
        currency=order["currency"],
        url=request.url,
        profile_id=request.profile_id or "",
        checkout_order=order,
        created_at=now,
        created_by=caller.by,
        updated_at=now,
        expires_at=request.expires_at or now + LIFETIME,
        events=(event_by(house, caller, "INITIATED", now),),
        given=request.given,
        request_headers=caller.origin.headers,
    )

    async def decide(loads: Loads) -> tuple[PaymentSession, Sequence[Record]]:
        configuration = await _configuration(house, loads, caller.account_id, request)
        opened = msgspec.structs.replace(session, configuration=configuration)
        return opened, (opened,)

    return await house.store.change(decide)


async def _configuration(
    house: House, loads: Loads, account_id: str, request: SessionRequest | DirectRequest
) -> dict[str, Any]:
    """The profile's configuration with the request's over it, and who the merchant is.

    Raises ``Refusal``: unknown_profile, wrong_value.
    """
    account, profile = await loads.together(loads.account(account_id), _profile(loads, account_id, request.profile_id))
    if account is None or (profile is None and request.profile_id is not None):
        raise Refusal(
            "unknown_profile",
            f"expected the id of a profile of this account, such as default, got {str(request.profile_id)[:100]!r}",
            path="/profile_id",
        )
    found = {} if profile is None else profile.configuration
    if request.configuration is not None:
        found = merged(found, request.configuration)
        check_configuration(found)
    found = merged(_every_method(house, account_id), found) if offers_everything(found) else found
    found = with_publish_told(found)
    return {**found, "merchant": _merchant(account, found.get("merchant"), request.given.get("merchant"))}


async def _profile(loads: Loads, account_id: str, profile_id: str | None) -> Profile | None:
    return None if profile_id is None else await loads.profile(account_id, profile_id)


def _every_method(house: House, account_id: str) -> dict[str, Any]:
    """What the wildcard ``active_payment_types`` turns on: all ways to pay that move money by themselves."""
    found: dict[str, Any] = {}
    for port in house.gateways.values():
        for method in port.methods if port.serves(account_id) else ():
            provider, _, product = method.type.partition(".")
            if product and not method.merchant_decides:
                products = found.setdefault(provider, {"type": "payment_type"})
                products[product] = {"type": "payment_product_type", "enabled": True}
    return found


def _merchant(account: Account, *says: Any) -> dict[str, Any]:
    """Who the payer pays: as the request says, else the profile, else the account."""
    found: dict[str, Any] = {"name": account.name}
    for each in says:
        if isinstance(each, dict):
            found |= {name: each[name] for name in ("name", "logo_url", "country") if each.get(name) is not None}
    return {**found, "id": account.id}


async def get(house: House, account_id: str, session_id: str) -> PaymentSession:
    """Raises ``Refusal`` (session_not_found)."""
    return await house.store.glance(lambda loads: load(loads, account_id, session_id))


async def load(loads: Loads, account_id: str, session_id: str) -> PaymentSession:
    session = await loads.session(account_id, session_id)
    if session is None:
        raise _not_found(session_id)
    return session


async def get_of_order(house: House, account_id: str, order_id: str, session_id: str) -> PaymentSession:
    """Raises ``Refusal``: order_not_found, session_not_found (also when it is another order's)."""

    async def query(loads: Loads) -> PaymentSession:
        state = await orders.load(loads, account_id, order_id, ())
        session = await load(loads, account_id, session_id)
        if session.order != state.order.id:
            raise _not_found(session_id)
        return session

    return await house.store.read(query)


async def list_of_order(house: House, account_id: str, order_id: str, page: Page) -> list[PaymentSession]:
    """Newest first. Raises ``Refusal``: order_not_found, session_not_found (the one to start after)."""

    async def query(loads: Loads) -> list[PaymentSession]:
        state = await orders.load(loads, account_id, order_id, ())
        if page.after is not None:
            await load(loads, account_id, page.after)
        return await loads.sessions_of(account_id, state.order.id, page)

    return await house.store.read(query)


async def find(house: House, account_id: str, filters: SessionFilters, page: Page) -> list[PaymentSession]:
    """An account's sessions, newest first. Raises ``Refusal`` (session_not_found: the one to start after)."""

    async def query(loads: Loads) -> list[PaymentSession]:
        if page.after is not None:
            await load(loads, account_id, page.after)
        return await loads.sessions(account_id, filters, page)

    return await house.store.read(query)


async def lock(
    house: House, caller: Caller, session_id: str, if_unmodified_since: datetime | int | None = None
) -> PayLock:
    """Keep the payer from paying while the merchant changes the session. A lock that is on already stays.

    Raises ``Refusal``: session_not_found, session_changed, session_paid, session_being_paid, session_cancelled,
    session_expired. Source: checkout reference, 6.2.
    """

    async def decide(loads: Loads) -> tuple[PayLock, Sequence[Record]]:
        now = house.clock.now(caller.account_id)
        session = await load(loads, caller.account_id, session_id)
        rules.require_unmodified(session, if_unmodified_since)
        rules.require_open(session, now)
        lock = rules.lock_at(session, now)
        if lock is not None:
            return lock, ()
        taken = PayLock(house.ids.uuid(), now)
        event = event_by(house, caller, "PAY_LOCK_START", now, pay_lock_id=taken.id)
        return taken, (rules.note(msgspec.structs.replace(session, pay_lock=taken), event),)

    return await house.store.change(decide)


async def unlock(house: House, caller: Caller, session_id: str, pay_lock_id: str) -> PaymentSession:
    """Take off the lock of this id, such as when the shop's page did not change the session after all; a session
    without it stays as it is. Raises ``Refusal`` (session_not_found)."""

    async def decide(loads: Loads) -> tuple[PaymentSession, Sequence[Record]]:
        session = await load(loads, caller.account_id, session_id)
        if session.pay_lock is None or session.pay_lock.id != pay_lock_id:
            return session, ()
        unlocked, ended = lock_ended(house, caller, session, house.clock.now(caller.account_id))
        noted = rules.note(unlocked, *ended)
        return noted, (noted,)

    return await house.store.change(decide)


def lock_ended(
    house: House, caller: Caller, session: PaymentSession, now: datetime
) -> tuple[PaymentSession, tuple[SessionEvent, ...]]:
    """The session without its lock, and the event that says so if there was one."""
    if session.pay_lock is None:
        return session, ()
    event = event_by(house, caller, "PAY_LOCK_END", now, pay_lock_id=session.pay_lock.id)
    return msgspec.structs.replace(session, pay_lock=None), (event,)


async def visited(house: House, caller: Caller, session_id: str) -> None:
    """Note that the payer has opened the page, from which address and with what browser.

    The first time only, so that reloading does not grow anything.
    """

    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        session = await load(loads, caller.account_id, session_id)
        if any(event.name == "VISITED" for event in session.events):
            return None, ()
        seen = msgspec.structs.replace(
            session, customer_ip=caller.origin.ip, user_agent=caller.origin.headers.get("user-agent")
        )
        return None, (rules.note(seen, event_by(house, caller, "VISITED", house.clock.now(caller.account_id))),)

    await house.store.change(decide)


def account_of(session_or_transaction_id: str) -> str:
    """The account that a session or transaction id begins with."""
    return session_or_transaction_id.partition(".")[0]


def event_by(house: House, caller: Caller, name: str, now: datetime, /, **details: Any) -> SessionEvent:
    """What a caller does to a session, with the headers of his call."""
    return SessionEvent(house.ids.uuid(), name, now, caller.request_id, details, caller.origin.headers)


def _not_found(session_id: str) -> Refusal:
    return Refusal("session_not_found", f"there is no session {session_id[:100]!r} in this account")
