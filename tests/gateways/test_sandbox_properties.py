"""Whatever is asked of the pretend acquirer, in whatever order, its sums hold and its word stands."""

from __future__ import annotations

import asyncio
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kasse.domain.transaction import CallKind
from kasse.gateways.cards import CARDS, TimeOut
from kasse.gateways.port import Answer, Approved, Declined, LookedUp, NoAnswer, NotFound
from kasse.gateways.sandbox import Sandbox
from tests.gateways.pretend import BASE_URL, MemoryBook, StoppedClock, card, payment, step

AUTHORIZED = 1000
ORDINARY = "4000000000000002"
STEP_CARDS = [
    ORDINARY,
    *(number for number, script in CARDS.items() if script.time_out and script.time_out.call != "authorize"),
]

kinds: st.SearchStrategy[CallKind] = st.sampled_from(["capture", "refund", "void"])
keys = st.sampled_from([f"k{n}" for n in range(8)])
# Few amounts, so that keys are repeated with the same one often.
amounts = st.sampled_from([0, 1, 300, 499, 500, 1000, 1001])

Call = tuple[CallKind, str, int]


async def take(sandbox: Sandbox, call: Call) -> Answer | Literal["time-out"]:
    kind, key, amount = call
    try:
        answer: Answer = await getattr(sandbox, kind)(step(key, amount))
    except NoAnswer:
        return "time-out"
    return answer


def check_sums(book: MemoryBook) -> None:
    captured, refunded, voided = (book.moved(kind) for kind in ("capture", "refund", "void"))
    assert 0 <= refunded <= captured <= AUTHORIZED - voided
    assert voided >= 0


@settings(deadline=None)
@given(
    number=st.sampled_from(STEP_CARDS),
    batches=st.lists(st.lists(st.tuples(kinds, keys, amounts), min_size=1, max_size=8), max_size=8),
    seed=st.integers(0, 1000),
)
def test_racing_calls_never_break_the_sums_and_always_get_the_same_answer(
    number: str, batches: list[list[Call]], seed: int
) -> None:
    async def run() -> None:
        book = MemoryBook(seed)
        sandbox = Sandbox(book, StoppedClock(), BASE_URL)
        await sandbox.authorize(payment(amount=AUTHORIZED), card(number))
        given_before: dict[Call, Answer] = {}
        for batch in batches:
            answers = await asyncio.gather(*(take(sandbox, call) for call in batch))
            check_sums(book)
            for call, answer in zip(batch, answers, strict=True):
                if not isinstance(answer, str):
                    assert given_before.setdefault(call, answer) == answer
        for (kind, key, amount), answer in given_before.items():
            assert await sandbox.look_up(kind, step(key, amount)) == answer
        for key in {key for _, key, _ in given_before}:
            approved = [call for call, answer in given_before.items() if call[1] == key and answer == Approved()]
            assert len(approved) <= 1
        for kind in ("capture", "refund"):
            told = sum(c[2] for c, answer in given_before.items() if c[0] == kind and answer == Approved())
            # A time-out that nobody asked about again may have moved more than was told.
            assert told <= book.moved(kind)
            assert told == book.moved(kind) or number != ORDINARY

    asyncio.run(run())


class Ledger(RuleBasedStateMachine):
    """The gateway against a plain model of it: one list of what was moved and one answer for each key."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.book = MemoryBook()
        self.clock = StoppedClock()
        self.sandbox = Sandbox(self.book, self.clock, BASE_URL)
        self.moved = {"capture": 0, "refund": 0, "void": 0}
        self.first: dict[str, tuple[CallKind, int, bool]] = {}
        self.lost: set[str] = set()
        self.time_out: TimeOut | None = None

    @initialize(number=st.sampled_from(STEP_CARDS))
    def authorize(self, number: str) -> None:
        self.time_out = CARDS[number].time_out
        answer = self.runner.run(self.sandbox.authorize(payment(amount=AUTHORIZED), card(number)))
        assert isinstance(answer, Approved)

    @rule(kind=kinds, key=keys, amount=amounts)
    def ask(self, kind: CallKind, key: str, amount: int) -> None:
        times_out = self.time_out is not None and self.time_out.hits(kind, False) and key not in self.first
        arrives = self.time_out is not None and self.time_out.arrives
        answer = self.runner.run(take(self.sandbox, (kind, key, amount)))
        if times_out and not arrives and key not in self.lost:
            self.lost.add(key)
            assert answer == "time-out"
            return
        expected = self.expect(kind, key, amount)
        if times_out and arrives:
            assert answer == "time-out"
        else:
            assert not isinstance(answer, str)
            self.compare(answer, expected)

    @rule(kind=kinds, key=keys, amount=amounts)
    def look_up(self, kind: CallKind, key: str, amount: int) -> None:
        answer = self.runner.run(self.sandbox.look_up(kind, step(key, amount)))
        if key in self.first:
            self.compare(answer, self.expect(kind, key, amount))
        else:
            assert answer == NotFound()

    @rule()
    def restart(self) -> None:
        self.sandbox = Sandbox(self.book, self.clock, BASE_URL)

    @invariant()
    def the_book_agrees_with_the_model(self) -> None:
        check_sums(self.book)
        assert self.moved == {kind: self.book.moved(kind) for kind in self.moved}

    def teardown(self) -> None:
        self.runner.close()

    def expect(self, kind: CallKind, key: str, amount: int) -> bool | Literal["reused"]:
        """Whether the call is approved; the first one under a key moves the model's money."""
        if key in self.first:
            return self.first[key][2] if self.first[key][:2] == (kind, amount) else "reused"
        held = AUTHORIZED - self.moved["capture"] - self.moved["void"]
        if kind == "void":
            approved = amount > 0 and (held > 0 or self.moved["void"] > 0)
            self.moved["void"] += min(amount, held) if approved else 0
        else:
            left = held if kind == "capture" else self.moved["capture"] - self.moved["refund"]
            approved = 0 < amount <= left
            self.moved[kind] += amount if approved else 0
        self.first[key] = (kind, amount, approved)
        return approved

    def compare(self, answer: LookedUp, expected: bool | Literal["reused"]) -> None:
        if expected is True:
            assert answer == Approved()
        else:
            assert isinstance(answer, Declined)
            assert (answer.error.code == "key_reused") is (expected == "reused")


Ledger.TestCase.settings = settings(deadline=None, stateful_step_count=40)
TestLedger = Ledger.TestCase
