"""The real operations on a real database, against a small plain model, in any order that chance finds.

The model is dictionaries of integers. It says of every call whether it is accepted or why not, and what all sums are
afterwards. After each step the order, its transactions, the history and the sandbox's own book are compared with it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kasse.domain.access import Caller
from kasse.domain.ledger import Entry, EntryKind, LineAmount
from kasse.domain.profile import CARD
from kasse.domain.refusals import Refusal
from kasse.domain.session import ChosenItem, PaymentSession, SessionUrl
from kasse.domain.transaction import CallKind, Transaction, amounts
from kasse.gateways.port import CardDetails
from kasse.gateways.sandbox import Sandbox
from kasse.main import open_house
from kasse.operations import accounts, drafts, ledger_entries, orders, payments, sessions, transactions, verification
from kasse.operations.house import House
from kasse.operations.ledger_entries import EntryRequest
from kasse.operations.sessions import SessionRequest
from kasse.operations.transactions import OperationRequest
from kasse.settings import Settings
from kasse.store.port import Loads
from tests.store.postgres_server import PostgresServer, postgres_server

T = TypeVar("T")
Amounts = dict[int, int]

ACCOUNT = "T12345678"
DECLINED_PRICE = 9955100  # 99551 in major units: the issuer says 51, insufficient funds
CARDS = {
    "approved": "4000000000000002",
    "not authenticated": "4000300000000006",
    "challenge": "4000100000000000",
    "authorize answer lost": "4100000000000001",
    "authorize never arrives": "5100000000000008",
    "capture answer lost": "4100000000000019",
    "capture never arrives": "5100000000000016",
    "refund answer lost": "4100000000000027",
    "refund never arrives": "5100000000000024",
    "void answer lost": "4100000000000043",
    "void never arrives": "5100000000000040",
}
CHALLENGE_MINUTES = 15
SESSION_HOURS = 24
OPERATIONS: dict[CallKind, EntryKind] = {"capture": "capture", "refund": "refund", "void": "cancellation"}


class MovedClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)

    def now(self, account_id: str | None = None) -> datetime:
        return self.time


# -- the model


@dataclass
class Payment:
    """An authorization, wanted or had: of a card, or recorded by the merchant where ``card`` is None."""

    items: Amounts
    card: str | None = None
    id: str = ""
    authorization_id: str = ""
    state: str = "paid"
    opened: datetime | None = None
    answered: bool | None = None
    moved: dict[CallKind, Amounts] = field(default_factory=lambda: {kind: {} for kind in OPERATIONS})
    pending: list[tuple[CallKind, Amounts]] = field(default_factory=list)

    @property
    def amount(self) -> int:
        return sum(self.items.values())

    def total(self, kind: CallKind) -> int:
        return sum(self.moved[kind].values())

    def left(self, kind: CallKind, *, held: bool) -> Amounts:
        """What an operation may take of each line, with or without what waits for an answer."""
        taken_by: tuple[CallKind, ...] = ("refund",) if kind == "refund" else ("capture", "void")
        left = dict(self.moved["capture"]) if kind == "refund" else dict(self.items)
        for each in taken_by:
            add(left, self.moved[each], -1)
        for each, lines in self.pending if held else ():
            add(left, lines, -1 if each in taken_by else 0)
        return left

    def awaited(self, kind: CallKind) -> list[Amounts]:
        decide = ("capture", "refund") if kind == "refund" else ("capture", "void")
        return [lines for each, lines in self.pending if each in decide]

    @property
    def status(self) -> str:
        captured, refunded, voided = self.total("capture"), self.total("refund"), self.total("void")
        if self.state != "paid":
            return self.state
        if captured == 0:
            return "AUTHORIZATION_VOIDED" if voided == self.amount else "AUTHORIZED"
        if captured + voided < self.amount:
            return "PARTIALLY_CAPTURED_REFUNDED" if refunded else "PARTIALLY_CAPTURED"
        if refunded == 0:
            return "CAPTURED"
        return "REFUNDED" if refunded == captured else "PARTIALLY_REFUNDED"


@dataclass
class Session:
    id: str
    items: Amounts
    expires: datetime
    state: str = "open"
    payment: Payment | None = None


def add(sums: Amounts, more: Amounts, sign: int = 1) -> None:
    for line_id, amount in more.items():
        sums[line_id] = sums.get(line_id, 0) + sign * amount


def issuer_declines(amount: int) -> bool:
    return 99501 <= amount // 100 <= 99599


def line_items(wanted: Amounts) -> tuple[LineAmount, ...]:
    return tuple(LineAmount(line_id, amount) for line_id, amount in wanted.items())


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="kasse-machine-")
        self.clock = MovedClock()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        chosen = Settings(database=self.database())
        self.house: House = self.run(self.stack.enter_async_context(open_house(chosen, self.clock)))
        self.run(accounts.create_account(self.house, ACCOUNT, "Fjord & Fjell"))
        self.requests = count(1)
        self.prices: Amounts = {}
        self.order = ""
        self.sessions: list[Session] = []
        self.recorded: set[str] = set()  # the entries of transactions that the merchant has recorded as well
        self.payments: list[Payment] = []  # in the order of their authorization entries, then those without one

    def database(self) -> str:
        """The URL of a new database."""
        return f"sqlite:///{self.folder.name}/kasse.db"

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()
        self.folder.cleanup()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def attempt(self, name: str, work: Coroutine[Any, Any, T], expected: str | None) -> T | None:
        """Do it: it must be accepted, or refused for the reason that the model expects."""
        result, refused = None, None
        try:
            result = self.run(work)
        except Refusal as refusal:
            refused = refusal
        event(f"{name}: {refused.reason if refused else 'accepted'}")
        assert (refused and refused.reason) == expected, refused and refused.message
        return result

    @property
    def caller(self) -> Caller:
        return Caller(ACCOUNT, "test", frozenset(), f"request-{next(self.requests)}")

    # -- what the model knows of lines

    def sums(self, line_id: int) -> dict[str, int]:
        had = [each for each in self.payments if each.state == "paid"]
        under_way = [each for each in self.payments if each.state in ("waiting", "unknown")]

        def moved(kind: CallKind) -> int:
            return sum(each.moved[kind].get(line_id, 0) for each in had)

        return {
            "payable": self.prices[line_id],
            "authorized": sum(each.items.get(line_id, 0) for each in had),
            "cancelled": moved("void"),
            "captured": moved("capture"),
            "refunded": moved("refund"),
            "claimed": sum(each.items.get(line_id, 0) for each in under_way),
        }

    def left_to_pay(self, line_id: int) -> int:
        sums = self.sums(line_id)
        return sums["payable"] - sums["authorized"] + sums["cancelled"]

    def misfit(self, line_id: int, amount: int, left: int) -> str | None:
        """Why a line does not take an amount."""
        sign = 1 if self.prices[line_id] > 0 else -1
        if amount * sign <= 0:
            return "amount_sign"
        return "amount_above_left" if amount * sign > left * sign else None

    def draw_items(self, data: st.DataObject, left: Callable[[int], int]) -> Amounts:
        """Some lines with all or a part of what is left, or with a little too much."""
        some = [line_id for line_id in self.prices if left(line_id)] or list(self.prices)
        chosen = data.draw(st.lists(st.sampled_from(some), min_size=1, unique=True), "lines")
        return {line_id: self.draw_amount(data, left(line_id)) for line_id in chosen}

    def draw_amount(self, data: st.DataObject, left: int) -> int:
        sign = -1 if left < 0 else 1
        how = data.draw(st.sampled_from(["all", "all", "all", "part", "part", "part", "too much"]), "how much")
        if how == "part" and left:
            return data.draw(st.integers(1, abs(left)), "amount") * sign
        return left if how == "all" and left else left + sign

    def draw_kind(self, data: st.DataObject, had: list[Payment]) -> CallKind:
        """Most of the time something that can be done."""
        useful = [kind for kind in OPERATIONS if any(any(each.left(kind, held=True).values()) for each in had)]
        return data.draw(st.sampled_from([*(useful * 4), *OPERATIONS]), "kind")

    # -- orders and sessions

    @initialize(
        positive=st.lists(st.sampled_from([1000, 500, 7, DECLINED_PRICE]), min_size=1, max_size=3),
        negative=st.sampled_from([None, None, -200, -3]),
        cards=st.lists(st.sampled_from(sorted(CARDS)), max_size=2),
        data=st.data(),
    )
    def make_order(self, positive: list[int], negative: int | None, cards: list[str], data: st.DataObject) -> None:
        """An order, on which some payments may have been tried."""
        prices = positive if negative is None else [*positive[:2], negative]
        self.prices = dict(enumerate(prices, 1))
        lines = [{"id": "SKU", "line_id": n, "gross_amount": price} for n, price in self.prices.items()]
        draft = self.run(drafts.create(self.house, self.caller, {"currency": "NOK", "items": lines}, {}))
        [details] = self.run(drafts.complete(self.house, self.caller, draft.id))
        self.order = details.state.order.id
        for card in cards:
            self.open_session(data, data.draw(st.booleans(), "whole"))
            if self.sessions:
                self.pay_session(self.sessions[-1], card)

    def open_session(self, data: st.DataObject, whole: bool) -> None:
        items = {n: self.left_to_pay(n) for n in self.prices} if whole else self.draw_items(data, self.left_to_pay)
        expected = None
        for line_id, amount in items.items():
            left = self.left_to_pay(line_id)
            expected = expected or (self.misfit(line_id, amount, left) if left else "nothing_left_to_pay")
        if expected is None and sum(items.values()) <= 0:
            expected = "amount_not_positive"
        chosen = tuple(ChosenItem(line_id, None if whole else amount) for line_id, amount in items.items())
        request = SessionRequest(chosen, "default", SessionUrl("https://shop.example/done"))
        opened = self.attempt("open", sessions.open_for_order(self.house, self.caller, self.order, request), expected)
        if opened is not None:
            assert opened.amount == sum(items.values())
            expires = self.clock.time + timedelta(hours=SESSION_HOURS)
            self.sessions.append(Session(opened.id, items, expires))

    @rule(data=st.data(), whole=st.booleans(), card=st.none() | st.sampled_from(sorted(CARDS)))
    def open_a_session_and_perhaps_pay(self, data: st.DataObject, whole: bool, card: str | None) -> None:
        before = len(self.sessions)
        self.open_session(data, whole)
        if card and len(self.sessions) > before:
            self.pay_session(self.sessions[-1], card)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), card=st.sampled_from(sorted(CARDS)))
    def pay(self, data: st.DataObject, card: str) -> None:
        open_ = [each for each in self.sessions if each.state == "open"]
        self.pay_session(data.draw(st.sampled_from(open_ or self.sessions), "session"), card)

    def pay_session(self, session: Session, card: str) -> None:
        details = CardDetails(CARDS[card], "12/30", "123")
        expected = self.why_not_payable(session)
        settled = self.attempt("pay", payments.pay(self.house, self.caller, session.id, CARD, details), expected)
        if settled is None:
            return
        payment = Payment(session.items, card, settled.transaction.id, state="unknown", opened=self.clock.time)
        self.payments.append(payment)
        session.state, session.payment = "paying", payment
        if card == "challenge":
            payment.state = "waiting"
            assert settled.call.state == "waiting_for_payer"
        elif card.startswith("authorize"):
            assert not settled.known
        else:
            self.end(session, "DECLINED" if card == "not authenticated" else None)
            assert settled.known

    def why_not_payable(self, session: Session) -> str | None:
        if session.state == "open" and self.clock.time >= session.expires:
            return "session_expired"
        if session.state != "open":
            return {"paying": "session_being_paid"}.get(session.state, f"session_{session.state}")
        for line_id, amount in session.items.items():
            left = self.left_to_pay(line_id)
            if abs(amount) > abs(left):
                return "nothing_left_to_pay"
            if abs(amount) > abs(left - self.sums(line_id)["claimed"]):
                return "line_being_paid"
        return None

    def end(self, session: Session, failed: str | None) -> None:
        """The answer is there: the issuer has its say about what nobody else has refused."""
        payment = cast(Payment, session.payment)
        if failed is None and issuer_declines(payment.amount):
            failed = "FAILED"
        payment.state = failed or "paid"
        session.state = "open" if failed else "paid"
        if failed is None:
            payment.authorization_id = str(self.transaction(payment).authorization_id)

    def look_up(self, session: Session) -> None:
        """What the model expects once the gateway has been asked."""
        payment = cast(Payment, session.payment)
        if payment.card == "authorize never arrives":
            self.end(session, "FAILED")
        elif payment.state == "unknown" or payment.answered:
            # A success that comes to light when the session is over is given back.
            late = self.clock.time >= session.expires and not issuer_declines(payment.amount)
            self.end(session, "DECLINED" if late else None)
        elif payment.answered is not None or self.clock.time >= cast(datetime, payment.opened) + timedelta(
            minutes=CHALLENGE_MINUTES
        ):
            self.end(session, "DECLINED")

    def paying(self, *states: str) -> list[Session]:
        return [
            each for each in self.sessions if each.state == "paying" and cast(Payment, each.payment).state in states
        ]

    @precondition(lambda self: self.paying("waiting"))
    @rule(data=st.data(), approve=st.booleans(), comes_back=st.booleans())
    def answer_the_bank(self, data: st.DataObject, approve: bool, comes_back: bool) -> None:
        session = data.draw(st.sampled_from(self.paying("waiting")), "session")
        payment = cast(Payment, session.payment)
        sandbox = cast(Sandbox, self.house.gateways["sandbox"])
        self.run(sandbox.answer_challenge(ACCOUNT, payment.id, approve))
        on_time = self.clock.time < cast(datetime, payment.opened) + timedelta(minutes=CHALLENGE_MINUTES)
        if payment.answered is None and on_time:
            payment.answered = approve
        if comes_back:
            self.come_back(session)

    @precondition(lambda self: self.paying("waiting", "unknown"))
    @rule(data=st.data())
    def come_back_from_the_bank(self, data: st.DataObject) -> None:
        self.come_back(data.draw(st.sampled_from(self.paying("waiting", "unknown")), "session"))

    def come_back(self, session: Session) -> None:
        payment = cast(Payment, session.payment)
        self.run(payments.come_back(self.house, ACCOUNT, session.id, payment.id))
        self.look_up(session)

    @precondition(lambda self: len(self.sessions) > 1)
    @rule(data=st.data())
    def start_over(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions), "session")
        unknown = session in self.paying("unknown")
        self.attempt(
            "start over", payments.start_over(self.house, ACCOUNT, session.id), "outcome_unknown" if unknown else None
        )
        if session in self.paying("waiting"):
            self.end(session, "DECLINED")

    @precondition(lambda self: len(self.sessions) > 2)
    @rule(data=st.data())
    def cancel_session(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(self.sessions), "session")
        expected = self.release(cast(Payment, session.payment)) if session.state == "paid" else None
        if session in self.paying("unknown"):
            expected = "outcome_unknown"
        self.attempt("cancel", payments.cancel(self.house, self.caller, session.id), expected)
        if session.state == "paid" and expected is None:
            session.state = "cancelled"
        if session in self.paying("waiting"):
            self.end(session, "DECLINED")
        if session.state == "open" and self.clock.time < session.expires:
            session.state = "cancelled"

    def release(self, payment: Payment) -> str | None:
        """A paid session is cancelled by voiding all of it; why it is not, if it is not."""
        if payment.status == "AUTHORIZED":
            left = payment.left("void", held=True)
            why = self.why_not_done(payment, "void", sum(left.values()), {})
            if why is None and self.is_lost(payment, "void"):
                payment.pending.append(("void", left))
                return "outcome_unknown"
            if why is None:
                add(payment.moved["void"], left)
            return why
        return None if payment.status == "AUTHORIZATION_VOIDED" else "session_paid"

    @rule(minutes=st.sampled_from([6, 20, 60 * (SESSION_HOURS - 1)]))
    def wait_and_settle(self, minutes: int) -> None:
        self.clock.time += timedelta(minutes=minutes)
        self.run(payments.settle_due(self.house, limit=100))
        for session in self.paying("waiting", "unknown"):
            self.look_up(session)
        for payment in self.payments:
            for kind, lines in payment.pending:
                add(payment.moved[kind], lines)
            payment.pending.clear()
        written = [entry.id for entry in self.entries("authorization")]
        self.payments.sort(key=lambda each: written.index(each.authorization_id) if each.authorization_id else 1000)

    # -- what the merchant does on the order

    def entries(self, kind: EntryKind) -> list[Entry]:
        return self.run(ledger_entries.list_of_order(self.house, ACCOUNT, self.order, kind))

    @precondition(lambda self: sum(1 for each in self.payments if each.card is None) < 2)
    @rule(data=st.data())
    def authorize_elsewhere(self, data: st.DataObject) -> None:
        items = self.draw_items(data, lambda line_id: self.left_to_pay(line_id) - self.sums(line_id)["claimed"])
        expected = None
        for line_id, amount in items.items():
            left = self.left_to_pay(line_id)
            free = left - self.sums(line_id)["claimed"]
            why = "line_being_paid" if abs(free) < abs(amount) <= abs(left) else self.misfit(line_id, amount, free)
            expected = expected or why
        request = EntryRequest(line_items(items))
        made = self.attempt(
            "authorize", ledger_entries.record(self.house, self.caller, self.order, "authorization", request), expected
        )
        if made is not None:
            had = sum(1 for each in self.payments if each.authorization_id)
            self.payments.insert(had, Payment(items, authorization_id=made.id))

    @precondition(lambda self: any(each.state == "paid" for each in self.payments))
    @rule(data=st.data(), named=st.booleans())
    def operate_on_order(self, data: st.DataObject, named: bool) -> None:
        had = [each for each in self.payments if each.state == "paid"]
        kind = self.draw_kind(data, had)
        if named and had:
            had = [data.draw(st.sampled_from(had), "authorization")]

        def left(line_id: int) -> int:
            return sum(each.left(kind, held=False).get(line_id, 0) for each in had)

        items = self.draw_items(data, left)
        expected = next(filter(None, (self.misfit(n, amount, left(n)) for n, amount in items.items())), None)
        parts = [] if expected else self.allocate(kind, items, had)
        owners = {payment.id for payment, _ in parts}
        if expected is None and len(owners) > 1:
            expected = "ambiguous_authorization"
        paid_here = parts[0][0] if parts and parts[0][0].card else None
        if expected is None and paid_here:
            expected = self.why_not_done(paid_here, kind, sum(items.values()), items)
            if expected is None and self.is_lost(paid_here, kind):
                paid_here.pending.append((kind, items))
                expected = "outcome_unknown"
        request = EntryRequest(line_items(items), authorization_id=had[0].authorization_id if named and had else None)
        work = ledger_entries.record(self.house, self.caller, self.order, OPERATIONS[kind], request)
        if self.attempt(f"order {kind}", work, expected) is not None:
            for payment, moved in parts:
                add(payment.moved[kind], moved)

    def allocate(self, kind: CallKind, items: Amounts, had: list[Payment]) -> list[tuple[Payment, Amounts]]:
        """Oldest first."""
        parts = []
        for line_id, amount in items.items():
            for payment in had:
                taken = min(payment.left(kind, held=False).get(line_id, 0), amount, key=abs)
                if taken:
                    parts.append((payment, {line_id: taken}))
                    amount -= taken
        return parts

    @rule(data=st.data())
    def record_what_the_transaction_did(self, data: st.DataObject) -> None:
        """Merchants who do it on the transaction and record it on the order as well do it once, each time."""
        kinds: list[EntryKind] = [*OPERATIONS.values(), "authorization"]
        done = [entry for kind in kinds for entry in self.entries(kind) if not entry.from_order]
        done = [entry for entry in done if entry.id not in self.recorded]
        if done:
            entry = data.draw(st.sampled_from(done), "entry")
            request = EntryRequest(entry.items, payment_id=entry.transaction_id)
            again = self.run(ledger_entries.record(self.house, self.caller, self.order, entry.kind, request))
            assert (again.kind, again.transaction_id) == (entry.kind, entry.transaction_id)
            assert again in done
            if again.kind != "authorization":
                self.recorded.add(again.id)

    # -- what the merchant does on a transaction

    @precondition(lambda self: any(each.card and each.state == "paid" for each in self.payments))
    @rule(data=st.data(), how=st.sampled_from(["all", "part", "line"]))
    def operate_on_transaction(self, data: st.DataObject, how: str) -> None:
        had = [each for each in self.payments if each.card and each.state == "paid"]
        payment = data.draw(st.sampled_from(had), "payment")
        kind = self.draw_kind(data, [payment])
        left = payment.left(kind, held=True)
        all_left = sum(left.values())
        amount, named = all_left, cast(Amounts, {})
        if how == "part":
            amount = self.draw_amount(data, all_left)
        if how == "line":
            line_id = data.draw(st.sampled_from(sorted(payment.items)), "line")
            amount = payment.left(kind, held=False).get(line_id, 0)
            named = {line_id: amount}
        expected = self.why_not_done(payment, kind, amount, named)
        request = OperationRequest(None if how == "all" and kind == "void" else amount, lines=line_items(named))
        settled = self.attempt(
            f"transaction {kind}",
            transactions.operate(self.house, self.caller, payment.id, kind, request),
            expected,
        )
        if settled is None:
            return
        # What takes all that is left leaves no line behind, not even lines that add up to nothing.
        lines = left if amount == all_left else named or self.fall(left, amount)
        if self.is_lost(payment, kind):
            assert not settled.known
            payment.pending.append((kind, lines))
        else:
            add(payment.moved[kind], lines)

    def fall(self, left: Amounts, amount: int) -> Amounts:
        """All takes all; less fills the positive lines in their order."""
        if amount == sum(left.values()):
            return left
        lines = {}
        for line_id, here in left.items():
            lines[line_id] = max(0, min(here, amount))
            amount -= lines[line_id]
        return lines

    def why_not_done(self, payment: Payment, kind: CallKind, amount: int, named: Amounts) -> str | None:
        left = payment.left(kind, held=True)
        captured, refunded = payment.total("capture"), payment.total("refund")
        open_ = captured + payment.total("void") < payment.amount
        if not (captured and (open_ or refunded < captured) if kind == "refund" else open_):
            return "wrong_status"
        if kind == "void" and payment.pending:
            return "outcome_unknown"
        if amount <= 0:
            return "amount_not_positive"
        if amount > sum(left.values()):
            held = sum(sum(lines.values()) for lines in payment.awaited(kind))
            return "outcome_unknown" if amount <= sum(left.values()) + held else "amount_above_left"
        short = {line_id for line_id, wanted in named.items() if abs(wanted) > abs(left.get(line_id, 0))}
        return "outcome_unknown" if any(short & set(lines) for lines in payment.awaited(kind)) else None

    def is_lost(self, payment: Payment, kind: CallKind) -> bool:
        return cast(str, payment.card).startswith(kind)

    # -- after every step

    def transaction(self, payment: Payment) -> Transaction:
        return self.run(transactions.get(self.house, ACCOUNT, payment.id))

    @invariant()
    def the_order_has_the_sums_of_the_model(self) -> None:
        if not self.prices:
            return
        state = self.run(orders.get(self.house, ACCOUNT, self.order)).state
        totals = dict.fromkeys(("authorized", "cancelled", "captured", "refunded"), 0)
        for line_id in self.prices:
            expected, found = self.sums(line_id), state.sums[line_id]
            assert {name: getattr(found, name) for name in expected} == expected
            keep_the_invariants(expected)
            add(cast(Any, totals), cast(Any, {name: expected[name] for name in totals}))
        assert {name: getattr(state.order.sums, name) for name in totals} == totals
        assert state.order.payment_status == self.payment_status(**totals)

    def payment_status(self, authorized: int, cancelled: int, captured: int, refunded: int) -> str:
        """The table of the reference; what was cancelled and authorized anew is as if never cancelled."""
        net = sum(self.prices.values())
        if captured <= 0:
            return "pending"
        if refunded > 0:
            return "refunded" if refunded >= captured else "partially_refunded"
        uncovered = net - authorized + cancelled
        given_up = min(cancelled, uncovered, key=abs) if cancelled * uncovered > 0 else 0
        return "paid" if captured >= net - given_up else "partially_paid"

    @invariant()
    def each_transaction_has_the_sums_of_the_model_and_of_the_gateway(self) -> None:
        for payment in self.payments:
            if payment.card is None:
                continue
            it = self.transaction(payment)
            sums = amounts(it)
            moved = {kind: payment.total(kind) for kind in OPERATIONS}
            assert {"capture": sums.captured, "refund": sums.refunded, "void": sums.voided} == moved
            assert [(call.kind, {line.line_id: line.amount for line in call.lines}) for call in it.pending] == [
                (kind, {n: amount for n, amount in lines.items() if amount}) for kind, lines in payment.pending
            ]
            assert it.status == {"waiting": "INITIATED", "unknown": "UNKNOWN"}.get(payment.state, payment.status)
            book = self.run(self.house.store.book_get(ACCOUNT, payment.id)) or {}
            if payment.state not in ("waiting", "unknown") and not payment.pending:
                held = payment.amount if payment.state == "paid" else 0
                assert book_sums(book) == (held - moved["void"], moved["capture"], moved["refund"])

    @invariant()
    def each_session_is_where_the_model_is(self) -> None:
        for session in self.sessions:
            found: PaymentSession = self.run(sessions.get(self.house, ACCOUNT, session.id))
            assert found.status == session.state
            payment = session.payment
            released = session.state == "cancelled" and payment is not None and payment.state == "paid"
            named = payment.id if payment and (session.state in ("paying", "paid") or released) else None
            assert found.transaction_id == named

    @invariant()
    def the_history_amounts_to_what_is_stored(self) -> None:
        verified = self.run(verification.verify(self.house))
        assert verified.difference is None
        assert verified.orders == (1 if self.prices else 0)

    @invariant()
    def what_waits_will_be_looked_up(self) -> None:
        waiting = sum(len(each.pending) + (each.state in ("waiting", "unknown")) for each in self.payments)
        later = self.clock.time + timedelta(minutes=6)

        async def due(loads: Loads) -> int:
            return len(await loads.due_gateway_calls(later, 1000))

        assert self.run(self.house.store.read(due)) == waiting


def keep_the_invariants(sums: dict[str, int]) -> None:
    """The design, section 4, for lines of either sign."""
    sign = 1 if sums["payable"] > 0 else -1
    it = {name: sign * amount for name, amount in sums.items()}
    assert 0 <= it["refunded"] <= it["captured"]
    assert it["cancelled"] >= 0
    assert it["captured"] + it["cancelled"] <= it["authorized"]
    assert it["claimed"] >= 0
    assert it["authorized"] - it["cancelled"] + it["claimed"] <= it["payable"]


def book_sums(book: dict[str, Any]) -> tuple[int, int, int]:
    """What the gateway holds, has captured and has refunded."""

    def moved(steps: Iterable[dict[str, Any]], kind: str) -> int:
        return sum(step.get("moved", 0) for step in steps if step["kind"] == kind)

    steps = book.get("steps", {}).values()
    held = book["amount"] - moved(steps, "void") if book.get("state") == "approved" else 0
    return held, moved(steps, "capture"), moved(steps, "refund")


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


class LedgerMachineOnPostgresql(LedgerMachine):
    """The same on the other engine."""

    server: PostgresServer

    def database(self) -> str:
        self.made = ExitStack()
        return self.server.url(self.made.enter_context(self.server.kasse_database()))

    def teardown(self) -> None:
        super().teardown()
        self.made.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[None]:
    with postgres_server() as LedgerMachineOnPostgresql.server:
        yield


TestLedgerMachineOnPostgresql = pytest.mark.usefixtures("postgres")(
    pytest.mark.postgres(pytest.mark.slow(LedgerMachineOnPostgresql.TestCase))
)
LedgerMachineOnPostgresql.TestCase.settings = settings(TestLedgerMachine.settings, max_examples=15)
