"""What a gateway call leaves in the ledger of an order. Source: orders reference, section 6."""

from __future__ import annotations

from typing import Any

from kasse.domain.ledger import Entry, Part
from kasse.domain.transaction import ENTRY_KINDS, Card, GatewayCall, Transaction


def authorization_entry(transaction: Transaction, call: GatewayCall, card: Card | None) -> Entry:
    return Entry(
        id=str(call.entry_id),
        kind="authorization",
        items=transaction.lines,
        success=True,
        created_at=transaction.updated_at,
        created_by=call.by,
        transaction_id=transaction.id,
        from_order=False,
        given=_given(transaction, card),
    )


def operation_entry(transaction: Transaction, call: GatewayCall) -> Entry:
    authorization = str(transaction.authorization_id)
    asked = call.order_request or {}
    return Entry(
        id=str(call.entry_id),
        kind=ENTRY_KINDS[call.kind],
        items=call.lines,
        success=True,
        created_at=transaction.updated_at,
        created_by=call.by,
        authorization_id=authorization,
        parts=tuple(Part(authorization, line.line_id, line.amount) for line in call.lines),
        transaction_id=transaction.id,
        from_order=call.order_request is not None,
        given={**_given(transaction, transaction.card), **asked},
    )


def _given(transaction: Transaction, card: Card | None) -> dict[str, Any]:
    """The payment details of an entry (orders reference, section 6)."""
    details: dict[str, Any] = {
        "psp": transaction.gateway,
        "payment_id": transaction.id,
        "payment_product": transaction.payment_product,
        "payment_product_type": transaction.payment_product_type,
    }
    if card is not None:
        details["card"] = {"masked_pan": card.masked_pan, "type": card.type, "brand": card.brand}
    return {
        "payment_details": details,
        "processed_at": transaction.updated_at.isoformat().replace("+00:00", "Z"),
        "processed_by": "kasse",
    }
