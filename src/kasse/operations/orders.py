"""Orders: read with all that belongs to them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kasse.domain.history import Event, OrderState
from kasse.domain.ledger import Entry
from kasse.domain.refusals import Refusal
from kasse.operations.house import House
from kasse.store.port import Loads, Page


@dataclass(frozen=True)
class OrderDetails:
    """An order with its ledger and, where asked for, its history."""

    state: OrderState
    entries: list[Entry]
    events: list[Event] | None = None


async def load(loads: Loads, account_id: str, order_id: str, lines: Collection[int] | None = None) -> OrderState:
    """Raises ``Refusal`` (order_not_found)."""
    state = await loads.order(account_id, order_id, lines)
    if state is None:
        raise Refusal("order_not_found", f"there is no order {order_id[:100]!r} in this account")
    return state


async def get(house: House, account_id: str, order_id: str, with_events: bool = False) -> OrderDetails:
    """Raises ``Refusal`` (order_not_found)."""

    async def query(loads: Loads) -> OrderDetails:
        return await _details(loads, await load(loads, account_id, order_id), with_events)

    return await house.store.read(query)


async def get_all(house: House, account_id: str, order_ids: Collection[str]) -> list[OrderDetails]:
    """The orders that a draft became."""

    async def query(loads: Loads) -> list[OrderDetails]:
        return [await _details(loads, await load(loads, account_id, id), False) for id in order_ids]

    return await house.store.read(query)


async def list_page(house: House, account_id: str, page: Page, with_events: bool = False) -> list[OrderDetails]:
    """Newest first. Raises ``Refusal`` (wrong_value) when the order to start after is not there."""

    async def query(loads: Loads) -> list[OrderDetails]:
        if page.after is not None and await loads.order(account_id, page.after, ()) is None:
            raise Refusal(
                "wrong_value",
                f"expected the id of an order of this account to start after, got {page.after[:100]!r}",
                path="/starting_after",
            )
        states = await loads.orders(account_id, page)
        ids = [state.order.id for state in states]
        entries = await loads.entries_of(account_id, ids)
        events = await loads.events_of(account_id, ids) if with_events else {}
        return [OrderDetails(state, entries[state.order.id], events.get(state.order.id)) for state in states]

    return await house.store.read(query)


async def _details(loads: Loads, state: OrderState, with_events: bool) -> OrderDetails:
    order = state.order
    return OrderDetails(
        state,
        await loads.entries(order.account_id, order.id),
        await loads.events(order.account_id, order.id) if with_events else None,
    )


async def events(house: House, account_id: str, order_id: str) -> list[Event]:
    """The history of an order, oldest first. Raises ``Refusal`` (order_not_found)."""

    async def query(loads: Loads) -> list[Event]:
        state = await load(loads, account_id, order_id, ())
        return await loads.events(account_id, state.order.id)

    return await house.store.read(query)
