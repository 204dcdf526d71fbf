"""The life of transactions, by every method and with every trouble of a gateway, against a small plain model.

The model keeps four sums and a word for each payment. After each step it is compared with the transaction, its events,
the lines of the order and what may still be taken.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar, cast

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kasse.domain.profile import CARD
from kasse.domain.refusals import Refusal
from kasse.domain.transaction import CallKind, PaymentError, amounts, left_for
from kasse.gateways.port import Answer, CardDetails, Declined, Instruction, NoAnswer
from kasse.gateways.sandbox import Sandbox
from kasse.main import open_house
from kasse.operations import accounts, payments, transactions, verification
from kasse.operations.transactions import Confirmation, OperationRequest
from kasse.settings import Settings
from tests.operations.conftest import ACCOUNT, APPROVED, Merchant, MovedClock

T = TypeVar("T")
WALLET, EXTERNAL, ZERO = "swish.swish", "dintero.external", "dintero.zero"
CONFIGURATION: dict[str, Any] = {
    "swish": {"swish": {"enabled": True}},
    "dintero": {"external": {"enabled": True}, "zero": {"enabled": True}},
}
Trouble = Literal["none", "refused", "answer lost", "never arrives"]
troubles = st.sampled_from(["none", "none", "none", "refused", "answer lost", "never arrives"])


class Moody:
    """A gateway whose next capture, refund or void meets trouble."""

    def __init__(self, gateway: Any, moods: dict[str, Trouble]) -> None:
        self._gateway, self._moods = gateway, moods

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._gateway, name)
        if name not in ("capture", "refund", "void"):
            return call

        async def moody(instruction: Instruction) -> Answer:
            mood = self._moods.pop(name, "none")
            if mood == "refused":
                return Declined(PaymentError("not in the mood", type=("ISSUER_ERROR",)))
            if mood == "never arrives":
                raise NoAnswer
            answer: Answer = await call(instruction)
            if mood == "answer lost":
                raise NoAnswer
            return answer

        return moody


@dataclass
class Payment:
    id: str
    order: str
    method: str
    amount: int
    opened: datetime
    auto: bool
    state: str = "paid"
    captured: int = 0
    refunded: int = 0
    voided: int = 0
    final: bool = False
    tries_again: bool = False
    last: str = ""

    @property
    def open(self) -> int:
        return self.amount - self.captured - self.voided

    def left(self, kind: CallKind) -> int:
        return self.captured - self.refunded if kind == "refund" else self.open

    @property
    def status(self) -> str:
        if self.state != "paid":
            return self.state
        if self.amount == 0:
            return {"": "AUTHORIZED", "capture": "CAPTURED", "void": "AUTHORIZATION_VOIDED"}[self.last]
        if self.captured == 0:
            return "AUTHORIZATION_VOIDED" if self.open == 0 else "AUTHORIZED"
        if self.refunded == 0:
            return "PARTIALLY_CAPTURED" if self.open else "CAPTURED"
        if self.open:
            return "PARTIALLY_CAPTURED_REFUNDED"
        return "REFUNDED" if self.refunded == self.captured else "PARTIALLY_REFUNDED"

    def why_not(self, kind: CallKind, amount: int) -> str | None:
        unfinished = ("PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED_REFUNDED")
        possible: dict[CallKind, tuple[str, ...]] = {
            "capture": ("AUTHORIZED", *unfinished),
            "refund": ("CAPTURED", "PARTIALLY_REFUNDED", *unfinished),
            "void": ("AUTHORIZED", *unfinished),
        }
        if self.status not in possible[kind] or (kind == "capture" and self.final):
            return "wrong_status"
        if amount <= 0 and not (self.amount == amount == 0 and kind != "refund"):
            return "amount_not_positive"
        return "amount_above_left" if amount > self.left(kind) else None

    def move(self, kind: CallKind, amount: int) -> None:
        self.last = kind
        if kind == "capture":
            self.captured += amount
        elif kind == "refund":
            self.refunded += amount
        else:
            self.voided += amount


class TransactionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.payments: list[Payment] = []
        self.moods: dict[str, Trouble] = {}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="kasse-test-"))
        clock = MovedClock()

        async def opened() -> Merchant:
            house = await self.stack.enter_async_context(
                open_house(Settings(database=f"sqlite:///{folder}/kasse.db"), clock)
            )
            await accounts.create_account(house, ACCOUNT, "Fjord & Fjell")
            gateways = cast(dict[str, Any], house.gateways)
            self.sandbox = cast(Sandbox, gateways["sandbox"])
            gateways.update({name: Moody(gateway, self.moods) for name, gateway in gateways.items()})
            return Merchant(house, clock)

        self.merchant = self.run(opened())
        for method in (CARD, CARD, EXTERNAL, WALLET, ZERO):
            self.start(method, 20, False, "none")

    def teardown(self) -> None:
        try:
            if hasattr(self, "merchant"):
                assert self.run(verification.verify(self.merchant.house)).difference is None
        finally:
            self.runner.run(self.stack.aclose())
            self.runner.close()

    def attempt(self, work: Coroutine[Any, Any, T], expected: str | None) -> T | None:
        if expected is None:
            return self.run(work)
        with pytest.raises(Refusal) as refused:
            self.run(work)
        assert refused.value.reason == expected
        event(f"refused: {expected}")
        return None

    def settle(self) -> None:
        """Six minutes later: what had no answer is known, and what was declined by itself is tried again."""
        self.run(self.merchant.settle())
        for payment in self.payments:
            if payment.tries_again:
                payment.tries_again = False
                payment.move("capture", payment.amount)
            late = payment.opened + timedelta(minutes=15) <= self.merchant.clock.time
            if payment.state == "INITIATED" and late:
                payment.state = "DECLINED"

    @rule(
        method=st.sampled_from([CARD, WALLET, EXTERNAL, ZERO]),
        amount=st.integers(1, 30),
        auto=st.sampled_from([False, False, True]),
        trouble=troubles,
    )
    def pay(self, method: str, amount: int, auto: bool, trouble: Trouble) -> None:
        self.start(method, amount, auto, trouble)

    def start(self, method: str, amount: int, auto: bool, trouble: Trouble) -> None:
        amount = 0 if method == ZERO else amount
        merchant = self.merchant

        async def paid() -> Payment:
            order = await merchant.order(amount)
            session = await merchant.session(order, 1, auto_capture=auto, **CONFIGURATION)
            card = CardDetails(APPROVED, "12/30", "123")
            settled = await payments.pay(merchant.house, merchant.caller, session.id, method, card)
            return Payment(settled.transaction.id, order, method, amount, merchant.clock.time, auto)

        at_once = method in (CARD, ZERO)
        if at_once and auto:
            self.moods["capture"] = trouble
        payment = self.run(paid())
        self.payments.append(payment)
        payment.state = {WALLET: "INITIATED", EXTERNAL: "ON_HOLD"}.get(method, "paid")
        if at_once:
            self.authorized(payment, trouble)

    def authorized(self, payment: Payment, trouble: Trouble) -> None:
        payment.state = "paid"
        if payment.auto and trouble == "refused":
            payment.tries_again = True
        elif payment.auto:
            payment.move("capture", payment.amount)
            if trouble != "none":
                self.settle()

    def chosen(self, data: st.DataObject, *states: str) -> Payment:
        fitting = [each for each in self.payments if each.state in states]
        return data.draw(st.sampled_from(fitting or self.payments), "payment")

    @precondition(lambda self: any(each.state == "INITIATED" for each in self.payments))
    @rule(data=st.data(), approve=st.booleans(), trouble=troubles)
    def answer_in_the_wallet(self, data: st.DataObject, approve: bool, trouble: Trouble) -> None:
        payment = self.chosen(data, "INITIATED")
        house = self.merchant.house
        if payment.auto and approve:
            self.moods["capture"] = trouble

        async def answered() -> None:
            await self.sandbox.answer_challenge(ACCOUNT, payment.id, approve)
            session_id = (await self.merchant.transaction(payment.id)).session_id
            # A browser that is sent back twice, and a worker beside it, settle it once.
            come_back = [payments.come_back(house, ACCOUNT, session_id, payment.id) for _ in range(2)]
            await asyncio.gather(*come_back, payments.settle_due(house))

        self.run(answered())
        if approve:
            self.authorized(payment, trouble)
        else:
            payment.state = "DECLINED"

    @rule(data=st.data(), amount=st.none() | st.integers(1, 30), trouble=troubles)
    def confirm(self, data: st.DataObject, amount: int | None, trouble: Trouble) -> None:
        payment = self.chosen(data, "ON_HOLD")
        expected = None
        if amount not in (None, payment.amount):
            expected = "amount_mismatch"
        elif payment.method != EXTERNAL:
            expected = "wrong_status"
        elif payment.state != "ON_HOLD":
            expected = "wrong_state"
        if payment.auto and expected is None:
            self.moods["capture"] = trouble
        merchant = self.merchant
        self.attempt(transactions.confirm(merchant.house, merchant.caller, payment.id, Confirmation(amount)), expected)
        if expected is None:
            self.authorized(payment, trouble)

    @rule(
        data=st.data(),
        kind=st.sampled_from(["capture", "refund", "void"]),
        all_of_it=st.booleans(),
        part=st.integers(-1, 12),
        final=st.booleans(),
        trouble=troubles,
        fits=st.sampled_from([True, True, True, False]),
    )
    def operate(
        self, data: st.DataObject, kind: CallKind, all_of_it: bool, part: int, final: bool, trouble: Trouble, fits: bool
    ) -> None:
        fitting = [each for each in self.payments if fits and each.why_not(kind, 1) is None]
        payment = data.draw(st.sampled_from(fitting), "payment") if fitting else self.chosen(data, "paid")
        if kind == "void" and payment.state == "ON_HOLD":
            self.run(self.merchant.operate(payment.id, "void"))
            payment.state = "FAILED"
            return
        amount = payment.left(kind) if kind == "void" or all_of_it else part
        expected = payment.why_not(kind, amount)
        if expected is None:
            self.moods[kind] = trouble
            payment.tries_again = payment.tries_again and kind == "refund"
            expected = "gateway_declined" if trouble == "refused" else None
        final = final and kind == "capture"
        request = OperationRequest(None if kind == "void" else amount, final=final)
        merchant = self.merchant
        settled = self.attempt(
            transactions.operate(merchant.house, merchant.caller, payment.id, kind, request), expected
        )
        if expected is not None:
            return
        assert settled is not None
        assert settled.known == (trouble == "none")
        payment.move(kind, amount)
        event(f"{kind} of {'all' if payment.left(kind) == 0 else 'a part'}, {trouble}")
        if final:
            payment.final = True
            event("final capture")
            if payment.open:
                payment.move("void", payment.open)
        if trouble != "none":
            self.settle()

    @rule()
    def time_passes(self) -> None:
        self.settle()

    @rule(data=st.data(), kind=st.sampled_from(["capture", "refund"]), part=st.integers(1, 20))
    def ask_twice_at_once(self, data: st.DataObject, kind: CallKind, part: int) -> None:
        """Two requests for the same money: as many are done as there is money for."""
        payment = self.chosen(data, "paid")
        merchant = self.merchant

        async def both() -> list[Any]:
            asked = [merchant.operate(payment.id, kind, part) for _ in range(2)]
            return await asyncio.gather(*asked, return_exceptions=True)

        for outcome in sorted(self.run(both()), key=lambda each: isinstance(each, Exception)):
            expected = payment.why_not(kind, part)
            if isinstance(outcome, Refusal):
                # While the other one has no answer yet, it is too early to say how much is left.
                assert outcome.reason in (expected, "outcome_unknown"), (outcome, expected)
            else:
                assert expected is None, outcome
                payment.tries_again = payment.tries_again and kind == "refund"
                payment.move(kind, part)

    @invariant()
    def all_sides_agree(self) -> None:
        for payment in self.payments:
            it = self.run(self.merchant.transaction(payment.id))
            assert it.status == payment.status, (payment, it)
            assert not it.pending
            sums = amounts(it)
            assert (sums.captured, sums.refunded, sums.voided) == (payment.captured, payment.refunded, payment.voided)
            assert 0 <= sums.refunded <= sums.captured
            assert sums.captured + sums.voided <= it.amount
            assert it.events == () or it.events[-1].transaction_status == it.status
            line = self.run(self.merchant.state(payment.order)).sums[1]
            assert (line.captured, line.refunded) == (payment.captured, payment.refunded)
            claimed = payment.amount if payment.state in ("INITIATED", "ON_HOLD") else 0
            assert line.claimed == claimed
            if payment.state == "paid":
                assert left_for(it, "capture") == payment.open
                assert (line.authorized, line.cancelled) == (payment.amount, payment.voided)


TestTransactionMachine = TransactionMachine.TestCase
TestTransactionMachine.settings = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
