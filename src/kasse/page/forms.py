"""Forms as browsers send them."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

from kasse.domain.refusals import Refusal

_LARGEST_FORM = 8192
_MOST_FIELDS = 60


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each once. Raises ``Refusal`` (body_too_large)."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise Refusal("body_too_large", f"expected a form of at most {_LARGEST_FORM} bytes")
    if body.count(b"&") >= _MOST_FIELDS:
        raise Refusal("body_too_large", f"expected a form of at most {_MOST_FIELDS} fields")
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
