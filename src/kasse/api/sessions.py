"""Checkout sessions over the wire. Source: checkout reference, sections 2 to 5 and 13."""

from __future__ import annotations

from itertools import count
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kasse.api import fields
from kasse.api.fields import Configuration, Currency, JsonObject, Quantity, Urls, present
from kasse.api.routes import READ_CHECKOUT, WRITE_CHECKOUT, Call, Routes
from kasse.api.wire import Amount, LineId, Reference, Text, Time
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.domain.times import rfc3339
from kasse.operations import payments, sessions
from kasse.operations.sessions import DirectRequest

routes = Routes("sessions")


class CheckoutItem(msgspec.Struct):
    """A line to pay: ``amount`` is for the whole quantity, tax and discounts included; it may be negative."""

    amount: Amount
    line_id: LineId | None = None
    id: Text | None = None
    description: Text | None = None
    quantity: Quantity | None = None
    vat_amount: Amount | None = None
    vat: float | None = None


class Shipping(msgspec.Struct):
    amount: Amount
    id: Reference
    line_id: LineId
    title: Text | None = None


class CheckoutOrder(msgspec.Struct):
    amount: Annotated[Amount, Meta(description="What the payer is charged, in minor units.")]
    currency: Currency
    merchant_reference: Reference
    merchant_reference_2: Text | None = None
    items: list[CheckoutItem] = []
    shipping_option: Shipping | None = None
    shipping_address: fields.Address | None = None
    billing_address: fields.Address | None = None
    store: JsonObject | None = None
    event_reference: Text | None = None


class CreateProfileSession(msgspec.Struct):
    """A session with an order of its own and the settings of a profile."""

    url: Urls
    order: CheckoutOrder
    profile_id: Reference
    configuration: Configuration | None = None
    expires_at: Time | None = None
    metadata: dict[str, str | float | int] | None = None
    express: fields.Express | None = None
    customer: JsonObject | None = None
    merchant: JsonObject | None = None


class CreatedReply(msgspec.Struct):
    id: str
    url: str
    session: JsonObject | None = None


class CheckoutSession(msgspec.Struct):
    id: str
    order: JsonObject
    url: JsonObject
    created_at: str
    updated_at: str
    expires_at: str
    events: list[JsonObject]
    configuration: JsonObject
    transaction_id: str | None = None
    cancelled_at: str | None = None
    cancelled_by: str | None = None


@routes(
    "POST",
    "/v1/sessions-profile",
    "Create a session from a profile",
    scopes=WRITE_CHECKOUT,
    query={"include_session": {"type": "boolean", "default": False}},
    body=CreateProfileSession,
    reply=CreatedReply,
)
async def create(call: Call) -> Any:
    body: CreateProfileSession = call.body
    fields.currency(body.order.currency, "/order/currency")
    fields.check_express(body.express)
    toggles = call.request.headers.getlist("dintero-feature-toggles")
    strict = any(each.strip() == "strict-session-amounts" for toggle in toggles for each in toggle.split(","))
    order = _with_line_ids(call.raw["order"])
    request = DirectRequest(
        order=order,
        profile_id=body.profile_id,
        url=fields.session_url(body.url, all_required=False),
        configuration=body.configuration,
        expires_at=body.expires_at,
        strict_amounts=strict,
        given=fields.given(
            call.raw, "url", "order", "profile_id", "configuration", "expires_at", *fields.SESSION_READ_ONLY
        ),
    )
    session = await sessions.open_direct(call.house, call.caller, request)
    reply = {"id": session.id, "url": call.link(f"/v1/view/{session.id}")}
    if call.query("include_session") != "true":
        return reply
    return {**reply, "session": session_reply(session)}


def _with_line_ids(order: JsonObject) -> JsonObject:
    """Every item and the shipping option with a ``line_id`` as text. Raises ``Refusal`` (duplicate_line)."""
    items: list[JsonObject] = [dict(item) for item in order.get("items") or ()]
    lines = [(item, f"/order/items/{n}") for n, item in enumerate(items)]
    found = {**order, "items": items}
    if order.get("shipping_option") is not None:
        found["shipping_option"] = dict(order["shipping_option"])
        lines.append((found["shipping_option"], "/order/shipping_option"))
    seen: set[str] = set()
    for line, path in lines:
        if line.get("line_id") is None:
            continue
        line["line_id"] = str(line["line_id"])
        if line["line_id"] in seen:
            message = f"expected each line_id once, got {line['line_id'][:100]!r} again"
            raise Refusal("duplicate_line", message, path=f"{path}/line_id")
        seen.add(line["line_id"])
    free = (line_id for n in count(1) if (line_id := f"line-{n}") not in seen)
    for item in items:
        if item.get("line_id") is None:
            item["line_id"] = next(free)
    return found


@routes("GET", "/v1/sessions/{session_id}", "Get a session", scopes=READ_CHECKOUT, reply=CheckoutSession)
async def get(call: Call) -> Any:
    return session_reply(await sessions.get(call.house, call.account_id, call.path("session_id")))


@routes(
    "POST",
    "/v1/sessions/{session_id}/cancel",
    "Cancel a session that is not paid",
    scopes=WRITE_CHECKOUT,
    repeatable=True,
    reply=CheckoutSession,
)
async def cancel(call: Call) -> Any:
    return session_reply(await payments.cancel(call.house, call.caller, call.path("session_id")))


def session_reply(session: PaymentSession) -> dict[str, Any]:
    """A session as the checkout API shows it; it has no status, its events tell (checkout reference, section 4)."""
    metadata = {**(session.given.get("metadata") or {}), "session:profile_id": session.profile_id}
    return {
        **session.given,
        "id": session.id,
        "order": session.checkout_order,
        "url": session.url,
        "profile_id": session.profile_id,
        "configuration": session.configuration,
        "metadata": metadata,
        "created_at": rfc3339(session.created_at),
        "updated_at": rfc3339(session.updated_at),
        "expires_at": rfc3339(session.expires_at),
        "events": [
            {
                "id": event.id,
                "name": event.name,
                "created_at": rfc3339(event.created_at),
                "request_id": event.request_id,
                "details": event.details,
            }
            for event in session.events
        ],
        **present(
            transaction_id=session.transaction_id,
            cancelled_at=rfc3339(session.cancelled_at) if session.cancelled_at else None,
            cancelled_by=session.cancelled_by,
        ),
    }
