"""The application: routes, who may call them, error answers.

Every request goes the same way: route, token, scope, body, handler. Errors are raised where the rule is and
become an answer here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from kasse.api import wire
from kasse.api.addresses import FOUND, Addresses
from kasse.api.entrance import Entrance, name_route, name_step
from kasse.api.headers import headers_of
from kasse.api.once import answer_id, answer_once
from kasse.api.other_sites import open_to_other_sites
from kasse.api.routes import Answer, Call, Route
from kasse.domain.access import Caller, RequestNote, StoredAnswer, account_id, allows, origin
from kasse.domain.refusals import Refusal
from kasse.operations import api_keys
from kasse.operations.house import House
from kasse.operations.sessions import account_of
from kasse.overload import Gate
from kasse.store.port import Contradiction, Loads, StoreUnavailable

_CHECKOUT = ("/v1/sessions", "/v1/transactions", "/v1/admin/session/profiles")
_NOTED_BODY = 10_000
_log = structlog.get_logger()

Endpoint = Callable[[Request], Awaitable[Response]]
Who = tuple[str, str, frozenset[str]]


def build(house: House, routes: Iterable[Route], more: Iterable[BaseRoute] = ()) -> ASGIApp:
    """Put routes and pages together."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for route in routes:
        for path in (route.path, *_aliases(route.path)):
            by_path.setdefault(path, {})[route.method] = endpoint(house, route)
    calls = {path: _by_method(found) for path, found in by_path.items()}
    every = [*(StarletteRoute(path, calls[path], methods=[*found]) for path, found in by_path.items()), *more]
    for each in every:
        name_route(each)
    addresses = Addresses(each for each in every if isinstance(each, StarletteRoute))
    app = Starlette(
        routes=[addresses, *(each for each in every if not isinstance(each, StarletteRoute))],
        exception_handlers={HTTPException: _on_http_exception, Exception: _on_exception},  # type: ignore[dict-item]
    )
    # An address with a slash too many is an unknown one, and answered as such.
    app.router.redirect_slashes = False
    limits = house.settings
    gate = Gate(limits.max_under_way, limits.max_waiting, limits.max_wait)
    return Entrance(open_to_other_sites(_Straight(addresses, calls, app)), gate, house.watch)


class _Straight:
    """Calls of the API go straight to their endpoints, which answer every error; all else goes to ``rest``."""

    def __init__(self, addresses: Addresses, calls: Mapping[str, Endpoint], rest: ASGIApp) -> None:
        self._addresses, self._calls, self._rest = addresses, calls, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match, found = self._addresses.matches(scope)
        route = found[FOUND] if match is Match.FULL else None
        if route is None or route.path not in self._calls:
            await self._rest(scope, receive, send)
            return
        scope.update(found)
        name_step(scope, route.path)
        response = await self._calls[route.path](Request(scope, receive))
        await response(scope, receive, send)


def _aliases(path: str) -> Iterator[str]:
    """The other address of a checkout call, below the account (checkout reference, section 1)."""
    if path.startswith(_CHECKOUT):
        yield f"/v1/accounts/{{aid}}/payments{path.removeprefix('/v1')}"


def _by_method(found: dict[str, Endpoint]) -> Endpoint:
    """All that one address can do, so that a wrong method is told every right one."""

    async def handle(request: Request) -> Response:
        return await found["GET" if request.method == "HEAD" else request.method](request)

    return handle


def endpoint(house: House, route: Route) -> Endpoint:
    async def handle(request: Request) -> Response:
        try:
            id = answer_id(route, request)
            who, found = await _who(house, route, request, id)
            call, raw_body = await _call(house, route, request, who)
            if id is None:
                return await _answer(route, call)
            return await answer_once(route, call, id, found, raw_body, partial(_answer, route))
        except Refusal as refusal:
            return wire.error_response(refusal)
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            return _on_exception(request, error)

    return handle


async def _answer(route: Route, call: Call, stored: Callable[[Any], str | None] = lambda result: None) -> Response:
    answer = await route.handler(call)
    if isinstance(answer, Response):
        return answer
    if (body := stored(answer)) is not None:
        return Response(body, media_type=wire.JSON)
    if route.render is not None:
        answer = route.render(call, answer)
    if not isinstance(answer, Answer):
        answer = Answer(answer)
    return wire.json_response(answer.data, answer.status, answer.headers)


async def _call(house: House, route: Route, request: Request, who: Who) -> tuple[Call, bytes]:
    account, by, scopes = who
    if by:
        house.rates.check(account, by)
    raw_body = await _body(request, house.settings.max_body)
    raw, body = _read_body(route, raw_body, house.settings.relaxed_items)
    note = None
    if route.method != "GET":
        text = None if route.secret_body or not raw_body else raw_body[:_NOTED_BODY].decode(errors="replace")
        note = RequestNote(route.method, request.scope["path"], text)
    came_from = origin(headers_of(request.scope), request.client.host if request.client else None)
    caller = Caller(account, by, scopes, request.scope["request_id"], note, origin=came_from)
    return Call(house, request, account, caller, body, raw, route.query), raw_body


