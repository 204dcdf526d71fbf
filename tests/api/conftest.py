from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from kasse.clock import SystemClock
from tests.api.merchant import Receiver, receiving
from tests.asking import MerchantServer, merchant_server


class MovableClock(SystemClock):
    """The machine's time, moved ahead by a test."""

    ahead = timedelta()

    def now(self, account_id: str | None = None) -> datetime:
        return super().now(account_id) + self.ahead


@pytest.fixture(scope="module")
def server_clock() -> MovableClock:
    """What a module runs its own server by; its tests ask for ``clock``."""
    return MovableClock()


@pytest.fixture
def clock(server_clock: MovableClock) -> Iterator[MovableClock]:
    """The clock of the module's server; after the test it shows the machine's time again."""
    yield server_clock
    server_clock.ahead = timedelta()


@pytest.fixture
def merchant() -> Iterator[MerchantServer]:
    with merchant_server() as made:
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
