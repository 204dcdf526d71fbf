"""What the payer's page asks for, as JSON. No token is asked for: whoever has the session's id is its payer.

Source: checkout reference, sections 2 (rows 18 to 26), 6 and 10.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kasse.api import fields
from kasse.api.fields import JsonObject, present
from kasse.api.routes import Answer, Call, Routes
from kasse.api.sessions import session_reply
from kasse.api.wire import LineId, Reference
from kasse.domain import session as rules
from kasse.domain.access import ACCOUNT_ID, Caller
from kasse.domain.profile import payment_methods
from kasse.domain.refusals import Refusal
from kasse.domain.return_links import to_merchant
from kasse.domain.session import PaymentSession
from kasse.gateways.port import CardDetails, CardRefused
from kasse.operations import express, payments, sessions
from kasse.operations.settling import Settled

routes = Routes("page")
_SESSION = "/v1/view/{session_id}/session"
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
_CHANGES = ("session_not_found", "session_changed", "session_locked", "callback_failed")


class PageSession(msgspec.Struct):
    """A session as ``GET /v1/sessions/{session_id}`` has it, without the addresses of the merchant's server.

    One that has expired has no ``order``; ``pay_lock`` is there while the page has to stand still.
    """

    id: str
    url: JsonObject
    created_at: str
    updated_at: str
    expires_at: str
    events: list[JsonObject]
    configuration: JsonObject
    order: JsonObject | None = None
    pay_lock: JsonObject | None = None
    transaction_id: str | None = None
    cancelled_at: str | None = None
    cancelled_by: str | None = None


class PayLockReply(msgspec.Struct):
    pay_lock_id: str


class LockReply(msgspec.Struct):
    pay_lock: PayLockReply


class PayerAddress(fields.Address):
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$(?!\\n)", description="ISO 3166-1, two letters.")] | None = None


class Addresses(msgspec.Struct):
    """One that is left out stays as it was."""

    shipping_address: PayerAddress | None = None
    billing_address: PayerAddress | None = None


class ChosenOption(msgspec.Struct):
    """One of ``express.shipping_options``, by its ids; whatever else is sent is not looked at."""

    id: LineId
    line_id: LineId | None = None


class DiscountCodes(msgspec.Struct):
    discount_codes: Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=100)]


class Card(msgspec.Struct):
    """``expiry`` is MM/YY or MM/YYYY."""

    number: Annotated[str, Meta(max_length=40)]
    expiry: Annotated[str, Meta(max_length=10)]
    cvc: Annotated[str, Meta(max_length=10)]


class PagePay(msgspec.Struct):
    payment_product_type: Annotated[Reference, Meta(examples=["dintero.zero"])]
    phone_number: Annotated[str, Meta(pattern=r"^\+?\d{5,15}$(?!\n)")] | None = None
    remember_me: bool | None = None
    card: Card | None = None


class PagePayReply(msgspec.Struct, omit_defaults=True):
    """``redirect_url`` is where the payer goes on; ``poll_url`` tells when an answer that is missing has come."""

    success: bool
    actions: list[JsonObject]
    redirect_url: str | None = None
    poll_url: str | None = None
    error: str | None = None
    error_details: list[JsonObject] | None = None


class OperationReply(msgspec.Struct):
    href: str
    method: Literal["GET", "POST"]
    rel: str
    content_type: str


class OperationsReply(msgspec.Struct):
    operations: list[OperationReply]


# -- the session


@routes("GET", _SESSION, "The session as the page sees it", scopes=None, reply=PageSession)
async def get(call: Call) -> Any:
    payer = _payer(call)
    return _answer(call, await sessions.get(call.house, payer.account_id, call.path("session_id")))


@routes(
    "POST",
    _SESSION + "/lock",
    "Stop the payer from paying while the merchant changes the session",
    scopes=None,
    reply=LockReply,
    refusals=_CHANGES,
)
async def lock(call: Call) -> Any:
    taken = await sessions.lock(call.house, _payer(call), call.path("session_id"), _since(call))
    return Answer(LockReply(PayLockReply(taken.id)), headers=_PRIVATE)


@routes(
    "DELETE",
    _SESSION + "/lock",
    "Take the lock off again",
    scopes=None,
    query={"pay_lock_id": {"type": "string"}},
    reply=PageSession,
)
async def unlock(call: Call) -> Any:
    session_id, lock_id = call.path("session_id"), call.query("pay_lock_id") or ""
    return _answer(call, await sessions.unlock(call.house, _payer(call), session_id, lock_id))


# -- express


_CLIENT_SIDE = {"client_side_address_callback": {"type": "boolean", "default": False}}


@routes(
    "PUT",
    _SESSION + "/order/addresses",
    "Set the payer's addresses in express",
    scopes=None,
    query=_CLIENT_SIDE,
    body=Addresses,
    reply=PageSession,
    refusals=_CHANGES,
)
async def set_addresses(call: Call) -> Any:
    return await _set_addresses(call, call.raw.get("shipping_address"), call.raw.get("billing_address"))


@routes(
    "PUT",
    _SESSION + "/order/shipping_address",
    "Set the payer's shipping address in express",
    scopes=None,
    query=_CLIENT_SIDE,
    body=PayerAddress,
    reply=PageSession,
    refusals=_CHANGES,
)
async def set_shipping_address(call: Call) -> Any:
    return await _set_addresses(call, call.raw, None)


async def _set_addresses(call: Call, shipping: JsonObject | None, billing: JsonObject | None) -> Any:
    if shipping is None and billing is None:
        message = "expected shipping_address at /shipping_address, got nothing"
        raise Refusal("missing_field", message, path="/shipping_address")
    # The shop's own page has asked its server, and changed the session already.
    ask = call.query("client_side_address_callback") != "true"
    changed = await express.set_addresses(
        call.house, _payer(call), call.path("session_id"), _said(shipping), _said(billing), _since(call), ask=ask
    )
    return _answer(call, changed)


def _said(address: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What an address says; fields that say nothing are left out."""
    return None if address is None else {name: value for name, value in address.items() if value not in (None, "")}


