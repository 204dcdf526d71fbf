"""What every list understands: filters, and pages by token or by the last one's id. Source: orders reference, 10."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args

import msgspec

from kasse.api.routes import Call
from kasse.domain.ledger import PaymentStatus
from kasse.domain.order import DraftStatus, OrderStatus
from kasse.domain.paging import Filters, Page, page_token, read_page_token
from kasse.domain.refusals import Refusal

T = TypeVar("T")

PAGING: Mapping[str, Any] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
    "starting_after": {"type": "string", "description": "The id of the last one of the page before."},
    "page_token": {"type": "string", "description": "The next_page_token of the page before."},
}
CREATED: Mapping[str, Any] = {
    "created_at.gte": {"type": "string", "format": "date-time"},
    "created_at.lte": {"type": "string", "format": "date-time"},
}
INCLUDE_EVENTS: Mapping[str, Any] = {"include_events": {"type": "boolean", "default": False}}
DRAFT_FILTERS: Mapping[str, Any] = {
    "status": {"type": "array", "items": {"type": "string", "enum": list(get_args(DraftStatus))}},
    **CREATED,
    **PAGING,
}
# What says how much to show, not of what.
_NO_FILTERS = (*PAGING, *INCLUDE_EVENTS, "includes")
_MARKS = (
    "merchant_reference",
    "customer_id",
    "store_id",
    "itinerary_travel_mode",
    "itinerary_arrival_address",
    "itinerary_departure_address",
    "items_discount_lines_discount_type",
)
_MOST_NAMED = 100
ORDER_FILTERS: Mapping[str, Any] = {
    "status": {"type": "array", "items": {"type": "string", "enum": list(get_args(OrderStatus))}},
    "payment_status": {"type": "array", "items": {"type": "string", "enum": list(get_args(PaymentStatus))}},
    **CREATED,
    **{name: {"type": "array", "items": {"type": "string"}} for name in _MARKS},
    "order_id": {"type": "array", "items": {"type": "string"}, "maxItems": _MOST_NAMED},
    **INCLUDE_EVENTS,
    **PAGING,
}


def filters(call: Call, known: Mapping[str, Any], *marks: tuple[str, str]) -> Filters:
    """The filters of a request; ``marks`` come from its address. Raises ``Refusal`` (wrong_value)."""
    found: list[tuple[str, tuple[str, ...]]] = [(name, (value,)) for name, value in marks]
    taken = {name for name, _ in marks}
    for name in _MARKS:
        several = values(call, name)
        if several and name not in taken and name in known:
            found.append((name, several))
    return Filters(
        status=_choice(call, "status", known),
        payment_status=_choice(call, "payment_status", known),
        created_from=time(call, "created_at.gte"),
        created_to=time(call, "created_at.lte"),
        marks=tuple(found),
        order_ids=_order_ids(call) if "order_id" in known else (),
    )


def _order_ids(call: Call) -> tuple[str, ...]:
    found = values(call, "order_id")
    if len(found) > _MOST_NAMED:
        raise Refusal(
            "wrong_value", f"expected at most {_MOST_NAMED} values of order_id, got {len(found)}", path="/order_id"
        )
    return found


def page(call: Call) -> Page:
    """Which page is asked for. Raises ``Refusal`` (wrong_value)."""
    limit = call.number("limit", 10, 1, 100)
    token = call.query("page_token")
    if token is not None:
        return Page(limit + 1, read_page_token(call.house.pepper, call.request.url.path, _narrowed_by(call), token))
    return Page(limit + 1, call.query("starting_after"))


def listed(
    call: Call, name: str, page: Page, found: Sequence[T], id_of: Callable[[T], str], reply: Callable[[T], Any]
) -> dict[str, Any]:
    """A page under its name. One more than asked for was read, to know whether there is another page."""
    shown = found[: page.limit - 1]
    answer: dict[str, Any] = {name: [reply(each) for each in shown]}
    if len(found) > len(shown):
        answer["next_page_token"] = page_token(
            call.house.pepper, call.request.url.path, _narrowed_by(call), id_of(shown[-1])
        )
    return answer


def _narrowed_by(call: Call) -> str:
    """The filters of a request in one form, however they were written: ``status=closed,open&store_id=oslo``."""
    found = {name: values(call, name) for name in call.known if name not in _NO_FILTERS}
    return "&".join(f"{name}={','.join(sorted({*values}))}" for name, values in sorted(found.items()) if values)


def values(call: Call, name: str) -> tuple[str, ...]:
    """A parameter that may be repeated, also with ``[]`` after its name, or hold several values between commas."""
    query = call.request.query_params
    return tuple(
        each for value in query.getlist(name) + query.getlist(f"{name}[]") for each in value.split(",") if each
    )


def _choice(call: Call, name: str, known: Mapping[str, Any]) -> tuple[str, ...]:
    several = values(call, name) if name in known else ()
    allowed = known[name]["items"]["enum"] if name in known else ()
    for value in several:
        if value not in allowed:
            raise Refusal(
                "wrong_value", f"expected {name} to be one of {', '.join(allowed)}, got {value[:40]!r}", path=f"/{name}"
            )
    return several


def time(call: Call, name: str) -> datetime | None:
    """A time or a date; without a zone it is UTC (checkout reference, 7.2). Raises ``Refusal`` (wrong_value)."""
    text = call.query(name)
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        text += "T00:00:00"
    try:
        # In a query a plus sign arrives as a space.
        time = msgspec.convert(text.replace(" ", "+"), datetime)
    except msgspec.ValidationError:
        raise Refusal(
            "wrong_value", f"expected {name} as a time such as 2026-02-03T09:00:00Z, got {text[:40]!r}", path=f"/{name}"
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