async def _who(house: House, route: Route, request: Request, answer: str | None) -> tuple[Who, StoredAnswer | None]:
    """The account a request is about, who asks, and with what scopes; and what it was answered before."""
    named = request.path_params.get("aid")
    account = account_id(named) if named is not None else ""
    if route.scopes is None:
        if "session_id" in request.path_params:
            # With a token, its account's clock comes along.
            await house.clock.refresh(account_of(request.path_params["session_id"]))
        return (account, "", frozenset()), None
    who, found = await _holder(house, request, answer)
    holder, _, scopes = who
    if account and account != holder:
        raise Refusal("other_account", f"the token is for account {holder}, this call is about {account}")
    if not allows(scopes, route.scopes):
        needed, held = " or ".join(route.scopes), ", ".join(sorted(scopes)) or "none"
        raise Refusal("missing_scope", f"expected a token with the scope {needed}, this one has {held}")
    return who, found


async def _holder(house: House, request: Request, answer: str | None) -> tuple[Who, StoredAnswer | None]:
    """Whose token or API key it is, and what it may do. A token goes before a key (A-13)."""

    async def answered(loads: Loads, account_id: str) -> StoredAnswer | None:
        return None if answer is None else await loads.stored_answer(account_id, answer)

    headers = headers_of(request.scope)
    header, key = headers.get("authorization", ""), headers.get("x-api-key")
    if key is not None and not header:
        holder = await api_keys.check(house, key)
        found = await house.store.glance(lambda loads: answered(loads, holder.account_id))
        return (holder.account_id, holder.id, api_keys.SCOPES), found
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(
            "unauthorized",
            "expected the header Authorization: Bearer <access token>, got "
            + ("none" if not scheme else f"the scheme {scheme[:20]!r}"),
            headers={"WWW-Authenticate": "Bearer"},
        )
    rights, found = await house.tokens.check_and_load(token.strip(), answered)
    return (rights.account_id, rights.client, rights.scopes), found


async def _body(request: Request, limit: int) -> bytes:
    """The whole body, chunked or not, up to the limit."""
    if request.method in ("GET", "DELETE"):
        return b""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise Refusal("body_too_large", f"expected a body of at most {limit} bytes, got more")
        parts.append(part)
    return b"".join(parts)


def _read_body(route: Route, raw_body: bytes, relaxed: bool) -> tuple[Any, Any]:
    """The body as sent and as its struct. A call that needs none takes anything that is JSON, or nothing (A-14)."""
    if not raw_body.strip():
        if route.body is not None and route.body_required:
            raise Refusal("bad_json", "expected a JSON body, got none")
        return {}, None if route.body is None else wire.typed({}, route.body)
    raw = wire.parse(raw_body)
    if route.body is None:
        return raw, None
    if not route.body_required and (raw is None or raw == []):
        raw = {}
    if not isinstance(raw, dict):
        raise Refusal("wrong_type", f"expected a JSON object, got {'an array' if isinstance(raw, list) else 'a value'}")
    if relaxed and route.relaxed is not None:
        raw = route.relaxed(raw)
    return raw, wire.typed(raw, route.body)


def _on_http_exception(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        allowed = ", ".join(_methods(request))
        refusal = Refusal(
            "method_not_allowed",
            f"expected {allowed} on {request.url.path}, got {request.method}",
            headers={"Allow": allowed},
        )
    elif error.status_code == 404:
        refusal = Refusal("unknown_route", f"there is nothing at {request.method} {request.url.path[:200]}")
    else:
        refusal = Refusal("bad_request", str(error.detail))
    return wire.error_response(refusal)


def _methods(request: Request) -> list[str]:
    """Every method that the address of a request knows."""
    routes = [
        route for each in request.app.routes if isinstance(each, Addresses) for route in each.at(request.url.path)
    ]
    here = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in here for method in route.methods or ()})


def _on_exception(request: Request, error: Exception) -> Response:
    request_id = request.scope.get("request_id")
    if isinstance(error, StoreUnavailable):
        _log.error("store_unavailable", error=str(error))
        message = "the database cannot be reached or written right now; nothing was stored, try again"
        return wire.error_response(Refusal("unavailable", message, headers={"Retry-After": "1"}))
    reason = "contradiction" if isinstance(error, Contradiction) else "unexpected"
    _log.error("request_failed", reason=reason, exc_info=error)
    message = f"something went wrong on the server; nothing was stored (request {request_id})"
    return wire.error_response(Refusal("server_error", message))
