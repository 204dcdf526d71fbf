"""Orders: made directly, read, updated, opened, closed and cancelled.

Source: orders reference, sections 2, 4, 8, 9 and O-9, O-12, O-13, O-26.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kasse.domain import history
from kasse.domain import order as rules
from kasse.domain.access import Caller
from kasse.domain.history import (
    CommentAdded,
    CommentRemoved,
    Event,
    ItemUpdate,
    OrderState,
    OrderUpdated,
    ServiceNoted,
    What,
)
from kasse.domain.ledger import Entry
from kasse.domain.order import Comment, line_from_item
from kasse.domain.paging import Filters, Page
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.operations.house import House
from kasse.store.port import Loads, Record

COMPUTED = (
    "items",
    "currency",
    "gross_amount",
    "net_amount",
    "total_discount",
    "total_manual_discount_amount",
    "status",
    "payment_status",
    "id",
    "version",
    "created_at",
    "created_by",
    "updated_at",
    "deleted_at",
    "deleted_by",
    "closed_at",
    "closed_by",
    "cancelled_at",
    "cancelled_by",
    "cancelled_reason",
    "authorizations",
    "captures",
    "refunds",
    "cancellations",
    "sessions",
    "events",
    "state",
    "comments",
    "_links",
)
"""What the server works out itself; sent by a client, it is not kept (O-7)."""

SHOWN_SESSIONS = 10
"""How many of its sessions an order shows; all of them are in their own list."""


@dataclass(frozen=True)
class OrderDetails:
    """An order with its ledger, its newest sessions and, where asked for, its history."""

    state: OrderState
    entries: list[Entry]
    events: list[Event] | None = None
    sessions: Sequence[PaymentSession] = ()


async def load(loads: Loads, account_id: str, order_id: str, lines: Collection[int] | None = None) -> OrderState:
    """Raises ``Refusal`` (order_not_found)."""
    state = await loads.order(account_id, order_id, lines)
    if state is None:
        raise Refusal("order_not_found", f"there is no order {order_id[:100]!r} in this account")
    return state


async def load_details(loads: Loads, account_id: str, order_id: str, with_events: bool = False) -> OrderDetails:
    """Raises ``Refusal`` (order_not_found)."""
    state = await load(loads, account_id, order_id)
    id = state.order.id
    return OrderDetails(
        state,
        await loads.entries(account_id, id),
        await loads.events(account_id, id) if with_events else None,
        (await loads.newest_sessions(account_id, (id,), SHOWN_SESSIONS))[id],
    )


async def create(house: House, caller: Caller, order: Mapping[str, Any]) -> OrderDetails:
    """Make an order without a draft (fields as on the wire, types checked).

    Raises ``Refusal``: duplicate_line, amount_mismatch, wrong_value, already_exists.
    """
    lines = tuple(line_from_item(item, f"/items/{n}") for n, item in enumerate(order["items"]))
    rules.check_unique(lines, "/items")
    now, id = house.clock.now(caller.account_id), house.ids.uuid()
    order_id = order.get("order_id") or id
    given = {name: value for name, value in order.items() if name not in (*COMPUTED, "order_id")}
    made = rules.new_order(caller.account_id, id, order_id, order["currency"], lines, given, caller.by, now)
    made = msgspec.structs.replace(made, options=dict(order.get("options") or {}))
    step = history.create(made, lines, caller, house.ids.uuid(), now)

    async def decide(loads: Loads) -> tuple[OrderDetails, Sequence[Record]]:
        if await loads.order_exists(caller.account_id, order_id):
            raise order_id_taken(order_id, "/order_id")
        return OrderDetails(history.after(step), []), (step,)

    return await house.store.change(decide)


def order_id_taken(order_id: str, path: str) -> Refusal:
    return Refusal("already_exists", f"expected an order_id that is free, got {order_id!r}, which is taken", path=path)


async def get(house: House, account_id: str, order_id: str, with_events: bool = False) -> OrderDetails:
    """Raises ``Refusal`` (order_not_found)."""
    return await house.store.read(lambda loads: load_details(loads, account_id, order_id, with_events))


async def get_marked(
    house: House, account_id: str, order_id: str, mark: tuple[str, str], with_events: bool = False
) -> OrderDetails:
    """An order that is a certain customer's or store's. Raises ``Refusal`` (order_not_found)."""
    details = await get(house, account_id, order_id, with_events)
    if mark not in rules.marks(details.state.order, details.state.lines.values()):
        raise Refusal("order_not_found", f"there is no order {order_id[:100]!r} with {mark[0]} {mark[1][:100]!r}")
    return details


async def list_page(
    house: House, account_id: str, filters: Filters, page: Page, with_events: bool = False
) -> list[OrderDetails]:
    """Newest first. Raises ``Refusal`` (wrong_value) when the order to start after is not there."""

    async def query(loads: Loads) -> list[OrderDetails]:
        if page.after is not None and await loads.order(account_id, page.after, ()) is None:
            raise not_in_list(page.after)
        states = await loads.orders(account_id, filters, page)
        ids = [state.order.id for state in states]
        entries = await loads.entries_of(account_id, ids)
        events = await loads.events_of(account_id, ids) if with_events else {}
        sessions = await loads.newest_sessions(account_id, ids, SHOWN_SESSIONS)
        return [
            OrderDetails(state, entries[id], events.get(id), sessions[id])
            for id, state in zip(ids, states, strict=True)
        ]

    return await house.store.read(query)


def not_in_list(after: str) -> Refusal:
    return Refusal(
        "wrong_value",
        f"expected the id of something in this list to start after, got {after[:100]!r}",
        path="/starting_after",
    )


async def events(house: House, account_id: str, order_id: str) -> list[Event]:
    """The history of an order, oldest first. Raises ``Refusal`` (order_not_found)."""

    async def query(loads: Loads) -> list[Event]:
        state = await load(loads, account_id, order_id, ())
        return await loads.events(account_id, state.order.id)

    return await house.store.read(query)


async def update(
    house: House,
    caller: Caller,
    order_id: str,
    patch: Mapping[str, Any],
    items: Mapping[int, Mapping[str, Any]],
    with_events: bool = False,
) -> OrderDetails:
    """Merge what may change into an order; ``items`` by line id. Amounts, currency and ids never change.

    Raises ``Refusal``: order_not_found, order_not_open (a cancelled one), line_not_found, amount_mismatch.
    """

    async def decide(loads: Loads) -> tuple[OrderDetails, Sequence[Record]]:
        details = await load_details(loads, caller.account_id, order_id, with_events)
        state = details.state
        if patch.get("currency") not in (None, state.order.currency):
            raise Refusal(
                "amount_mismatch",
                f"order {state.order.order_id} is in {state.order.currency}, which cannot become {patch['currency']}",
                path="/currency",
            )
        if state.order.status == "cancelled":
            rules.require_order_open(state.order)
        given = rules.merged(
            state.order.given, {name: value for name, value in patch.items() if name in rules.UPDATABLE}
        )
        items_now = [ItemUpdate(n, rules.updated_item(state.lines, n, item)) for n, item in items.items()]
        what = OrderUpdated(given, tuple(now for now in items_now if now.given != state.lines[now.line_id].given))
        return _advanced(house, caller, details, what)

    return await house.store.change(decide)


def _advanced(house: House, caller: Caller, details: OrderDetails, what: What) -> tuple[OrderDetails, Sequence[Record]]:
    now = house.clock.now(caller.account_id)
    step = history.advance(details.state, what, caller, house.ids.uuid(), now)
    entries = [*details.entries, step.entry] if step.entry else details.entries
    events = None if details.events is None else [*details.events, step.event]
    return OrderDetails(history.after(step, details.state), entries, events, details.sessions), (step,)


async def note_service(house: House, caller: Caller, order_id: str, noted: ServiceNoted) -> Event:
    """Note how far a service is with an order. Raises ``Refusal`` (order_not_found)."""

    async def decide(loads: Loads) -> tuple[Event, Sequence[Record]]:
        state = await load(loads, caller.account_id, order_id, ())
        step = history.advance(state, noted, caller, house.ids.uuid(), house.clock.now(caller.account_id))
        return step.event, (step,)

    return await house.store.change(decide)


async def comment(house: House, caller: Caller, order_id: str, text: str) -> Comment:
    """Raises ``Refusal`` (order_not_found)."""
    made = Comment(house.ids.uuid(), text, house.clock.now(caller.account_id), caller.by)

    async def decide(loads: Loads) -> tuple[Comment, Sequence[Record]]:
        state = await load(loads, caller.account_id, order_id, ())
        step = history.advance(state, CommentAdded(made), caller, house.ids.uuid(), made.created_at)
        return made, (step,)

    return await house.store.change(decide)


async def remove_comment(house: House, caller: Caller, order_id: str, comment_id: str) -> None:
    """Raises ``Refusal``: order_not_found, comment_not_found."""

    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        state = await load(loads, caller.account_id, order_id, ())
        if all(comment.id != comment_id for comment in state.order.comments):
            raise Refusal("comment_not_found", f"the order has no comment {comment_id[:100]!r}")
        now = house.clock.now(caller.account_id)
        step = history.advance(state, CommentRemoved(comment_id), caller, house.ids.uuid(), now)
        return None, (step,)

    await house.store.change(decide)
