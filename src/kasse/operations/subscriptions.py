"""Webhooks of an account: subscriptions to events, and what became of the calls to them.

Source: auth reference, section 12b.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kasse.domain import callbacks
from kasse.domain import hooks as rules
from kasse.domain.access import Caller
from kasse.domain.callbacks import Delivery
from kasse.domain.hooks import Notice, Subscription
from kasse.domain.paging import Page
from kasse.domain.refusals import Refusal
from kasse.operations.hooks import Callback, delivery_not_found
from kasse.operations.house import House
from kasse.operations.merchant_urls import require_callable
from kasse.store.port import Loads, Record


async def create(
    house: House,
    caller: Caller,
    url: str,
    events: Sequence[str],
    *,
    secret: str | None = None,
    active: bool = True,
    fields: Sequence[str] = (),
    exclude_fields: Sequence[str] = (),
) -> Subscription:
    """Subscribe to events; the new webhook is sent a ping. Raises ``Refusal``: wrong_value, bad_url."""
    now = house.clock.now()
    made = Subscription(
        account_id=caller.account_id,
        id=house.ids.uuid(),
        url=_usable(house, caller.account_id, url),
        events=_known(events),
        created_at=now,
        created_by=caller.by,
        updated_at=now,
        secret=secret,
        active=active,
        fields=tuple(fields),
        exclude_fields=tuple(exclude_fields),
    )

    async def decide(loads: Loads) -> tuple[Subscription, Sequence[Record]]:
        if len(await loads.subscriptions(caller.account_id)) >= rules.MAX_SUBSCRIPTIONS:
            raise Refusal(
                "wrong_value", f"expected at most {rules.MAX_SUBSCRIPTIONS} subscriptions in an account, got one more"
            )
        return made, (made, _ping(house, made))

    return await house.store.change(decide)


def _known(events: Sequence[str]) -> tuple[str, ...]:
    for n, event in enumerate(events):
        if event not in rules.SUBSCRIBABLE:
            raise Refusal(
                "wrong_value",
                f"expected one of {', '.join(rules.SUBSCRIBABLE)}, got {event[:60]!r}",
                path=f"/events/{n}",
            )
    return tuple(dict.fromkeys(events))


def _usable(house: House, account_id: str, url: str) -> str:
    require_callable(house, account_id, url, "/config/url")
    return callbacks.as_sent(url)


def _ping(house: House, subscription: Subscription) -> Delivery:
    now = house.clock.now()
    notice = Notice(subscription.account_id, "", rules.PING, subscription.id, now)
    return rules.delivery(subscription, notice, house.ids.uuid(), now)


async def list_all(house: House, account_id: str) -> list[Subscription]:
    """Oldest first."""
    return await house.store.read(lambda loads: loads.subscriptions(account_id))


async def get(house: House, account_id: str, id: str) -> Subscription:
    """Raises ``Refusal`` (subscription_not_found)."""
    return await house.store.glance(lambda loads: _load(loads, account_id, id))


async def _load(loads: Loads, account_id: str, id: str) -> Subscription:
    found = await loads.subscription(account_id, id)
    if found is None or found.deleted_at is not None:
        raise Refusal("subscription_not_found", f"there is no subscription {id[:100]!r} in this account")
    return found


async def update(house: House, caller: Caller, id: str, changes: Mapping[str, Any]) -> Subscription:
    """Set what is in ``changes``: url, secret, events, active, fields, exclude_fields.

    One that its failures have switched off begins anew when it is made active. Raises ``Refusal``:
    subscription_not_found, wrong_value, bad_url.
    """
    changes = dict(changes)
    if "url" in changes:
        changes["url"] = _usable(house, caller.account_id, changes["url"])
    if "events" in changes:
        changes["events"] = _known(changes["events"])
    if changes.get("active"):
        changes |= {"failures": 0, "disabled_at": None}

    async def decide(loads: Loads) -> tuple[Subscription, Sequence[Record]]:
        before = await _load(loads, caller.account_id, id)
        after = msgspec.structs.replace(before, updated_at=house.clock.now(), version=before.version + 1, **changes)
        return after, (after,)

    return await house.store.change(decide)


async def delete(house: House, caller: Caller, id: str) -> Subscription:
    """It is told of nothing any more, not even of what waits. Raises ``Refusal`` (subscription_not_found)."""

    async def decide(loads: Loads) -> tuple[Subscription, Sequence[Record]]:
        before, now = await _load(loads, caller.account_id, id), house.clock.now()
        gone = msgspec.structs.replace(
            before, updated_at=now, deleted_at=now, deleted_by=caller.by, version=before.version + 1
        )
        return gone, (gone,)

    return await house.store.change(decide)


async def ping(house: House, caller: Caller, id: str) -> Delivery:
    """Send a ping. Raises ``Refusal`` (subscription_not_found)."""

    async def decide(loads: Loads) -> tuple[Delivery, Sequence[Record]]:
        owed = _ping(house, await _load(loads, caller.account_id, id))
        return owed, (owed,)

    return await house.store.change(decide)


async def deliveries(house: House, account_id: str, id: str, page: Page) -> list[Callback]:
    """The calls to a webhook, newest first. Raises ``Refusal``: subscription_not_found, delivery_not_found."""

    async def query(loads: Loads) -> list[Callback]:
        await _load(loads, account_id, id)
        if page.after is not None:
            await _delivery(loads, account_id, id, page.after)
        found = await loads.deliveries_of_subscription(account_id, id, page)
        attempts = await loads.attempts_of_all(account_id, [each.id for each in found])
        return [Callback(each, attempts[each.id]) for each in found]

    return await house.store.read(query)


async def delivery(house: House, account_id: str, id: str, delivery_id: str) -> Callback:
    """Raises ``Refusal``: subscription_not_found, delivery_not_found."""

    async def query(loads: Loads) -> Callback:
        await _load(loads, account_id, id)
        found = await _delivery(loads, account_id, id, delivery_id)
        return Callback(found, await loads.attempts(account_id, delivery_id))

    return await house.store.read(query)


async def _delivery(loads: Loads, account_id: str, id: str, delivery_id: str) -> Delivery:
    found = await loads.delivery(account_id, delivery_id)
    if found is None or found.subscription_id != id:
        raise delivery_not_found(delivery_id, "subscription")
    return found


async def redeliver(house: House, caller: Caller, id: str, delivery_id: str) -> Callback:
    """Make a webhook's call once more. Raises ``Refusal``: subscription_not_found, delivery_not_found."""

    async def decide(loads: Loads) -> tuple[Callback, Sequence[Record]]:
        subscription = await _load(loads, caller.account_id, id)
        found = await _delivery(loads, caller.account_id, id, delivery_id)
        again = callbacks.again(found, house.clock.now())
        # It goes where the webhook is now.
        again = msgspec.structs.replace(again, url=subscription.url, receiver=callbacks.receiver_of(subscription.url))
        return Callback(again, await loads.attempts(caller.account_id, delivery_id)), (again,)

    return await house.store.change(decide)
