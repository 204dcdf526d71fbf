"""How a time is written for others."""

from __future__ import annotations

from datetime import datetime


def rfc3339(time: datetime) -> str:
    """A time as the wire has it: RFC 3339 in UTC, whole milliseconds."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
