"""Paid elsewhere: by invoice, in cash, by bank transfer. No money moves here.

A payment waits on hold until the merchant says that he was paid (checkout reference, 8.5); captures, refunds and
voids are taken note of. There is nothing to remember: what was asked is what happened.
"""

from __future__ import annotations

from collections.abc import Sequence

from kasse.domain.transaction import CallKind
from kasse.gateways.port import (
    Answer,
    Approved,
    CardDetails,
    CardRefused,
    Instruction,
    LookedUp,
    Method,
    NotFound,
    OnHold,
)


class External:
    """A ``Gateway`` for every account."""

    name: str = "external"
    methods: Sequence[Method] = (Method("dintero.external", merchant_decides=True),)

    def serves(self, account_id: str) -> bool:
        return True

    def check_card(self, account_id: str, card: CardDetails) -> None:
        """Raises ``CardRefused``."""
        raise CardRefused("number", "incomplete", "expected no card for a payment that is made elsewhere")

    async def authorize(self, instruction: Instruction, card: CardDetails | None) -> Answer:
        return OnHold()

    async def capture(self, instruction: Instruction) -> Answer:
        return Approved()

    async def refund(self, instruction: Instruction) -> Answer:
        return Approved()

    async def void(self, instruction: Instruction) -> Answer:
        return Approved()

    async def look_up(self, kind: CallKind, instruction: Instruction) -> LookedUp:
        """A call that was cut off is simply made again."""
        return OnHold() if kind == "authorize" else NotFound()
