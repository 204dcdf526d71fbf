"""Drafts: made, filled and completed into orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kasse.domain import history
from kasse.domain.access import Caller
from kasse.domain.history import OrderStep
from kasse.domain.order import (
    Draft,
    DraftNote,
    Line,
    Order,
    check_total,
    check_unique,
    line_from_item,
    order_from_draft,
    with_changed_line,
    with_line,
    without_line,
)
from kasse.domain.refusals import Refusal
from kasse.operations.house import House
from kasse.store.port import Loads, Record

_GENERATED = ("ALPHANUMERIC_9", "ALPHANUMERIC_9_RESERVE")


async def create(house: House, caller: Caller, order: Mapping[str, Any], options: Mapping[str, Any]) -> Draft:
    """Make a draft of an order (fields as on the wire, types checked) with the merchant's options."""
    now = house.clock.now(caller.account_id)
    lines = tuple(line_from_item(item, f"/order/items/{n}") for n, item in enumerate(order.get("items") or ()))
    check_unique(lines, "/order/items")
    check_total(lines, "/order/items")
    given = {name: value for name, value in order.items() if name not in ("items", "currency")}
    if options.get("generate_order_id") == "ALPHANUMERIC_9_RESERVE":
        given["order_id"] = house.ids.order_id()
    draft = Draft(
        account_id=caller.account_id,
        id=house.ids.uuid(),
        currency=order["currency"],
        lines=lines,
        given=given,
        options=dict(options),
        created_at=now,
        created_by=caller.by,
        updated_at=now,
        notes=(_note(house, caller, 1),),
    )

    async def decide(loads: Loads) -> tuple[Draft, Sequence[Record]]:
        if isinstance(given.get("order_id"), str) and await loads.order_exists(draft.account_id, given["order_id"]):
            raise _order_id_taken(given["order_id"])
        return draft, (draft,)

    return await house.store.change(decide)


async def get(house: House, account_id: str, draft_id: str) -> Draft:
    """Raises ``Refusal`` (draft_not_found)."""
    return await house.store.glance(lambda loads: load(loads, account_id, draft_id))


async def load(loads: Loads, account_id: str, draft_id: str) -> Draft:
    draft = await loads.draft(account_id, draft_id)
    if draft is None:
        raise Refusal("draft_not_found", f"there is no draft {draft_id[:100]!r} in this account")
    return draft


async def add_item(house: House, caller: Caller, draft_id: str, item: Mapping[str, Any]) -> Draft:
    return await _change(house, caller, draft_id, lambda draft: with_line(draft, _line(draft, item)))


async def update_item(house: House, caller: Caller, draft_id: str, item: Mapping[str, Any]) -> Draft:
    return await _change(house, caller, draft_id, lambda draft: with_changed_line(draft, _line(draft, item)))


async def remove_item(house: House, caller: Caller, draft_id: str, line_id: int) -> Draft:
    return await _change(house, caller, draft_id, lambda draft: without_line(draft, line_id))


def _line(draft: Draft, item: Mapping[str, Any]) -> Line:
    return line_from_item(item, "", version=draft.version + 1)


async def _change(house: House, caller: Caller, draft_id: str, change: Any) -> Draft:
    async def decide(loads: Loads) -> tuple[Draft, Sequence[Record]]:
        before = await load(loads, caller.account_id, draft_id)
        after = _noted(house, caller, change(before))
        return after, (after,)

    return await house.store.change(decide)


async def complete(house: House, caller: Caller, draft_id: str) -> list[str]:
    """Turn a draft into its order; answers the ids of the orders. Completing again answers the same (O-15).

    Raises ``Refusal``: draft_not_found, draft_not_open, wrong_state, already_exists (the order id is taken).
    """

    async def decide(loads: Loads) -> tuple[list[str], Sequence[Record]]:
        draft = await load(loads, caller.account_id, draft_id)
        if draft.status == "completed":
            return list(draft.orders), ()
        step = await _order_step(house, caller, draft, loads)
        done = msgspec.structs.replace(draft, status="completed", orders=(step.order.id,))
        return [step.order.id], (_noted(house, caller, done), step)

    return await house.store.change(decide)


async def _order_step(house: House, caller: Caller, draft: Draft, loads: Loads) -> OrderStep:
    id = house.ids.uuid()
    order_id = await _order_id(house, draft, id, loads)
    order, lines = order_from_draft(draft, id, order_id, caller.by, house.clock.now(draft.account_id))
    return created(house, caller, order, lines)


def created(house: House, caller: Caller, order: Order, lines: tuple[Line, ...]) -> OrderStep:
    """The first event of a new order."""
    return history.create(order, lines, caller, house.ids.uuid(), order.created_at)


async def _order_id(house: House, draft: Draft, id: str, loads: Loads) -> str:
    """The order's public id: the merchant's own, a generated one, or the internal id."""
    chosen = draft.given.get("order_id")
    if isinstance(chosen, str):
        if await loads.order_exists(draft.account_id, chosen):
            raise _order_id_taken(chosen)
        return chosen
    if draft.options.get("generate_order_id") not in _GENERATED:
        return id
    while await loads.order_exists(draft.account_id, generated := house.ids.order_id()):
        pass
    return generated


def _order_id_taken(order_id: str) -> Refusal:
    return Refusal(
        "already_exists", f"expected an order_id that is free, got {order_id!r}, which is taken", path="/order/order_id"
    )


def _noted(house: House, caller: Caller, draft: Draft) -> Draft:
    version = draft.version + 1
    return msgspec.structs.replace(
        draft,
        version=version,
        updated_at=house.clock.now(draft.account_id),
        notes=(*draft.notes, _note(house, caller, version)),
    )


def _note(house: House, caller: Caller, version: int) -> DraftNote:
    return DraftNote(house.ids.uuid(), house.clock.now(caller.account_id), caller.by, version, caller.request)
