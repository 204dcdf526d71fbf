"""Drafts over the wire. Source: orders reference, sections 2 and 3."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kasse.api import fields, lists, relaxed
from kasse.api.fields import Item, JsonObject, OrderOption
from kasse.api.lists import DRAFT_FILTERS
from kasse.api.order_replies import OrderReply, item_reply, order_reply, request_reply
from kasse.api.routes import READ_SHOPPING, WRITE_SHOPPING, Call, Routes
from kasse.api.wire import Reference, line_id
from kasse.domain.order import Draft, manual_discount, payable, totals
from kasse.domain.refusals import Refusal
from kasse.domain.times import rfc3339
from kasse.operations import drafts
from kasse.operations.orders import OrderDetails

routes = Routes("drafts")
_BASE = "/v1/accounts/{aid}/shopping/draft_orders"


class DraftOrder(fields.NewOrder, kw_only=True):
    """The order in the making. Its totals are worked out by the server."""

    items: list[Item] = msgspec.field(default_factory=list)


class DraftOptions(msgspec.Struct):
    """``order_id`` links the draft to an order that it joins, or replaces with ``replace``."""

    generate_order_id: OrderOption | None = None
    order_id: Reference | None = None
    replace: Literal["order"] | None = None
    split_draft: bool | None = None
    payout: bool | JsonObject | None = None
    multiple_authorizations: bool | None = None
    serial_order_number_suffix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,20}$(?!\n)")] | None = None


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
    deleted_at: str | None = None
    deleted_by: str | None = None


class CompletedReply(msgspec.Struct):
    orders: list[OrderReply]


class ReplaceDraft(msgspec.Struct):
    order: DraftOrder
    options: DraftOptions | None = None


class DraftsReply(msgspec.Struct):
    draft_orders: list[DraftReply]
    next_page_token: str | None = None


def _order(call: Call, body: CreateDraft | ReplaceDraft) -> JsonObject:
    fields.currency(body.order.currency, "/order/currency")
    return {**call.raw["order"], "items": fields.items(call.raw["order"].get("items") or (), "/order/items")}


def _options(body: CreateDraft | ReplaceDraft, raw: JsonObject | None) -> JsonObject:
    """Raises ``Refusal`` (wrong_value) for options that contradict each other."""
    options = body.options
    if options is not None and options.replace and not options.order_id:
        raise Refusal(
            "wrong_value", "expected options.order_id beside options.replace: the order to replace", path="/options"
        )
    if body.order.order_id and options is not None and options.generate_order_id:
        raise Refusal(
            "wrong_value",
            f"expected either order.order_id or options.generate_order_id, got both ({body.order.order_id!r})",
            path="/options/generate_order_id",
        )
    return dict(raw or {})


@routes(
    "POST",
    _BASE,
    "Create a draft order",
    scopes=WRITE_SHOPPING,
    body=CreateDraft,
    relaxed=relaxed.draft_body,
    reply=DraftReply,
    refusals=("order_not_found",),
    renders=Draft,
    render=lambda call, draft: draft_reply(call, draft),
)
async def create(call: Call) -> Draft:
    body: CreateDraft = call.body
    return await drafts.create(call.house, call.caller, _order(call, body), _options(body, call.raw.get("options")))


@routes("GET", _BASE, "List draft orders, newest first", scopes=READ_SHOPPING, query=DRAFT_FILTERS, reply=DraftsReply)
async def list_drafts(call: Call) -> Any:
    page = lists.page(call)
    found = await drafts.list_page(call.house, call.account_id, lists.filters(call, DRAFT_FILTERS), page)
    return lists.listed(
        call, "draft_orders", page, found, lambda draft: draft.id, lambda draft: draft_reply(call, draft)
    )


@routes(
    "PUT",
    _BASE + "/{draft_id}",
    "Replace a draft order",
    scopes=WRITE_SHOPPING,
    body=ReplaceDraft,
    relaxed=relaxed.draft_body,
    reply=DraftReply,
    renders=Draft,
    render=lambda call, draft: draft_reply(call, draft),
)
async def replace(call: Call) -> Draft:
    body: ReplaceDraft = call.body
    options = None if body.options is None else _options(body, call.raw["options"])
    return await drafts.replace(call.house, call.caller, call.path("draft_id"), _order(call, body), options)


@routes(
    "DELETE",
    _BASE + "/{draft_id}",
    "Delete a draft order",
    scopes=WRITE_SHOPPING,
    reply=DraftReply,
    refusals=("draft_not_open",),
)
async def delete(call: Call) -> Any:
    return draft_reply(call, await drafts.delete(call.house, call.caller, call.path("draft_id")))


@routes("GET", _BASE + "/{draft_id}", "Get a draft order", scopes=READ_SHOPPING, reply=DraftReply)
async def get(call: Call) -> Any:
    return draft_reply(call, await drafts.get(call.house, call.account_id, call.path("draft_id")))


@routes(
    "POST",
    _BASE + "/{draft_id}/items",
    "Add an item",
    scopes=WRITE_SHOPPING,
    body=Item,
    relaxed=relaxed.item_body,
    reply=DraftReply,
    renders=Draft,
    render=lambda call, draft: draft_reply(call, draft),
)
async def add_item(call: Call) -> Draft:
    return await drafts.add_item(call.house, call.caller, call.path("draft_id"), fields.item(call.raw, ""))


@routes(
    "PUT",
    _BASE + "/{draft_id}/items/{line_id}",
    "Update an item",
    scopes=WRITE_SHOPPING,
    body=Item,
    relaxed=relaxed.item_body,
    reply=DraftReply,
    renders=Draft,
    render=lambda call, draft: draft_reply(call, draft),
)
async def update_item(call: Call) -> Draft:
    item = fields.item(call.raw, "")
    wanted = line_id(call.path("line_id"), "/line_id")
    if item["line_id"] != wanted:
        raise Refusal(
            "wrong_value", f"expected line_id {wanted} as in the address, got {item['line_id']}", path="/line_id"
        )
    return await drafts.update_item(call.house, call.caller, call.path("draft_id"), item)


@routes(
    "DELETE",
    _BASE + "/{draft_id}/items/{line_id}",
    "Remove an item",
    scopes=WRITE_SHOPPING,
    reply=DraftReply,
    refusals=("draft_not_open",),
)
async def remove_item(call: Call) -> Any:
    wanted = line_id(call.path("line_id"), "/line_id")
    return draft_reply(call, await drafts.remove_item(call.house, call.caller, call.path("draft_id"), wanted))


@routes(
    "PUT",
    _BASE + "/{draft_id}/complete",
    "Make the draft an order, or several",
    scopes=WRITE_SHOPPING,
    reply=CompletedReply,
    renders=list,
    render=lambda call, completed: {"orders": [order_reply(call, details) for details in completed]},
)
async def complete(call: Call) -> list[OrderDetails]:
    return await drafts.complete(call.house, call.caller, call.path("draft_id"))


def _deleted(draft: Draft) -> dict[str, Any]:
    """When and by whom; nothing changes a draft after that."""
    if draft.status != "deleted":
        return {}
    return {"deleted_at": rfc3339(draft.updated_at), "deleted_by": draft.notes[-1].created_by}


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
            "total_manual_discount_amount": manual_discount(draft.lines),
            "items": [item_reply(line, payable(line)) for line in draft.lines],
        },
        "options": draft.options,
        "events": [
            {
                "id": note.id,
                "created_at": rfc3339(note.created_at),
                "created_by": note.created_by,
                "version": note.version,
                "event_type": "api-event",
                **request_reply(note.request),
            }
            for note in draft.notes
        ],
        "created_at": rfc3339(draft.created_at),
        "created_by": draft.created_by,
        "updated_at": rfc3339(draft.updated_at),
        **_deleted(draft),
        "_links": [{"href": call.link(path), "rel": "self"}],
    }
