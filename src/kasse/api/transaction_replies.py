"""A transaction as the checkout API shows it. Source: checkout reference, section 7."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from kasse.api import fields
from kasse.api.fields import present
from kasse.api.sessions import session_reply
from kasse.domain.session import PaymentSession
from kasse.domain.times import rfc3339
from kasse.domain.transaction import Card, Transaction, TransactionEvent
from kasse.domain.vat import calculated_vat_amount

_SYSTEM = "initiating_system_request_headers"
_SHOWN_ELSEWHERE = ("session:profile_id", "event_reference", "metadata", _SYSTEM, "channel")


def transaction_reply(
    transaction: Transaction, session: PaymentSession | None = None, includes: Collection[str] = ()
) -> dict[str, Any]:
    """``includes`` are those of the checkout reference, 7.1."""
    given = transaction.given
    events = [event for event in transaction.events if event.success or "events.success.true" not in includes]
    return {
        "id": transaction.id,
        "session_id": transaction.session_id,
        "status": transaction.status,
        "amount": transaction.amount,
        "currency": transaction.currency,
        "channel": given.get("channel", "ecommerce"),
        "payment_product": transaction.payment_product,
        "payment_product_type": transaction.payment_product_type,
        "payment_operation": "unscheduled_purchase",
        "settlement_status": "NOT_SETTLED",
        "merchant_reference": transaction.merchant_reference,
        "created_at": rfc3339(transaction.created_at),
        "updated_at": rfc3339(transaction.updated_at),
        "items": transaction.items,
        "metadata": given.get("metadata") or {"session:profile_id": given.get("session:profile_id")},
        **fields.given(given, *_SHOWN_ELSEWHERE),
        **present(
            shipping_option=transaction.shipping_option,
            card=_card(transaction.card) if transaction.card else None,
            session=_session(session, includes) if session else None,
            initiating_system_request_headers=given.get(_SYSTEM) if _SYSTEM in includes else None,
        ),
        "events": [_event_reply(transaction, event, "events.request_headers" in includes) for event in events],
    }


def _card(card: Card) -> dict[str, Any]:
    """With its type, which is left out where the card is kept."""
    return {**msgspec.to_builtins(card), "type": card.type}


def _session(session: PaymentSession, includes: Collection[str]) -> dict[str, Any]:
    found = session_reply(session)
    if "session.events.latest" in includes:
        found["events"] = found["events"][-1:]
    return found


def _event_reply(transaction: Transaction, event: TransactionEvent, with_headers: bool) -> dict[str, Any]:
    return {
        "id": event.id,
        "event": event.event,
        "transaction_status": event.transaction_status,
        "success": event.success,
        "amount": event.amount,
        "items": event.items,
        "created_at": rfc3339(event.created_at),
        "created_by": event.created_by,
        "request_id": event.request_id,
        **present(
            calculated_vat_amount=calculated_vat_amount(transaction, event),
            event_reference=event.event_reference,
            error=event.error,
            reason=event.reason,
            metadata=event.metadata,
            correlation_request_id=event.correlation_request_id,
            request_headers=event.request_headers if with_headers else None,
        ),
    }
