"""The headers of a request."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

_READ = "kasse.headers"


def headers_of(scope: Scope) -> Mapping[str, str]:
    """By their names in lower case; of several with the same name the first.

    They are asked for a dozen times while a request is answered, most of them for one that is not there, so they are
    read once.
    """
    found: dict[str, str] | None = scope.get(_READ)
    if found is None:
        found = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        scope[_READ] = found
    return found
