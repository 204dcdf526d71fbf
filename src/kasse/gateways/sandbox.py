"""The sandbox gateway: a pretend acquirer whose cards and amounts decide what happens, at once, and a pretend wallet.

It keeps a book of its own, as a real acquirer would: one entry for each authorization key, with all that was
ever asked under it. An entry changes by compare and swap only, so whoever asks twice, at once or later, gets one
answer and moves the money once. The full card number and the check code are never written.

Cards that time out do so at once, by ``NoAnswer``. That they stand for the two ways of not knowing is our own
decision, the documentation does not say:

* Visa: the gateway acted and its answer was lost. ``look_up`` and a repeat of the key find what it decided.
* Mastercard: the call never arrived. ``look_up`` finds nothing. If the key of a capture, refund or void is
  repeated, that call arrives, because the book remembers which ones were lost before; an authorization never
  arrives, however often it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import msgspec

from kasse.clock import Clock
from kasse.domain.money import EXPONENTS
from kasse.domain.transaction import CallKind, Card, PaymentError
from kasse.gateways.cards import Script, TimeOut, authenticated, check, issuer_error, kept
from kasse.gateways.port import (
    Answer,
    Approved,
    Book,
    CardDetails,
    Declined,
    Instruction,
    LookedUp,
    Method,
    NoAnswer,
    NotFound,
    PayerNeeded,
)

T = TypeVar("T")

CHALLENGE_LASTS = timedelta(minutes=15)
CARD = "dintero_psp.creditcard"
WALLET = "swish.swish"


@dataclass(frozen=True)
class Challenge:
    """What the page of the pretend bank or wallet shows. Unless it is ``open`` there is nothing left to answer.

    ``masked_pan`` is None in the wallet, where there is no card.
    """

    amount: int
    currency: str
    masked_pan: str | None
    merchant_reference: str | None
    return_url: str | None
    open: bool


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """A capture, refund or void: what was asked for, and what it moved or why it moved nothing."""

    kind: CallKind
    amount: int
    currency: str
    moved: int = 0
    error: PaymentError | None = None


class Opened(msgspec.Struct, frozen=True, omit_defaults=True):
    """A challenge as it was opened."""

    at: datetime
    return_url: str | None = None
    merchant_reference: str | None = None


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything the book knows of one authorization. ``steps`` and ``lost`` go by the keys of the calls.

    It is ``unseen`` while only captures or refunds came, which are declined, and ``void`` if it was voided
    before it could be approved. An approved one that is voided stays approved: what is left of it is a sum.
    """

    state: Literal["unseen", "challenge", "approved", "declined", "void"] = "unseen"
    amount: int = 0
    currency: str = ""
    card: Card | None = None
    error: PaymentError | None = None
    by_payer: bool = False
    challenge: Opened | None = None
    time_out: TimeOut | None = None
    steps: dict[str, Step] = {}
    lost: tuple[str, ...] = ()

    def moved(self, kind: CallKind) -> int:
        return sum(step.moved for step in self.steps.values() if step.kind == kind)

    @property
    def left_to_capture(self) -> int:
        return self.amount - self.moved("capture") - self.moved("void")

    @property
    def holds_nothing(self) -> bool:
        return self.state == "approved" and self.moved("void") == self.amount

    @property
    def left_to_refund(self) -> int:
        return self.moved("capture") - self.moved("refund")


