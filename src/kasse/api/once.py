"""Requests with an ``Idempotency-Key`` have their effect once, however often they are sent.

The answer is stored in the same transaction as the effect. Where the effect takes several (money that moves through a
gateway), the first of them stores that the request is under way and which call it waits for, so that a repetition
cannot start it again. If the server dies before it has answered, a repetition goes on from where that call has led.
Source: auth reference, A-10; orders reference, O-15.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from kasse.api import wire
from kasse.api.headers import headers_of
from kasse.api.routes import Call, Route
from kasse.domain.access import StoredAnswer
from kasse.domain.refusals import Refusal
from kasse.domain.transaction import GatewayCall
from kasse.store.port import Decide, Loads, Query, Record, Store

T = TypeVar("T")

_LONGEST_KEY = 255


def answer_id(route: Route, request: Request) -> str | None:
    """The id under which the answer to a request is kept, None if it is not to be."""
    key = headers_of(request.scope).get("idempotency-key")
    if key is None or route.method not in ("POST", "PUT") or route.scopes is None or route.secret_answer:
        return None
    return hashlib.sha256(f"{route.method} {request.scope['path']}\n{key}".encode()).hexdigest()


async def answer_once(
    route: Route,
    call: Call,
    id: str,
    found: StoredAnswer | None,
    raw_body: bytes,
    answer: Callable[[Call, Callable[[Any], str | None]], Awaitable[Response]],
) -> Response:
    """Answer a request, or repeat what it was answered before: ``found``, if that is known already.

    ``answer`` gets what tells the body that a result of the handler has been stored with, if it has.

    Raises ``Refusal``: wrong_value, idempotency_key_reused (another body), request_under_way.
    """
    key = headers_of(call.request.scope)["idempotency-key"]
    if not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise Refusal(
            "wrong_value", f"expected an Idempotency-Key of 1 to {_LONGEST_KEY} printable characters, got {key[:40]!r}"
        )
    stored = StoredAnswer(
        account_id=call.account_id,
        id=id,
        # Keyed, because a body may hold what nobody shall guess from its digest.
        digest=hmac.new(call.house.pepper, raw_body, hashlib.sha256).hexdigest(),
        created_at=call.house.clock.now(),
    )
    if found is not None and (found.digest != stored.digest or not await _can_go_on(route, call, found)):
        return _repeated(found, stored)
    once = _Once(call.house.store, stored, lambda result: _rendered(route, call, result), found, route.repeatable)
    caller = call.caller if found is None else replace(call.caller, begun=found.call)
    # When the outcome is not known yet that is no answer for good: the same request is told it later.
    try:
        response = await answer(replace(call, house=replace(call.house, store=once), caller=caller), once.body_of)
        is_final = response.status_code < 500 and response.status_code != 202
    except _Answered as answered:
        return _repeated(answered.found, stored)
    except Refusal as refusal:
        response = wire.error_response(refusal)
        is_final = response.status_code < 500 and refusal.reason != "outcome_unknown"
    if is_final:
        await once.keep(response)
    if found is not None:
        response.headers["Idempotency-Replayed"] = "true"
    return response


async def _can_go_on(route: Route, call: Call, found: StoredAnswer) -> bool:
    """Whether a request that has no answer was cut off, at a point from where it can be answered now.

    While its gateway call is being made, whoever makes it may still come back with the answer; if he does not, the
    look-up takes over after a while.
    """
    key = found.call
    if found.status or key is None:
        return not found.status and route.repeatable
    waiting = await call.house.store.glance(lambda loads: loads.gateway_call(found.account_id, key))
    return waiting is not None and waiting.state != "started"


def _rendered(route: Route, call: Call, result: Any) -> str | None:
    """The body that the route would answer with, if the result is what it answers with."""
    if route.render is None or route.renders is None or not isinstance(result, route.renders):
        return None
    return msgspec.json.encode(route.render(call, result)).decode()


def _repeated(found: StoredAnswer, asked: StoredAnswer) -> Response:
    if found.digest != asked.digest:
        raise Refusal(
            "idempotency_key_reused",
            "expected the body that came with this Idempotency-Key before, got another one",
        )
    if found.status == 0:
        raise Refusal(
            "request_under_way",
            "the first request with this Idempotency-Key has no answer yet; send it again in a moment",
            headers={"Retry-After": "1"},
        )
    return Response(found.body, found.status, {"Idempotency-Replayed": "true"}, media_type=wire.JSON)


def _begun(records: Sequence[Record]) -> str | None:
    """The gateway call that a request goes on with: the one that it starts, or else one that is there."""
    calls = [record for record in records if isinstance(record, GatewayCall)]
    started = [call for call in calls if call.version == 1 and call.state == "started"]
    return next((call.key for call in started or calls), None)


@dataclass
class _Answered(Exception):
    """Somebody else has begun the same request."""

    found: StoredAnswer


class _Once:
    """A ``Store`` for one request: its first change notes the request in the same transaction.

    ``found`` is what a request that was cut off has left. Then its effect is there, and it changes nothing any more,
    unless it is ``repeatable``.
    """

    def __init__(
        self,
        store: Store,
        stored: StoredAnswer,
        render: Callable[[Any], str | None],
        found: StoredAnswer | None,
        repeatable: bool,
    ) -> None:
        self._store, self._stored, self._render = store, stored, render
        self._noted = found
        self._is_done = found is not None and not repeatable
        self._result: Any = None

    async def change(self, decide: Decide[T]) -> T:
        if self._noted is not None:
            return await self._store.change(self._only_look(decide) if self._is_done else decide)

        async def decide_once(loads: Loads) -> tuple[tuple[T, StoredAnswer | None], Sequence[Record]]:
            _, (result, records) = await loads.together(self._require_new(loads), decide(loads))
            if not records:
                return (result, None), ()
            body = self._render(result)
            noted = msgspec.structs.replace(self._stored, call=_begun(records))
            if body is not None:
                noted = msgspec.structs.replace(noted, status=200, body=body)
            return (result, noted), (*records, noted)

        result, self._noted = await self._store.change(decide_once)
        self._result = result
        return result

    def body_of(self, result: Any) -> str | None:
        """The body that was stored for this very result, so that it is made once."""
        noted = self._noted
        return noted.body if noted is not None and noted.status and result is self._result else None

    def _only_look(self, decide: Decide[T]) -> Decide[T]:
        async def decide_nothing(loads: Loads) -> tuple[T, Sequence[Record]]:
            result, records = await decide(loads)
            if records and self._noted is not None:
                raise _Answered(self._noted)
            return result, ()

        return decide_nothing

    async def _require_new(self, loads: Loads) -> None:
        found = await loads.stored_answer(self._stored.account_id, self._stored.id)
        if found is not None:
            raise _Answered(found)

    async def keep(self, response: Response) -> None:
        """Store an answer whose effect, if it has any, is stored already."""
        if self._noted is not None and self._noted.status:
            return
        answer = msgspec.structs.replace(
            self._stored,
            status=response.status_code,
            body=bytes(response.body).decode(),
            version=1 if self._noted is None else self._noted.version + 1,
            call=None if self._noted is None else self._noted.call,
        )

        async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
            found = await loads.stored_answer(answer.account_id, answer.id)
            return None, () if found is not None and found.version >= answer.version else (answer,)

        await self._store.change(decide)

    async def read(self, query: Query[T]) -> T:
        return await self._store.read(query)

    async def glance(self, query: Query[T]) -> T:
        return await self._store.glance(query)

    async def book_put(self, account_id: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        return await self._store.book_put(account_id, key, entry)

    async def book_replace(self, account_id: str, key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        return await self._store.book_replace(account_id, key, before, after)

    async def book_get(self, account_id: str, key: str) -> dict[str, Any] | None:
        return await self._store.book_get(account_id, key)

    async def forget_answers(self, before: Any) -> int:
        return await self._store.forget_answers(before)

    async def close(self) -> None:
        raise RuntimeError("a request does not close the store")
