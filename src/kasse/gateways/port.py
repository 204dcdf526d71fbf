"""What the house asks of a gateway, and what a gateway may answer.

Every call carries a stable key. A gateway that gets the same key again gives the same answer again and moves
no money twice. An answer that does not come is ``NoAnswer``: neither yes nor no, until ``look_up`` settles it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from kasse.domain.transaction import CallKind, Card, PaymentError


@dataclass(frozen=True)
class CardDetails:
    """A payer's card on its way to a gateway. It is never stored, logged or shown: its repr is masked.

    ``expiry`` is ``MM/YY`` or ``MM/YYYY``; ``number`` holds digits only.
    """

    number: str = field(repr=False)
    expiry: str = field(repr=False)
    cvc: str = field(repr=False)


@dataclass(frozen=True)
class Instruction:
    """One call: ``amount`` in minor units of ``currency``. ``authorization`` is the key of the authorization that a
    capture, refund or void belongs to; ``return_url`` is where a payer comes back after a step elsewhere."""

    account_id: str
    key: str
    amount: int
    currency: str
    authorization: str | None = None
    return_url: str | None = None
    merchant_reference: str | None = None


@dataclass(frozen=True)
class Approved:
    card: Card | None = None


@dataclass(frozen=True)
class Declined:
    """The gateway said no, for good: no money has moved and none will under this key.

    ``by_payer`` when the payer did not authenticate or turned back, rather than the issuer refusing.
    """

    error: PaymentError
    by_payer: bool = False
    card: Card | None = None


@dataclass(frozen=True)
class PayerNeeded:
    """The payer has to do something at ``url`` first, such as 3-D Secure."""

    url: str


@dataclass(frozen=True)
class NotFound:
    """``look_up``: the gateway has never seen the key."""


Answer = Approved | Declined | PayerNeeded
LookedUp = Answer | NotFound


class NoAnswer(Exception):
    """The gateway did not answer in time or the connection broke: the outcome is unknown."""


class CardRefused(Exception):
    """The gateway will not take this card at all (such as a real card in the sandbox). Nothing was sent on.

    ``field`` is one of number, expiry, cvc; ``problem`` one of incomplete, check_digits, expired, not_a_test_card.
    """

    def __init__(self, field: str, problem: str, message: str) -> None:
        super().__init__(message)
        self.field, self.problem, self.message = field, problem, message


class Gateway(Protocol):
    """Moves money. Each method raises ``NoAnswer`` when the outcome is not known."""

    name: str

    def check_card(self, account_id: str, card: CardDetails) -> None:
        """Raises ``CardRefused``. Makes no call."""

    async def authorize(self, instruction: Instruction, card: CardDetails) -> Answer: ...

    async def capture(self, instruction: Instruction) -> Answer: ...

    async def refund(self, instruction: Instruction) -> Answer: ...

    async def void(self, instruction: Instruction) -> Answer:
        """Release ``instruction.amount`` of what ``instruction.authorization`` holds and has not captured.

        Voiding an authorization that the gateway has not seen, or whose payer is still busy, makes sure that it
        can never succeed later.
        """

    async def look_up(self, kind: CallKind, instruction: Instruction) -> LookedUp:
        """What became of the call of this kind that was made with this instruction."""
