"""Drafts: made, filled and completed into orders. Source: orders reference, section 3 and O-17."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from kasse.domain import history
from kasse.domain import order as rules
from kasse.domain.access import Caller
from kasse.domain.history import LinesAdded, OrderReplaced, OrderState, OrderStep
from kasse.domain.ledger import LineSums
from kasse.domain.order import Draft, DraftNote, Line, line_from_item
from kasse.domain.paging import Filters, Page
from kasse.domain.refusals import Refusal
from kasse.operations import orders
from kasse.operations.house import House
from kasse.operations.orders import OrderDetails
from kasse.store.port import Loads, Record

RESERVED = "ALPHANUMERIC_9_RESERVE"
GENERATED = ("ALPHANUMERIC_9", RESERVED)


async def create(house: House, caller: Caller, order: Mapping[str, Any], options: Mapping[str, Any]) -> Draft:
    """Make a draft of an order (fields as on the wire, types checked) with the merchant's options.

    Raises ``Refusal``: duplicate_line, amount_mismatch, wrong_value, already_exists, order_not_found (the one it is
    linked to).
    """
    now = house.clock.now(caller.account_id)
    lines, given = _contents(order)
    if options.get("generate_order_id") == RESERVED:
        given["order_id"] = _with_suffix(house.ids.order_id(), options)
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
        await _check_order_ids(loads, draft)
        return draft, (draft,)

    return await house.store.change(decide)


def _contents(order: Mapping[str, Any]) -> tuple[tuple[Line, ...], dict[str, Any]]:
    """The lines of an order as it was sent, and everything else that was said of it."""
    lines = tuple(line_from_item(item, f"/order/items/{n}") for n, item in enumerate(order.get("items") or ()))
    rules.check_unique(lines, "/order/items")
    rules.check_total(lines, "/order/items")
    return lines, {name: value for name, value in order.items() if name not in orders.COMPUTED}


async def _check_order_ids(loads: Loads, draft: Draft) -> None:
    chosen, linked = draft.given.get("order_id"), draft.options.get("order_id")
    if chosen is not None and chosen != linked and await loads.order_exists(draft.account_id, chosen):
        raise orders.order_id_taken(chosen, "/order/order_id")
    if linked is not None and await loads.order(draft.account_id, linked, ()) is None:
        raise Refusal(
            "order_not_found", f"there is no order {linked[:100]!r} in this account", path="/options/order_id"
        )


async def replace(
    house: House, caller: Caller, draft_id: str, order: Mapping[str, Any], options: Mapping[str, Any] | None
) -> Draft:
    """Put another order, and other options where they are given, in a draft's place."""
    lines, given = _contents(order)

    async def decide(loads: Loads) -> tuple[Draft, Sequence[Record]]:
        before = await load(loads, caller.account_id, draft_id)
        rules.require_open(before)
        reserved = before.given.get("order_id") if before.options.get("generate_order_id") == RESERVED else None
        kept = {**given, "order_id": reserved} if reserved else given
        after = msgspec.structs.replace(
            before,
            currency=order["currency"],
            lines=lines,
            given=kept,
            options=before.options if options is None else dict(options),
        )
        await _check_order_ids(loads, after)
        after = _noted(house, caller, after)
        return after, (after,)

    return await house.store.change(decide)


async def delete(house: House, caller: Caller, draft_id: str) -> Draft:
    """Raises ``Refusal``: draft_not_found, draft_not_open."""
    return await _change(house, caller, draft_id, lambda draft: rules.draft_step(draft, "deleted"))


async def get(house: House, account_id: str, draft_id: str) -> Draft:
    """Raises ``Refusal`` (draft_not_found)."""
    return await house.store.glance(lambda loads: load(loads, account_id, draft_id))


async def load(loads: Loads, account_id: str, draft_id: str) -> Draft:
    draft = await loads.draft(account_id, draft_id)
    if draft is None:
        raise Refusal("draft_not_found", f"there is no draft {draft_id[:100]!r} in this account")
    return draft


async def list_page(house: House, account_id: str, filters: Filters, page: Page) -> list[Draft]:
    """Newest first. Raises ``Refusal`` (wrong_value) when the draft to start after is not there."""

    async def query(loads: Loads) -> list[Draft]:
        if page.after is not None and await loads.draft(account_id, page.after) is None:
            raise orders.not_in_list(page.after)
        return await loads.drafts(account_id, filters, page)

    return await house.store.read(query)


async def add_item(house: House, caller: Caller, draft_id: str, item: Mapping[str, Any]) -> Draft:
    return await _change(house, caller, draft_id, lambda draft: rules.with_line(draft, _line(draft, item)))


async def update_item(house: House, caller: Caller, draft_id: str, item: Mapping[str, Any]) -> Draft:
    return await _change(house, caller, draft_id, lambda draft: rules.with_changed_line(draft, _line(draft, item)))


async def remove_item(house: House, caller: Caller, draft_id: str, line_id: int) -> Draft:
    return await _change(house, caller, draft_id, lambda draft: rules.without_line(draft, line_id))


