"""The payer's page over HTTP. Every step is a plain form or link, so it works before and without the script.

Source: checkout reference, sections 2 (rows 17 to 26), 6 and 11; page reference.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from kasse.domain.refusals import Refusal
from kasse.operations import sessions
from kasse.operations.house import House
from kasse.page import answers, bank, express, paying, render
from kasse.page.callers import account_in, payer
from kasse.page.present import EXPRESS, pay_view, see
from kasse.page.theme import theme_css
from kasse.page.view import State
from kasse.page.watching import Events, standing

_log = structlog.get_logger()

Handler = Callable[[House, Request], Awaitable[Response]]

_PLACES: tuple[tuple[str, str, Handler], ...]


def routes(house: House) -> list[BaseRoute]:
    """The routes of the page, for ``api.app.build``."""
    return [
        *(Route(path, _guarded(house, handler), methods=[method]) for method, path, handler in _PLACES),
        Route("/v1/view/{session_id}/events", _guarded(house, Events(house)), methods=["GET"]),
        Route("/page-assets/{name}", _asset, methods=["GET"]),
    ]


def _guarded(house: House, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A payer is never shown an error in JSON."""

    async def handle(request: Request) -> Response:
        session_id = request.path_params.get("session_id") or request.query_params.get("sid", "")
        try:
            for name in request.path_params.keys() & {"session_id", "transaction_id"}:
                await house.clock.refresh(sessions.account_of(request.path_params[name]))
            return await handler(house, request)
        except Refusal as refusal:
            if refusal.status == 404:
                return answers.plain(request, "not_found", 404, session_id)
            return await _unavailable(house, request, refusal.status, session_id)
        except Exception as error:
            _log.error("page_failed", request_id=request.scope.get("request_id"), exc_info=error)
            return await _unavailable(house, request, 500, session_id)

    return handle


async def _unavailable(house: House, request: Request, status: int, session_id: str) -> Response:
    """With a way back to the shop, where it is known and nothing is being paid."""
    try:
        seen = await see(house, account_in(session_id), session_id)
    except Exception:
        return answers.plain(request, "unavailable", status, session_id)
    if seen.state not in EXPRESS | {"unavailable"}:
        return answers.plain(request, "unavailable", status, session_id)
    view = pay_view(house, replace(seen, state="unavailable"), answers.visit_of(request))
    # Nor does it hear how its session stands: it would load itself again and again for as long as the fault lasts.
    return answers.page(replace(view, data={name: said for name, said in view.data.items() if name != "watch"}), status)


async def _root(house: House, request: Request) -> Response:
    session_id = request.query_params.get("sid")
    if session_id is None:
        return answers.plain(request, "not_found", 404)
    return await _show(house, request, session_id)


async def _view(house: House, request: Request) -> Response:
    return await _show(house, request, request.path_params["session_id"])


async def _show(house: House, request: Request, session_id: str) -> Response:
    seen = await see(house, account_in(session_id), session_id)
    if all(event.name != "VISITED" for event in seen.session.events):
        await sessions.visited(house, payer(request, session_id), session_id)
        seen = await see(house, account_in(session_id), session_id)
    return answers.page(pay_view(house, seen, answers.visit_of(request)))


async def _state(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    told, _ = await standing(house, account_in(session_id), session_id)
    return JSONResponse(told, headers=answers.HEADERS)


async def _theme(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    session = await sessions.get(house, account_in(session_id), session_id)
    headers = {**answers.HEADERS, "Cache-Control": "private, max-age=86400"}
    return Response(theme_css(session.configuration.get("theme")), headers=headers, media_type="text/css")


async def _embed_result(house: House, request: Request) -> Response:
    """What a shop's frame shows in the end. It tells what the address says, and leads nowhere."""
    error = request.query_params.get("error")
    states: dict[str | None, State] = {None: "paid", "cancelled": "cancelled"}
    return answers.plain(request, states.get(error, "failed"), 200, request.query_params.get("sid", ""), result=True)


async def _asset(request: Request) -> Response:
    found = render.asset(request.path_params["name"])
    if found is None:
        return Response(status_code=404)
    content, content_type = found
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type=content_type)


_PLACES = (
    ("GET", "/", _root),
    ("GET", "/embedResult/", _embed_result),
    ("GET", "/v1/view/{session_id}", _view),
    ("GET", "/v1/view/{session_id}/", _view),
    ("POST", "/v1/view/{session_id}/pay", paying.pay),
    ("POST", "/v1/view/{session_id}/cancel", paying.cancel),
    # Where a form has been sent to, its address stays in the browser: whoever loads it again sees the page.
    ("GET", "/v1/view/{session_id}/pay", paying.back_to_view),
    ("GET", "/v1/view/{session_id}/cancel", paying.back_to_view),
    ("POST", "/v1/view/{session_id}/address", express.set_address),
    ("POST", "/v1/view/{session_id}/shipping", express.set_shipping),
    ("POST", "/v1/view/{session_id}/codes", express.set_codes),
    ("GET", "/v1/view/{session_id}/address", paying.back_to_view),
    ("GET", "/v1/view/{session_id}/shipping", paying.back_to_view),
    ("GET", "/v1/view/{session_id}/codes", paying.back_to_view),
    ("GET", "/v1/view/{session_id}/theme.css", _theme),
    ("GET", "/v1/view/{session_id}/state", _state),
    ("POST", "/v1/view/{session_id}/session/abandon", paying.abandon),
    ("GET", "/v1/sessions/{session_id}/redirect/{transaction_id}", paying.come_back),
    ("GET", "/sandbox/challenge/{transaction_id}", bank.challenge),
    ("POST", "/sandbox/challenge/{transaction_id}/{answer}", bank.answer),
    ("GET", "/sandbox/challenge/{transaction_id}/{answer}", bank.challenge),
)