class Sandbox:
    """A ``Gateway``. ``base_url`` is where the payer's browser finds this server."""

    name: str = "sandbox"
    methods: Sequence[Method] = (Method(CARD, takes_card=True), Method(WALLET))

    def __init__(self, book: Book, clock: Clock, base_url: str) -> None:
        self._book, self._clock, self._base_url = book, clock, base_url.rstrip("/")

    def serves(self, account_id: str) -> bool:
        """Test accounts only: it moves no money."""
        return account_id.startswith("T")

    def check_card(self, account_id: str, card: CardDetails) -> None:
        """Raises ``CardRefused``."""
        check(card, self._clock.now(account_id).date())

    async def authorize(self, instruction: Instruction, card: CardDetails | None) -> Answer:
        """Raises ``NoAnswer``, and ``CardRefused`` for a card that ``check_card`` would not take.

        A key that was used before gets the answer to the first card that came with it. Without a card it is the
        wallet, whose payer approves the payment on a page of its own.
        """
        url = self._challenge_url(instruction.key)

        def decide(entry: Entry, now: datetime) -> tuple[Entry, Answer | NoAnswer]:
            seen = _authorization_answer(entry, instruction, url)
            if not isinstance(seen, NotFound):
                return entry, seen
            if card is None:
                after = _authorized(entry, instruction, None, _AT_THE_WALLET, now)
                return after, _decided(after, url)
            script = check(card, now.date())
            if script.time_out == TimeOut("authorize", arrives=False):
                return entry, NoAnswer()
            after = _authorized(entry, instruction, kept(card, script), script, now)
            if script.time_out == TimeOut("authorize", arrives=True):
                return after, NoAnswer()
            return after, _decided(after, url)

        return _heard(await self._change(instruction.account_id, instruction.key, decide))

    async def capture(self, instruction: Instruction) -> Answer:
        """Take ``instruction.amount`` of what is held. Raises ``NoAnswer``."""
        return await self._take_step("capture", instruction)

    async def refund(self, instruction: Instruction) -> Answer:
        """Give back ``instruction.amount`` of what was captured. Raises ``NoAnswer``."""
        return await self._take_step("refund", instruction)

    async def void(self, instruction: Instruction) -> Answer:
        """Release what is held and not captured, at most ``instruction.amount``. Raises ``NoAnswer``.

        An authorization that has not come yet, or whose payer is still at the challenge, can never succeed
        afterwards, whatever the amount.
        """
        return await self._take_step("void", instruction)

    async def look_up(self, kind: CallKind, instruction: Instruction) -> LookedUp:
        """What a repeat of the call would be answered, without making it.

        An authorization that was voided before anything was captured is told as declined: it holds nothing.
        """

        def decide(entry: Entry, now: datetime) -> tuple[Entry, LookedUp]:
            if kind == "authorize" and entry.holds_nothing:
                return entry, Declined(_VOIDED, card=entry.card)
            if kind == "authorize":
                return entry, _authorization_answer(entry, instruction, self._challenge_url(instruction.key))
            return entry, _step_answer(entry, kind, instruction)

        key = instruction.key if kind == "authorize" else _authorization_key(instruction)
        return await self._change(instruction.account_id, key, decide)

    async def challenge(self, account_id: str, key: str) -> Challenge | None:
        """The challenge of an authorization, open or not; None if it never had one."""
        return await self._change(account_id, key, lambda entry, now: (entry, _shown(entry)))

    async def answer_challenge(self, account_id: str, key: str, approve: bool) -> Challenge | None:
        """The payer's answer to the pretend bank or wallet. The first one counts; a late one changes nothing."""

        def decide(entry: Entry, now: datetime) -> tuple[Entry, Challenge | None]:
            after = _answered(entry, approve) if entry.state == "challenge" else entry
            return after, _shown(after)

        return await self._change(account_id, key, decide)

    async def _take_step(self, kind: CallKind, instruction: Instruction) -> Answer:
        def decide(entry: Entry, now: datetime) -> tuple[Entry, Answer | NoAnswer]:
            return _with_step(entry, kind, instruction)

        return _heard(await self._change(instruction.account_id, _authorization_key(instruction), decide))

    async def _change(self, account_id: str, key: str, decide: Callable[[Entry, datetime], tuple[Entry, T]]) -> T:
        """Write what is decided about an entry; if someone else was faster, decide again on what they wrote.

        A lost swap means that another call got on, so this ends.
        """
        written = await self._book.book_get(account_id, key)
        while True:
            now = self._clock.now(account_id)
            before = Entry() if written is None else msgspec.convert(written, Entry)
            after, result = decide(_unless_expired(before, now), now)
            if after == before:
                return result
            # Through JSON and back, so that it compares equal to what a store gives back.
            new: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(after))
            if written is None:
                written = await self._book.book_put(account_id, key, new)
                # Also true if someone else put the same: then they decided the same.
                if written == new:
                    return result
            elif await self._book.book_replace(account_id, key, written, new):
                return result
            else:
                written = await self._book.book_get(account_id, key)

    def _challenge_url(self, key: str) -> str:
        return f"{self._base_url}/sandbox/challenge/{quote(key, safe='')}"


