"""Requests with an ``Idempotency-Key`` have their effect once, however often they are sent.

The answer is stored in the same transaction as the effect. Where the effect takes several (money that moves through a
gateway), the first of them stores that the request is under way, so that a repetition cannot start it again.
Source: auth reference, A-10; orders reference, O-15.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from kasse.api import wire
from kasse.api.routes import Call, Route
from kasse.domain.access import StoredAnswer
from kasse.domain.refusals import Refusal
from kasse.store.port import Decide, Loads, Query, Record, Store

T = TypeVar("T")

_LONGEST_KEY = 255
_JSON = "application/json; charset=utf-8"


async def answer_once(
    route: Route, call: Call, key: str, raw_body: bytes, answer: Callable[[Call], Awaitable[Response]]
) -> Response:
    """Answer a request, or repeat what it was answered before.

    Raises ``Refusal``: wrong_value, idempotency_key_reused (another body), request_under_way.
    """
    if not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise Refusal(
            "wrong_value", f"expected an Idempotency-Key of 1 to {_LONGEST_KEY} printable characters, got {key[:40]!r}"
        )
    about = f"{route.method} {call.request.url.path}\n{key}".encode()
    stored = StoredAnswer(
        account_id=call.account_id,
        id=hashlib.sha256(about).hexdigest(),
        # Keyed, because a body may hold what nobody shall guess from its digest.
        digest=hmac.new(call.house.pepper, raw_body, hashlib.sha256).hexdigest(),
        created_at=call.house.clock.now(),
    )
    once = _Once(call.house.store, stored, lambda result: _rendered(route, call, result))
    found = await once.glance(lambda loads: loads.stored_answer(stored.account_id, stored.id))
    if found is not None:
        return _repeated(found, stored)
    try:
        response = await answer(replace(call, house=replace(call.house, store=once)))
    except _Answered as answered:
        return _repeated(answered.found, stored)
    except Refusal as refusal:
        response = wire.error_response(refusal)
    if response.status_code < 500:
        await once.keep(response)
    return response


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
            "the first request with this Idempotency-Key has no answer yet; if it was cut off, look at what it was "
            "about before sending another one",
            headers={"Retry-After": "1"},
        )
    return Response(found.body, found.status, {"Idempotency-Replayed": "true"}, media_type=_JSON)


@dataclass
class _Answered(Exception):
    """Somebody else has begun the same request."""

    found: StoredAnswer


class _Once:
    """A ``Store`` for one request: its first change notes the request in the same transaction."""

    def __init__(self, store: Store, stored: StoredAnswer, render: Callable[[Any], str | None]) -> None:
        self._store, self._stored, self._render = store, stored, render
        self._noted: StoredAnswer | None = None

    async def change(self, decide: Decide[T]) -> T:
        if self._noted is not None:
            return await self._store.change(decide)

        async def decide_once(loads: Loads) -> tuple[tuple[T, StoredAnswer | None], Sequence[Record]]:
            found = await loads.stored_answer(self._stored.account_id, self._stored.id)
            if found is not None:
                raise _Answered(found)
            result, records = await decide(loads)
            if not records:
                return (result, None), ()
            body = self._render(result)
            noted = self._stored
            if body is not None:
                noted = msgspec.structs.replace(noted, status=200, body=body)
            return (result, noted), (*records, noted)

        result, self._noted = await self._store.change(decide_once)
        return result

    async def keep(self, response: Response) -> None:
        """Store an answer whose effect, if it has any, is stored already."""
        if self._noted is not None and self._noted.status:
            return
        answer = msgspec.structs.replace(
            self._stored,
            status=response.status_code,
            body=bytes(response.body).decode(),
            version=1 if self._noted is None else 2,
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
