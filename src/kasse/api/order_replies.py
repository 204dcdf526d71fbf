"""How orders and their history look on the wire. Source: orders reference, sections 4, 5, 8."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from kasse.api import fields
from kasse.api.fields import JsonObject, present
from kasse.api.ledger_entries import EntryReply, entry_reply
from kasse.api.order_sessions import SessionReply, session_reply
from kasse.api.routes import Call
from kasse.domain.access import RequestNote
from kasse.domain.history import (
    CommentAdded,
    CommentRemoved,
    EntryMatched,
    Event,
    LinesAdded,
    OrderReplaced,
    PaymentEnded,
    PaymentStarted,
    ServiceNoted,
    SessionOpened,
    StatusSet,
    entry_of,
    service_state,
)
from kasse.domain.order import Comment, Line, manual_discount, payable
from kasse.domain.times import rfc3339
from kasse.operations.orders import OrderDetails


class CommentReply(msgspec.Struct):
    id: str
    text: str
    created_at: str
    created_by: str


class OrderReply(msgspec.Struct):
    """An order; fields that the merchant sent besides these come back as they were.

    ``sessions`` are its newest ten, newest first.
    """

    id: str
    order_id: str
    currency: str
    status: str
    payment_status: str
    gross_amount: int
    net_amount: int
    total_discount: int
    total_manual_discount_amount: int
    items: list[JsonObject]
    authorizations: list[EntryReply]
    captures: list[EntryReply]
    refunds: list[EntryReply]
    cancellations: list[EntryReply]
    sessions: list[SessionReply]
    comments: list[CommentReply]
    version: int
    created_at: str
    created_by: str
    updated_at: str
    _links: list[fields.Link]


class EventReply(msgspec.Struct):
    """One change of an order. ``hash`` covers the event and ``previous_hash``. What services report has a ``state``."""

    id: str
    event_type: str
    name: str
    version: int
    created_at: str
    created_by: str
    request_id: str
    hash: str
    previous_hash: str
    _links: list[fields.Link]
    request: JsonObject | None = None
    draft_id: str | None = None
    state: str | None = None
    service: str | None = None
    service_status: str | None = None
    description: str | None = None
    metadata: JsonObject | None = None


def order_reply(call: Call, details: OrderDetails) -> dict[str, Any]:
    order = details.state.order
    reply: dict[str, Any] = {
        **order.given,
        **order.status_changes,
        "id": order.id,
        "order_id": order.order_id,
        "currency": order.currency,
        "status": order.status,
        "payment_status": order.payment_status,
        "gross_amount": order.gross_amount,
        "net_amount": order.net_amount,
        "total_discount": order.gross_amount - order.net_amount,
        "total_manual_discount_amount": manual_discount(details.state.lines.values()),
        "items": [item_reply(line, payable(line)) for _, line in sorted(details.state.lines.items())],
        "version": order.version,
        "created_at": rfc3339(order.created_at),
        "created_by": order.created_by,
        "updated_at": rfc3339(order.updated_at),
        "comments": [comment_reply(comment) for comment in order.comments],
        "_links": _order_links(call, order.account_id, order.order_id, order.draft_id, "self"),
    }
    for kind, name in (
        ("authorization", "authorizations"),
        ("capture", "captures"),
        ("refund", "refunds"),
        ("cancellation", "cancellations"),
    ):
        reply[name] = [entry_reply(call, order.order_id, entry) for entry in details.entries if entry.kind == kind]
    reply["sessions"] = [session_reply(call, session) for session in details.sessions]
    if details.events is not None:
        reply |= events_reply(call, order.order_id, details.events)
    return reply


def _order_links(call: Call, account_id: str, order_id: str, draft_id: str | None, rel: str) -> list[dict[str, str]]:
    base = f"/v1/accounts/{account_id}/shopping"
    links = [{"href": call.link(f"{base}/orders/{order_id}"), "rel": rel}]
    if draft_id:
        links.append({"href": call.link(f"{base}/draft_orders/{draft_id}"), "rel": "draft"})
    return links


def comment_reply(comment: Comment) -> dict[str, Any]:
    return {
        "id": comment.id,
        "text": comment.text,
        "created_at": rfc3339(comment.created_at),
        "created_by": comment.created_by,
    }


def events_reply(call: Call, order_id: str, events: Iterable[Event]) -> dict[str, Any]:
    """The history, and the state that its service events amount to."""
    events = list(events)
    return {"events": [event_reply(call, order_id, event) for event in events], "state": service_state(events)}


def item_reply(line: Line, net_amount: int) -> dict[str, Any]:
    return {**line.given, "line_id": line.line_id, "net_amount": net_amount, "version": line.version}


def event_reply(call: Call, order_id: str, event: Event) -> dict[str, Any]:
    what = event.what
    entry = entry_of(what)
    name = str(what.__struct_config__.tag)
    about: dict[str, Any] = {}
    if entry is not None:
        name = f"{entry.kind}_added" if not isinstance(what, StatusSet) else name
        about = {
            "entry_id": entry.id,
            "amount": entry.amount,
            "items": [{"line_id": item.line_id, "amount": item.amount} for item in entry.items],
            **present(transaction_id=entry.transaction_id),
        }
    if isinstance(what, EntryMatched):
        about = {"entry_id": what.entry_id}
    if isinstance(what, SessionOpened | PaymentStarted | PaymentEnded):
        about = {"session_id": what.session_id, "items": what.items}
    if isinstance(what, PaymentStarted | PaymentEnded):
        about["transaction_id"] = what.transaction_id
    if isinstance(what, StatusSet):
        name = f"order_{'opened' if what.status == 'open' else what.status}"
    if isinstance(what, LinesAdded | OrderReplaced):
        about = {"items": [{"line_id": line.line_id, "amount": payable(line)} for line in what.lines]}
    if isinstance(what, CommentAdded | CommentRemoved):
        about = {"comment_id": what.comment.id if isinstance(what, CommentAdded) else what.comment_id}
    if isinstance(what, ServiceNoted):
        about = {
            "state": what.state,
            "service": what.service,
            "service_status": what.service_status,
            **present(description=what.description, metadata=what.metadata),
        }
    return {
        "id": event.id,
        "event_type": "service-event" if isinstance(what, ServiceNoted) else "api-event",
        "name": name,
        "version": event.seq,
        "created_at": rfc3339(event.at),
        "created_by": event.by,
        "request_id": event.request_id,
        **present(draft_id=event.draft_id),
        **request_reply(event.request),
        **about,
        "hash": event.hash,
        "previous_hash": event.previous_hash,
        "_links": _order_links(call, event.account_id, order_id, event.draft_id, "order"),
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
