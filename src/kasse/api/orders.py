"""Orders over the wire: made, listed, read, updated, opened, closed, cancelled. Source: orders reference, 2 and 4."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kasse.api import fields, lists, relaxed
from kasse.api.fields import Currency, Item, JsonObject
from kasse.api.lists import INCLUDE_EVENTS, ORDER_FILTERS
from kasse.api.order_replies import OrderReply, order_reply
from kasse.api.routes import READ_SHOPPING, WRITE_SHOPPING, Call, Routes
from kasse.api.wire import LineId, Text, line_id
from kasse.domain.refusals import Refusal
from kasse.operations import order_status, orders
from kasse.operations.orders import OrderDetails

routes = Routes("orders")
_ACCOUNT = "/v1/accounts/{aid}/shopping"
_BASE = f"{_ACCOUNT}/orders"


class OrderOptions(msgspec.Struct):
    multiple_authorizations: bool | None = None


class CreateOrder(fields.NewOrder, kw_only=True):
    """An order without a draft. Its totals are worked out by the server."""

    items: Annotated[list[Item], Meta(min_length=1)]
    options: OrderOptions | None = None


class UpdateItem(fields.ExchangeRate, kw_only=True):
    line_id: LineId
    status: Text | None = None
    discount_lines: list[fields.DiscountLine] | None = None


class UpdateOrder(fields.OrderFields, kw_only=True):
    """What may change on an order: merged into it; null removes. Amounts, currency and ids stay."""

    currency: Currency | None = None
    items: list[UpdateItem] | None = None
    include_events: bool | None = None


class CancelOrder(msgspec.Struct):
    cancelled_reason: Annotated[str, Meta(min_length=1, max_length=255)] = "customer"


class OrdersReply(msgspec.Struct):
    orders: list[OrderReply]
    next_page_token: str | None = None


def _render(call: Call, details: OrderDetails) -> Any:
    return order_reply(call, details)


@routes(
    "POST",
    _BASE,
    "Create an order without a draft",
    scopes=WRITE_SHOPPING,
    body=CreateOrder,
    relaxed=relaxed.order_body,
    reply=OrderReply,
    renders=OrderDetails,
    render=_render,
)
async def create(call: Call) -> OrderDetails:
    body: CreateOrder = call.body
    fields.currency(body.currency, "/currency")
    order = {**call.raw, "items": fields.items(call.raw["items"], "/items")}
    return await orders.create(call.house, call.caller, order)


@routes("GET", _BASE + "/{order_id}", "Get an order", scopes=READ_SHOPPING, query=INCLUDE_EVENTS, reply=OrderReply)
async def get(call: Call) -> Any:
    details = await orders.get(call.house, call.account_id, call.path("order_id"), _with_events(call))
    return order_reply(call, details)


def _with_events(call: Call) -> bool:
    return call.flag("include_events")


@routes("GET", _BASE, "List orders, newest first", scopes=READ_SHOPPING, query=ORDER_FILTERS, reply=OrdersReply)
async def list_orders(call: Call) -> Any:
    return await _list(call)


async def _list(call: Call, *marks: tuple[str, str]) -> Any:
    page = lists.page(call)
    filters = lists.filters(call, ORDER_FILTERS, *marks)
    found = await orders.list_page(call.house, call.account_id, filters, page, _with_events(call))
    return lists.listed(
        call,
        "orders",
        page,
        found,
        lambda details: details.state.order.id,
        lambda details: order_reply(call, details),
    )


def _declare_owner(plural: str, parameter: str) -> None:
    """The orders of a customer, or of a store."""
    path = f"{_ACCOUNT}/{plural}/{{{parameter}}}/orders"
    singular = plural.removesuffix("s")

    @routes(
        "GET", path, f"List the orders of a {singular}", scopes=READ_SHOPPING, query=ORDER_FILTERS, reply=OrdersReply
    )
    async def list_owned(call: Call) -> Any:
        return await _list(call, (parameter, call.path(parameter)))

    @routes(
        "GET",
        path + "/{order_id}",
        f"Get an order of a {singular}",
        scopes=READ_SHOPPING,
        query=INCLUDE_EVENTS,
        reply=OrderReply,
    )
    async def get_owned(call: Call) -> Any:
        mark = (parameter, call.path(parameter))
        order_id = call.path("order_id")
        details = await orders.get_marked(call.house, call.account_id, order_id, mark, _with_events(call))
        return order_reply(call, details)


_declare_owner("customers", "customer_id")
_declare_owner("stores", "store_id")


@routes(
    "PUT",
    _BASE + "/{order_id}",
    "Update an order",
    scopes=WRITE_SHOPPING,
    query=INCLUDE_EVENTS,
    body=UpdateOrder,
    reply=OrderReply,
    renders=OrderDetails,
    render=_render,
)
async def update(call: Call) -> OrderDetails:
    items: dict[int, JsonObject] = {}
    for n, item in enumerate(call.raw.get("items") or ()):
        number = line_id(item["line_id"], f"/items/{n}/line_id")
        if number in items:
            raise Refusal(
                "duplicate_line", f"expected each line once, got line {number} again", path=f"/items/{n}/line_id"
            )
        items[number] = item
    with_events = _with_events(call) or bool(call.body.include_events)
    return await orders.update(call.house, call.caller, call.path("order_id"), call.raw, items, with_events=with_events)


@routes(
    "POST",
    _BASE + "/{order_id}/open",
    "Open a closed order again",
    scopes=WRITE_SHOPPING,
    reply=OrderReply,
    renders=OrderDetails,
    render=_render,
)
async def open_order(call: Call) -> OrderDetails:
    return await order_status.set_open(call.house, call.caller, call.path("order_id"))


@routes(
    "POST",
    _BASE + "/{order_id}/close",
    "Close an order",
    scopes=WRITE_SHOPPING,
    reply=OrderReply,
    renders=OrderDetails,
    render=_render,
)
async def close(call: Call) -> OrderDetails:
    return await order_status.close(call.house, call.caller, call.path("order_id"))


@routes(
    "POST",
    _BASE + "/{order_id}/cancel",
    "Cancel an order of which nothing is captured",
    scopes=WRITE_SHOPPING,
    repeatable=True,
    body=CancelOrder,
    body_required=False,
    reply=OrderReply,
    renders=OrderDetails,
    render=_render,
)
async def cancel(call: Call) -> OrderDetails:
    body: CancelOrder = call.body
    return await order_status.cancel(call.house, call.caller, call.path("order_id"), body.cancelled_reason)
