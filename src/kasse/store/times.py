"""Times as both engines keep them: milliseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime


def milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def from_milliseconds(number: int) -> datetime:
    return datetime.fromtimestamp(number // 1000, UTC).replace(microsecond=number % 1000 * 1000)
