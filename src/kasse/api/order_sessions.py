"""Payment sessions of an order over the wire. Source: orders reference, section 7."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kasse.api import fields, lists
from kasse.api.configuration_fields import Configuration
from kasse.api.fields import JsonObject, Link, Urls, present
from kasse.api.lists import PAGING
from kasse.api.routes import READ_SHOPPING, WRITE_SHOPPING, Call, Routes
from kasse.api.session_fields import Checkbox, Customer, Express, ShownMerchant, check_express, said_besides
from kasse.api.shipping_fields import ShippingOption
from kasse.api.wire import Amount, LineId, Reference, Time, line_id
from kasse.domain.refusals import Refusal
from kasse.domain.session import ChosenItem, PaymentSession
from kasse.domain.times import rfc3339
from kasse.operations import sessions
from kasse.operations.sessions import OF_THE_LINE, SessionRequest

routes = Routes("order sessions")
_BASE = "/v1/accounts/{aid}/shopping/orders/{order_id}/sessions"


class SessionItem(msgspec.Struct):
    """A line to pay. Without ``amount``: all that is left of it."""

    line_id: LineId
    amount: Amount | None = None
    splits: list[fields.Split] | None = None


class CreateSession(msgspec.Struct):
    """Chosen lines of an order, to be paid through a link."""

    items: Annotated[list[SessionItem], Meta(min_length=1)]
    profile_id: Reference
    url: Urls
    processed_at: Time | None = None
    metadata: JsonObject | None = None
    fee_split: JsonObject | None = None
    express: Express | None = None
    configuration: Configuration | None = None
    merchant_reference: Reference | None = None
    shipping_option: ShippingOption | None = None
    customer: Customer | None = None
    merchant: ShownMerchant | None = None
    checkboxes: list[Checkbox] | None = None
    options: JsonObject | None = None


class ItemReply(msgspec.Struct):
    line_id: str
    amount: int
    splits: list[fields.Split] | None = None


class SessionReply(msgspec.Struct):
    """``url`` is the payer's link."""

    id: str
    items: list[ItemReply]
    amount: int
    created_at: str
    created_by: str
    url: str
    _links: list[Link]
    processed_at: str | None = None
    metadata: JsonObject | None = None
    merchant_reference: str | None = None


class SessionsReply(msgspec.Struct):
    sessions: list[SessionReply]
    next_page_token: str | None = None


@routes(
    "POST",
    _BASE,
    "Open a payment session",
    scopes=WRITE_SHOPPING,
    body=CreateSession,
    reply=SessionReply,
    renders=PaymentSession,
    render=lambda call, session: session_reply(call, session),
)
async def create(call: Call) -> PaymentSession:
    body: CreateSession = call.body
    shipping_option = _shipping_option(call, body)
    check_express(body.express, body.items)
    request = SessionRequest(
        items=tuple(
            ChosenItem(
                line_id(item.line_id, f"/items/{n}/line_id"),
                item.amount,
                fields.given(call.raw["items"][n], "line_id", "amount"),
            )
            for n, item in enumerate(body.items)
        ),
        profile_id=body.profile_id,
        url=fields.session_url(body.url, all_required=not call.house.settings.relaxed_urls),
        configuration=call.raw.get("configuration"),
        merchant_reference=body.merchant_reference,
        shipping_option=shipping_option,
        given=said_besides(
            call.raw,
            *("items", "profile_id", "url", "merchant_reference", "shipping_option", "amount", "currency"),
            *("configuration", "expires_at"),
        ),
    )
    return await sessions.open_for_order(call.house, call.caller, call.path("order_id"), request)


def _shipping_option(call: Call, body: CreateSession) -> dict[str, Any] | None:
    """The chosen option, its ``line_id`` as text.

    Raises ``Refusal``: wrong_value (not one of those offered, where both are given), duplicate_line.
    """
    chosen = body.shipping_option
    if chosen is None:
        return None
    if any(str(chosen.line_id) == str(item.line_id) for item in body.items):
        raise Refusal(
            "duplicate_line",
            f"expected a line_id that none of the items has, got {chosen.line_id!r}",
            path="/shipping_option/line_id",
        )
    offered = body.express.shipping_options if body.express else []
    if offered and all((chosen.id, str(chosen.line_id)) != (each.id, str(each.line_id)) for each in offered):
        raise Refusal(
            "wrong_value",
            f"expected one of express.shipping_options, got {chosen.id!r} with line_id {chosen.line_id!r}",
            path="/shipping_option",
        )
    option: dict[str, Any] = call.raw["shipping_option"]
    return {**option, "line_id": str(option["line_id"])}


@routes(
    "GET",
    _BASE,
    "List an order's sessions, newest first",
    scopes=READ_SHOPPING,
    query=PAGING,
    reply=SessionsReply,
)
async def list_sessions(call: Call) -> Any:
    page = lists.page(call)
    found = await sessions.list_of_order(call.house, call.account_id, call.path("order_id"), page)
    return lists.listed(
        call, "sessions", page, found, lambda session: session.id, lambda session: session_reply(call, session)
    )


@routes("GET", _BASE + "/{session_id}", "Get a session of an order", scopes=READ_SHOPPING, reply=SessionReply)
async def get(call: Call) -> Any:
    order_id, session_id = call.path("order_id"), call.path("session_id")
    return session_reply(call, await sessions.get_of_order(call.house, call.account_id, order_id, session_id))


def session_reply(call: Call, session: PaymentSession) -> dict[str, Any]:
    order = f"/v1/accounts/{session.account_id}/shopping/orders/{session.order_id}"
    payer = call.link(f"/v1/view/{session.id}")
    said = {item["line_id"]: fields.given(item, *OF_THE_LINE) for item in session.checkout_order["items"]}
    return {
        **session.given,
        "id": session.id,
        "items": [
            {**said.get(str(item.line_id), {}), "line_id": str(item.line_id), "amount": item.amount}
            for item in session.items
        ],
        "amount": session.amount,
        "currency": session.currency,
        "merchant_reference": session.merchant_reference,
        **present(shipping_option=session.checkout_order.get("shipping_option"), transaction_id=session.transaction_id),
        "profile_id": session.profile_id,
        "created_at": rfc3339(session.created_at),
        "created_by": session.created_by,
        "expires_at": rfc3339(session.expires_at),
        "url": payer,
        "_links": [
            {"href": payer, "rel": "session_link"},
            {"href": call.link(order), "rel": "order"},
            {"href": call.link(f"{order}/sessions/{session.id}"), "rel": "self"},
        ],
    }
