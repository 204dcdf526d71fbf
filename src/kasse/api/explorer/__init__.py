"""The interactive page of the API: made from this server's own document, with nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

_FILES = {
    "/docs": ("explorer.html", "text/html; charset=utf-8"),
    "/docs/explorer.css": ("explorer.css", "text/css; charset=utf-8"),
    "/docs/explorer.js": ("explorer.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def routes() -> list[BaseRoute]:
    return [Route(path, _serve, methods=["GET"]) for path in _FILES]


async def _serve(request: Request) -> Response:
    name, content_type = _FILES[request.url.path]
    return Response((Path(__file__).parent / name).read_bytes(), headers=_HEADERS, media_type=content_type)
