"""What happens to every request before anything else: it gets an id, a place among those under way, a log line."""

from __future__ import annotations

import itertools
import re
import time
import uuid

import structlog
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kasse.api.headers import headers_of
from kasse.api.wire import error_response
from kasse.domain.refusals import Refusal
from kasse.overload import Gate, Overloaded, aside
from kasse.watch.port import Step, Watch

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STEP = "kasse.step"
UNKNOWN_ROUTE, REFUSED = "(unknown)", "(overloaded)"
HEALTH = ("/health/live", "/health/ready")
TELL_EVERY_S = 1.0
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
# Whoever has the whole id of a session can open its page, so the log gets a part of it.
_SECRET_IDS = re.compile(r"([PT]\d{8}\.\w{6})\w+")
_log = structlog.get_logger()


class Entrance:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, gate: Gate, watch: Watch) -> None:
        self._app = app
        self._gate = gate
        self._watch = watch
        self._refusals = Refusals(watch)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] in HEALTH:
            # Whether the server lives can be asked however full it is.
            await self._answer(scope, receive, send)
        else:
            try:
                async with self._gate.place():
                    await self._answer(scope, receive, send)
            except Overloaded:
                await self._refusals.send(scope, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = scope["request_id"] = _request_id(scope)
        started = time.perf_counter()

        async def next_part() -> Message:
            with aside():
                return await receive()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"request-id", request_id.encode())]
                status, duration = message["status"], round((time.perf_counter() - started) * 1000, 1)
                _log.info("request", method=scope["method"], path=shown(scope["path"]), status=status, ms=duration)
                step.outcome = str(status)
            with aside():
                await send(message)

        step = scope[_STEP] = _step(scope, request_id)
        with self._watch.seen(step):
            _name_in_logs(step, request_id)
            await self._app(scope, next_part, answer)


def name_route(route: BaseRoute) -> None:
    """Have a route say which one it is, for metrics and traces: its address with {names} in place of values."""
    if not isinstance(route, Route | Mount):
        return
    inner, path = route.app, route.path

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        name_step(scope, path)
        await inner(scope, receive, send)

    route.app = named


def name_step(scope: Scope, path: str) -> None:
    """Say which route a request goes to: its address with {names} in place of values."""
    if _STEP in scope:
        scope[_STEP].about["route"] = path


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


def shown(path: str) -> str:
    """A path as it may be logged."""
    return _SECRET_IDS.sub(r"\1...", path)


def _request_id(scope: Scope) -> str:
    """Its caller's own where it is usable (A-11)."""
    given = headers_of(scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def _step(scope: Scope, request_id: str) -> Step:
    """A request as those see it who look on. Source of the headers: W3C Trace Context."""
    about = {"method": _method(scope), "route": UNKNOWN_ROUTE}
    step = Step("request", about, detail={"kasse.request_id": request_id})
    headers = headers_of(scope)
    parent = headers.get("traceparent", "")
    if found := _TRACE_PARENT.fullmatch(parent):
        step.trace_id = found[1]
        step.parent = {"traceparent": parent, "tracestate": headers.get("tracestate", "")}
    return step


def _name_in_logs(step: Step, request_id: str) -> None:
    """Every line that is logged while a request is answered names it. Each request is a task with a context of its own,
    so nothing has to be taken back."""
    names = {"request_id": request_id}
    if step.trace_id is not None:
        names["trace_id"] = step.trace_id
    structlog.contextvars.bind_contextvars(**names)


class Refusals:
    """The answer when there is too much to do: made beforehand, because there is no time for it then."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._answers = itertools.cycle([self._made(seconds) for seconds in (1, 2, 3)])
        self._since_told, self._told_at = 0, 0.0

    @staticmethod
    def _made(seconds: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        message = f"there is more to do than can be done in time; nothing was stored, try again in {seconds} s"
        response = error_response(Refusal("overloaded", message, headers={"Retry-After": str(seconds)}))
        return bytes(response.body), response.raw_headers

    async def send(self, scope: Scope, send: Send) -> None:
        # Not all come back at the same moment.
        body, headers = next(self._answers)
        headers = [*headers, (b"request-id", _request_id(scope).encode())]
        with self._watch.step("request", method=_method(scope), route=REFUSED) as step:
            step.outcome = "503"
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        self._tell()

    def _tell(self) -> None:
        """One line for many: a log that is written for each would be a load of its own."""
        self._since_told += 1
        now = time.monotonic()
        if now - self._told_at > TELL_EVERY_S:
            _log.warning("overloaded", refused=self._since_told)
            self._since_told, self._told_at = 0, now
