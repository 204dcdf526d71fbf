"""A test account's own clock, which a test may stop, move and start.

It says what time it is for everything in the account: what expires, what is noted when. What happens here and now, such
as calls to merchants and gateways, goes by the server's clock. Source: design, section 4.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from kasse.domain.refusals import Refusal
from kasse.domain.times import rfc3339

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


class AccountClock(msgspec.Struct, frozen=True):
    """It is ``ahead`` of the server's by so many milliseconds, or stands still at ``stopped_at``."""

    account_id: str
    ahead: int = 0
    stopped_at: datetime | None = None
    version: int = 1


def time_of(clock: AccountClock | None, now: datetime) -> datetime:
    """What time it is in the account when it is ``now`` on the server."""
    if clock is None:
        return now
    return clock.stopped_at or now + timedelta(milliseconds=clock.ahead)


def stopped(clock: AccountClock, now: datetime) -> AccountClock:
    """It stands still at the time that it shows; one that does already goes on doing so."""
    return msgspec.structs.replace(clock, stopped_at=time_of(clock, now))


def moved(clock: AccountClock, to: datetime, now: datetime) -> AccountClock:
    """It shows another time, and stands or goes as before. Raises ``Refusal`` (wrong_value)."""
    if not EARLIEST <= to < LATEST:
        expected = f"expected a time from {rfc3339(EARLIEST)} to {rfc3339(LATEST)}"
        raise Refusal("wrong_value", f"{expected}, got {rfc3339(to)}", path="/to")
    to = to.astimezone(UTC)
    to = to.replace(microsecond=to.microsecond // 1000 * 1000)
    if clock.stopped_at is not None:
        return msgspec.structs.replace(clock, stopped_at=to)
    return msgspec.structs.replace(clock, ahead=(to - now) // timedelta(milliseconds=1))


def started(clock: AccountClock, now: datetime) -> AccountClock:
    """It goes on from the time that it shows."""
    if clock.stopped_at is None:
        return clock
    ahead = (clock.stopped_at - now) // timedelta(milliseconds=1)
    return msgspec.structs.replace(clock, ahead=ahead, stopped_at=None)
