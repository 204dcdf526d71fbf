"""Which gateways there are: our own, and those that other packages bring along.

A package offers one under the entry point group ``kasse.gateways``: a callable that gets ``Surroundings`` and
answers a ``Gateway``. Its name and the methods it offers must be its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from kasse.gateways.external import External
from kasse.gateways.port import Book, Gateway, Surroundings
from kasse.gateways.sandbox import Sandbox
from kasse.gateways.zero import Zero

GROUP = "kasse.gateways"


class GatewayNotUsable(Exception):
    """A gateway of another package cannot be used as it is; the message names it and says why."""


def all_gateways(around: Surroundings) -> dict[str, Gateway]:
    """Every gateway by its name. Raises ``GatewayNotUsable``."""
    own: list[Gateway] = [Sandbox(around.book, around.clock, around.base_url), External(), Zero()]
    found = {gateway.name: gateway for gateway in own}
    for entry_point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        gateway = _made(entry_point, around)
        _require_its_own(gateway, entry_point, found.values())
        found[gateway.name] = gateway
    return found


def _made(entry_point: EntryPoint, around: Surroundings) -> Gateway:
    """Make a gateway; its book is a part of ours that nobody else writes in."""
    apart = Surroundings(_Apart(around.book, entry_point.name), around.clock, around.base_url)
    try:
        gateway: Gateway = entry_point.load()(apart)
    except Exception as error:
        raise GatewayNotUsable(f"the gateway {entry_point.name!r} ({entry_point.value}) fails: {error!r}") from error
    for name in ("methods", "serves", "check_card", "authorize", "capture", "refund", "void", "look_up"):
        if not hasattr(gateway, name):
            raise GatewayNotUsable(f"the gateway {entry_point.name!r} ({entry_point.value}) has no {name}")
    if gateway.name != entry_point.name:
        raise GatewayNotUsable(
            f"expected the gateway of the entry point {entry_point.name!r} to have that name, it is {gateway.name!r}"
        )
    return gateway


def _require_its_own(gateway: Gateway, entry_point: EntryPoint, others: Iterable[Gateway]) -> None:
    for other in others:
        if other.name == gateway.name:
            raise GatewayNotUsable(f"there are two gateways with the name {gateway.name!r} ({entry_point.value})")


class _Apart:
    """A ``Book`` whose keys begin with a gateway's name."""

    def __init__(self, book: Book, name: str) -> None:
        self._book, self._name = book, name

    async def book_put(self, account_id: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        return await self._book.book_put(account_id, self._key(key), entry)

    async def book_replace(self, account_id: str, key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        return await self._book.book_replace(account_id, self._key(key), before, after)

    async def book_get(self, account_id: str, key: str) -> dict[str, Any] | None:
        return await self._book.book_get(account_id, self._key(key))

    def _key(self, key: str) -> str:
        return f"{self._name}:{key}"
