"""A book in memory, a clock that stands still, and short words for calls."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

from kasse.domain.transaction import CallKind
from kasse.gateways.port import Answer, Approved, CardDetails, Declined, Instruction, LookedUp
from kasse.gateways.sandbox import Sandbox

VISA, MASTERCARD = "4000000000000002", "5200000000000007"
CHALLENGED = ["4000100000000000", "5200000000000015", "4100000000000076"]
STEPS: list[CallKind] = ["capture", "refund", "void"]
ACCOUNT = "T12345678"
BASE_URL = "https://kasse.example"


class MemoryBook:
    """Compare and swap on JSON text. Every call gives way a few times first, by lot, so that callers race."""

    def __init__(self, seed: int = 0) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.lost_swaps = 0
        self._lots = random.Random(seed)

    async def book_put(self, account_id: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        await self._give_way()
        return self._read(self.entries.setdefault((account_id, key), json.dumps(entry)))

    async def book_replace(self, account_id: str, key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        await self._give_way()
        if self._read(self.entries[account_id, key]) != before:
            self.lost_swaps += 1
            return False
        self.entries[account_id, key] = json.dumps(after)
        return True

    async def book_get(self, account_id: str, key: str) -> dict[str, Any] | None:
        await self._give_way()
        text = self.entries.get((account_id, key))
        return None if text is None else self._read(text)

    def moved(self, kind: str, key: str = "a") -> int:
        """What the entry's steps of one kind add up to, read from the raw entry."""
        entry = self._read(self.entries.get((ACCOUNT, key), "{}"))
        return sum(step.get("moved", 0) for step in entry.get("steps", {}).values() if step["kind"] == kind)

    async def _give_way(self) -> None:
        for _ in range(self._lots.randint(1, 3)):
            await asyncio.sleep(0)

    @staticmethod
    def _read(text: str) -> dict[str, Any]:
        entry: dict[str, Any] = json.loads(text)
        return entry


class StoppedClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)

    def now(self, account_id: str | None = None) -> datetime:
        return self.time

    def move(self, minutes: float) -> None:
        self.time += timedelta(minutes=minutes)


def card(number: str, expiry: str = "12/30", cvc: str = "123") -> CardDetails:
    return CardDetails(number, expiry, cvc)


def payment(key: str = "a", amount: int = 1000, currency: str = "NOK", **more: Any) -> Instruction:
    """An authorization."""
    return Instruction(ACCOUNT, key, amount, currency, **more)


def step(key: str, amount: int, of: str = "a", currency: str = "NOK") -> Instruction:
    """A capture, refund or void of an authorization."""
    return Instruction(ACCOUNT, key, amount, currency, authorization=of)


def code(answer: LookedUp) -> str | None:
    assert isinstance(answer, Declined), answer
    return answer.error.code


async def take(sandbox: Sandbox, kind: CallKind, instruction: Instruction) -> Answer:
    answer: Answer = await getattr(sandbox, kind)(instruction)
    return answer


async def authorized(sandbox: Sandbox, number: str = VISA, amount: int = 1000, captured: int = 0) -> None:
    assert isinstance(await sandbox.authorize(payment(amount=amount), card(number)), Approved)
    if captured:
        assert await sandbox.capture(step("captured-before", captured)) == Approved()