def _line(draft: Draft, item: Mapping[str, Any]) -> Line:
    return line_from_item(item, "", version=draft.version + 1)


async def _change(house: House, caller: Caller, draft_id: str, change: Callable[[Draft], Draft]) -> Draft:
    async def decide(loads: Loads) -> tuple[Draft, Sequence[Record]]:
        before = await load(loads, caller.account_id, draft_id)
        after = _noted(house, caller, change(before))
        return after, (after,)

    return await house.store.change(decide)


async def complete(house: House, caller: Caller, draft_id: str) -> list[OrderDetails]:
    """Turn a draft into its orders, or add it to the order it is linked to.

    Completing again answers the same orders and changes nothing (O-15). Raises ``Refusal``: draft_not_found,
    draft_not_open, wrong_state, wrong_value, already_exists (the order id is taken), order_not_open, duplicate_line,
    amount_mismatch (another currency).
    """

    async def decide(loads: Loads) -> tuple[list[OrderDetails], Sequence[Record]]:
        draft = await load(loads, caller.account_id, draft_id)
        if draft.status == "completed":
            return [await orders.load_details(loads, draft.account_id, id) for id in draft.orders], ()
        rules.require_open(draft)
        if draft.options.get("order_id") is not None:
            details, step = await _join(house, caller, draft, loads)
            completed, steps = [details], [step]
        else:
            steps = [await _order_step(house, caller, draft, lines, loads) for lines in rules.split(draft)]
            completed = [OrderDetails(history.after(step), []) for step in steps]
        ids = tuple(details.state.order.id for details in completed)
        done = msgspec.structs.replace(rules.draft_step(draft, "completed"), orders=ids)
        return completed, (_noted(house, caller, done), *steps)

    return await house.store.change(decide)


async def _order_step(house: House, caller: Caller, draft: Draft, lines: tuple[Line, ...], loads: Loads) -> OrderStep:
    """The first event of the order that these lines of a draft become."""
    id = house.ids.uuid()
    order_id = await _order_id(house, draft, id, loads)
    now = house.clock.now(draft.account_id)
    order, lines = rules.order_from_draft(draft, lines, id, order_id, caller.by, now)
    store = lines[0].given.get("store")
    if isinstance(store, dict) and len(rules.split(draft)) > 1:
        order = msgspec.structs.replace(order, given={**order.given, "store": store})
    return history.create(order, lines, caller, house.ids.uuid(), now)


async def _join(house: House, caller: Caller, draft: Draft, loads: Loads) -> tuple[OrderDetails, OrderStep]:
    """Add a linked draft's lines to its order, or replace the order by it."""
    rules.require_lines(draft)
    details = await orders.load_details(loads, draft.account_id, draft.options["order_id"])
    state, entries = details.state, details.entries
    rules.require_order_open(state.order)
    if state.order.currency != draft.currency:
        raise Refusal(
            "amount_mismatch",
            f"expected the currency of order {state.order.order_id}, {state.order.currency}, got {draft.currency}",
        )
    what: LinesAdded | OrderReplaced
    if draft.options.get("replace") == "order":
        _require_untouched(state, bool(entries))
        given = {name: value for name, value in draft.given.items() if name != "order_id"}
        what = OrderReplaced(draft.id, given, draft.lines)
    else:
        together = [*state.lines.values(), *draft.lines]
        rules.check_unique(together, "/order/items")
        rules.check_total(together, "/order/items")
        what = LinesAdded(draft.id, draft.lines)
    step = history.advance(state, what, caller, house.ids.uuid(), house.clock.now(draft.account_id))
    return OrderDetails(history.after(step, state), entries, sessions=details.sessions), step


def _require_untouched(state: OrderState, has_entries: bool) -> None:
    """An order may be replaced only before any payment (orders reference, section 3)."""
    untouched = all(sums == LineSums(line_id, sums.payable) for line_id, sums in state.sums.items())
    if has_entries or not untouched:
        raise Refusal(
            "wrong_state",
            f"expected an order without payments to replace, order {state.order.order_id} has some",
        )


async def _order_id(house: House, draft: Draft, id: str, loads: Loads) -> str:
    """The order's public id: the merchant's own, a generated one, or the internal id."""
    chosen = draft.given.get("order_id")
    if isinstance(chosen, str):
        if await loads.order_exists(draft.account_id, chosen):
            raise orders.order_id_taken(chosen, "/order/order_id")
        return chosen
    if draft.options.get("generate_order_id") not in GENERATED:
        return id
    while True:
        generated = _with_suffix(house.ids.order_id(), draft.options)
        if not await loads.order_exists(draft.account_id, generated):
            return generated


def _with_suffix(order_id: str, options: Mapping[str, Any]) -> str:
    """``serial_order_number_suffix`` follows a generated id; the reference does not say more, so that is our guess."""
    return order_id + str(options.get("serial_order_number_suffix") or "")


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
