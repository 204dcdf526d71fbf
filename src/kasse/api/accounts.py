"""API clients, their grants and their tokens.

Source: auth reference, sections 2 and 5 to 7; that lists are bare arrays, that a secret is renewed at
``rotate-secret`` and that what is not set is left out is taken from the client that the vendor generated from its
own specification (Dintero.Checkout.DotNet: its ``deleted_at`` cannot be null).
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kasse.api.headers import headers_of
from kasse.api.routes import READ_ACCOUNTS, WRITE_ACCOUNTS, Answer, Call, Routes
from kasse.api.wire import Reference, Text
from kasse.domain.access import Client, Grant
from kasse.operations import accounts
from kasse.operations.accounts import AccessToken

T = TypeVar("T")

routes = Routes("accounts")

_ACCOUNT = "/v1/accounts/{aid}"
_SECRET = {"Cache-Control": "no-store"}
_KEYS = {"Cache-Control": "public, max-age=300"}

Callbacks = Annotated[list[Text], Meta(max_length=100)]


class TokenRequest(msgspec.Struct):
    """``audience`` ends in ``/v1/accounts/{aid}``, on any host. Credentials belong in the header, not here."""

    grant_type: Annotated[str, Meta(max_length=1000, description="client_credentials")]
    audience: Annotated[str, Meta(max_length=1000, examples=["https://api.dintero.com/v1/accounts/T12345678"])]


class RevokeRequest(msgspec.Struct):
    token: Annotated[str, Meta(max_length=10_000)]


class ClientRequest(msgspec.Struct):
    """``client_id`` is what the client logs in with; left out, it is made."""

    name: Text | None = None
    description: Text | None = None
    client_id: Reference | None = None
    callbacks: Callbacks | None = None


class ClientChange(msgspec.Struct):
    """What is left out stays."""

    name: Text | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    callbacks: Callbacks | UnsetType | None = UNSET


class ClientReply(msgspec.Struct, kw_only=True):
    """``id`` names the client in grants, ``client_id`` is what it logs in with."""

    id: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str | UnsetType = UNSET
    deleted_by: str | UnsetType = UNSET
    deleted_at: datetime | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    client_id: str
    callbacks: tuple[str, ...]


class ClientWithSecret(ClientReply, kw_only=True):
    """The secret is shown here only; it cannot be read again."""

    client_secret: str


class GrantRequest(msgspec.Struct):
    """``client_id`` is the ``id`` of the client. Scopes are of the form ``write:checkout``."""

    client_id: Reference
    audience: Text
    scope: Annotated[list[Text], Meta(min_length=1, max_length=100)]
    type: Reference | None = None


class GrantReply(msgspec.Struct, kw_only=True):
    id: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    deleted_by: str | UnsetType = UNSET
    deleted_at: datetime | UnsetType = UNSET
    client_id: str
    audience: str
    scope: tuple[str, ...]
    type: str


class Revoked(msgspec.Struct):
    """Nothing more to say."""


class KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


@routes(
    "POST",
    f"{_ACCOUNT}/auth/token",
    "Get an access token with the client's id and secret (HTTP Basic)",
    scopes=None,
    body=TokenRequest,
    reply=AccessToken,
    secret_body=True,
    refusals=("wrong_value", "unauthorized", "forbidden"),
)
async def get_token(call: Call) -> Answer:
    basic = _basic(headers_of(call.request.scope).get("authorization", ""))
    asked: TokenRequest = call.body
    address = call.request.client.host if call.request.client else ""
    with call.house.rates.log_in(address):
        issued = await accounts.grant_token(call.house, call.account_id, basic, asked.grant_type, asked.audience)
    return Answer(issued, headers=_SECRET)


def _basic(header: str) -> tuple[str, str] | None:
    """User name and password, or None if there are none that could be right. Some clients send Latin-1."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        raw = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    name, colon, password = text.partition(":")
    return (name, password) if name and colon and text.isprintable() else None


@routes(
    "POST",
    f"{_ACCOUNT}/auth/revoke",
    "End an access token and all other tokens of its client",
    scopes=(*WRITE_ACCOUNTS, "create:accounts:auth:refresh_token"),
    body=RevokeRequest,
    reply=Revoked,
    repeatable=True,
    secret_body=True,
    refusals=("other_account",),
)
async def revoke_token(call: Call) -> Revoked:
    await accounts.revoke(call.house, call.caller, call.body.token)
    return Revoked()


@routes(
    "POST",
    f"{_ACCOUNT}/auth/clients",
    "Create a client; it has no rights yet",
    scopes=WRITE_ACCOUNTS,
    body=ClientRequest,
    reply=ClientWithSecret,
    secret_answer=True,
    body_required=False,
    refusals=("wrong_value", "already_exists"),
)
async def create_client(call: Call) -> Answer:
    asked: ClientRequest = call.body
    made = await accounts.create_client(
        call.house,
        call.caller.by,
        call.account_id,
        client_id=asked.client_id,
        name=asked.name,
        description=asked.description,
        callbacks=asked.callbacks or (),
    )
    return _with_secret(*made)


@routes(
    "GET", f"{_ACCOUNT}/auth/clients", "List the clients, newest first", scopes=READ_ACCOUNTS, reply=list[ClientReply]
)
async def list_clients(call: Call) -> list[ClientReply]:
    return [_client(each) for each in await accounts.list_clients(call.house, call.account_id)]


