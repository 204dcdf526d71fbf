"""Accounts, their API clients and grants, and the tokens that clients get for them.

Source: auth reference, sections 2 and 5 to 8, decisions A-1, A-2 and A-5 to A-7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from kasse.domain import access
from kasse.domain.access import Account, Caller, Client, Grant
from kasse.domain.profile import default_profile
from kasse.domain.refusals import Refusal
from kasse.operations.house import House
from kasse.store.port import Loads, Record

CLIENT_CREDENTIALS = "client_credentials"
_GRANT_KINDS = ("any", CLIENT_CREDENTIALS)
_NOBODYS_HASH = "0" * 64


class AccessToken(msgspec.Struct, frozen=True):
    """``expires_in`` is in seconds."""

    access_token: str
    expires_in: int
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 (the type of the token, not a secret)


async def create_account(house: House, account_id: str, name: str) -> Account:
    """Make an account with its default payment profile. Raises ``Refusal``: wrong_value, already_exists."""
    now = house.clock.now(account_id)
    account = Account(access.account_id(account_id), name, now)

    async def decide(loads: Loads) -> tuple[Account, Sequence[Record]]:
        if await loads.account(account.id) is not None:
            raise Refusal("already_exists", f"expected an account id that is free, {account.id} is taken")
        return account, (account, default_profile(account.id, now))

    return await house.store.change(decide)


async def require_account(house: House, account_id: str) -> None:
    """Raises ``Refusal`` (account_not_found)."""
    if await house.store.glance(lambda loads: loads.account(account_id)) is None:
        raise Refusal("account_not_found", f"there is no account {account_id}")


# -- clients


async def create_client(
    house: House,
    by: str,
    account_id: str,
    *,
    client_id: str | None = None,
    name: str | None = None,
    description: str | None = None,
    callbacks: Sequence[str] = (),
    scopes: Sequence[str] = (),
) -> tuple[Client, str]:
    """Make a client; answers it with its secret, which is not kept and cannot be read again.

    ``scopes`` are granted in the same change without asking what ``by`` may do: that is for the operator only.
    Raises ``Refusal``: account_not_found, wrong_value, already_exists.
    """
    now, secret = house.clock.now(account_id), house.ids.secret()
    client = Client(
        account_id=account_id,
        id=house.ids.uuid(),
        client_id=_login(house.ids.uuid() if client_id is None else client_id),
        secret_hash=access.hash_secret(secret, house.pepper),
        created_at=now,
        created_by=by,
        updated_at=now,
        name=name,
        description=description,
        callbacks=tuple(callbacks),
    )
    records: list[Record] = [client]
    if scopes:
        audience = f"{house.settings.base_url}/v1/accounts/{account_id}"
        records.append(_grant(house, by, client, audience, _normalised(scopes)))

    async def decide(loads: Loads) -> tuple[Client, Sequence[Record]]:
        if await loads.account(account_id) is None:
            raise Refusal("account_not_found", f"there is no account {account_id}")
        if await loads.client_by_login(account_id, client.client_id) is not None:
            message = f"expected a client_id that is free, got {client.client_id!r}, which is taken"
            raise Refusal("already_exists", message, path="/client_id")
        return client, records

    return await house.store.change(decide), secret


def _login(client_id: str) -> str:
    """What HTTP Basic can carry as a user name (RFC 7617, 2)."""
    if not client_id or ":" in client_id or not client_id.isprintable():
        raise Refusal(
            "wrong_value",
            f"expected a client_id of printable characters without a colon, got {client_id[:100]!r}",
            path="/client_id",
        )
    return client_id


async def get_client(house: House, account_id: str, id: str) -> Client:
    """Raises ``Refusal`` (client_not_found)."""
    return await house.store.read(lambda loads: load_client(loads, account_id, id))


async def load_client(loads: Loads, account_id: str, id: str, path: str = "") -> Client:
    client = await loads.client(account_id, id)
    if client is None or client.deleted_at is not None:
        raise Refusal("client_not_found", f"there is no client {id[:100]!r} in this account", path=path)
    return client


async def list_clients(house: House, account_id: str) -> list[Client]:
    """Newest first."""
    return await house.store.read(lambda loads: loads.clients(account_id))


async def update_client(house: House, caller: Caller, id: str, changes: Mapping[str, Any]) -> Client:
    """Set what is in ``changes``: name, description, callbacks. Raises ``Refusal`` (client_not_found)."""

    async def decide(loads: Loads) -> tuple[Client, Sequence[Record]]:
        client = await load_client(loads, caller.account_id, id)
        after = _changed(house, caller, client, **changes)
        return after, (after,)

    return await house.store.change(decide)


async def rotate_secret(house: House, caller: Caller, id: str) -> tuple[Client, str]:
    """Give a client a new secret. The old one and all tokens got with it end at once.

    Who has the secret has the client's rights, so the caller must have them already. Raises ``Refusal``:
    client_not_found, missing_scope.
    """
    secret = house.ids.secret()

    async def decide(loads: Loads) -> tuple[Client, Sequence[Record]]:
        client = await load_client(loads, caller.account_id, id)
        for grant in await loads.grants(caller.account_id, client.id):
            access.require_all(caller, grant.scopes)
        secret_hash = access.hash_secret(secret, house.pepper)
        after = _changed(house, caller, client, secret_hash=secret_hash, epoch=client.epoch + 1)
        return after, (after,)

    return await house.store.change(decide), secret


async def delete_client(house: House, caller: Caller, id: str) -> Client:
    """Delete a client with its grants. Its tokens end at once. Raises ``Refusal`` (client_not_found)."""

    async def decide(loads: Loads) -> tuple[Client, Sequence[Record]]:
        client = await load_client(loads, caller.account_id, id)
        grants = await loads.grants(caller.account_id, client.id)
        now = house.clock.now(caller.account_id)
        gone = _changed(house, caller, client, deleted_at=now, deleted_by=caller.by)
        return gone, (gone, *(_deleted(house, caller, grant) for grant in grants))

    return await house.store.change(decide)


def _changed(house: House, caller: Caller, client: Client, **changes: Any) -> Client:
    now = house.clock.now(caller.account_id)
    version = client.version + 1
    return msgspec.structs.replace(client, version=version, updated_at=now, updated_by=caller.by, **changes)


# -- grants


async def create_grant(
    house: House, caller: Caller, client_id: str, audience: str, scopes: Sequence[str], type: str = "any"
) -> Grant:
    """Give a client (its ``id``) rights on this account; rights from several grants add up.

    Raises ``Refusal``: wrong_value, forbidden (audience), missing_scope (the caller has less), client_not_found.
    """
    if type not in _GRANT_KINDS:
        message = f"expected one of the supported types {' and '.join(_GRANT_KINDS)}, got {type[:40]!r}"
        raise Refusal("wrong_value", message, path="/type")
    _require_audience(caller.account_id, audience)
    wanted = _normalised(scopes)
    access.require_all(caller, wanted, path="/scope")

    async def decide(loads: Loads) -> tuple[Grant, Sequence[Record]]:
        client = await load_client(loads, caller.account_id, client_id, path="/client_id")
        grant = _grant(house, caller.by, client, audience, wanted, type)
        return grant, (grant,)

    return await house.store.change(decide)


def _normalised(scopes: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(access.scope(text) for text in scopes))


def _grant(house: House, by: str, client: Client, audience: str, scopes: tuple[str, ...], type: str = "any") -> Grant:
    now = house.clock.now(client.account_id)
    id = house.ids.uuid()
    return Grant(client.account_id, id, client.id, audience, scopes, now, created_by=by, updated_at=now, type=type)


async def list_grants(
    house: House, account_id: str, audience: str | None = None, client_id: str | None = None
) -> list[Grant]:
    """Newest first; only those for exactly this audience or of the client with this ``id`` where asked for."""
    grants = await house.store.read(lambda loads: loads.grants(account_id, client_id))
    return [grant for grant in grants if audience is None or grant.audience == audience]


async def delete_grant(house: House, caller: Caller, id: str) -> Grant:
    """Take rights away. All tokens of the client end at once, so that none has them any longer.

    Raises ``Refusal`` (grant_not_found).
    """

    async def decide(loads: Loads) -> tuple[Grant, Sequence[Record]]:
        grant = await loads.grant(caller.account_id, id)
        if grant is None or grant.deleted_at is not None:
            raise Refusal("grant_not_found", f"there is no grant {id[:100]!r} in this account")
        gone = _deleted(house, caller, grant)
        client = await loads.client(caller.account_id, grant.client)
        return gone, (gone,) if client is None else (gone, _without_tokens(client))

    return await house.store.change(decide)


def _deleted(house: House, caller: Caller, grant: Grant) -> Grant:
    now = house.clock.now(caller.account_id)
    return msgspec.structs.replace(
        grant, version=grant.version + 1, updated_at=now, deleted_at=now, deleted_by=caller.by
    )


def _without_tokens(client: Client) -> Client:
    return msgspec.structs.replace(client, version=client.version + 1, epoch=client.epoch + 1)


# -- tokens


async def grant_token(
    house: House, account_id: str, basic: tuple[str, str] | None, grant_type: str, audience: str
) -> AccessToken:
    """A token for the client with these credentials (its ``client_id`` and secret).

    An unknown client and a wrong secret take the same way and the same time. Raises ``Refusal``: wrong_value,
    unauthorized, forbidden. Source: A-1, A-2.
    """
    if grant_type != CLIENT_CREDENTIALS:
        message = f"expected {CLIENT_CREDENTIALS}, the one supported grant_type, got {grant_type[:40]!r}"
        raise Refusal("wrong_value", message, path="/grant_type")
    if basic is None:
        raise _bad_credentials()
    client_id, secret = basic
    found = await house.store.glance(lambda loads: loads.login(account_id, client_id))
    secret_hash = _NOBODYS_HASH if found is None else found[0].secret_hash
    if not access.secret_matches(secret, secret_hash, house.pepper) or found is None:
        raise _bad_credentials()
    client, grants = found
    _require_audience(account_id, audience)
    usable = [grant for grant in grants if grant.type in ("any", grant_type)]
    if not usable:
        message = f"expected an audience that the client has a grant for, it has none for {account_id}"
        raise Refusal("forbidden", message, path="/audience")
    granted = [grant.audience for grant in usable]
    scopes = sorted({scope for grant in usable for scope in grant.scopes})
    issued = await house.tokens.issue(client, audience if audience in granted else granted[0], scopes)
    return AccessToken(*issued)


def _bad_credentials() -> Refusal:
    return Refusal(
        "unauthorized",
        "expected the header Authorization: Basic with the client_id and the client_secret of a client of this "
        "account, got none that fit",
        headers={"WWW-Authenticate": 'Basic realm="kasse"'},
    )


def _require_audience(account_id: str, audience: str) -> None:
    if access.audience_account(audience) != account_id:
        raise Refusal(
            "forbidden",
            f"expected an audience such as https://api.dintero.com/v1/accounts/{account_id}, got {audience[:200]!r}",
            path="/audience",
        )


async def revoke(house: House, caller: Caller, token: str) -> None:
    """End an access token, and with it every token its client has: single tokens are not kept.

    What is no valid token has ended already (RFC 7009, 2.2). Raises ``Refusal`` (other_account).
    """
    try:
        rights = await house.tokens.check(token)
    except Refusal:
        return
    if rights.account_id != caller.account_id:
        raise Refusal("other_account", f"the token to revoke is for account {rights.account_id}", path="/token")

    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        client = await loads.client(caller.account_id, rights.client)
        if client is None or client.epoch != rights.epoch:
            return None, ()
        return None, (_without_tokens(client),)

    await house.store.change(decide)
