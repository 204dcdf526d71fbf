"""By what transactions are found in lists. Source: checkout reference, 7.2."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from kasse.domain.transaction import Transaction

MARKS = (
    *("merchant_reference", "customer_id", "token_id", "terminal_id", "payout_correlation_id", "payout_destination_id"),
    *("store_id", "card_brand", "payment_product_type", "payment_product", "channel", "currency"),
)
"""What is looked for by name and value, what few transactions have in common first."""
SEARCH = "search"


class TransactionMarks(msgspec.Struct, frozen=True):
    """Names and values by which a transaction is found from now on; there is no taking them back."""

    account_id: str
    transaction_id: str
    created_at: datetime
    marks: frozenset[tuple[str, str]]


class Range(msgspec.Struct, frozen=True):
    """From and to, both included."""

    low: datetime | int | None = None
    high: datetime | int | None = None


class TransactionFilters(msgspec.Struct, frozen=True):
    """What a list is narrowed to. Of several values one must fit; every filter must.

    ``marks`` are (name, values) of names in ``MARKS``; ``amount`` is in minor units.
    """

    ids: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    session_ids: tuple[str, ...] = ()
    merchant_reference_2: str | None = None
    marks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    search: str | None = None
    amount: Range = Range()
    created_at: Range = Range()
    captured_at: Range = Range()
    refunded_at: Range = Range()


def marks(transaction: Transaction) -> TransactionMarks:
    """By what a transaction is found when its payment starts."""
    given = transaction.given
    metadata = _object(given.get("metadata"))
    found: dict[str, Any] = {
        "merchant_reference": transaction.merchant_reference,
        "customer_id": _object(given.get("customer")).get("customer_id"),
        "terminal_id": _object(given.get("store")).get("terminal_id"),
        "payout_correlation_id": metadata.get("payout_correlation_id"),
        "payout_destination_id": given.get("payout_destination_id"),
        "store_id": _object(given.get("store")).get("id"),
        "payment_product_type": transaction.payment_product_type,
        "payment_product": transaction.payment_product,
        "channel": given.get("channel", "ecommerce"),
        "currency": transaction.currency,
    }
    named = {(name, str(value)) for name, value in found.items() if value is not None}
    named |= {(SEARCH, text.lower()) for text in _people(given)}
    return TransactionMarks(transaction.account_id, transaction.id, transaction.created_at, frozenset(named))


def card_marks(transaction: Transaction) -> TransactionMarks | None:
    """What is known of the card once the gateway has answered."""
    if transaction.card is None:
        return None
    brand = frozenset({("card_brand", transaction.card.brand)})
    return TransactionMarks(transaction.account_id, transaction.id, transaction.created_at, brand)


def last_time(transaction: Transaction, event: str) -> datetime | None:
    """When the last capture or refund that succeeded was made."""
    return max((each.created_at for each in transaction.events if each.event == event and each.success), default=None)


def _people(given: dict[str, Any]) -> set[str]:
    """Phones, addresses of e-mail, and names as "first last"."""
    found: set[str] = set()
    for whom in ("customer", "shipping_address", "billing_address"):
        person = _object(given.get(whom))
        name = " ".join(str(person[part]) for part in ("first_name", "last_name") if person.get(part))
        found |= {text for text in (person.get("phone_number"), person.get("email"), name) if isinstance(text, str)}
    return found - {""}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
