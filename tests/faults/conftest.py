"""Servers that end with the test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.servers import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on a new database; it is up to the test to start it."""
    one = Server(f"sqlite:///{tmp_path}/kasse.db")
    yield one
    one.end(signal.SIGKILL)
