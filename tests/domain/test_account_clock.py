"""A test account's own clock: stopped, moved, started."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.domain.account_clock import EARLIEST, LATEST, AccountClock, moved, started, stopped, time_of
from kasse.domain.refusals import Refusal
from tests.domain.plain import ACCOUNT, NOW

LATER = NOW + timedelta(minutes=5)
OWN = AccountClock(ACCOUNT)


def test_without_a_clock_of_its_own_an_account_has_the_servers_time() -> None:
    assert time_of(None, NOW) == NOW
    assert time_of(OWN, NOW) == NOW


def test_a_stopped_clock_stands_still_until_it_is_started_again() -> None:
    still = stopped(OWN, NOW)
    assert time_of(still, LATER) == NOW
    assert stopped(still, LATER) == still
    going = started(still, LATER)
    assert time_of(going, LATER) == NOW
    assert time_of(going, LATER + timedelta(seconds=1)) == NOW + timedelta(seconds=1)
    assert started(going, LATER) == going


def test_a_clock_is_moved_whether_it_stands_or_goes() -> None:
    there = NOW + timedelta(days=30)
    assert time_of(moved(OWN, there, NOW), LATER) == there + timedelta(minutes=5)
    still = moved(stopped(OWN, NOW), there, LATER)
    assert time_of(still, LATER + timedelta(days=1)) == there
    assert time_of(moved(still, NOW - timedelta(days=1), LATER), LATER) == NOW - timedelta(days=1)


@pytest.mark.parametrize("to", [EARLIEST - timedelta(seconds=1), LATEST])
def test_times_that_no_calendar_needs_are_refused(to: datetime) -> None:
    with pytest.raises(Refusal) as refused:
        moved(OWN, to, NOW)
    assert (refused.value.reason, refused.value.path) == ("wrong_value", "/to")


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1), timezones=st.just(timezone(timedelta(hours=2)))),
    st.booleans(),
)
def test_a_moved_clock_shows_that_time_to_the_millisecond(to: datetime, still: bool) -> None:
    clock = moved(stopped(OWN, NOW) if still else OWN, to, NOW)
    shown = time_of(clock, NOW)
    assert timedelta(0) <= to - shown < timedelta(milliseconds=1)
    assert shown.microsecond % 1000 == 0
