"""Whether the house can do its work."""

from __future__ import annotations

import asyncio
import time

import structlog

from kasse.domain.refusals import Refusal
from kasse.store.port import Loads, Store, StoreUnavailable

ASK_WITHIN_S = 2.0
KEEP_S = 1.0
_log = structlog.get_logger()


class Readiness:
    """Asks the database, at most once in ``KEEP_S`` seconds however many want to know."""

    def __init__(self) -> None:
        self._asking: asyncio.Task[str | None] | None = None
        self._asked_at = 0.0

    async def check(self, store: Store) -> None:
        """Raises ``Refusal`` (unavailable) that says why the house is not ready."""
        now = time.monotonic()
        if self._asking is None or (self._asking.done() and now - self._asked_at > KEEP_S):
            self._asked_at = now
            self._asking = asyncio.create_task(_reason(store))
        reason = await asyncio.shield(self._asking)
        if reason is not None:
            raise Refusal("unavailable", f"not ready: {reason}", headers={"Retry-After": "1"})


async def _reason(store: Store) -> str | None:
    """Why the database cannot be used, in words that give nothing of its address away."""
    try:
        async with asyncio.timeout(ASK_WITHIN_S):
            await store.read(_any_row)
    except TimeoutError:
        reason = f"the database did not answer within {ASK_WITHIN_S:g} seconds"
        _log.error("not_ready", error=reason)
        return reason
    except StoreUnavailable as error:
        _log.error("not_ready", error=str(error))
        return "the database cannot be reached or read"
    return None


async def _any_row(loads: Loads) -> None:
    await loads.server_secret("pepper")