def _refused(code: str, error_type: str, message: str) -> PaymentError:
    return PaymentError(message, code=code, type=(error_type,))


_VOIDED = _refused("authorization_voided", "DECLINED", "the authorization was voided before it was approved")
_AT_THE_WALLET = Script("Visa", "challenge")
"""A wallet's payer always has to answer, as a card's does at a challenge. (The brand goes nowhere.)"""
_TURNED_BACK = _refused("not_approved", "DECLINED", "the payer did not approve the payment in the wallet")
_TOO_LATE = _refused("not_approved_in_time", "DECLINED", "the payer did not approve the payment in the wallet in time")
_FAILED = _refused("authentication_failed", "FAILED_VERIFICATION", "the payer did not pass 3-D Secure")
_EXPIRED = _refused(
    "authentication_expired",
    "FAILED_VERIFICATION",
    "the payer did not answer the 3-D Secure challenge in time",
)


def _authorization_answer(entry: Entry, instruction: Instruction, url: str) -> LookedUp:
    if entry.state == "unseen":
        return NotFound()
    same = (entry.amount, entry.currency) == (instruction.amount, instruction.currency)
    if not same and entry.state != "void":
        return Declined(_key_reused("authorize", entry.amount, entry.currency, instruction))
    return _decided(entry, url)


def _decided(entry: Entry, url: str) -> Answer:
    if entry.state == "challenge":
        return PayerNeeded(url)
    if entry.state == "void":
        return Declined(_VOIDED, card=entry.card)
    if entry.error is not None:
        return Declined(entry.error, by_payer=entry.by_payer, card=entry.card)
    return Approved(entry.card)


def _authorized(entry: Entry, instruction: Instruction, card: Card | None, script: Script, now: datetime) -> Entry:
    """3-D Secure comes first, then the issuer. The entry may hold steps that came too early."""
    asked = msgspec.structs.replace(
        entry, amount=instruction.amount, currency=instruction.currency, card=card, time_out=script.time_out
    )
    if instruction.amount <= 0:
        return msgspec.structs.replace(asked, state="declined", error=_not_positive(instruction))
    if instruction.currency not in EXPONENTS:
        unknown = _refused("wrong_currency", "INVALID_TRANSACTION", f"unknown currency {instruction.currency!r}")
        return msgspec.structs.replace(asked, state="declined", error=unknown)
    if script.three_d_secure == "challenge":
        opened = Opened(now, instruction.return_url, instruction.merchant_reference)
        return msgspec.structs.replace(asked, state="challenge", challenge=opened)
    if script.three_d_secure == "fails":
        return _not_authenticated(asked, _FAILED)
    status: Literal["A", "Y"] = "A" if script.three_d_secure == "attempt" else "Y"
    return _issuer_decides(asked, status)


def _answered(entry: Entry, approve: bool) -> Entry:
    if approve:
        return _issuer_decides(entry, "Y")
    return _not_authenticated(entry, _FAILED if entry.card else _TURNED_BACK)


def _unless_expired(entry: Entry, now: datetime) -> Entry:
    """Whoever notices that a challenge has expired writes it down, so that no other clock revives it."""
    if entry.state != "challenge" or not entry.challenge or now < entry.challenge.at + CHALLENGE_LASTS:
        return entry
    return _not_authenticated(entry, _EXPIRED if entry.card else _TOO_LATE)


def _not_authenticated(entry: Entry, error: PaymentError) -> Entry:
    card = entry.card and authenticated(entry.card, "N")
    return msgspec.structs.replace(entry, state="declined", error=error, by_payer=True, card=card)


def _issuer_decides(entry: Entry, status: Literal["A", "Y"]) -> Entry:
    error = issuer_error(entry.amount, entry.currency)
    card = entry.card and authenticated(entry.card, status)
    return msgspec.structs.replace(entry, state="declined" if error else "approved", error=error, card=card)


