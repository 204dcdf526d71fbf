"""Webhook subscriptions of an account over the wire. Source: auth reference, section 12b."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kasse.api.callbacks import AttemptReply, attempts_reply
from kasse.api.routes import Answer, Call, Routes
from kasse.api.wire import Text, http_url
from kasse.domain.hooks import SILENT_EVENTS, SUBSCRIBABLE, Subscription
from kasse.domain.paging import Page
from kasse.domain.times import rfc3339
from kasse.operations import subscriptions
from kasse.operations.hooks import Callback

routes = Routes("hooks")

_PATH = "/v1/accounts/{aid}/hooks/subscriptions"
_ONE = f"{_PATH}/{{hid}}"
_READ = ("admin:hooks", "read:hooks")
_WRITE = ("admin:hooks", "write:hooks")

Events = Annotated[
    list[Text],
    Meta(
        min_length=1,
        max_length=100,
        description=f"Any of {', '.join(SUBSCRIBABLE)}; {', '.join(SILENT_EVENTS)} never happen here.",
        examples=[["checkout_transaction", "shopping_order_update"]],
    ),
]
Mask = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=200)]],
    Meta(max_length=200, description="Paths such as order.id or transaction.status.", examples=[["order.id"]]),
]
Secret = Annotated[str, Meta(min_length=1, max_length=500, examples=["a-long-secret-of-your-own"])]


class Config(msgspec.Struct):
    """``secret`` signs the body. ``insecure_ssl`` is taken and changes nothing: certificates are always checked."""

    url: Annotated[str, Meta(examples=["https://shop.example/hook"])]
    content_type: Literal["application/json"] = "application/json"
    secret: Secret | None = None
    insecure_ssl: int | str | bool | None = None


class SubscriptionRequest(msgspec.Struct):
    config: Config
    events: Events
    active: bool = True
    fields: Mask | None = None
    exclude_fields: Mask | None = None


class ConfigChange(msgspec.Struct):
    url: str | UnsetType = UNSET
    content_type: Literal["application/json"] | UnsetType = UNSET
    secret: Secret | UnsetType | None = UNSET
    insecure_ssl: int | str | bool | UnsetType | None = UNSET


class SubscriptionChange(msgspec.Struct):
    """What is left out stays."""

    config: ConfigChange | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    fields: Mask | UnsetType | None = UNSET
    exclude_fields: Mask | UnsetType | None = UNSET


class ConfigReply(msgspec.Struct):
    url: str
    content_type: str
    insecure_ssl: int
    secret: dict[str, str] | UnsetType = UNSET


class SubscriptionReply(msgspec.Struct):
    """``failures`` counts the deliveries in a row that failed for good; five of them switch the subscription off."""

    id: str
    config: ConfigReply
    events: list[str]
    active: bool
    created_at: str
    created_by: str
    updated_at: str
    failures: int
    fields: list[str] | UnsetType = UNSET
    exclude_fields: list[str] | UnsetType = UNSET
    disabled_at: str | UnsetType = UNSET
    deleted_at: str | UnsetType = UNSET
    deleted_by: str | UnsetType = UNSET


class DeliveryReply(msgspec.Struct):
    """A call to the webhook; ``id`` is its ``event-delivery``."""

    id: str
    event: str
    url: str
    status: str
    created_at: str
    due_at: str
    attempts: list[AttemptReply]


@routes(
    "POST",
    _PATH,
    "Subscribe a webhook to events; it is sent a ping",
    scopes=_WRITE,
    body=SubscriptionRequest,
    reply=SubscriptionReply,
    renders=Subscription,
    render=lambda call, made: subscription_reply(made),
    secret_body=True,
    refusals=("wrong_value", "bad_url"),
)
async def create(call: Call) -> Subscription:
    asked: SubscriptionRequest = call.body
    return await subscriptions.create(
        call.house,
        call.caller,
        http_url(asked.config.url, "/config/url"),
        asked.events,
        secret=asked.config.secret,
        active=asked.active,
        fields=asked.fields or (),
        exclude_fields=asked.exclude_fields or (),
    )


@routes("GET", _PATH, "List the webhook subscriptions", scopes=_READ, reply=list[SubscriptionReply])
async def list_all(call: Call) -> Any:
    return [subscription_reply(each) for each in await subscriptions.list_all(call.house, call.account_id)]


@routes(
    "GET",
    _ONE,
    "Get a webhook subscription",
    scopes=_READ,
    reply=SubscriptionReply,
    refusals=("subscription_not_found",),
)
async def get(call: Call) -> Any:
    return subscription_reply(await subscriptions.get(call.house, call.account_id, call.path("hid")))


@routes(
    "PUT",
    _ONE,
    "Change a webhook subscription; active=true switches on again what its failures have switched off",
    scopes=_WRITE,
    body=SubscriptionChange,
    reply=SubscriptionReply,
    repeatable=True,
    secret_body=True,
    refusals=("subscription_not_found", "wrong_value", "bad_url"),
)
async def update(call: Call) -> Any:
    asked: SubscriptionChange = call.body
    found: dict[str, Any] = {"events": asked.events, "active": asked.active}
    for name in ("fields", "exclude_fields"):
        value = getattr(asked, name)
        found[name] = UNSET if value is UNSET else tuple(value or ())
    if asked.config is not UNSET:
        found["secret"] = asked.config.secret
        found["url"] = UNSET if asked.config.url is UNSET else http_url(asked.config.url, "/config/url")
    changes = {name: value for name, value in found.items() if value is not UNSET}
    return subscription_reply(await subscriptions.update(call.house, call.caller, call.path("hid"), changes))


@routes(
    "DELETE",
    _ONE,
    "Delete a webhook subscription",
    scopes=_WRITE,
    reply=SubscriptionReply,
    refusals=("subscription_not_found",),
)
async def delete(call: Call) -> Any:
    return subscription_reply(await subscriptions.delete(call.house, call.caller, call.path("hid")))


@routes(
    "POST",
    f"{_ONE}/ping",
    "Send the webhook a ping",
    scopes=_WRITE,
    repeatable=True,
    body_required=False,
    empty="Sent",
    refusals=("subscription_not_found",),
)
async def ping(call: Call) -> Answer:
    await subscriptions.ping(call.house, call.caller, call.path("hid"))
    return Answer(status=204)


@routes(
    "GET",
    f"{_ONE}/deliveries",
    "List the calls to the webhook with every attempt, newest first",
    scopes=_READ,
    query={
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        "starting_after": {"type": "string", "description": "The id of the last one of the page before."},
    },
    reply=list[DeliveryReply],
    refusals=("subscription_not_found", "delivery_not_found", "wrong_value"),
)
async def deliveries(call: Call) -> Any:
    page = Page(call.number("limit", 10, 1, 100), call.query("starting_after"))
    found = await subscriptions.deliveries(call.house, call.account_id, call.path("hid"), page)
    return [_delivery(each) for each in found]


@routes(
    "GET",
    f"{_ONE}/deliveries/{{delivery_id}}",
    "Get a call to the webhook with every attempt",
    scopes=_READ,
    reply=DeliveryReply,
    refusals=("subscription_not_found", "delivery_not_found"),
)
async def get_delivery(call: Call) -> Any:
    id, delivery_id = call.path("hid"), call.path("delivery_id")
    return _delivery(await subscriptions.delivery(call.house, call.account_id, id, delivery_id))


@routes(
    "POST",
    f"{_ONE}/deliveries/{{delivery_id}}/resend",
    "Make a call to the webhook once more, whatever became of it",
    scopes=_WRITE,
    repeatable=True,
    reply=DeliveryReply,
    body_required=False,
    refusals=("subscription_not_found", "delivery_not_found"),
)
async def resend(call: Call) -> Any:
    id, delivery_id = call.path("hid"), call.path("delivery_id")
    return _delivery(await subscriptions.redeliver(call.house, call.caller, id, delivery_id))


def subscription_reply(subscription: Subscription) -> dict[str, Any]:
    config: dict[str, Any] = {"url": subscription.url, "content_type": "application/json", "insecure_ssl": 0}
    if subscription.secret is not None:
        config["secret"] = {"type": "HMAC-SHA1"}
    found: dict[str, Any] = {
        "id": subscription.id,
        "config": config,
        "events": list(subscription.events),
        "active": subscription.active,
        "created_at": rfc3339(subscription.created_at),
        "created_by": subscription.created_by,
        "updated_at": rfc3339(subscription.updated_at),
        "failures": subscription.failures,
    }
    for name, mask in (("fields", subscription.fields), ("exclude_fields", subscription.exclude_fields)):
        if mask:
            found[name] = list(mask)
    for name, at in (("disabled_at", subscription.disabled_at), ("deleted_at", subscription.deleted_at)):
        if at is not None:
            found[name] = rfc3339(at)
    if subscription.deleted_by is not None:
        found["deleted_by"] = subscription.deleted_by
    return found


def _delivery(each: Callback) -> DeliveryReply:
    return DeliveryReply(
        id=each.delivery.id,
        event=each.delivery.event,
        url=each.delivery.url,
        status=each.delivery.status,
        created_at=rfc3339(each.delivery.created_at),
        due_at=rfc3339(each.delivery.due_at),
        attempts=attempts_reply(each.attempts),
    )