@routes(
    "PUT",
    _SESSION + "/order/shipping_option",
    "Choose a way of shipping in express",
    scopes=None,
    body=ChosenOption,
    reply=PageSession,
    refusals=_CHANGES,
)
async def set_shipping_option(call: Call) -> Any:
    body: ChosenOption = call.body
    line_id = None if body.line_id is None else str(body.line_id)
    changed = await express.set_shipping_option(
        call.house, _payer(call), call.path("session_id"), str(body.id), line_id, _since(call)
    )
    return _answer(call, changed)


@routes(
    "PUT",
    _SESSION + "/order/discount_codes",
    "Set the payer's discount codes in express; 204 where none of them is worth anything",
    scopes=None,
    body=DiscountCodes,
    reply=PageSession,
    empty="None of the codes is worth anything",
    refusals=_CHANGES,
)
async def set_discount_codes(call: Call) -> Any:
    codes = call.body.discount_codes
    changed = await express.set_discount_codes(call.house, _payer(call), call.path("session_id"), codes, _since(call))
    if codes and not changed.checkout_order.get("discount_codes"):
        return Answer(status=204, headers=_PRIVATE)
    return _answer(call, changed)


# -- paying


@routes(
    "POST",
    "/v1/view/{session_id}/payments/{payment_product_type}",
    "How a method is paid by",
    scopes=None,
    query={"language": {"type": "string"}},
    reply=OperationsReply,
)
async def payment_operations(call: Call) -> Any:
    session_id, method = call.path("session_id"), call.path("payment_product_type")
    session = await sessions.get(call.house, _payer(call).account_id, session_id)
    if method not in payment_methods(session.configuration):
        raise Refusal("unknown_route", f"expected a method that session {session_id} offers, got {method[:100]!r}")
    pay = OperationReply(call.link(f"/v1/sessions/{session_id}/pay"), "POST", "create-payment", "application/json")
    view = OperationReply(call.link(f"/v1/view/{session_id}"), "GET", "view-payment", "text/html")
    return Answer(OperationsReply([pay, view]), headers=_PRIVATE)


