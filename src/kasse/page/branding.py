"""Pictures that shop plugins put beside their payment choice: which cards are taken.

They are drawn here, from plain shapes and words; no mark of anybody else is used. Source: checkout reference, row 16.
"""

from __future__ import annotations

import re
from html import escape

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TAIL = "/variant/{variant}/color/{color}/width/{width}/{template}"
_PATHS = (
    "/v1/branding/profiles/{profile_id}" + _TAIL,
    "/v1/branding/accounts/{aid}/profiles/{profile_id}" + _TAIL,
    "/v1/branding/logos/{logos}" + _TAIL,
)
_COLOR = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})", re.ASCII)
_PLAIN = "4b5563"
_WIDEST, _USUAL = 2000, 420
_HEADERS = {
    "Cache-Control": "public, max-age=86400",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
}


def routes() -> list[Route]:
    """The addresses of the pictures. What cannot be used of an address is taken for what is usual: a picture is
    better than none."""
    return [Route(path, _picture, methods=["GET"]) for path in _PATHS]


async def _picture(request: Request) -> Response:
    wanted = request.path_params
    found = _COLOR.fullmatch(wanted["color"])
    color = found[1] if found else _PLAIN
    digits = wanted["width"] if wanted["width"].isascii() and wanted["width"].isdigit() else str(_USUAL)
    width = min(max(int(digits[:6]), 1), _WIDEST)
    words = [word for word in wanted["logos"].split(",") if word][:8] if "logos" in wanted else ["Visa", "Mastercard"]
    return Response(_drawn(color, width, words), headers=_HEADERS, media_type="image/svg+xml")


def _drawn(color: str, width: int, words: list[str]) -> str:
    label = escape(" · ".join(re.sub(r"[^\w. -]", "", word)[:24] for word in words))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" viewBox="0 0 420 48" role="img">'
        f"<title>Secure payment: {label}</title>"
        f'<g fill="none" stroke="#{color}" stroke-width="2">'
        '<rect x="8" y="10" width="44" height="28" rx="4"/><path d="M8 19h44M15 30h12"/></g>'
        f'<text x="66" y="30" font-family="system-ui, sans-serif" font-size="16" fill="#{color}">'
        f"Secure payment · {label}</text></svg>"
    )
