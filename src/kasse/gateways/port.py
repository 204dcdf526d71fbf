"""What the house asks of a gateway, and what a gateway may answer.

Every call carries a stable key. A gateway that gets the same key again gives the same answer again and moves
no money twice. An answer that does not come is ``NoAnswer``: neither yes nor no, until ``look_up`` settles it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kasse.clock import Clock
from kasse.domain.transaction import CallKind, Card, PaymentError


@dataclass(frozen=True)
class Method:
    """A way to pay: ``type`` is its ``payment_product_type``, such as ``dintero_psp.creditcard``.

    ``takes_card`` where the payer's card goes along with the authorization. ``merchant_decides`` where payments stay
    on hold until the merchant says whether they were paid. ``voids_rest`` where what is left may be released after a
    part was captured (checkout reference, 8.2).
    """

    type: str
    takes_card: bool = False
    merchant_decides: bool = False
    voids_rest: bool = True


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
    """One call: ``amount`` in minor units of ``currency``, by the method of this type. ``authorization`` is the key of
    the authorization that a capture, refund or void belongs to; ``return_url`` is where a payer comes back after a
    step elsewhere; ``automatic`` is a capture that nobody asked for by hand."""

    account_id: str
    key: str
    amount: int
    currency: str
    authorization: str | None = None
    return_url: str | None = None
    merchant_reference: str | None = None
    method: str = "dintero_psp.creditcard"
    automatic: bool = False


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
class OnHold:
    """An authorization that somebody has to look at first: the payer is done, yes or no comes later by ``look_up``,
    or from the merchant where the method lets him decide."""

    card: Card | None = None


@dataclass(frozen=True)
class NotFound:
    """``look_up``: the gateway has never seen the key."""


Answer = Approved | Declined | PayerNeeded | OnHold
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
    methods: Sequence[Method]

    def serves(self, account_id: str) -> bool:
        """Whether this account's payments may go this way."""

    def check_card(self, account_id: str, card: CardDetails) -> None:
        """Raises ``CardRefused``. Makes no call. Asked for methods that take a card only."""

    async def authorize(self, instruction: Instruction, card: CardDetails | None) -> Answer:
        """``card`` comes along where the method takes one."""

    async def capture(self, instruction: Instruction) -> Answer: ...

    async def refund(self, instruction: Instruction) -> Answer: ...

    async def void(self, instruction: Instruction) -> Answer:
        """Release ``instruction.amount`` of what ``instruction.authorization`` holds and has not captured.

        Voiding an authorization that the gateway has not seen, or whose payer is still busy, makes sure that it
        can never succeed later.
        """

    async def look_up(self, kind: CallKind, instruction: Instruction) -> LookedUp:
        """What became of the call of this kind that was made with this instruction."""


def offered(gateway: Gateway, method: str) -> Method | None:
    """The method of this ``payment_product_type``, if the gateway offers it."""
    return next((each for each in gateway.methods if each.type == method), None)


class Book(Protocol):
    """Where a gateway may keep what it has to know, durably. An entry holds nothing but what JSON has."""

    async def book_put(self, account_id: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        """Store ``entry`` unless ``key`` is there; answers what is there now."""
        ...

    async def book_replace(self, account_id: str, key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        """Replace an entry if it still is ``before``."""
        ...

    async def book_get(self, account_id: str, key: str) -> dict[str, Any] | None: ...


@dataclass(frozen=True)
class Surroundings:
    """What a gateway may use of the house. ``base_url`` is where a payer's browser finds this server."""

    book: Book
    clock: Clock
    base_url: str
