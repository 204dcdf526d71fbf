"""A gateway whose calls are seen by those who look on, and hold up nobody while the gateway thinks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from kasse.domain.transaction import CallKind
from kasse.gateways.port import (
    Approved,
    CardDetails,
    Declined,
    Gateway,
    Instruction,
    NoAnswer,
    NotFound,
    OnHold,
    PayerNeeded,
)
from kasse.overload import aside
from kasse.watch.port import Watch

A = TypeVar("A")

_OUTCOMES: dict[type, str] = {
    Approved: "approved",
    Declined: "declined",
    OnHold: "on_hold",
    PayerNeeded: "payer_needed",
    NotFound: "not_found",
}


def watched(gateway: Gateway, watch: Watch) -> Gateway:
    return cast(Gateway, _WatchedGateway(gateway, watch))


class _WatchedGateway:
    def __init__(self, gateway: Gateway, watch: Watch) -> None:
        self._gateway = gateway
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gateway, name)

    async def authorize(self, instruction: Instruction, card: CardDetails | None) -> Any:
        return await self._call("authorize", self._gateway.authorize(instruction, cast(Any, card)))

    async def capture(self, instruction: Instruction) -> Any:
        return await self._call("capture", self._gateway.capture(instruction))

    async def refund(self, instruction: Instruction) -> Any:
        return await self._call("refund", self._gateway.refund(instruction))

    async def void(self, instruction: Instruction) -> Any:
        return await self._call("void", self._gateway.void(instruction))

    async def look_up(self, kind: CallKind, instruction: Instruction) -> Any:
        return await self._call("look_up", self._gateway.look_up(kind, instruction))

    async def _call(self, kind: str, call: Awaitable[A]) -> A:
        with self._watch.step("gateway_call", gateway=self._gateway.name, kind=kind) as step:
            try:
                with aside():
                    answer = await call
            except (NoAnswer, TimeoutError, asyncio.CancelledError):
                step.outcome = "no_answer"
                raise
            step.outcome = _OUTCOMES.get(type(answer), "other")
            return answer
