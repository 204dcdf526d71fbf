"""What the house tells those who look on: metrics and traces. When nobody does, it costs next to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

StepName = Literal["request", "store_change", "gateway_call", "delivery", "question"]

ABOUT: Mapping[StepName, tuple[str, ...]] = {
    "request": ("method", "route"),
    "store_change": (),
    "gateway_call": ("gateway", "kind"),
    "delivery": (),
    "question": (),
}
"""What each step tells about itself. Each has few values, whatever clients send: they become labels of metrics."""

LevelName = Literal["outbox_waiting", "outbox_overdue_seconds", "gateway_calls_open"]

LEVELS: Mapping[LevelName, tuple[str, tuple[str, ...]]] = {
    "outbox_waiting": ("Callbacks that wait to be delivered, at most 10000", ()),
    "outbox_overdue_seconds": ("For how long the callback that is due longest has been due", ()),
    "gateway_calls_open": ("Gateway calls without an outcome, at most 10000, by state", ("state",)),
}


@dataclass
class Step:
    """Something that is being done. ``about`` and ``outcome`` have few values; ``detail`` may have any, and goes to
    traces only. ``outcome`` is set before the end; ``parent`` holds the W3C headers of who asked, ``trace_id`` the
    trace that it belongs to, if there is one."""

    name: StepName
    about: dict[str, str]
    detail: dict[str, str] = field(default_factory=dict)
    parent: Mapping[str, str] = field(default_factory=dict)
    trace_id: str | None = None
    outcome: str = "failed"


class Onlooker(Protocol):
    """Sees each step from its beginning to its end, and levels now and then."""

    def step(self, step: Step) -> AbstractContextManager[None]: ...

    def level(self, name: LevelName, value: float, about: Mapping[str, str]) -> None: ...

    def close(self) -> None: ...


class Watch:
    """Those who look on."""

    def __init__(self, onlookers: Sequence[Onlooker] = ()) -> None:
        self._onlookers = onlookers

    def __bool__(self) -> bool:
        return bool(self._onlookers)

    @contextmanager
    def step(self, name: StepName, **about: str) -> Iterator[Step]:
        """Do a step until the end of the block."""
        step = Step(name, about)
        with self.seen(step):
            yield step

    @contextmanager
    def seen(self, step: Step) -> Iterator[None]:
        """The same for a step that has more to tell."""
        if not self._onlookers:
            yield
            return
        with ExitStack() as stack:
            for onlooker in self._onlookers:
                stack.enter_context(onlooker.step(step))
            yield

    def level(self, name: LevelName, value: float, **about: str) -> None:
        for onlooker in self._onlookers:
            onlooker.level(name, value, about)

    def close(self) -> None:
        for onlooker in self._onlookers:
            onlooker.close()
