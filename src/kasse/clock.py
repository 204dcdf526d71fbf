"""Time comes in from outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self, account_id: str | None = None) -> datetime:
        """The time, in UTC and whole milliseconds, as the account sees it."""
        ...


class SystemClock:
    """The machine's own time, the same for every account."""

    def now(self, account_id: str | None = None) -> datetime:
        now = datetime.now(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)
