"""The one place where calls leave the house."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kasse.delivery.exchange import Exchange


@dataclass(frozen=True)
class Reply:
    """``duration_ms`` is how long the whole call took, the answer's body included; ``body`` is that if asked for."""

    status_code: int
    duration_ms: int
    body: bytes = b""


class CallFailed(Exception):
    """No answer came. ``reason`` is for the merchant; it holds nothing of the URL's path or query."""

    def __init__(self, reason: str, duration_ms: int = 0, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.duration_ms, self.timed_out = reason, duration_ms, timed_out


class Outgoing:
    """Makes calls to merchants, each over a connection of its own: no redirects, no cookies, no proxies.

    ``trust`` says which certificates are good; by default those that the system trusts.
    """

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self._trust = trust
        self._exchange: Exchange | None = None

    async def call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        allow_private: bool,
        timeout_s: float,
        keep: int | None = None,
    ) -> Reply:
        """Call ``url``, exactly as it is written. ``timeout_s`` bounds it all, from name to last byte.

        Without ``allow_private`` it must be https, to an address of the open internet.
        An answer counts once its head has come; a body that breaks off or comes too slowly changes nothing. With
        ``keep`` the body counts as well, and has to be there in time, whole, and no longer than that.
        Raises ``CallFailed``.
        """
        if not allow_private and not url.lower().startswith("https:"):
            raise CallFailed("calls of production accounts go to https only")
        if self._exchange is None:
            # In a thread: requests that come meanwhile do not wait for what is imported.
            opened = await asyncio.to_thread(_open_exchange, self._trust)
            self._exchange = self._exchange or opened
        return await self._exchange.call(
            method, url, headers, body, allow_private=allow_private, timeout_s=timeout_s, keep=keep
        )


def _open_exchange(trust: ssl.SSLContext | None) -> Exchange:
    from kasse.delivery.exchange import Exchange

    return Exchange(trust)
