"""Payment profiles of an account. Source: checkout reference, row 15 and section 12."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kasse.domain.access import Caller
from kasse.domain.profile import DEFAULT, MAX_PROFILES, Profile, check_configuration
from kasse.domain.refusals import Refusal
from kasse.operations.house import House
from kasse.store.port import Loads, Record


async def list_all(house: House, account_id: str) -> list[Profile]:
    """By their ids."""
    return await house.store.read(lambda loads: loads.profiles(account_id))


async def get(house: House, account_id: str, profile_id: str) -> Profile:
    """Raises ``Refusal`` (profile_not_found)."""
    return await house.store.glance(lambda loads: _load(loads, account_id, profile_id))


async def _load(loads: Loads, account_id: str, profile_id: str) -> Profile:
    profile = await loads.profile(account_id, profile_id)
    if profile is None:
        raise Refusal("profile_not_found", f"there is no profile {profile_id[:100]!r} in this account")
    return profile


async def put(
    house: House,
    caller: Caller,
    profile_id: str,
    configuration: dict[str, Any],
    name: str | None,
    given: dict[str, Any],
) -> Profile:
    """Make a profile or replace it. Sessions that are open keep what they were opened with.

    Raises ``Refusal``: wrong_value (a configuration that contradicts itself, too many profiles).
    """
    check_configuration(configuration)
    now = house.clock.now(caller.account_id)

    async def decide(loads: Loads) -> tuple[Profile, Sequence[Record]]:
        before = await loads.profile(caller.account_id, profile_id, deleted=True)
        if before is None or before.deleted_at is not None:
            there = await loads.profiles(caller.account_id)
            if len(there) >= MAX_PROFILES:
                raise Refusal("wrong_value", f"expected at most {MAX_PROFILES} profiles in an account, got one more")
        after = Profile(
            account_id=caller.account_id,
            id=profile_id,
            configuration=configuration,
            created_at=now if before is None or before.deleted_at else before.created_at,
            name=name,
            updated_at=now,
            given=given,
            version=1 if before is None else before.version + 1,
        )
        return after, (after,)

    return await house.store.change(decide)


async def delete(house: House, caller: Caller, profile_id: str) -> Profile:
    """Raises ``Refusal``: profile_not_found, wrong_state (the default one stays)."""

    async def decide(loads: Loads) -> tuple[Profile, Sequence[Record]]:
        profile = await _load(loads, caller.account_id, profile_id)
        if profile.id == DEFAULT:
            raise Refusal(
                "wrong_state", "expected a profile other than default: every account has that one; PUT changes it"
            )
        now = house.clock.now(caller.account_id)
        gone = msgspec.structs.replace(profile, updated_at=now, deleted_at=now, version=profile.version + 1)
        return gone, (gone,)

    return await house.store.change(decide)
