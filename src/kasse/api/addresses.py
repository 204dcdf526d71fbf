"""Finds the route of an address without trying all of them: it takes no longer, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

FOUND = "kasse.route"


@dataclass
class _Branch:
    """What the addresses that begin alike have next: words, or any value at all."""

    words: dict[str, _Branch] = field(default_factory=dict)
    value: _Branch | None = None
    routes: list[tuple[int, Route]] = field(default_factory=list)

    def grow(self, steps: Sequence[str]) -> _Branch:
        branch = self
        for step in steps:
            if "{" in step:
                branch.value = branch.value or _Branch()
                branch = branch.value
            else:
                branch = branch.words.setdefault(step, _Branch())
        return branch

    def fitting(self, steps: Sequence[str]) -> Iterator[tuple[int, Route]]:
        """Routes that may be meant, with their numbers."""
        if not steps:
            yield from self.routes
            return
        step, *rest = steps
        if step in self.words:
            yield from self.words[step].fitting(rest)
        if self.value is not None:
            yield from self.value.fitting(rest)


class Addresses(BaseRoute):
    """Many routes as one. Their paths have no values that span several steps (``{name:path}``)."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = list(routes)
        self._root = _Branch()
        for numbered in enumerate(self.routes):
            self._root.grow(numbered[1].path.split("/")).routes.append(numbered)

    def at(self, path: str) -> list[Route]:
        """Routes that may be meant, in the order in which they were declared."""
        return [route for _, route in sorted(self._root.fitting(path.split("/")), key=lambda numbered: numbered[0])]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        partial: tuple[Match, Scope] = Match.NONE, {}
        for route in self.at(scope["path"]):
            match, child = route.matches(scope)
            if match is Match.FULL:
                return match, {**child, FOUND: route}
            if match is Match.PARTIAL and partial[0] is Match.NONE:
                partial = match, {**child, FOUND: route}
        return partial

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope[FOUND].handle(scope, receive, send)
