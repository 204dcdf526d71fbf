"""The tree of addresses leads where trying every route in turn would lead."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.routing import Match, Route

from kasse.api.addresses import Addresses

_steps = st.sampled_from(["orders", "sessions", "{id}", "{name}.json", "{other}", ""])
_paths = st.lists(_steps, min_size=1, max_size=4).map(lambda steps: "/" + "/".join(steps))
_asked = st.lists(st.sampled_from(["orders", "sessions", "x", "x.json", ""]), min_size=1, max_size=5)


async def _answer(request: Any) -> Response:
    return Response()


def _route(path: str, method: str) -> Route:
    # One path may not name two values alike.
    named = "/".join(step.replace("}", f"{n}}}") for n, step in enumerate(path.split("/")))
    return Route(named, _answer, methods=[method])


def _one_by_one(routes: list[Route], scope: dict[str, Any]) -> tuple[Match, Route | None]:
    partial: tuple[Match, Route | None] = (Match.NONE, None)
    for route in routes:
        match, _ = route.matches(scope)
        if match is Match.FULL:
            return match, route
        if match is Match.PARTIAL and partial[0] is Match.NONE:
            partial = match, route
    return partial


@given(
    st.lists(st.builds(_route, _paths, st.sampled_from(["GET", "POST"])), max_size=12),
    _asked.map(lambda steps: "/" + "/".join(steps)),
    st.sampled_from(["GET", "PUT"]),
)
def test_it_finds_the_route_that_trying_all_finds(routes: list[Route], path: str, method: str) -> None:
    scope = {"type": "http", "path": path, "method": method}
    match, child = Addresses(routes).matches(scope)
    assert (match, child.get("kasse.route")) == _one_by_one(routes, scope)
