"""Transactions over the wire. Source: checkout reference, sections 7 and 8."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kasse.api import transaction_filters
from kasse.api.fields import JsonObject
from kasse.api.routes import READ_CHECKOUT, WRITE_CHECKOUT, Answer, Call, Routes
from kasse.api.transaction_replies import transaction_reply
from kasse.api.wire import Amount, LineId, Text, pointer
from kasse.domain.ledger import LineAmount
from kasse.domain.paging import Page
from kasse.domain.refusals import Refusal
from kasse.domain.transaction import CallKind, Transaction
from kasse.operations import transactions
from kasse.operations.transactions import Confirmation, OperationRequest

routes = Routes("transactions")


class OperationItem(msgspec.Struct):
    line_id: LineId
    amount: Amount


class Capture(msgspec.Struct):
    """``amount`` in minor units; ``items`` say which lines it is for, as far as they are known."""

    amount: Amount
    capture_reference: Text | None = None
    items: list[OperationItem] | None = None
    final_capture: Annotated[bool, Meta(description="Release what this capture leaves; none can follow.")] = False
    metadata: dict[str, str] | None = None


class Authorize(msgspec.Struct):
    """``amount`` and ``items``, where they are sent, have to be those of the payment."""

    amount: Amount | None = None
    items: list[OperationItem] | None = None
    reference: Text | None = None
    reason: Text | None = None
    description: Text | None = None
    final_authorization: bool | None = None


class Refund(msgspec.Struct):
    amount: Amount
    refund_reference: Text | None = None
    reason: Text | None = None
    items: list[OperationItem] | None = None
    metadata: dict[str, str] | None = None


class TransactionReply(msgspec.Struct):
    id: str
    session_id: str
    status: str
    amount: int
    currency: str
    payment_product: str
    payment_product_type: str
    channel: str
    merchant_reference: str
    created_at: str
    updated_at: str
    items: list[JsonObject]
    events: list[JsonObject]
    metadata: JsonObject
    merchant_reference_2: str | None = None
    card: JsonObject | None = None
    session: JsonObject | None = None


class Update(msgspec.Struct):
    merchant_reference_2: Text


@routes(
    "GET",
    "/v1/transactions",
    "List transactions, newest first",
    scopes=READ_CHECKOUT,
    query=transaction_filters.QUERY,
    reply=list[TransactionReply],
)
async def list_all(call: Call) -> Any:
    includes = transaction_filters.includes(call)
    wanted = transaction_filters.filters(call)
    if wanted is None:
        return []
    page = Page(call.number("limit", 10, 1, 100), call.query("starting_after"))
    found = await transactions.list_all(call.house, call.account_id, wanted, page, "session" in includes)
    return [transaction_reply(transaction, session, includes) for transaction, session in found]


@routes(
    "GET",
    "/v1/transactions/{transaction_id}",
    "Get a transaction",
    scopes=READ_CHECKOUT,
    query={"includes": transaction_filters.INCLUDES},
    reply=TransactionReply,
)
async def get(call: Call) -> Any:
    includes = transaction_filters.includes(call)
    found = await transactions.get_with_session(call.house, call.account_id, call.path("transaction_id"))
    transaction, session = found
    return transaction_reply(transaction, session if "session" in includes else None, includes)


@routes(
    "PUT",
    "/v1/transactions/{transaction_id}",
    "Give a transaction another second reference",
    scopes=WRITE_CHECKOUT,
    body=Update,
    reply=TransactionReply,
    renders=Transaction,
    render=lambda call, transaction: transaction_reply(transaction),
)
async def update(call: Call) -> Transaction:
    body: Update = call.body
    return await transactions.update(call.house, call.caller, call.path("transaction_id"), body.merchant_reference_2)


@routes(
    "POST",
    "/v1/transactions/{transaction_id}/capture",
    "Capture all or part of a transaction",
    scopes=WRITE_CHECKOUT,
    body=Capture,
    reply=TransactionReply,
    may_wait=True,
)
async def capture(call: Call) -> Any:
    body: Capture = call.body
    return await _operate(call, "capture", body.amount, body.capture_reference, None)


@routes(
    "POST",
    "/v1/transactions/{transaction_id}/refund",
    "Refund all or part of what is captured",
    scopes=WRITE_CHECKOUT,
    body=Refund,
    reply=TransactionReply,
    may_wait=True,
)
async def refund(call: Call) -> Any:
    body: Refund = call.body
    return await _operate(call, "refund", body.amount, body.refund_reference, body.reason)


@routes(
    "POST",
    "/v1/transactions/{transaction_id}/void",
    "Release what is not captured",
    scopes=WRITE_CHECKOUT,
    reply=TransactionReply,
    may_wait=True,
)
async def void(call: Call) -> Any:
    return await _operate(call, "void", None, None, None)


@routes(
    "POST",
    "/v1/transactions/{transaction_id}/authorization",
    "Confirm that a payment was made elsewhere",
    scopes=WRITE_CHECKOUT,
    body=Authorize,
    body_required=False,
    reply=TransactionReply,
)
async def authorize(call: Call) -> Any:
    body: Authorize = call.body
    raw = call.raw if isinstance(call.raw, dict) else {}
    told = Confirmation(body.amount, tuple(raw.get("items") or ()), body.reference, body.reason or body.description)
    settled = await transactions.confirm(call.house, call.caller, call.path("transaction_id"), told)
    return transaction_reply(settled.transaction)


async def _operate(call: Call, kind: CallKind, amount: int | None, reference: str | None, reason: str | None) -> Any:
    raw = call.raw if isinstance(call.raw, dict) else {}
    request = OperationRequest(
        amount=amount,
        items=tuple(raw.get("items") or ()) if kind != "void" else (),
        lines=_order_lines(call.body.items) if kind != "void" else (),
        reference=reference,
        reason=reason,
        metadata=_metadata(raw.get("metadata")) if kind != "void" else None,
        final=kind == "capture" and call.body.final_capture,
    )
    settled = await transactions.operate(call.house, call.caller, call.path("transaction_id"), kind, request)
    reply = transaction_reply(settled.transaction)
    if settled.known:
        return reply
    # Neither done nor refused yet: what clients call an asynchronous operation (checkout reference, section 1).
    return Answer(reply, 202, {"event-request-id": settled.call.request_id})


def _order_lines(items: list[OperationItem] | None) -> tuple[LineAmount, ...]:
    """The items that may be lines of an order: those whose ``line_id`` is a whole number."""
    found = []
    for item in items or ():
        text = str(item.line_id)
        if text.removeprefix("-").isdigit() and text.isascii() and len(text) < 19:
            found.append(LineAmount(int(text), item.amount))
    return tuple(found)


def _metadata(metadata: dict[str, str] | None) -> dict[str, str] | None:
    """Keys begin with ``ext_`` and have at most 128 characters, values at most 256 (checkout reference, section 5,
    rule 10). Raises ``Refusal`` (wrong_value)."""
    for key, value in (metadata or {}).items():
        if not key.startswith("ext_") or len(key) > 128:
            expected = "metadata keys that start with ext_ and have at most 128 characters"
            raise Refusal("wrong_value", f"expected {expected}, got {key[:140]!r}", path=pointer("/metadata", key))
        if len(value) > 256:
            expected = "metadata values of at most 256 characters"
            raise Refusal("wrong_value", f"expected {expected}, got {len(value)}", path=pointer("/metadata", key))
    return metadata
