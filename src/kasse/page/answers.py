"""Answers to browsers: pages with their security headers, and redirects between them.

The session id is the secret that opens the page: it is kept out of referrers and caches.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from kasse.page import render
from kasse.page.framing import ANYONE
from kasse.page.view import PayView, State, plain_view
from kasse.page.visit import Visit, read_visit

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


VISIT = "kasse_visit"


def visit_of(request: Request) -> Visit:
    """By the address; for a payer who comes back from elsewhere by what ``remember`` has left with his browser."""
    query = {**dict(parse_qsl(unquote(request.cookies.get(VISIT, "")))), **request.query_params}
    return read_visit(query, request.headers)


def remember(response: Response, visit: Visit, session_id: str, secure: bool) -> None:
    """Have the browser keep the visit while the payer is at an address that is not ours: none of it comes back with
    him from there. The cookie goes to nothing but the address that he comes back to."""
    path = f"/v1/sessions/{quote(session_id)}/redirect"
    response.set_cookie(VISIT, quote(visit.query), 3600, path=path, secure=secure, httponly=True, samesite="lax")


def page(view: PayView, status: int = 200) -> Response:
    return html(render.render_pay(view), status, frames=view.frame_ancestors)


def plain(request: Request, state: State, status: int, session_id: str = "", *, result: bool = False) -> Response:
    """A page about no session in particular. It shows nothing and does nothing, so it may stand in any frame.

    A ``result`` is what is left in a frame after the end.
    """
    view = plain_view(state, visit_of(request), session_id, result)
    return html(render.render_message(view), status, frames=ANYONE)


def html(text: str, status: int = 200, *, frames: str, forms: str = "'self'") -> Response:
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; "
        f"base-uri 'none'; frame-ancestors {frames}; form-action {forms}"
    )
    return HTMLResponse(text, status, {**HEADERS, "Content-Security-Policy": policy})


def to_view(request: Request, session_id: str) -> Response:
    return RedirectResponse(view_address(session_id, visit_of(request)), 303)


def view_address(session_id: str, visit: Visit) -> str:
    return f"/v1/view/{quote(session_id)}?{visit.query}"
