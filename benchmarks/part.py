"""What a part of the benchmark gets and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from benchmarks.machine import Database, postgres_database, sqlite_database
from kasse.bench.report import markdown
from tests.store.postgres_server import PostgresServer

T = TypeVar("T")


class Effort(msgspec.Struct, frozen=True):
    """How much to measure."""

    seconds: float
    connections: int
    requests: int
    orders: tuple[int, ...]
    rounds: int


FULL = Effort(seconds=10, connections=32, requests=1_000_000, orders=(1_000, 10_000, 100_000, 1_000_000), rounds=3)
QUICK = Effort(seconds=2, connections=32, requests=5_000, orders=(1_000, 10_000), rounds=1)


class Part(msgspec.Struct, frozen=True):
    """A table: ``figures`` for the picture, by name and measure."""

    title: str
    words: str
    head: list[str]
    rows: list[list[str]]
    figures: dict[str, dict[str, float]]

    def text(self) -> str:
        return f"### {self.title}\n\n{self.words}\n\n{markdown(self.head, self.rows)}"


@contextmanager
def databases(server: PostgresServer) -> Iterator[list[Database]]:
    """A new database of each engine."""
    with sqlite_database() as sqlite, postgres_database(server) as postgres:
        yield [sqlite, postgres]


def middle(found: Sequence[T], by: Callable[[T], float]) -> T:
    return sorted(found, key=by)[len(found) // 2]
