"""Accounts, API clients and their grants; scopes; who is asking.

Source: auth reference, sections 1, 6, 7, 8 and decisions A-1, A-3, A-5, A-7.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from kasse.domain.refusals import Refusal

ACCOUNT_ID = re.compile(r"[PT]\d{8}", re.ASCII)
_API_KEY = re.compile(r"([PT]\d{8})[!-~]{1,500}", re.ASCII)
_SHORTEST_SECRET = 24
_AUDIENCE = re.compile(r"https?://[^\s/?#]+/v1/accounts/([PT]\d{8})/?", re.ASCII)

_ACTIONS = ("admin", "write", "read", "create", "public", "user")
_SCOPE_PATH = re.compile(r"[a-z_]+(?::[A-Za-z0-9_./-]+)*", re.ASCII)
_RANKS = {"admin": {"admin", "write", "read"}, "write": {"write", "read"}}


class Account(msgspec.Struct, frozen=True):
    id: str
    name: str
    created_at: datetime
    version: int = 1

    @property
    def is_test(self) -> bool:
        return self.id.startswith("T")


class Client(msgspec.Struct, frozen=True):
    """An API client. ``secret_hash`` is the keyed hash of its secret; the secret itself is kept nowhere.

    ``id`` names the client in grants and as ``created_by``; ``client_id`` is what it logs in with. Tokens
    carry ``epoch``: raising it ends all that were issued before.
    """

    account_id: str
    id: str
    client_id: str
    secret_hash: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str | None = None
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    name: str | None = None
    description: str | None = None
    callbacks: tuple[str, ...] = ()
    epoch: int = 1
    version: int = 1


class Grant(msgspec.Struct, frozen=True):
    """What a client may do: ``scopes`` in the form ``admin:checkout``, for one audience."""

    account_id: str
    id: str
    client: str
    audience: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    updated_at: datetime
    type: str = "any"
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    version: int = 1


class SigningKey(msgspec.Struct, frozen=True):
    """A key that signs access tokens. ``private_pem`` never leaves the server."""

    kid: str
    private_pem: str
    created_at: datetime


class ServerSecret(msgspec.Struct, frozen=True):
    """A secret of the whole server, made once: ``pepper`` keys the hashes of client secrets."""

    name: str
    value: str
    created_at: datetime


class SignatureSecret(msgspec.Struct, frozen=True):
    """The secret that signs callbacks of one account (checkout reference, 9.1).

    The one before it stays good until ``previous_until``; with None it ended when this one was made.
    """

    account_id: str
    id: str
    secret: str
    created_at: datetime
    created_by: str
    previous_until: datetime | None = None


class ApiKey(msgspec.Struct, frozen=True):
    """A key that stands for ``admin:checkout`` of its account. ``key_hash`` is the keyed hash of it.

    The key itself is kept nowhere. Source: checkout reference, row 14b; auth reference, A-13.
    """

    account_id: str
    id: str
    name: str
    key_hash: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    expires_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    version: int = 1


class RequestNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an order event remembers of the request that caused it. ``body`` holds no card data, ever."""

    method: str
    path: str
    body: str | None = None


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a request comes from: its address, and what the system that sends it says of itself, in lower case."""

    ip: str | None = None
    headers: dict[str, str] = {}


NOWHERE = Origin()
_SYSTEM_HEADERS = (
    *("dintero-system-name", "dintero-system-version", "dintero-system-plugin-name", "dintero-system-plugin-version"),
    *("dintero-checkout-instance-id", "user-agent"),
)
_LONGEST_HEADER = 500


def origin(headers: Mapping[str, str], ip: str | None) -> Origin:
    """What is kept of a request's headers (checkout reference, section 1)."""
    found = {name: headers[name][:_LONGEST_HEADER] for name in _SYSTEM_HEADERS if name in headers}
    return Origin(ip, found)


@dataclass(frozen=True)
class Caller:
    """Who asks for a change, with what rights, in which request.

    ``begun`` is the key of the gateway call that this same request has made before, when it is sent again after it was
    cut off: that call is not made a second time.
    """

    account_id: str
    by: str
    scopes: frozenset[str]
    request_id: str
    request: RequestNote | None = None
    begun: str | None = None
    origin: Origin = NOWHERE


