"""The history of an order, what services report, and comments, over the wire. Source: orders reference, section 8."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kasse.api.fields import JsonObject
from kasse.api.order_replies import CommentReply, EventReply, comment_reply, event_reply, events_reply
from kasse.api.routes import READ_EVENTS, WRITE_EVENTS, WRITE_SHOPPING, Answer, Call, Routes
from kasse.api.wire import Reference, Text
from kasse.domain.history import Event, ServiceNoted
from kasse.domain.order import Comment
from kasse.operations import orders

routes = Routes("order events")
_BASE = "/v1/accounts/{aid}/shopping/orders/{order_id}"


class EventsReply(msgspec.Struct):
    events: list[EventReply]
    state: str


class ServiceEvent(msgspec.Struct):
    """How far a service is with the order, such as a warehouse: ``service_status`` in its own words."""

    service: Reference
    service_status: Reference
    state: Literal["error", "failure", "success", "pending"] = "success"
    description: Text | None = None
    metadata: JsonObject | None = None


class CreateComment(msgspec.Struct):
    text: Annotated[str, Meta(min_length=1, max_length=4000)]


@routes("GET", _BASE + "/events", "The history of an order", scopes=READ_EVENTS, reply=EventsReply)
async def list_events(call: Call) -> Any:
    order_id = call.path("order_id")
    return events_reply(call, order_id, await orders.events(call.house, call.account_id, order_id))


@routes(
    "POST",
    _BASE + "/events",
    "Report how far a service is",
    scopes=WRITE_EVENTS,
    body=ServiceEvent,
    reply=EventReply,
    renders=Event,
    render=lambda call, event: event_reply(call, call.path("order_id"), event),
)
async def note_service(call: Call) -> Event:
    body: ServiceEvent = call.body
    noted = ServiceNoted(body.state, body.service, body.service_status, body.description, body.metadata)
    return await orders.note_service(call.house, call.caller, call.path("order_id"), noted)


@routes(
    "POST",
    _BASE + "/comments",
    "Comment on an order",
    scopes=WRITE_SHOPPING,
    body=CreateComment,
    reply=CommentReply,
    renders=Comment,
    render=lambda call, comment: comment_reply(comment),
)
async def comment(call: Call) -> Comment:
    body: CreateComment = call.body
    return await orders.comment(call.house, call.caller, call.path("order_id"), body.text)


@routes("DELETE", _BASE + "/comments/{comment_id}", "Remove a comment", scopes=WRITE_SHOPPING, empty="Removed")
async def remove_comment(call: Call) -> Any:
    await orders.remove_comment(call.house, call.caller, call.path("order_id"), call.path("comment_id"))
    return Answer(status=204)