@routes(
    "POST",
    "/v1/sessions/{session_id}/pay",
    "Pay, as the payer",
    scopes=None,
    body=PagePay,
    reply=PagePayReply,
    may_wait=True,
    secret_body=True,
    refusals=("session_not_found", "session_changed", "not_payable", "card_refused"),
)
async def pay(call: Call) -> Any:
    body: PagePay = call.body
    session_id = call.path("session_id")
    card = None
    if body.card is not None:
        card = CardDetails(re.sub(r"[\s.-]", "", body.card.number), body.card.expiry.strip(), body.card.cvc.strip())
    try:
        settled = await payments.pay(
            call.house, _payer(call), session_id, body.payment_product_type, card, _since(call)
        )
    except CardRefused as refused:
        raise Refusal("card_refused", refused.message, path=f"/card/{refused.field}") from None
    reply = _pay_reply(call, settled)
    return Answer(reply, 202 if reply.poll_url else 200, _PRIVATE)


def _pay_reply(call: Call, settled: Settled) -> PagePayReply:
    session, url = settled.session, settled.call.action_url
    if settled.error is not None:
        policy = settled.error.retry_policy
        never = policy is not None and "DO_NOT_RETRY" in policy.retry_codes
        details = present(code=settled.error.code, category="permanent" if never else "retryable")
        return PagePayReply(False, [], error="Rejected", error_details=[details])
    if settled.call.state == "waiting_for_payer" and url:
        action = {"source": settled.transaction.payment_product_type, "code": "redirect", "type": "redirect"}
        return PagePayReply(True, [action], redirect_url=url)
    if session.status not in ("paid", "on_hold"):
        return PagePayReply(True, [], poll_url=call.link(f"/v1/view/{session.id}/state"))
    href = to_merchant(call.house.settings.base_url, session, settled.transaction.id, session.capture_error)
    return PagePayReply(True, [], redirect_url=href)


@routes(
    "POST",
    _SESSION + "/publish/scc",
    "Send the payer a code by SMS: this server sends none",
    scopes=None,
    refusals=("not_supported",),
)
async def publish_scc(call: Call) -> Any:
    await sessions.get(call.house, _payer(call).account_id, call.path("session_id"))
    raise Refusal("not_supported", "expected a server that sends text messages; this one does not")


# -- who asks, and what is shown


def _payer(call: Call) -> Caller:
    """The payer of the session in the address. Raises ``Refusal`` (session_not_found)."""
    account_id = sessions.account_of(call.path("session_id"))
    if not ACCOUNT_ID.fullmatch(account_id):
        raise Refusal("session_not_found", "there is no such session")
    return replace(call.caller, account_id=account_id, by=payments.PAYER)


def _since(call: Call) -> datetime | int | None:
    """The state that the caller has seen, by its ``updated_at`` or version. Raises ``Refusal``."""
    text = call.request.headers.get("if-unmodified-since")
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text):
        return int(text)
    try:
        time = msgspec.convert(text.strip(), datetime)
    except msgspec.ValidationError:
        time = None
    if time is None or time.tzinfo is None:
        raise Refusal(
            "wrong_value",
            "expected If-Unmodified-Since to be the session's updated_at, such as 2026-02-03T09:00:00.000Z, "
            f"got {text[:60]!r}",
        )
    return time


def _answer(call: Call, session: PaymentSession) -> Answer:
    """The session as the page and the shop around it see it: no address of the merchant's server, no order once it has
    expired, and the lock while it is on."""
    now = call.house.clock.now(session.account_id)
    reply = session_reply(session)
    reply["url"] = fields.given(msgspec.to_builtins(session.url), "callback_url")
    express_settings = session.given.get("express")
    if isinstance(express_settings, dict):
        codes = express_settings.get("discount_codes")
        reply["express"] = {
            **fields.given(express_settings, "shipping_address_callback_url"),
            **({"discount_codes": fields.given(codes, "callback_url")} if isinstance(codes, dict) else {}),
        }
    lock = rules.lock_at(session, now)
    if lock is not None:
        reply["pay_lock"] = {"pay_lock_id": lock.id}
    if rules.status_at(session, now) == "expired":
        del reply["order"]
    return Answer(reply, headers=_PRIVATE)