class StoredAnswer(msgspec.Struct, frozen=True):
    """What a request with an ``Idempotency-Key`` was answered (auth reference, A-10).

    ``id`` is made of the key, the method and the path. While ``status`` is 0 the request is still under way, or was
    cut off after its effect was stored. ``call`` is the key of the gateway call that it waits for.
    """

    account_id: str
    id: str
    digest: str
    created_at: datetime
    status: int = 0
    body: str = ""
    version: int = 1
    call: str | None = None


def account_id(text: str) -> str:
    """Check an account id. Raises ``Refusal`` (wrong_value). Source: O-20, A-5."""
    if not ACCOUNT_ID.fullmatch(text):
        raise Refusal(
            "wrong_value", f"expected an account id such as T12345678 (P or T and eight digits), got {text!r}"
        )
    return text


def scope(text: str) -> str:
    """Normalise a scope to the form ``admin:checkout``; ``checkout:admin`` means the same (A-7)."""
    parts = text.split(":")
    if len(parts) >= 2 and parts[0] not in _ACTIONS and parts[-1] in _ACTIONS:
        parts = [parts[-1], *parts[:-1]]
    resource = ":".join(parts[1:]).replace(":/", ":")
    if parts[0] not in _ACTIONS or not _SCOPE_PATH.fullmatch(resource):
        message = f"expected a scope such as admin:checkout or write:shopping, got {text[:200]!r}"
        raise Refusal("wrong_value", message, path="/scope")
    if parts[1] == "account":
        parts[1] = "accounts"
    return ":".join(parts)


def allows(held: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether any held scope covers any wanted one: ``admin`` covers ``write`` covers ``read``."""
    wanted = frozenset(wanted)
    for one in held:
        action, _, resource = one.partition(":")
        if any(f"{covered}:{resource}" in wanted for covered in _RANKS.get(action, {action})):
            return True
    return False


def require_scope(caller: Caller, wanted: Iterable[str]) -> None:
    """Raises ``Refusal`` (missing_scope) naming what was needed and what is held."""
    if not allows(caller.scopes, wanted):
        needed = " or ".join(sorted(wanted))
        held = ", ".join(sorted(caller.scopes)) or "none"
        raise Refusal("missing_scope", f"this call needs the scope {needed}; the token has {held}")


def require_all(caller: Caller, scopes: Iterable[str], path: str = "") -> None:
    """Whoever hands out rights must have them. Raises ``Refusal`` (missing_scope) naming what the caller lacks.

    A scope for a sub-path, such as write:shopping:/orders/ANY/events, is part of the one without.
    """
    for one in scopes:
        if not allows(caller.scopes, (one, one.partition(":/")[0])):
            held = ", ".join(sorted(caller.scopes)) or "none"
            raise Refusal(
                "missing_scope", f"to pass on the scope {one} takes a token that has it; this one has {held}", path
            )


def api_key_account(key: str) -> str | None:
    """The account that an API key begins with, or None for what cannot be one."""
    match = _API_KEY.fullmatch(key)
    return match.group(1) if match else None


def require_api_key(key: str, account_id: str, path: str) -> str:
    """Check a key that a merchant has chosen. Raises ``Refusal`` (wrong_value) without repeating it."""
    if api_key_account(key) != account_id or len(key) < len(account_id) + _SHORTEST_SECRET:
        raise Refusal(
            "wrong_value",
            f"expected {account_id} followed by at least {_SHORTEST_SECRET} characters that cannot be guessed, without "
            f"spaces, got {len(key)} characters",
            path=path,
        )
    return key


def audience_account(audience: str) -> str | None:
    """The account that an audience URL names, whatever its host, or None (A-1)."""
    match = _AUDIENCE.fullmatch(audience)
    return match.group(1) if match else None


def hash_secret(secret: str, pepper: bytes) -> str:
    """A fast keyed hash: the secrets have 256 random bits, so there is nothing to slow a guesser down for."""
    return hmac.new(pepper, secret.encode(), hashlib.sha256).hexdigest()


def secret_matches(secret: str, secret_hash: str, pepper: bytes) -> bool:
    return hmac.compare_digest(hash_secret(secret, pepper), secret_hash)