def _shown(entry: Entry) -> Challenge | None:
    if entry.challenge is None:
        return None
    return Challenge(
        amount=entry.amount,
        currency=entry.currency,
        masked_pan=entry.card.masked_pan if entry.card else None,
        merchant_reference=entry.challenge.merchant_reference,
        return_url=entry.challenge.return_url,
        open=entry.state == "challenge",
    )


def _with_step(entry: Entry, kind: CallKind, instruction: Instruction) -> tuple[Entry, Answer | NoAnswer]:
    """Take a step, unless it is taken already or gets lost on the way."""
    seen = _step_answer(entry, kind, instruction)
    if not isinstance(seen, NotFound):
        return entry, seen
    time_out = entry.time_out if entry.time_out and entry.time_out.hits(kind, instruction.automatic) else None
    if time_out and not time_out.arrives and instruction.key not in entry.lost:
        return msgspec.structs.replace(entry, lost=(*entry.lost, instruction.key)), NoAnswer()
    result = _moves(entry, kind, instruction)
    step = Step(
        kind,
        instruction.amount,
        instruction.currency,
        moved=result if isinstance(result, int) else 0,
        error=result if isinstance(result, PaymentError) else None,
    )
    after = msgspec.structs.replace(
        entry,
        state="void" if kind == "void" and entry.state in ("unseen", "challenge") else entry.state,
        steps={**entry.steps, instruction.key: step},
    )
    return after, NoAnswer() if time_out and time_out.arrives else _result(step)


def _moves(entry: Entry, kind: CallKind, instruction: Instruction) -> int | PaymentError:
    """How much a step moves, or why it may not."""
    if entry.state != "approved":
        missing = f"there is no approved authorization to {kind}"
        return 0 if kind == "void" else _refused("not_authorized", "INVALID_TRANSACTION", missing)
    if instruction.currency != entry.currency:
        difference = f"the authorization is in {entry.currency}, the {kind} in {instruction.currency}"
        return _refused("wrong_currency", "INVALID_TRANSACTION", difference)
    if instruction.amount <= 0:
        return _not_positive(instruction)
    left = entry.left_to_refund if kind == "refund" else entry.left_to_capture
    if kind == "void" and left == 0 and not entry.moved("void"):
        return _refused("already_captured", "INVALID_TRANSACTION", "all is captured, nothing is left to void")
    if kind == "void":
        return min(instruction.amount, left)
    if instruction.amount > left:
        excess = f"the authorization has {left} left to {kind}, {instruction.amount} was asked for"
        return _refused("amount_above_left", "INVALID_AMOUNT", excess)
    return instruction.amount


def _step_answer(entry: Entry, kind: CallKind, instruction: Instruction) -> LookedUp:
    step = entry.steps.get(instruction.key)
    if step is None:
        return NotFound()
    if (step.kind, step.amount, step.currency) != (kind, instruction.amount, instruction.currency):
        return Declined(_key_reused(step.kind, step.amount, step.currency, instruction))
    return _result(step)


def _result(step: Step) -> Answer:
    return Declined(step.error) if step.error else Approved()


def _key_reused(kind: CallKind, amount: int, currency: str, instruction: Instruction) -> PaymentError:
    return _refused(
        "key_reused",
        "INVALID_TRANSACTION",
        f"the key {instruction.key} was used to {kind} {amount} {currency}, "
        f"now it came with {instruction.amount} {instruction.currency}",
    )


def _not_positive(instruction: Instruction) -> PaymentError:
    return _refused("amount_not_positive", "INVALID_AMOUNT", f"expected an amount above 0, got {instruction.amount}")


def _authorization_key(instruction: Instruction) -> str:
    """Raises ``ValueError``: whoever captures, refunds or voids without saying what made a mistake."""
    if instruction.authorization is None:
        raise ValueError(f"the instruction {instruction.key} names no authorization")
    return instruction.authorization


def _heard(outcome: Answer | NoAnswer) -> Answer:
    """Time-outs are raised here, after the book holds what it has to."""
    if isinstance(outcome, NoAnswer):
        raise outcome
    return outcome
