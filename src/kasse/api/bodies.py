"""What calls to merchants carry: the transaction of a callback, or what an account's webhook is told.

Both say how things are when the call is made, not how they were when it became due.
"""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from kasse.api.drafts import draft_reply
from kasse.api.order_replies import event_reply, order_reply
from kasse.api.routes import Call
from kasse.api.sessions import session_reply
from kasse.api.subscriptions import subscription_reply
from kasse.api.transaction_replies import transaction_reply
from kasse.domain.access import Caller
from kasse.domain.callbacks import Delivery
from kasse.domain.hooks import PING, masked
from kasse.domain.refusals import Refusal
from kasse.operations import drafts, orders, subscriptions
from kasse.operations.house import House
from kasse.operations.transactions import get_with_session
from kasse.store.port import Loads


async def body_of(house: House, delivery: Delivery) -> bytes | None:
    """The body of a call by POST, as JSON; None for a callback that has nothing to carry."""
    if delivery.subscription_id is not None:
        return await _of_webhook(house, delivery, delivery.subscription_id)
    if delivery.transaction_id is None:
        return None
    found = await _transaction(house, delivery.account_id, delivery.transaction_id, delivery.includes_session)
    return msgspec.json.encode(found)


async def _transaction(house: House, account_id: str, id: str, with_session: bool = False) -> dict[str, Any]:
    transaction, session = await get_with_session(house, account_id, id)
    reply = transaction_reply(transaction)
    if with_session and session is not None:
        reply["session"] = session_reply(session)
    return reply


async def _of_webhook(house: House, delivery: Delivery, subscription_id: str) -> bytes:
    subscription = await subscriptions.get(house, delivery.account_id, subscription_id)
    body = {
        "account_id": delivery.account_id,
        "event": delivery.event,
        "event_delivery": delivery.id,
        **(subscription_reply(subscription) if delivery.event == PING else {}),
    }
    try:
        body |= await _payload(house, delivery)
    except Refusal:
        # What it tells of is there no more: the event itself is still worth telling.
        body["id"] = delivery.subject
    if delivery.event == PING:
        return msgspec.json.encode(body)
    return msgspec.json.encode(masked(body, subscription.fields, subscription.exclude_fields))


async def _payload(house: House, delivery: Delivery) -> dict[str, Any]:
    account_id, subject = delivery.account_id, delivery.subject or ""
    call = Call(house, Request({"type": "http"}), account_id, Caller(account_id, "", frozenset(), delivery.id))
    if delivery.event.startswith("shopping_draft_"):
        return {"draft": draft_reply(call, await drafts.get(house, account_id, subject))}
    if delivery.event.startswith("shopping_order_"):
        return await _order(call, subject, delivery)
    if delivery.event == "checkout_authorization" and delivery.error == "cancelled":
        return {"session_id": subject, "error": delivery.error}
    if delivery.event.startswith("checkout_"):
        found = {"transaction": await _transaction(house, account_id, subject)}
        return {**found, "error": delivery.error} if delivery.error else found
    return {}


async def _order(call: Call, order: str, delivery: Delivery) -> dict[str, Any]:
    async def query(loads: Loads) -> dict[str, Any]:
        details = await orders.load_details(loads, call.account_id, order, with_events=True)
        events = details.events or []
        details = orders.OrderDetails(details.state, details.entries, None, details.sessions)
        event = next((each for each in events if each.seq == delivery.seq), None)
        told = {"order": order_reply(call, details)}
        if event is not None:
            told["order_event"] = event_reply(call, details.state.order.order_id, event)
        return told

    return await call.house.store.read(query)
