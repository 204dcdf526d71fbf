"""The filters of the list of transactions, as they come in the query. Source: checkout reference, 7.1 and 7.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from kasse.api import lists
from kasse.api.lists import PAGING
from kasse.api.routes import Call
from kasse.domain.money import MAX_AMOUNT
from kasse.domain.refusals import Refusal
from kasse.domain.transaction import TransactionStatus
from kasse.domain.transaction_list import Range, TransactionFilters

INCLUDES: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}
_STATUSES: tuple[str, ...] = get_args(TransactionStatus)
_SEVERAL = (
    *("payment_product", "payment_product_type", "card_brand", "store_id", "payout_correlation_id", "currency"),
    *("token_id", "terminal_id"),
)
_ONE = ("merchant_reference", "customer_id", "payout_destination_id", "channel")
_TIMES = ("created_at", "captured_at", "refunded_at")
_TEXT: Mapping[str, Any] = {"type": "string"}
_TEXTS: Mapping[str, Any] = {"type": "array", "items": _TEXT}
_AMOUNT: Mapping[str, Any] = {"type": "integer", "minimum": -MAX_AMOUNT, "maximum": MAX_AMOUNT}
QUERY: Mapping[str, Any] = {
    "id": _TEXTS,
    "status": {"type": "array", "items": {"type": "string", "enum": list(_STATUSES)}},
    "session_id": _TEXTS,
    **{name: _TEXTS for name in _SEVERAL},
    **{name: _TEXT for name in _ONE},
    "merchant_reference_2": _TEXT,
    "payment_operation": _TEXT,
    "search": {
        "type": "string",
        "description": "An id, a reference, a token, a phone number, an e-mail address, or first and last name.",
    },
    **{name: _AMOUNT for name in ("amount", "amount.gte", "amount.lte")},
    **{f"{name}.{end}": {"type": "string", "format": "date-time"} for name in _TIMES for end in ("gte", "lte")},
    "includes": INCLUDES,
    **{name: PAGING[name] for name in ("limit", "starting_after")},
}
_MOST_VALUES = 100


def includes(call: Call) -> frozenset[str]:
    """What is to be told besides; a session's latest event asks for the session. Unknown names add nothing."""
    found = frozenset(lists.values(call, "includes"))
    return found | ({"session"} if "session.events.latest" in found else frozenset())


def filters(call: Call) -> TransactionFilters | None:
    """What the list is narrowed to; None when nothing can fit. Raises ``Refusal`` (wrong_value)."""
    operation = call.query("payment_operation")
    if operation not in (None, "unscheduled_purchase"):
        # Every payment here is made by a payer on his page.
        return None
    statuses = _several(call, "status")
    for status in statuses:
        if status not in _STATUSES:
            raise _wrong("status", f"one of {', '.join(_STATUSES)}", status)
    marks = [(name, values) for name in _SEVERAL if (values := _several(call, name))]
    marks += [(name, (value,)) for name in _ONE if (value := call.query(name)) is not None]
    return TransactionFilters(
        ids=_several(call, "id"),
        statuses=statuses,
        session_ids=_several(call, "session_id"),
        merchant_reference_2=call.query("merchant_reference_2"),
        marks=tuple(marks),
        search=call.query("search"),
        amount=_amounts(call),
        **{name: Range(lists.time(call, f"{name}.gte"), lists.time(call, f"{name}.lte")) for name in _TIMES},
    )


def _several(call: Call, name: str) -> tuple[str, ...]:
    """A parameter that may hold several values. Raises ``Refusal`` (wrong_value)."""
    values = lists.values(call, name)
    if len(values) > _MOST_VALUES:
        raise _wrong(name, f"at most {_MOST_VALUES} values", str(len(values)))
    return tuple(dict.fromkeys(values))


def _amounts(call: Call) -> Range:
    exactly = _amount(call, "amount")
    lows = [each for each in (exactly, _amount(call, "amount.gte")) if each is not None]
    highs = [each for each in (exactly, _amount(call, "amount.lte")) if each is not None]
    return Range(max(lows, default=None), min(highs, default=None))


def _amount(call: Call, name: str) -> int | None:
    text = call.query(name)
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19 and abs(int(text)) <= MAX_AMOUNT):
        raise _wrong(name, "an integer, in minor units", text)
    return int(text)


def _wrong(name: str, expected: str, got: str) -> Refusal:
    return Refusal("wrong_value", f"expected {name} as {expected}, got {got[:40]!r}", path=f"/{name}")
