"""Nothing to pay: the method for an amount of 0 (checkout reference, 3.5 and section 5, rule 9)."""

from __future__ import annotations

from collections.abc import Sequence

from kasse.domain.transaction import CallKind, PaymentError
from kasse.gateways.port import (
    Answer,
    Approved,
    CardDetails,
    CardRefused,
    Declined,
    Instruction,
    LookedUp,
    Method,
    NotFound,
)

ZERO = "dintero.zero"


class Zero:
    """A ``Gateway`` for every account."""

    name: str = "zero"
    methods: Sequence[Method] = (Method(ZERO),)

    def serves(self, account_id: str) -> bool:
        return True

    def check_card(self, account_id: str, card: CardDetails) -> None:
        """Raises ``CardRefused``."""
        raise CardRefused("number", "incomplete", "expected no card for a payment of nothing")

    async def authorize(self, instruction: Instruction, card: CardDetails | None) -> Answer:
        return _answer(instruction)

    async def capture(self, instruction: Instruction) -> Answer:
        return _answer(instruction)

    async def refund(self, instruction: Instruction) -> Answer:
        return _answer(instruction)

    async def void(self, instruction: Instruction) -> Answer:
        return Approved()

    async def look_up(self, kind: CallKind, instruction: Instruction) -> LookedUp:
        return _answer(instruction) if kind == "authorize" else NotFound()


def _answer(instruction: Instruction) -> Approved | Declined:
    if instruction.amount == 0:
        return Approved()
    message = f"expected an amount of 0, got {instruction.amount}"
    return Declined(PaymentError(message, code="amount_not_zero", type=("INVALID_AMOUNT",)))
