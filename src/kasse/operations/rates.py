"""How often one may ask. Off unless the operator sets limits; needs the extra ``kasse[limits]`` then.

Each worker counts what it answers itself, so with several workers a limit is between its figure and that times the
workers, depending on how connections spread over them. Source: auth reference, A-9.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kasse.domain.refusals import Refusal
from kasse.settings import Settings

if TYPE_CHECKING:
    from limits import RateLimitItem


class Rates:
    """The limits of one worker, and what has been counted for them."""

    def __init__(self, settings: Settings) -> None:
        self._of_client = _parsed(settings.rate_per_client)
        self._of_account = _parsed(settings.rate_per_account)
        self._of_failed = _parsed(settings.rate_of_failed_logins)
        self._counter: Any = _counter() if self._of_client or self._of_account or self._of_failed else None

    def check(self, account_id: str, client: str) -> None:
        """Count a request of a client. Raises ``Refusal`` (rate_limited), naming the limit and when to come back."""
        for limit in self._of_client:
            self._hit(limit, "rate_per_client", f"a client may make {limit.amount} requests", account_id, client)
        for limit in self._of_account:
            self._hit(limit, "rate_per_account", f"an account may make {limit.amount} requests", account_id)

    @contextmanager
    def log_in(self, address: str) -> Iterator[None]:
        """Try to log in, from an address that has not failed too often. Raises ``Refusal`` (rate_limited)."""
        for limit in self._of_failed:
            if not self._counter.test(limit, address):
                raise self._refusal(limit, "rate_of_failed_logins", f"{limit.amount} log-ins may fail", address)
        try:
            yield
        except Refusal as refusal:
            if refusal.reason == "unauthorized":
                for limit in self._of_failed:
                    self._counter.hit(limit, address)
            raise

    def _hit(self, limit: RateLimitItem, name: str, words: str, *who: str) -> None:
        if not self._counter.hit(limit, name, *who):
            raise self._refusal(limit, name, words, name, *who)

    def _refusal(self, limit: RateLimitItem, name: str, words: str, *who: str) -> Refusal:
        seconds = max(1, math.ceil(self._counter.get_window_stats(limit, *who).reset_time - time.time()))
        within = f"{limit.multiples} {limit.GRANULARITY.name}{'s' if limit.multiples > 1 else ''}"
        message = f"{words} in {within} ({name}), this is one more; try again in {seconds} s"
        return Refusal("rate_limited", message, headers={"Retry-After": str(seconds)})


def _parsed(text: str) -> Sequence[RateLimitItem]:
    if not text:
        return ()
    from limits import parse_many

    return parse_many(text)


def _counter() -> Any:
    from limits.storage import MemoryStorage
    from limits.strategies import SlidingWindowCounterRateLimiter

    return SlidingWindowCounterRateLimiter(MemoryStorage())
