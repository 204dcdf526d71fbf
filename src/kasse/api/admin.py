"""The account's signature secret over the wire. Source: checkout reference, row 14."""

from __future__ import annotations

from typing import Any

import msgspec

from kasse.api.fields import JsonObject
from kasse.api.routes import WRITE_CHECKOUT, Call, Routes
from kasse.domain.access import SignatureSecret
from kasse.domain.times import rfc3339
from kasse.operations import hooks

routes = Routes("admin")


class SignatureReply(msgspec.Struct):
    id: str
    created_at: str
    created_by: str
    signature: JsonObject


@routes(
    "POST",
    "/v1/admin/signature",
    "Make the secret that signs callbacks",
    scopes=WRITE_CHECKOUT,
    secret_answer=True,
    reply=SignatureReply,
)
async def create(call: Call) -> Any:
    return _reply(await hooks.new_signature_secret(call.house, call.caller))


@routes(
    "GET",
    "/v1/admin/signature",
    "Get the secret that signs callbacks",
    scopes=("admin:checkout",),
    reply=SignatureReply,
)
async def get(call: Call) -> Any:
    return _reply(await hooks.signature_secret(call.house, call.account_id))


def _reply(secret: SignatureSecret) -> SignatureReply:
    signature = {"type": "v0-hmac-sha256", "secret": secret.secret}
    return SignatureReply(secret.id, rfc3339(secret.created_at), secret.created_by, signature)