@routes(
    "GET",
    f"{_ACCOUNT}/auth/clients/{{id}}",
    "Read a client",
    scopes=READ_ACCOUNTS,
    reply=ClientReply,
    refusals=("client_not_found",),
)
async def get_client(call: Call) -> ClientReply:
    return _client(await accounts.get_client(call.house, call.account_id, call.path("id")))


@routes(
    "PUT",
    f"{_ACCOUNT}/auth/clients/{{id}}",
    "Change a client's name, description or callbacks",
    scopes=WRITE_ACCOUNTS,
    body=ClientChange,
    reply=ClientReply,
    repeatable=True,
    refusals=("client_not_found",),
)
async def update_client(call: Call) -> ClientReply:
    changes = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not UNSET}
    if "callbacks" in changes:
        changes["callbacks"] = tuple(changes["callbacks"] or ())
    return _client(await accounts.update_client(call.house, call.caller, call.path("id"), changes))


@routes(
    "DELETE",
    f"{_ACCOUNT}/auth/clients/{{id}}",
    "Delete a client with its grants and tokens",
    scopes=WRITE_ACCOUNTS,
    reply=ClientReply,
    refusals=("client_not_found",),
)
async def delete_client(call: Call) -> ClientReply:
    return _client(await accounts.delete_client(call.house, call.caller, call.path("id")))


@routes(
    "POST",
    f"{_ACCOUNT}/auth/clients/{{id}}/secret",
    "Give a client a new secret (the same as rotate-secret)",
    scopes=WRITE_ACCOUNTS,
    reply=ClientWithSecret,
    secret_answer=True,
    body_required=False,
    refusals=("client_not_found", "missing_scope"),
)
@routes(
    "POST",
    f"{_ACCOUNT}/auth/clients/{{id}}/rotate-secret",
    "Give a client a new secret; the old one and its tokens end",
    scopes=WRITE_ACCOUNTS,
    reply=ClientWithSecret,
    secret_answer=True,
    body_required=False,
    refusals=("client_not_found", "missing_scope"),
)
async def rotate_secret(call: Call) -> Answer:
    return _with_secret(*await accounts.rotate_secret(call.house, call.caller, call.path("id")))


@routes(
    "POST",
    f"{_ACCOUNT}/auth/client-grants",
    "Grant a client scopes that the caller has",
    scopes=WRITE_ACCOUNTS,
    body=GrantRequest,
    reply=GrantReply,
    renders=Grant,
    render=lambda call, grant: _grant(grant),
    refusals=("wrong_value", "forbidden", "missing_scope", "client_not_found"),
)
async def create_grant(call: Call) -> Grant:
    asked: GrantRequest = call.body
    kind = "any" if asked.type is None else asked.type
    return await accounts.create_grant(call.house, call.caller, asked.client_id, asked.audience, asked.scope, kind)


@routes(
    "GET",
    f"{_ACCOUNT}/auth/client-grants",
    "List the grants, newest first, of one audience or client where asked for",
    scopes=READ_ACCOUNTS,
    reply=list[GrantReply],
)
async def list_grants(call: Call) -> list[GrantReply]:
    audience, client = call.query("audience"), call.query("client_id")
    return [_grant(each) for each in await accounts.list_grants(call.house, call.account_id, audience, client)]


@routes(
    "DELETE",
    f"{_ACCOUNT}/auth/client-grants/{{id}}",
    "Take a grant back; all tokens of its client end",
    scopes=WRITE_ACCOUNTS,
    reply=GrantReply,
    refusals=("grant_not_found",),
)
async def delete_grant(call: Call) -> GrantReply:
    return _grant(await accounts.delete_grant(call.house, call.caller, call.path("id")))


@routes("GET", "/v1/.well-known/jwks.json", "The same as /.well-known/jwks.json", scopes=None, reply=KeySet)
@routes(
    "GET", "/.well-known/jwks.json", "The public keys that access tokens are signed with", scopes=None, reply=KeySet
)
async def get_keys(call: Call) -> Answer:
    return Answer(KeySet(await call.house.tokens.public_keys()), headers=_KEYS)


def _client(client: Client) -> ClientReply:
    return ClientReply(**_client_fields(client))


def _with_secret(client: Client, secret: str) -> Answer:
    return Answer(ClientWithSecret(client_secret=secret, **_client_fields(client)), headers=_SECRET)


def _client_fields(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "created_at": client.created_at,
        "created_by": client.created_by,
        "updated_at": client.updated_at,
        "updated_by": _if_set(client.updated_by),
        "deleted_by": _if_set(client.deleted_by),
        "deleted_at": _if_set(client.deleted_at),
        "name": _if_set(client.name),
        "description": _if_set(client.description),
        "client_id": client.client_id,
        "callbacks": client.callbacks,
    }


def _grant(grant: Grant) -> GrantReply:
    return GrantReply(
        id=grant.id,
        created_at=grant.created_at,
        created_by=grant.created_by,
        updated_at=grant.updated_at,
        deleted_by=_if_set(grant.deleted_by),
        deleted_at=_if_set(grant.deleted_at),
        client_id=grant.client,
        audience=grant.audience,
        scope=grant.scopes,
        type=grant.type,
    )


def _if_set(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
