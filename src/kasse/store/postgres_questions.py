"""What the loads of the PostgreSQL engine ask, and how a decision or query is run while they do.

A load does not talk to the database itself. It yields what it asks for, and ``answer`` runs the work that asks: so
the engine chooses the connection and the moment, asks for several things at once, and nothing else can be waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

T = TypeVar("T")
Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Question:
    """A statement and its values: what a load waits for.

    ``of_order`` where it reads what changes with the version of an order only, and that order was looked up before.
    """

    sql: str
    values: tuple[Any, ...]
    of_order: bool = False

    def __await__(self) -> Generator[Sequence[Asked], Sequence[Rows], Rows]:
        [rows] = yield (self,)
        return rows


@dataclass(frozen=True)
class Look:
    """What is looked up by its key: many at once are one statement (``kasse_read`` in the migrations).

    ``what`` is a table, or "an order" with the lines ``chosen``, or "a login".
    """

    what: str
    account: str
    key: str
    chosen: str | None = None

    def __await__(self) -> Generator[Sequence[Asked], Sequence[Rows], Rows]:
        [rows] = yield (self,)
        return rows


Asked = Question | Look


@dataclass
class View:
    """What a decision or a query has been told so far, in so many ``statements``.

    Where nothing was asked besides what was looked up by key, and what belongs to an order that was, it can be asked
    again all at once: ``looked`` is that, and what it found. It is None where that is not so.
    """

    answers: list[Sequence[Rows]] = field(default_factory=list)
    statements: int = 0
    looked: dict[Look, Rows] | None = field(default_factory=dict)

    def clear(self) -> None:
        self.answers, self.statements, self.looked = [], 0, {}

    def add(self, asked: Sequence[Asked], rows: Sequence[Rows]) -> None:
        self.answers.append(rows)
        self.statements += statements(asked)
        for one, found in zip(asked, rows, strict=True):
            if self.looked is None:
                return
            if isinstance(one, Look):
                # Two looks at the same that differ are of two moments: no later one can agree with both.
                self.looked = self.looked | {one: found} if self.looked.get(one, found) == found else None
            elif not one.of_order:
                self.looked = None


def statements(asked: Sequence[Asked]) -> int:
    """How many it takes: what is looked up by key is one together."""
    return 1 if all(isinstance(one, Look) for one in asked) else len(asked)


Ask = Callable[[Sequence[Asked]], Awaitable[Sequence[Rows]]]


class Together:
    """Runs several loads side by side: what they ask for at the same time is put to the database at the same time."""

    def __init__(self, loads: Sequence[Awaitable[Any]]) -> None:
        self._loads = cast(Sequence[Coroutine[Sequence[Asked], Any, Any]], loads)

    def __await__(self) -> Generator[Sequence[Asked], Sequence[Rows], list[Any]]:
        results: dict[int, Any] = {}
        errors: dict[int, Exception] = {}
        told: dict[int, Sequence[Rows] | None] = dict.fromkeys(range(len(self._loads)))
        try:
            while told:
                asked: dict[int, Sequence[Asked]] = {}
                for n, rows in told.items():
                    try:
                        asked[n] = self._loads[n].send(rows)
                    except StopIteration as done:
                        results[n] = done.value
                    except Exception as error:
                        errors[n] = error
                told = {}
                if asked:
                    answers = iter((yield [one for each in asked.values() for one in each]))
                    told = {n: [next(answers) for _ in each] for n, each in asked.items()}
        finally:
            for load in self._loads:
                load.close()
        if errors:
            raise errors[min(errors)]
        return [results[n] for n in range(len(self._loads))]


async def answer(work: Awaitable[T], ask: Ask) -> T:
    """Run a decision or a query to its end, ``ask`` answering its questions."""
    coroutine = cast(Coroutine[Sequence[Asked], Sequence[Rows] | None, T], work)
    rows: Sequence[Rows] | None = None
    try:
        while True:
            asked = coroutine.send(rows)
            if not isinstance(asked, tuple | list):
                raise RuntimeError("a decision or query waited for something other than its loads")
            rows = await ask(asked)
    except StopIteration as done:
        return cast(T, done.value)
    finally:
        coroutine.close()
