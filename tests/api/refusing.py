"""A gateway that refuses, to be put in the place of what the sandbox does."""

from __future__ import annotations

from kasse.domain.transaction import PaymentError
from kasse.gateways.port import Answer, Declined, Instruction
from kasse.gateways.sandbox import Sandbox


async def refuse(sandbox: Sandbox, instruction: Instruction) -> Answer:
    return Declined(PaymentError("not today", type=("ISSUER_ERROR",)))
