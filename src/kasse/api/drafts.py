"""Drafts over the wire. Source: orders reference, sections 2 and 3."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kasse.api import fields
from kasse.api.fields import Currency, Item, JsonObject, OrderOption
from kasse.api.orders import OrderReply, item_reply, order_reply, request_reply
from kasse.api.routes import READ_SHOPPING, WRITE_SHOPPING, Call, Routes
from kasse.api.wire import Reference, line_id
from kasse.domain.order import Draft, payable, totals
from kasse.domain.refusals import Refusal
from kasse.operations import drafts, orders

routes = Routes("drafts")
_BASE = "/v1/accounts/{aid}/shopping/draft_orders"


# Neither "." nor "..", which clients take out of an address; "$" alone would let a newline follow.
OrderId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$(?!\n)", description="Your own id for the order.")
]


class DraftOrder(msgspec.Struct):
    """The order in the making. Its totals are worked out by the server."""

    currency: Currency
    items: list[Item] = []
    order_id: OrderId | None = None
    merchant_reference: Reference | None = None
    customer: JsonObject | None = None
    shipping_address: fields.Address | None = None
    billing_address: fields.Address | None = None
    store: JsonObject | None = None
    metadata: JsonObject | None = None


class DraftOptions(msgspec.Struct):
    generate_order_id: OrderOption | None = None
    split_draft: bool | None = None


class CreateDraft(msgspec.Struct):
    order: DraftOrder
    options: DraftOptions = msgspec.field(default_factory=DraftOptions)


class DraftReply(msgspec.Struct):
    id: str
    status: str
    order: JsonObject
    options: JsonObject
    events: list[JsonObject]
    created_at: str
    created_by: str
    updated_at: str
    _links: list[fields.Link]


class CompletedReply(msgspec.Struct):
    orders: list[OrderReply]


_UNSUPPORTED = ("order_id", "replace", "multiple_authorizations", "serial_order_number_suffix", "payout")


@routes("POST", _BASE, "Create a draft order", scopes=WRITE_SHOPPING, body=CreateDraft, reply=DraftReply)
async def create(call: Call) -> Any:
    body: CreateDraft = call.body
    fields.currency(body.order.currency, "/order/currency")
    options = call.raw.get("options") or {}
    for name in _UNSUPPORTED:
        if options.get(name):
            raise Refusal("wrong_value", f"the option {name} is not supported", path=f"/options/{name}")
    given = fields.given(call.raw["order"], *fields.ORDER_READ_ONLY)
    order = {**given, "items": fields.items(given.get("items") or (), "/order/items")}
    draft = await drafts.create(call.house, call.caller, order, options)
    return draft_reply(call, draft)


@routes("GET", _BASE + "/{draft_id}", "Get a draft order", scopes=READ_SHOPPING, reply=DraftReply)
async def get(call: Call) -> Any:
    return draft_reply(call, await drafts.get(call.house, call.account_id, call.path("draft_id")))


@routes("POST", _BASE + "/{draft_id}/items", "Add an item", scopes=WRITE_SHOPPING, body=Item, reply=DraftReply)
async def add_item(call: Call) -> Any:
    item = fields.item(call.raw, "")
    return draft_reply(call, await drafts.add_item(call.house, call.caller, call.path("draft_id"), item))


@routes(
    "PUT", _BASE + "/{draft_id}/items/{line_id}", "Update an item", scopes=WRITE_SHOPPING, body=Item, reply=DraftReply
)
async def update_item(call: Call) -> Any:
    item = fields.item(call.raw, "")
    wanted = line_id(call.path("line_id"), "/line_id")
    if item["line_id"] != wanted:
        raise Refusal(
            "wrong_value", f"expected line_id {wanted} as in the address, got {item['line_id']}", path="/line_id"
        )
    return draft_reply(call, await drafts.update_item(call.house, call.caller, call.path("draft_id"), item))


@routes("DELETE", _BASE + "/{draft_id}/items/{line_id}", "Remove an item", scopes=WRITE_SHOPPING, reply=DraftReply)
async def remove_item(call: Call) -> Any:
    wanted = line_id(call.path("line_id"), "/line_id")
    return draft_reply(call, await drafts.remove_item(call.house, call.caller, call.path("draft_id"), wanted))


@routes("PUT", _BASE + "/{draft_id}/complete", "Make the draft an order", scopes=WRITE_SHOPPING, reply=CompletedReply)
async def complete(call: Call) -> Any:
    ids = await drafts.complete(call.house, call.caller, call.path("draft_id"))
    found = await orders.get_all(call.house, call.account_id, ids)
    return {"orders": [order_reply(call, details) for details in found]}


def draft_reply(call: Call, draft: Draft) -> dict[str, Any]:
    gross, net = totals(draft.lines)
    path = f"/v1/accounts/{draft.account_id}/shopping/draft_orders/{draft.id}"
    return {
        "id": draft.id,
        "status": draft.status,
        "order": {
            **draft.given,
            "currency": draft.currency,
            "gross_amount": gross,
            "net_amount": net,
            "total_discount": gross - net,
            "items": [item_reply(line, payable(line)) for line in draft.lines],
        },
        "options": draft.options,
        "events": [
            {
                "id": note.id,
                "created_at": fields.rfc3339(note.created_at),
                "created_by": note.created_by,
                "version": note.version,
                "event_type": "api-event",
                **request_reply(note.request),
            }
            for note in draft.notes
        ],
        "created_at": fields.rfc3339(draft.created_at),
        "created_by": draft.created_by,
        "updated_at": fields.rfc3339(draft.updated_at),
        "_links": [{"href": call.link(path), "rel": "self"}],
    }
