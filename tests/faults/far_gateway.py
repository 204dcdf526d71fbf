"""A gateway as another package brings it along: it asks the acquirer (``acquirer.py``) at FAR_ACQUIRER.

Servers that load it also have a clock that jumps: it is ahead of the machine's by the seconds in the file at FAR_CLOCK.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from kasse.clock import SystemClock
from kasse.domain.transaction import CallKind, PaymentError
from kasse.gateways.port import Approved, Declined, Instruction, LookedUp, Method, NoAnswer, NotFound, Surroundings

_ANSWERS: dict[str, LookedUp] = {
    "approved": Approved(),
    "declined": Declined(PaymentError("the acquirer said no", type=("DECLINED",))),
    "not_found": NotFound(),
}


class FarGateway:
    name = "far"
    methods = (Method("dintero_psp.creditcard", takes_card=True),)

    def __init__(self, around: Surroundings) -> None:
        self._url = os.environ["FAR_ACQUIRER"]
        _let_the_clock_jump(Path(os.environ["FAR_CLOCK"]))

    def serves(self, account_id: str) -> bool:
        return account_id.startswith("T")

    def check_card(self, account_id: str, card: Any) -> None:
        """Any will do."""

    async def authorize(self, told: Instruction, card: Any) -> Any:
        return await self._ask("authorize", told)

    async def capture(self, told: Instruction) -> Any:
        return await self._ask("capture", told)

    async def refund(self, told: Instruction) -> Any:
        return await self._ask("refund", told)

    async def void(self, told: Instruction) -> Any:
        return await self._ask("void", told)

    async def look_up(self, kind: CallKind, told: Instruction) -> LookedUp:
        return await self._ask("look_up", told, kind)

    async def _ask(self, what: str, told: Instruction, kind: str = "") -> LookedUp:
        body = {"key": told.key, "amount": told.amount, "authorization": told.authorization, "kind": kind}
        try:
            async with aiohttp.ClientSession() as session, session.post(f"{self._url}/{what}", json=body) as answer:
                # What makes no sense is an error that nobody has thought of here.
                return _ANSWERS[(await answer.json(content_type=None))["answer"]]
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer from error


def _let_the_clock_jump(file: Path) -> None:
    now = SystemClock.now

    def jumped(self: SystemClock, account_id: str | None = None) -> datetime:
        return now(self, account_id) + timedelta(seconds=float(file.read_text() or 0))

    SystemClock.now = jumped  # type: ignore[method-assign]
