"""Checkout sessions over the wire. Source: checkout reference, sections 2 to 5 and 13."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from kasse.api import fields, lists, session_fields
from kasse.api.fields import JsonObject, present
from kasse.api.routes import READ_CHECKOUT, WRITE_CHECKOUT, Call, Routes
from kasse.api.session_fields import CreatePlainSession, CreateProfileSession, UpdateSession
from kasse.api.wire import utc
from kasse.domain import checkout
from kasse.domain.paging import Page, SessionFilters
from kasse.domain.session import PaymentSession, SessionEvent
from kasse.domain.session_update import Update
from kasse.domain.times import rfc3339
from kasse.operations import payments, session_updates, sessions
from kasse.operations.sessions import DirectRequest

routes = Routes("sessions")


class CreatedReply(msgspec.Struct):
    id: str
    url: str
    publish: list[JsonObject] | None = None
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
    payment_operation: str
    transaction_id: str | None = None
    cancelled_at: str | None = None
    cancelled_by: str | None = None


_INCLUDE_SESSION = {"include_session": {"type": "boolean", "default": False}}
_INCLUDES = {
    "includes": {
        "type": "array",
        "items": {"type": "string", "enum": ["events.request_headers", "initiating_system_request_headers"]},
    }
}


def _created_reply(call: Call, session: PaymentSession) -> Any:
    reply = {
        "id": session.id,
        "url": call.link(f"/v1/view/{session.id}"),
        **present(publish=session.configuration.get("publish")),
    }
    if not call.flag("include_session"):
        return reply
    return {**reply, "session": session_reply(session)}


@routes(
    "POST",
    "/v1/sessions-profile",
    "Create a session from a profile",
    scopes=WRITE_CHECKOUT,
    query=_INCLUDE_SESSION,
    body=CreateProfileSession,
    reply=CreatedReply,
    renders=PaymentSession,
    render=_created_reply,
)
async def create_from_profile(call: Call) -> PaymentSession:
    return await _create(call, call.body, call.body.profile_id)


@routes(
    "POST",
    "/v1/sessions",
    "Create a session without a profile",
    scopes=WRITE_CHECKOUT,
    query=_INCLUDE_SESSION,
    body=CreatePlainSession,
    reply=CreatedReply,
    renders=PaymentSession,
    render=_created_reply,
)
async def create(call: Call) -> PaymentSession:
    return await _create(call, call.body, None)


async def _create(
    call: Call, body: CreateProfileSession | CreatePlainSession, profile_id: str | None
) -> PaymentSession:
    call.flag("include_session")  # a wrong one is told before anything is done
    fields.currency(body.order.currency, "/order/currency")
    session_fields.check_express(body.express, body.order.items or ())
    in_app = body.configuration is not None and body.configuration.channel == "in_app"
    request = DirectRequest(
        order=checkout.with_line_ids(session_fields.order_said(call.raw) or {}),
        profile_id=profile_id,
        url=fields.session_url(body.url, all_required=False, in_app=in_app),
        configuration=call.raw.get("configuration"),
        expires_at=utc(body.expires_at, "/expires_at"),
        strict_amounts="strict-session-amounts" in session_fields.toggles(call),
        given=session_fields.said_besides(call.raw, *_OWN_FIELDS),
    )
    return await sessions.open_direct(call.house, call.caller, request)


_OWN_FIELDS = ("url", "order", "profile_id", "configuration", "expires_at", "discount_codes", "pay_lock")


_TEXTS = {"type": "array", "items": {"type": "string"}}


@routes(
    "GET",
    "/v1/sessions",
    "List sessions, newest first",
    scopes=READ_CHECKOUT,
    query={
        "id": _TEXTS,
        "transaction_id": _TEXTS,
        "store_id": _TEXTS,
        "search": {"type": "string", "description": "A merchant's reference, or the payer's first and last name."},
        **lists.CREATED,
        "limit": lists.PAGING["limit"],
        "starting_after": lists.PAGING["starting_after"],
    },
    reply=list[CheckoutSession],
    refusals=("session_not_found",),
)
async def list_sessions(call: Call) -> Any:
    filters = SessionFilters(
        ids=lists.values(call, "id"),
        transaction_ids=lists.values(call, "transaction_id"),
        store_ids=lists.values(call, "store_id"),
        search=call.query("search") or None,
        created_from=lists.time(call, "created_at.gte"),
        created_to=lists.time(call, "created_at.lte"),
    )
    page = Page(call.number("limit", 10, 1, 100), call.query("starting_after"))
    return [session_reply(each) for each in await sessions.find(call.house, call.account_id, filters, page)]


@routes(
    "GET",
    "/v1/sessions/{session_id}",
    "Get a session",
    scopes=READ_CHECKOUT,
    query=_INCLUDES,
    reply=CheckoutSession,
)
async def get(call: Call) -> Any:
    session = await sessions.get(call.house, call.account_id, call.path("session_id"))
    return session_reply(session, lists.values(call, "includes"))


@routes(
    "PUT",
    "/v1/sessions/{session_id}",
    "Change a session that is not paid",
    scopes=WRITE_CHECKOUT,
    query={
        "update_without_lock": {"type": "boolean", "default": False},
        "force_shipping_address_callback": {"type": "boolean", "default": False},
    },
    body=UpdateSession,
    body_required=False,
    reply=CheckoutSession,
    renders=PaymentSession,
    render=lambda call, session: session_reply(session),
)
async def update(call: Call) -> PaymentSession:
    body: UpdateSession = call.body
    session_fields.check_express(body.express, (body.order.items if body.order else None) or ())
    change = Update(
        order=session_fields.order_said(call.raw),
        express=session_fields.express_said(call.raw),
        customer=call.raw.get("customer"),
        strict="strict-session-amounts" in session_fields.toggles(call),
    )
    return await session_updates.update(
        call.house,
        call.caller,
        call.path("session_id"),
        change,
        without_lock=call.flag("update_without_lock"),
        remove_lock=body.remove_lock is not False,
        force_callback=call.flag("force_shipping_address_callback"),
    )


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


def session_reply(session: PaymentSession, includes: Collection[str] = ()) -> dict[str, Any]:
    """A session as the checkout API shows it; it has no status, its events tell (checkout reference, section 4)."""
    metadata = {
        **(session.given.get("metadata") or {}),
        **present(**{"session:profile_id": session.profile_id or None}),
    }
    headers = session.request_headers
    return {
        **session.given,
        "id": session.id,
        "order": session.checkout_order,
        "url": session.url,
        **present(profile_id=session.profile_id or None),
        "configuration": session.configuration,
        "metadata": metadata,
        "created_at": rfc3339(session.created_at),
        "updated_at": rfc3339(session.updated_at),
        "expires_at": rfc3339(session.expires_at),
        "payment_operation": "unscheduled_purchase",
        "events": [_event_reply(event, "events.request_headers" in includes) for event in session.events],
        **({"initiating_system_request_headers": headers} if "initiating_system_request_headers" in includes else {}),
        **present(
            transaction_id=session.transaction_id,
            customer_ip=session.customer_ip,
            user_agent=session.user_agent,
            cancelled_at=rfc3339(session.cancelled_at) if session.cancelled_at else None,
            cancelled_by=session.cancelled_by,
        ),
    }


def _event_reply(event: SessionEvent, with_headers: bool) -> dict[str, Any]:
    return {
        "id": event.id,
        "name": event.name,
        "created_at": rfc3339(event.created_at),
        "request_id": event.request_id,
        "details": event.details,
        **({"request_headers": event.request_headers} if with_headers else {}),
    }
