"""Webhooks of an account: who wants to hear of what, what there is to tell, and when a subscription is switched off.

A *notice* says that something has happened. It is stored in the same transaction as its cause, and only where somebody
subscribes to it; later it becomes one delivery for each subscriber. Source: auth reference, section 12b.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kasse.domain.callbacks import Delivery, receiver_of
from kasse.domain.history import OrderStep, OrderUpdated, StatusSet
from kasse.domain.order import Draft
from kasse.domain.transaction import Transaction

PING = "ping"
EVENTS = (
    "shopping_draft_add",
    "shopping_draft_update",
    "shopping_draft_complete",
    "shopping_order_add",
    "shopping_order_update",
    "shopping_order_event_add",
    "checkout_authorization",
    "checkout_transaction",
)
"""What subscribers are told of."""

SILENT_EVENTS = (
    "shopping_order_delete",
    "checkout_token_add",
    "checkout_token_update",
    "checkout_token_delete",
    "settlement_add",
)
"""What can be subscribed to, since clients name all events there are, and never happens here: orders are not deleted,
and there are neither tokens nor settlements."""
SUBSCRIBABLE = (*EVENTS, *SILENT_EVENTS)

MAX_SUBSCRIPTIONS = 50
TRIES = 5
TIMEOUT_S = 60
PAUSES = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))
FAILURES_TO_SWITCH_OFF = 5
"""So many deliveries in a row that failed for good switch a subscription off."""


class Subscription(msgspec.Struct, frozen=True):
    """An account's webhook. ``failures`` counts the deliveries in a row that failed for good.

    It is told of nothing while it is not ``active``; ``disabled_at`` says that its failures have switched it off.
    """

    account_id: str
    id: str
    url: str
    events: tuple[str, ...]
    created_at: datetime
    created_by: str
    updated_at: datetime
    secret: str | None = None
    active: bool = True
    fields: tuple[str, ...] = ()
    exclude_fields: tuple[str, ...] = ()
    failures: int = 0
    disabled_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    version: int = 1

    @property
    def listens(self) -> bool:
        return self.active and self.deleted_at is None


class Notice(msgspec.Struct, frozen=True):
    """Something that subscribers to ``event`` are to be told. ``id`` is made of what it tells, so it is told once.

    ``subject`` is the id of the draft, order, transaction or session, ``seq`` the number of an order's event,
    ``error`` why a session ended without payment.
    """

    account_id: str
    id: str
    event: str
    subject: str
    created_at: datetime
    seq: int = 0
    error: str | None = None
    told: bool = False
    version: int = 1


def notices(records: Iterable[Any]) -> Iterator[Notice]:
    """What there is to tell of a change, by the records that it writes."""
    for record in records:
        match record:
            case Notice(told=False, version=1):
                yield record
            case OrderStep():
                yield from _of_order(record)
            case Draft():
                yield _of_draft(record)
            case Transaction():
                yield _notice(record, "checkout_transaction", f"{record.updated_at.isoformat()}")


def _of_order(step: OrderStep) -> Iterator[Notice]:
    order, event = step.order, step.event
    names = ["shopping_order_event_add"]
    if event.seq == 1:
        names.insert(0, "shopping_order_add")
    elif step.marks is not None or isinstance(event.what, OrderUpdated | StatusSet):
        names.insert(0, "shopping_order_update")
    for name in names:
        yield Notice(order.account_id, f"{name}:{order.id}:{event.seq}", name, order.id, event.at, seq=event.seq)


def _of_draft(draft: Draft) -> Notice:
    if draft.version == 1:
        name = "shopping_draft_add"
    else:
        name = "shopping_draft_complete" if draft.status == "completed" else "shopping_draft_update"
    return _notice(draft, name, str(draft.version))


def _notice(record: Draft | Transaction, name: str, moment: str) -> Notice:
    return Notice(record.account_id, f"{name}:{record.id}:{moment}", name, record.id, record.updated_at)


def of_authorization(
    account_id: str, session_id: str, transaction_id: str | None, status: str, error: str | None, now: datetime
) -> Notice:
    """That a payment was authorized, is on hold or came to nothing: told as callbacks with ``report_error`` are."""
    name, subject = "checkout_authorization", transaction_id or session_id
    return Notice(account_id, f"{name}:{subject}:{error or status}", name, subject, now, error=error)


def delivery(subscription: Subscription, notice: Notice, id: str, now: datetime) -> Delivery:
    """The call that a subscriber is owed."""
    return Delivery(
        account_id=subscription.account_id,
        id=id,
        session_id="",
        transaction_id=None,
        method="POST",
        url=subscription.url,
        receiver=receiver_of(subscription.url),
        created_at=now,
        due_at=now,
        event=notice.event,
        subscription_id=subscription.id,
        subject=notice.subject,
        seq=notice.seq,
        error=notice.error,
    )


def after_delivery(subscription: Subscription, delivered: Delivery, now: datetime) -> Subscription:
    """What the end of a delivery makes of its subscription; the same one where nothing changes."""
    if delivered.status == "delivered" and subscription.failures:
        return msgspec.structs.replace(subscription, failures=0, version=subscription.version + 1)
    if delivered.status != "failed" or not subscription.listens:
        return subscription
    failures = subscription.failures + 1
    off = failures >= FAILURES_TO_SWITCH_OFF
    return msgspec.structs.replace(
        subscription,
        failures=failures,
        active=not off,
        disabled_at=now if off else None,
        version=subscription.version + 1,
    )


def pause(tries: int) -> timedelta:
    """The pause after so many tries: ten seconds, a minute, ten minutes, an hour."""
    return PAUSES[min(tries, len(PAUSES)) - 1]


def masked(body: Mapping[str, Any], fields: Iterable[str], exclude: Iterable[str]) -> dict[str, Any]:
    """A body with the fields that are wanted: those named by path, such as ``order.id``, and none that is excluded.

    What the envelope says of itself (account_id, event, event_delivery) stays in any case.
    """
    wanted = list(fields)
    found: dict[str, Any] = dict(body)
    if wanted:
        found = {name: body[name] for name in ("account_id", "event", "event_delivery") if name in body}
        for path in wanted:
            _take(body, found, path.split("."))
    for path in exclude:
        if path not in ("account_id", "event", "event_delivery"):
            found = _without(found, path.split("."))
    return found


def _take(source: Mapping[str, Any], target: dict[str, Any], steps: list[str]) -> None:
    name, *rest = steps
    if name not in source:
        return
    value = source[name]
    if not rest:
        target[name] = value
    elif isinstance(value, Mapping):
        into = target.setdefault(name, {})
        if isinstance(into, dict) and into is not value:
            _take(value, into, rest)
    elif isinstance(value, list):
        parts = target.setdefault(name, [{} for _ in value])
        for part, each in zip(parts, value, strict=False):
            if isinstance(each, Mapping) and part is not each:
                _take(each, part, rest)


def _without(value: Any, steps: list[str]) -> Any:
    if isinstance(value, list):
        return [_without(each, steps) for each in value]
    if not isinstance(value, Mapping) or steps[0] not in value:
        return value
    if len(steps) == 1:
        return {name: each for name, each in value.items() if name != steps[0]}
    return {name: _without(each, steps[1:]) if name == steps[0] else each for name, each in value.items()}


def event_signature(secret: str, body: bytes) -> str:
    """The value of ``event-signature``: HMAC-SHA1 of the raw body in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()


# -- Standard Webhooks (https://www.standardwebhooks.com): the body is signed, too


def webhook_secret(secret: str) -> str:
    """A secret in the form that libraries for Standard Webhooks take."""
    return secret if _decoded(secret) is not None else "whsec_" + base64.b64encode(secret.encode()).decode()


def webhook_signature(secrets: Iterable[str], id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one signature for each secret, parted by spaces."""
    signed = f"{id}.{timestamp}.".encode() + body
    keys = (_decoded(secret) or secret.encode() for secret in secrets)
    return " ".join("v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys)


def _decoded(secret: str) -> bytes | None:
    """The key in a secret of the form ``whsec_...``, None for any other text."""
    if not secret.startswith("whsec_"):
        return None
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True) or None
    except binascii.Error:
        return None
