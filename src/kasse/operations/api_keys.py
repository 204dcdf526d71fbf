"""API keys: a second way in for checkout calls. Source: checkout reference, row 14b; auth reference, 12a and A-13."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from kasse.domain import access
from kasse.domain.access import ApiKey, Caller
from kasse.domain.paging import Page
from kasse.domain.refusals import Refusal
from kasse.operations.house import House
from kasse.store.port import Loads, Record

SCOPES = frozenset({"admin:checkout"})
"""What a key may do."""


async def create(
    house: House, caller: Caller, name: str, chosen: str | None = None, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key; answers it with the key itself, which is not kept and cannot be read again.

    Raises ``Refusal``: wrong_value (a chosen key that is too short, a time that is over), already_exists.
    """
    if expires_at is not None and expires_at <= house.clock.now():
        raise Refusal("wrong_value", f"expected a time to come, got {expires_at.isoformat()}", path="/expires_at")
    if chosen is None:
        value = _new_value(house, caller.account_id)
    else:
        value = access.require_api_key(chosen, caller.account_id, "/api_key")
    key = _key(house, caller, name, value, expires_at)

    async def decide(loads: Loads) -> tuple[ApiKey, Sequence[Record]]:
        if await loads.api_key_by_hash(caller.account_id, key.key_hash) is not None:
            raise Refusal("already_exists", "expected a key that was never used before", path="/api_key")
        return key, (key,)

    return await house.store.change(decide), value


def _new_value(house: House, account_id: str) -> str:
    return f"{account_id}.{house.ids.secret()}"


def _key(house: House, caller: Caller, name: str, value: str, expires_at: datetime | None = None) -> ApiKey:
    now = house.clock.now()
    return ApiKey(
        account_id=caller.account_id,
        id=house.ids.uuid(),
        name=name,
        key_hash=access.hash_secret(value, house.pepper),
        created_at=now,
        created_by=caller.by,
        updated_at=now,
        expires_at=expires_at,
    )


async def list_keys(house: House, account_id: str, page: Page, deleted: bool) -> list[ApiKey]:
    """Newest first. Raises ``Refusal`` (api_key_not_found: the one to start after)."""

    async def query(loads: Loads) -> list[ApiKey]:
        if page.after is not None:
            await _load(loads, account_id, page.after, deleted=True)
        return await loads.api_keys(account_id, page, deleted)

    return await house.store.read(query)


async def get(house: House, account_id: str, id: str) -> ApiKey:
    """Raises ``Refusal`` (api_key_not_found)."""
    return await house.store.glance(lambda loads: _load(loads, account_id, id))


async def _load(loads: Loads, account_id: str, id: str, deleted: bool = False) -> ApiKey:
    key = await loads.api_key(account_id, id)
    if key is None or (key.deleted_at is not None and not deleted):
        raise Refusal("api_key_not_found", f"there is no API key {id[:100]!r} in this account")
    return key


async def delete(house: House, caller: Caller, id: str) -> ApiKey:
    """End a key at once. Raises ``Refusal`` (api_key_not_found)."""

    async def decide(loads: Loads) -> tuple[ApiKey, Sequence[Record]]:
        key, now = await _load(loads, caller.account_id, id), house.clock.now()
        gone = msgspec.structs.replace(
            key, updated_at=now, deleted_at=now, deleted_by=caller.by, version=key.version + 1
        )
        return gone, (gone,)

    return await house.store.change(decide)


async def rotate(house: House, caller: Caller, id: str, overlap: timedelta) -> tuple[ApiKey, str]:
    """A new key in the place of an old one, which stays good for ``overlap`` so that nobody is locked out.

    Raises ``Refusal``: api_key_not_found, wrong_state (it has expired).
    """
    value = _new_value(house, caller.account_id)

    async def decide(loads: Loads) -> tuple[ApiKey, Sequence[Record]]:
        old, now = await _load(loads, caller.account_id, id), house.clock.now()
        if old.expires_at is not None and old.expires_at <= now:
            raise Refusal("wrong_state", f"expected a key that is good, {id} has expired; make a new one")
        new = _key(house, caller, old.name, value)
        end = now + overlap if old.expires_at is None else min(old.expires_at, now + overlap)
        old = msgspec.structs.replace(old, expires_at=end, updated_at=now, version=old.version + 1)
        return new, (old, new)

    return await house.store.change(decide), value


async def check(house: House, value: str) -> ApiKey:
    """The key that somebody sends. Raises ``Refusal`` (unauthorized), with the same words whatever is wrong."""
    account_id = access.api_key_account(value)
    if account_id is None:
        raise _unknown()
    key_hash = access.hash_secret(value, house.pepper)
    key = await house.store.glance(lambda loads: loads.api_key_by_hash(account_id, key_hash))
    if key is None or not access.secret_matches(value, key.key_hash, house.pepper):
        raise _unknown()
    if key.deleted_at is not None or (key.expires_at is not None and key.expires_at <= house.clock.now()):
        raise _unknown()
    return key


def _unknown() -> Refusal:
    return Refusal("unauthorized", "expected a valid API key in the header x-api-key, got one that is not")
