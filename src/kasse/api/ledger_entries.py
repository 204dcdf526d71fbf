"""Authorizations, captures, refunds and cancellations over the wire. Source: orders reference, section 6."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kasse.api import fields
from kasse.api.fields import EntryItem, JsonObject, present
from kasse.api.routes import READ_SHOPPING, WRITE_SHOPPING, Answer, Call, Routes
from kasse.api.wire import Reference, Text, Time
from kasse.domain.ledger import Entry, EntryKind
from kasse.domain.times import rfc3339
from kasse.operations import ledger_entries
from kasse.operations.ledger_entries import EntryRequest

routes = Routes("order payments")
_BASE = "/v1/accounts/{aid}/shopping/orders/{order_id}"
PLURALS: dict[EntryKind, str] = {
    "authorization": "authorizations",
    "capture": "captures",
    "refund": "refunds",
    "cancellation": "cancellations",
}


class PaymentDetails(msgspec.Struct):
    """Where the money moved. ``payment_id`` that names a transaction of Kasse's makes the entry part of it."""

    payment_id: Reference | None = None
    psp: Text | None = None
    payment_product: Text | None = None
    payment_product_type: Text | None = None
    card: JsonObject | None = None


class RecordEntry(msgspec.Struct):
    items: Annotated[list[EntryItem], Meta(min_length=1)]
    success: bool = True
    authorization_id: Annotated[str, Meta(max_length=40)] | None = None
    payment_details: PaymentDetails | None = None
    processed_at: Time | None = None
    processed_by: Text | None = None
    metadata: JsonObject | None = None
    fee_split: JsonObject | None = None


class EntryReply(msgspec.Struct):
    id: str
    amount: int
    items: list[JsonObject]
    success: bool
    created_at: str
    created_by: str
    _links: list[fields.Link]
    authorization_id: str | None = None
    payment_details: JsonObject | None = None


def _declare(kind: EntryKind) -> None:
    plural = PLURALS[kind]
    article = "an" if kind == "authorization" else "a"

    async def record(call: Call) -> Entry:
        body: RecordEntry = call.body
        request = EntryRequest(
            items=fields.line_amounts(body.items, "/items"),
            success=body.success,
            authorization_id=body.authorization_id,
            payment_id=body.payment_details.payment_id if body.payment_details else None,
            given=_given(call.raw),
        )
        return await ledger_entries.record(call.house, call.caller, call.path("order_id"), kind, request)

    async def list_entries(call: Call) -> Any:
        found = await ledger_entries.list_of_order(call.house, call.account_id, call.path("order_id"), kind)
        return Answer({plural: [entry_reply(call, call.path("order_id"), entry) for entry in found]})

    async def get(call: Call) -> Any:
        order_id = call.path("order_id")
        entry = await ledger_entries.get(call.house, call.account_id, order_id, kind, call.path("entry_id"))
        return entry_reply(call, order_id, entry)

    path = f"{_BASE}/{plural}"
    list_reply = msgspec.defstruct(f"{plural.capitalize()}Reply", [(plural, list[EntryReply])])
    routes(
        "POST",
        path,
        f"Record {article} {kind}",
        scopes=WRITE_SHOPPING,
        body=RecordEntry,
        reply=EntryReply,
        renders=Entry,
        render=lambda call, entry: entry_reply(call, call.path("order_id"), entry),
    )(record)
    routes("GET", path, f"List {plural}", scopes=READ_SHOPPING, reply=list_reply)(list_entries)
    routes("GET", f"{path}/{{entry_id}}", f"Get {article} {kind}", scopes=READ_SHOPPING, reply=EntryReply)(get)


for _kind in PLURALS:
    _declare(_kind)


def _given(raw: JsonObject) -> JsonObject:
    """What was sent besides; ``items`` only where they say more than the house keeps, such as exchange rates."""
    plain = all(item.keys() <= {"line_id", "amount"} for item in raw["items"])
    return fields.given(raw, "success", "authorization_id", *(["items"] if plain else []))


def entry_reply(call: Call, order_id: str, entry: Entry) -> dict[str, Any]:
    base = f"/v1/accounts/{call.account_id}/shopping/orders/{order_id}"
    sent = {int(item["line_id"]): item for item in entry.given.get("items", ())}
    return {
        **entry.given,
        "id": entry.id,
        "amount": entry.amount,
        "items": [
            {**sent.get(item.line_id, {}), "line_id": item.line_id, "amount": item.amount} for item in entry.items
        ],
        "success": entry.success,
        **present(authorization_id=entry.authorization_id),
        "created_at": rfc3339(entry.created_at),
        "created_by": entry.created_by,
        "_links": [
            {"href": call.link(f"{base}/{PLURALS[entry.kind]}/{entry.id}"), "rel": "self"},
            {"href": call.link(base), "rel": "order"},
        ],
    }
