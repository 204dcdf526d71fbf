"""Orders and their history over the wire. Source: orders reference, sections 4, 5, 8."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from kasse.api import fields
from kasse.api.fields import JsonObject, present
from kasse.api.ledger_entries import EntryReply, entry_reply
from kasse.api.routes import INCLUDE_EVENTS, PAGING, READ_SHOPPING, Call, Routes
from kasse.domain.access import RequestNote
from kasse.domain.history import EntryAdded, Event, OrderCreated, SessionOpened
from kasse.domain.order import Line, payable
from kasse.operations import orders
from kasse.operations.orders import OrderDetails
from kasse.store.port import Page

routes = Routes("orders")
_BASE = "/v1/accounts/{aid}/shopping/orders"


class OrderReply(msgspec.Struct):
    """An order; fields that the merchant sent besides these come back as they were."""

    id: str
    order_id: str
    currency: str
    status: str
    payment_status: str
    gross_amount: int
    net_amount: int
    total_discount: int
    items: list[JsonObject]
    authorizations: list[EntryReply]
    captures: list[EntryReply]
    refunds: list[EntryReply]
    cancellations: list[EntryReply]
    version: int
    created_at: str
    created_by: str
    updated_at: str
    _links: list[fields.Link]


class OrdersReply(msgspec.Struct):
    orders: list[OrderReply]


class EventReply(msgspec.Struct):
    """One change of an order. ``hash`` covers the event and ``previous_hash``."""

    id: str
    event_type: str
    name: str
    version: int
    created_at: str
    created_by: str
    request_id: str
    hash: str
    previous_hash: str
    request: JsonObject | None = None
    draft_id: str | None = None


class EventsReply(msgspec.Struct):
    events: list[EventReply]
    state: str


@routes("GET", _BASE + "/{order_id}", "Get an order", scopes=READ_SHOPPING, query=INCLUDE_EVENTS, reply=OrderReply)
async def get(call: Call) -> Any:
    with_events = call.query("include_events") == "true"
    return order_reply(call, await orders.get(call.house, call.account_id, call.path("order_id"), with_events))


@routes(
    "GET",
    _BASE,
    "List orders, newest first",
    scopes=READ_SHOPPING,
    query={**PAGING, **INCLUDE_EVENTS},
    reply=OrdersReply,
)
async def list_orders(call: Call) -> Any:
    page = Page(call.number("limit", 10, 1, 100), call.query("starting_after"))
    found = await orders.list_page(call.house, call.account_id, page, call.query("include_events") == "true")
    return {"orders": [order_reply(call, details) for details in found]}


@routes("GET", _BASE + "/{order_id}/events", "The history of an order", scopes=READ_SHOPPING, reply=EventsReply)
async def events(call: Call) -> Any:
    found = await orders.events(call.house, call.account_id, call.path("order_id"))
    return {"events": [event_reply(event) for event in found], "state": "pending"}


def order_reply(call: Call, details: OrderDetails) -> dict[str, Any]:
    order = details.state.order
    base = f"/v1/accounts/{order.account_id}/shopping"
    links = [{"href": call.link(f"{base}/orders/{order.order_id}"), "rel": "self"}]
    if order.draft_id:
        links.append({"href": call.link(f"{base}/draft_orders/{order.draft_id}"), "rel": "draft"})
    reply = {
        **order.given,
        "id": order.id,
        "order_id": order.order_id,
        "currency": order.currency,
        "status": order.status,
        "payment_status": order.payment_status,
        "gross_amount": order.gross_amount,
        "net_amount": order.net_amount,
        "total_discount": order.gross_amount - order.net_amount,
        "items": [item_reply(line, payable(line)) for line in details.state.lines.values()],
        "version": order.version,
        "created_at": fields.rfc3339(order.created_at),
        "created_by": order.created_by,
        "updated_at": fields.rfc3339(order.updated_at),
        "_links": links,
    }
    for kind, name in (
        ("authorization", "authorizations"),
        ("capture", "captures"),
        ("refund", "refunds"),
        ("cancellation", "cancellations"),
    ):
        reply[name] = [entry_reply(call, order.order_id, entry) for entry in details.entries if entry.kind == kind]
    if details.events is not None:
        reply["events"] = [event_reply(event) for event in details.events]
    return reply


def item_reply(line: Line, net_amount: int) -> dict[str, Any]:
    return {**line.given, "line_id": line.line_id, "net_amount": net_amount, "version": line.version}


def event_reply(event: Event) -> dict[str, Any]:
    what = event.what
    about: dict[str, Any] = {}
    if isinstance(what, EntryAdded):
        about = {
            "entry_id": what.entry.id,
            "amount": what.entry.amount,
            "items": what.entry.items,
            **present(transaction_id=what.entry.transaction_id),
        }
    elif not isinstance(what, OrderCreated):
        about = {"session_id": what.session_id, "items": what.items}
        if not isinstance(what, SessionOpened):
            about["transaction_id"] = what.transaction_id
    return {
        "id": event.id,
        "event_type": "api-event",
        "name": f"{what.entry.kind}_added" if isinstance(what, EntryAdded) else what.__struct_config__.tag,
        "version": event.seq,
        "created_at": fields.rfc3339(event.at),
        "created_by": event.by,
        "request_id": event.request_id,
        **present(draft_id=event.draft_id),
        **request_reply(event.request),
        **about,
        "hash": event.hash,
        "previous_hash": event.previous_hash,
    }


def request_reply(note: RequestNote | None) -> dict[str, Any]:
    """The request behind a change; its body as JSON again where it was not cut short."""
    if note is None:
        return {}
    request: dict[str, Any] = {"method": note.method, "path": note.path}
    if note.body is not None:
        try:
            request["body"] = json.loads(note.body)
        except ValueError:
            request["body"] = note.body
    return {"request": request}
