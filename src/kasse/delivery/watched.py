"""Calls to merchants that are seen by those who look on, and hold up nobody while the merchant thinks."""

from __future__ import annotations

from typing import Any, Literal, cast

from kasse.delivery.outgoing import CallFailed, Outgoing, Reply
from kasse.overload import aside
from kasse.watch.port import Watch


def watched(outgoing: Outgoing, watch: Watch, step: Literal["delivery", "question"]) -> Outgoing:
    return cast(Outgoing, _WatchedOutgoing(outgoing, watch, step))


class _WatchedOutgoing:
    def __init__(self, outgoing: Outgoing, watch: Watch, step: Literal["delivery", "question"]) -> None:
        self._outgoing = outgoing
        self._watch = watch
        self._step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outgoing, name)

    async def call(self, *what: Any, **how: Any) -> Reply:
        with self._watch.step(self._step) as step:
            try:
                with aside():
                    reply = await self._outgoing.call(*what, **how)
            except CallFailed:
                step.outcome = "no_answer"
                raise
            step.outcome = f"{reply.status_code // 100}xx"
            return reply
