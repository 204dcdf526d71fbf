from __future__ import annotations

from collections.abc import Iterator

import pytest

from kasse.gateways.cards import CARDS
from kasse.gateways.sandbox import Sandbox
from tests.gateways.pretend import BASE_URL, MemoryBook, StoppedClock


@pytest.fixture
def book() -> Iterator[MemoryBook]:
    """No test leaves a full card number or a check code in the book."""
    book = MemoryBook()
    yield book
    written = "".join(book.entries.values())
    assert not [number for number in CARDS if number in written]
    assert '"123"' not in written


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def sandbox(book: MemoryBook, clock: StoppedClock) -> Sandbox:
    return Sandbox(book, clock, BASE_URL)
