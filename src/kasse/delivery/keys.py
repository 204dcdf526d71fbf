"""What a call is signed with, and the headers that say so.

While an account's signature secret is being replaced, two are good. ``Dintero-Signature`` has one signature all the
same: receivers who follow the documented example compare the whole header, and others read the first signature or the
last. So tries alternate between the two secrets, and a call that is turned down is made again at once with the other.
Source: checkout reference, 9.1; auth reference, 12.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kasse.delivery.outgoing import CallFailed
from kasse.domain.callbacks import Delivery, signature
from kasse.domain.hooks import Subscription, event_signature, webhook_signature
from kasse.store.port import Loads, Store


@dataclass(frozen=True)
class Keys:
    """The account's good secrets, newest first, and the webhook that a call is for, None for a callback's."""

    secrets: tuple[str, ...] = ()
    subscription: Subscription | None = None
    gone: bool = False

    def require_wanted(self) -> None:
        """Raises ``CallFailed`` when the webhook was deleted meanwhile."""
        if self.gone:
            raise CallFailed("the subscription was deleted")


async def load_keys(store: Store, delivery: Delivery, now: datetime) -> Keys:
    """What a call is signed with now."""

    async def query(loads: Loads) -> Keys:
        secrets = await _good_secrets(loads, delivery.account_id, now)
        if delivery.subscription_id is None:
            return Keys(secrets)
        found = await loads.subscription(delivery.account_id, delivery.subscription_id)
        return Keys(secrets, found, gone=found is None or found.deleted_at is not None)

    return await store.read(query)


async def load_secrets(store: Store, account_id: str, now: datetime) -> tuple[str, ...]:
    """The account's good secrets, newest first."""
    return await store.read(lambda loads: _good_secrets(loads, account_id, now))


async def _good_secrets(loads: Loads, account_id: str, now: datetime) -> tuple[str, ...]:
    newest = await loads.signature_secrets(account_id, 2)
    until = newest[0].previous_until if newest else None
    return tuple(each.secret for each in (newest if until is not None and until > now else newest[:1]))


def question_headers(
    account_id: str, id: str, url: str, body: bytes, secrets: tuple[str, ...], turn: int, timestamp: int
) -> dict[str, str]:
    """The signatures of a question by POST; ``turn`` says which of the secrets is tried."""
    found = {"webhook-id": id, "webhook-timestamp": str(timestamp)}
    if secrets:
        found["Dintero-Signature"] = signature(secrets[turn], timestamp, account_id, "POST", url)
        found["webhook-signature"] = webhook_signature(secrets, id, timestamp, body)
    return found


def headers(delivery: Delivery, keys: Keys, timestamp: int, body: bytes | None) -> dict[str, str]:
    """The headers of the next try. Webhooks come from a documented ``User-Agent`` (auth reference, 12b)."""
    found = {"event-delivery": delivery.id, "webhook-id": delivery.id, "webhook-timestamp": str(timestamp)}
    if delivery.method == "POST":
        found["Content-Type"] = "application/json; charset=utf-8"
    secrets = keys.secrets
    if keys.subscription is not None:
        found["event"] = delivery.event
        found["User-Agent"] = f"Dintero-Hook/{keys.subscription.id[:8]}"
        if keys.subscription.secret is not None:
            secrets = (keys.subscription.secret,)
            found["event-signature"] = event_signature(keys.subscription.secret, body or b"")
    elif secrets:
        secret = secrets[(delivery.attempts - delivery.round_from) % len(secrets)]
        found["Dintero-Signature"] = signature(secret, timestamp, delivery.account_id, delivery.method, delivery.url)
    if secrets:
        found["webhook-signature"] = webhook_signature(secrets, delivery.id, timestamp, body or b"")
    return found
