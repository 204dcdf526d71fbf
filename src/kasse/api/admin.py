"""The account's signature secret and its API keys over the wire. Source: checkout reference, rows 14 and 14b."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kasse.api.fields import JsonObject, present
from kasse.api.routes import WRITE_CHECKOUT, Answer, Call, Routes
from kasse.api.wire import Reference, Time, utc
from kasse.domain.access import ApiKey, SignatureSecret
from kasse.domain.hooks import webhook_secret
from kasse.domain.paging import Page
from kasse.domain.times import rfc3339
from kasse.operations import api_keys, hooks

routes = Routes("admin")

ADMIN_CHECKOUT = ("admin:checkout",)
DEFAULT_OVERLAP_S = 24 * 3600
LONGEST_OVERLAP_S = 30 * 24 * 3600
OVERLAP: Mapping[str, Any] = {
    "overlap": {
        "type": "integer",
        "minimum": 0,
        "maximum": LONGEST_OVERLAP_S,
        "default": DEFAULT_OVERLAP_S,
        "description": "Seconds for which the one before stays good.",
    }
}
_SECRET = {"Cache-Control": "no-store"}


def _overlap(call: Call) -> timedelta:
    return timedelta(seconds=call.number("overlap", DEFAULT_OVERLAP_S, 0, LONGEST_OVERLAP_S))


# -- the signature secret


class SignatureReply(msgspec.Struct):
    """``webhook_secret`` is the same secret as libraries for Standard Webhooks take it."""

    id: str
    created_at: str
    created_by: str
    signature: JsonObject
    webhook_secret: str
    previous_valid_until: str | UnsetType = UNSET


@routes(
    "POST",
    "/v1/admin/signature",
    "Make the secret that signs callbacks; the one before stays good for a while",
    scopes=WRITE_CHECKOUT,
    query=OVERLAP,
    secret_answer=True,
    reply=SignatureReply,
)
async def create(call: Call) -> Answer:
    return _signature(await hooks.new_signature_secret(call.house, call.caller, _overlap(call)))


@routes(
    "GET",
    "/v1/admin/signature",
    "Get the newest secret that signs callbacks",
    scopes=ADMIN_CHECKOUT,
    reply=SignatureReply,
    refusals=("entry_not_found",),
)
async def get(call: Call) -> Answer:
    return _signature(await hooks.signature_secret(call.house, call.account_id))


def _signature(secret: SignatureSecret) -> Answer:
    reply = SignatureReply(
        id=secret.id,
        created_at=rfc3339(secret.created_at),
        created_by=secret.created_by,
        signature={"type": "v0-hmac-sha256", "secret": secret.secret},
        webhook_secret=webhook_secret(secret.secret),
        previous_valid_until=rfc3339(secret.previous_until) if secret.previous_until else UNSET,
    )
    return Answer(reply, headers=_SECRET)


# -- API keys


class ApiKeyRequest(msgspec.Struct):
    """``api_key`` may be chosen; left out, it is made."""

    name: Reference
    api_key: Annotated[str, Meta(max_length=500, examples=["T12345678.a-long-secret-of-your-own-making"])] | None = None
    expires_at: Time | None = None


class ApiKeyReply(msgspec.Struct, kw_only=True):
    """``api_key`` is shown once, in the answer to the call that makes it."""

    id: str
    name: str
    created_at: str
    updated_at: str
    expires_at: str | UnsetType = UNSET
    deleted_by: str | UnsetType = UNSET
    deleted_at: str | UnsetType = UNSET
    api_key: str | UnsetType = UNSET


@routes(
    "POST",
    "/v1/admin/api-keys",
    "Make an API key; it is shown here and never again",
    scopes=ADMIN_CHECKOUT,
    body=ApiKeyRequest,
    reply=ApiKeyReply,
    secret_body=True,
    secret_answer=True,
    refusals=("wrong_value", "already_exists"),
)
async def create_key(call: Call) -> Answer:
    asked: ApiKeyRequest = call.body
    return _with_key(
        *await api_keys.create(call.house, call.caller, asked.name, asked.api_key, utc(asked.expires_at, "/expires_at"))
    )


@routes(
    "GET",
    "/v1/admin/api-keys",
    "List the API keys, newest first",
    scopes=ADMIN_CHECKOUT,
    query={
        "include_deleted": {"type": "boolean", "default": False},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        "starting_after": {"type": "string", "description": "The id of the last one of the page before."},
    },
    reply=list[ApiKeyReply],
    refusals=("wrong_value", "api_key_not_found"),
)
async def list_keys(call: Call) -> list[ApiKeyReply]:
    page = Page(call.number("limit", 10, 1, 100), call.query("starting_after"))
    found = await api_keys.list_keys(call.house, call.account_id, page, call.query("include_deleted") == "true")
    return [key_reply(each) for each in found]


@routes(
    "GET",
    "/v1/admin/api-keys/{api_key_id}",
    "Get an API key, without the key itself",
    scopes=ADMIN_CHECKOUT,
    reply=ApiKeyReply,
    refusals=("api_key_not_found",),
)
async def get_key(call: Call) -> ApiKeyReply:
    return key_reply(await api_keys.get(call.house, call.account_id, call.path("api_key_id")))


@routes(
    "DELETE",
    "/v1/admin/api-keys/{api_key_id}",
    "Delete an API key; it ends at once",
    scopes=ADMIN_CHECKOUT,
    reply=ApiKeyReply,
    refusals=("api_key_not_found",),
)
async def delete_key(call: Call) -> ApiKeyReply:
    return key_reply(await api_keys.delete(call.house, call.caller, call.path("api_key_id")))


@routes(
    "POST",
    "/v1/admin/api-keys/{api_key_id}/rotate",
    "Make a new API key in the place of this one, which stays good for a while",
    scopes=ADMIN_CHECKOUT,
    query=OVERLAP,
    reply=ApiKeyReply,
    secret_answer=True,
    body_required=False,
    refusals=("api_key_not_found", "wrong_state"),
)
async def rotate_key(call: Call) -> Answer:
    return _with_key(*await api_keys.rotate(call.house, call.caller, call.path("api_key_id"), _overlap(call)))


def _with_key(key: ApiKey, value: str) -> Answer:
    return Answer(msgspec.structs.replace(key_reply(key), api_key=value), headers=_SECRET)


def key_reply(key: ApiKey) -> ApiKeyReply:
    times = {"expires_at": key.expires_at, "deleted_at": key.deleted_at}
    return ApiKeyReply(
        id=key.id,
        name=key.name,
        created_at=rfc3339(key.created_at),
        updated_at=rfc3339(key.updated_at),
        **present(deleted_by=key.deleted_by, **{name: rfc3339(at) if at else None for name, at in times.items()}),
    )
