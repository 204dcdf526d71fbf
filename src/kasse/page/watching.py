"""Pages that wait are told when something happens, instead of asking again and again.

Each worker process has one watcher. While any page listens it reads once a second, in one query for all of them, the
versions of their sessions and orders, and wakes the pages whose version has moved. So what it costs does not grow
with the time that payers wait, and any worker hears what another has done. A worker takes no more than ``MOST``
listeners; a page that is turned away asks now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from kasse.operations.house import House
from kasse.overload import aside, is_stopping
from kasse.page.answers import HEADERS
from kasse.page.callers import account_in
from kasse.page.present import OVER, see

EVERY_S = 1.0
MOST = 5000
STILL_THERE_S = 15.0
LONGEST_S = 600.0
_AT_ONCE = 500
_log = structlog.get_logger()

Key = tuple[str, str]


@dataclass(eq=False)
class Listener:
    """One open page. ``expires_at`` is when its session ends by itself."""

    key: Key
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    expires_at: datetime | None = None


class Watcher:
    """Wakes the listeners of this worker."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._listeners: dict[Key, set[Listener]] = {}
        self._versions: dict[Key, tuple[int, int]] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        return self._count >= MOST

    @contextmanager
    def listening(self, key: Key) -> Iterator[Listener]:
        listener = Listener(key)
        self._listeners.setdefault(key, set()).add(listener)
        # The next look wakes it in any case, so that nothing is missed between its page and now.
        self._versions.pop(key, None)
        self._count += 1
        if self._task is None or self._task.done() or self._task.cancelling():
            self._task = asyncio.create_task(self._watch())
        try:
            yield listener
        finally:
            self._count -= 1
            same = self._listeners[key]
            same.discard(listener)
            if not same:
                del self._listeners[key]
                self._versions.pop(key, None)
            if not self._listeners:
                self._task.cancel()

    async def _watch(self) -> None:
        while self._listeners and not is_stopping():
            try:
                await self._look()
            except Exception as error:
                _log.error("watching_failed", exc_info=error)
            await asyncio.sleep(EVERY_S)
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.woken.set()

    async def _look(self) -> None:
        keys = iter(list(self._listeners))
        while some := list(islice(keys, _AT_ONCE)):
            found = await self._house.store.glance(lambda loads, some=some: loads.versions(some))  # type: ignore[misc]
            for key in some:
                self._wake(key, found.get(key, (0, 0)))

    def _wake(self, key: Key, versions: tuple[int, int]) -> None:
        now = self._house.clock.now(key[0])
        moved = self._versions.get(key) != versions
        self._versions[key] = versions
        for listener in self._listeners.get(key, ()):
            over = listener.expires_at is not None and now >= listener.expires_at
            if moved or over:
                listener.woken.set()


async def standing(house: House, account_id: str, session_id: str) -> tuple[dict[str, Any], datetime]:
    """How a session stands, as a waiting page is told, and until when that holds by itself.

    Raises ``Refusal`` (session_not_found).
    """
    seen = await see(house, account_id, session_id)
    href = seen.href if seen.state in OVER else None
    told = {"state": seen.state, "version": seen.session.version, "href": href}
    return told, seen.session.expires_at


class Events:
    """``GET /v1/view/{session_id}/events``: server-sent events, one whenever a page should look again."""

    def __init__(self, house: House) -> None:
        self._house, self._watcher = house, Watcher(house)

    async def __call__(self, house: House, request: Request) -> Response:
        session_id = request.path_params["session_id"]
        account_id = account_in(session_id)
        await standing(house, account_id, session_id)
        if self._watcher.is_full:
            return Response(status_code=503, headers={**HEADERS, "Retry-After": "30"})
        # Proxies that gather answers before they pass them on would keep this one for ever.
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._tell(account_id, session_id), media_type="text/event-stream", headers=headers)

    async def _tell(self, account_id: str, session_id: str) -> AsyncIterator[bytes]:
        yield b"retry: 3000\n\n"
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + LONGEST_S
        last: dict[str, Any] | None = None
        with self._watcher.listening((account_id, session_id)) as listener:
            while loop.time() < ends_at and not is_stopping():
                try:
                    with aside():
                        await asyncio.wait_for(listener.woken.wait(), STILL_THERE_S)
                except TimeoutError:
                    yield b":\n\n"
                    continue
                listener.woken.clear()
                if is_stopping():
                    return
                told, expires_at = await standing(self._house, account_id, session_id)
                # Once that has passed, no clock has anything more to say.
                still = self._house.clock.now(account_id) < expires_at
                listener.expires_at = expires_at if still else None
                if told != last:
                    yield b"data: " + msgspec.json.encode(told) + b"\n\n"
                last = told
