"""Payment profiles over the wire. Source: checkout reference, row 15 and sections 3.5 and 12."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kasse.api.configuration_fields import Configuration
from kasse.api.fields import JsonObject
from kasse.api.routes import READ_CHECKOUT, Call, Routes
from kasse.api.wire import Text
from kasse.domain.profile import Profile, merged
from kasse.domain.refusals import Refusal
from kasse.domain.times import rfc3339
from kasse.operations import profiles

routes = Routes("profiles")

_PATH = "/v1/admin/session/profiles"
_WRITE = ("admin:checkout", "write:checkout:/admin/session/profiles")
_READ = (*READ_CHECKOUT, "write:checkout:/admin/session/profiles")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_OURS = ("id", "name", "configuration", "created_at", "updated_at")
_CARD = {"type": "payment_product_type", "enabled": True}


class ProfileRequest(msgspec.Struct):
    configuration: Annotated[
        Configuration,
        Meta(
            examples=[
                {
                    "default_payment_type": "dintero_psp.creditcard",
                    "dintero_psp": {"type": "payment_type", "creditcard": _CARD},
                    "theme": {"primary": "#1d4ed8"},
                }
            ]
        ),
    ]
    name: Text | None = None


class ProfileReply(msgspec.Struct):
    id: str
    created_at: str
    configuration: JsonObject
    name: str | UnsetType = UNSET
    updated_at: str | UnsetType = UNSET


@routes("GET", _PATH, "List the payment profiles", scopes=_READ, reply=list[ProfileReply])
async def list_all(call: Call) -> Any:
    return [profile_reply(each) for each in await profiles.list_all(call.house, call.account_id)]


@routes(
    "GET",
    f"{_PATH}/{{profile_id}}",
    "Get a payment profile",
    scopes=_READ,
    reply=ProfileReply,
    refusals=("profile_not_found",),
)
async def get(call: Call) -> Any:
    return profile_reply(await profiles.get(call.house, call.account_id, call.path("profile_id")))


@routes(
    "PUT",
    f"{_PATH}/{{profile_id}}",
    "Make a payment profile or replace it; open sessions keep what they were opened with",
    scopes=_WRITE,
    body=ProfileRequest,
    reply=ProfileReply,
    repeatable=True,
    refusals=("wrong_value",),
)
async def put(call: Call) -> Any:
    return profile_reply(await profiles.put(call.house, call.caller, **asked_for(call.path("profile_id"), call.raw)))


def asked_for(id: str, raw: JsonObject) -> dict[str, Any]:
    """The profile that a request, its types checked, asks for. Raises ``Refusal`` (wrong_value)."""
    if not _ID.fullmatch(id):
        raise Refusal(
            "wrong_value", f"expected an id of letters, digits, '.', '_' and '-', at most 100, got {id[:100]!r}"
        )
    return {
        "profile_id": id,
        "configuration": merged({}, raw["configuration"]),
        "name": raw.get("name"),
        "given": {name: value for name, value in raw.items() if name not in _OURS},
    }


@routes(
    "DELETE",
    f"{_PATH}/{{profile_id}}",
    "Delete a payment profile; default stays",
    scopes=_WRITE,
    reply=ProfileReply,
    refusals=("profile_not_found", "wrong_state"),
)
async def delete(call: Call) -> Any:
    return profile_reply(await profiles.delete(call.house, call.caller, call.path("profile_id")))


def profile_reply(profile: Profile) -> dict[str, Any]:
    found = {
        **profile.given,
        "id": profile.id,
        "created_at": rfc3339(profile.created_at),
        "configuration": profile.configuration,
    }
    if profile.name is not None:
        found["name"] = profile.name
    if profile.updated_at is not None:
        found["updated_at"] = rfc3339(profile.updated_at)
    return found
