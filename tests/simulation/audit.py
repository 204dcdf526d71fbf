"""What must be true at the end of every run, whatever went wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from kasse.domain.callbacks import MAX_RETRIES, Delivery
from kasse.domain.ledger import Entry
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import GatewayCall, Transaction, amounts
from kasse.gateways import sandbox
from kasse.operations.verification import verify
from tests.simulation.network import Receivers
from tests.simulation.people import Deed, Merchant
from tests.simulation.world import World

T = TypeVar("T")

_OPEN = ("INITIATED", "UNKNOWN")
_KINDS = {"capture": "CAPTURE", "refund": "REFUND", "void": "VOID"}
_REPORTED = ("CAPTURE", "REFUND")


async def audit(world: World, merchant: Merchant, receivers: Receivers) -> None:
    """Note as problems whatever does not agree."""
    process = await world.some_process()
    assert process.house is not None
    verified = await verify(process.house)
    if verified.difference is not None:
        world.problem(f"kasse verify: {verified.difference}")
    books = _Books(world)
    for told in (
        *_nothing_is_stuck(books),
        *_the_gateway_agrees(books),
        *_nobody_paid_twice(books),
        *_callbacks_came(books, receivers),
        *(text for deed in merchant.deeds for text in _done_once(books, deed)),
    ):
        world.problem(told)
    world.counts.update(transaction.status for transaction in books.transactions)
    world.counts.update(f"session {session.status}" for session in books.sessions)
    world.counts["callbacks heard"] = len(receivers.heard)


class _Books:
    """All that is stored, read apart from the code that is tried."""

    def __init__(self, world: World) -> None:
        self._rows = world.store.connection.execute
        self.transactions = self._all("transactions", Transaction)
        self.sessions = self._all("sessions", PaymentSession)
        self.calls = self._all("gateway_calls", GatewayCall)
        self.deliveries = self._all("deliveries", Delivery)
        self.entries = self._all("ledger_entries", Entry)
        self.claimed = self._rows("SELECT coalesce(sum(abs(claimed)), 0) FROM order_lines").get
        sql = "SELECT key, doc FROM sandbox_book"
        self.bank = {key: msgspec.json.decode(doc, type=sandbox.Entry) for key, doc in self._rows(sql)}

    def _all(self, table: str, kind: type[T]) -> list[T]:
        return [msgspec.json.decode(doc, type=kind) for (doc,) in self._rows(f"SELECT doc FROM {table}")]  # noqa: S608

    def session(self, id: str) -> PaymentSession:
        return next(session for session in self.sessions if session.id == id)

    def of_line(self, order: str, line_id: int) -> dict[str, int]:
        names = ("payable", "authorized", "cancelled", "captured", "refunded")
        sql = f"SELECT {','.join(names)} FROM order_lines WHERE order_ref = ? AND line_id = ?"  # noqa: S608
        [row] = self._rows(sql, (order, line_id)).fetchall()
        return {name: int(str(value)) for name, value in zip(names, row, strict=True)}


def _nothing_is_stuck(books: _Books) -> Iterator[str]:
    if books.claimed:
        yield f"{books.claimed} of the lines of orders are claimed for ever"
    for call in books.calls:
        if call.state != "done":
            yield f"the call {call.key} is {call.state} for ever"
    for transaction in books.transactions:
        if transaction.status in _OPEN or transaction.pending:
            yield f"transaction {transaction.id} is {transaction.status} for ever, {len(transaction.pending)} pending"
    for session in books.sessions:
        if session.status == "paying":
            yield f"session {session.id} is being paid for ever"


def _the_gateway_agrees(books: _Books) -> Iterator[str]:
    bank = dict(books.bank)
    for transaction in books.transactions:
        theirs, ours = bank.pop(transaction.id, sandbox.Entry()), amounts(transaction)
        if not ours.authorized and theirs.holds_nothing:
            # It was closed while the payer confirmed it: the gateway approved and released it again.
            continue
        if bool(ours.authorized) != (theirs.state == "approved"):
            yield f"transaction {transaction.id} is {transaction.status}, the gateway has it {theirs.state}"
        moved = (theirs.moved("capture"), theirs.moved("refund"), theirs.moved("void"))
        if (ours.captured, ours.refunded, ours.voided) != moved:
            yield f"transaction {transaction.id} has {ours}, the gateway moved {moved} (captured, refunded, voided)"
        if not 0 <= moved[1] <= moved[0] <= moved[0] + moved[2] <= max(theirs.amount, 0):
            yield f"transaction {transaction.id}: the gateway moved {moved} of {theirs.amount}"
    for key in bank:
        yield f"the gateway has {key}, which is no transaction of ours"


def _nobody_paid_twice(books: _Books) -> Iterator[str]:
    """By what the gateway has, not by what we think. What it released may be paid again."""
    paid: Counter[tuple[str, int]] = Counter()
    by_session: Counter[str] = Counter()
    for transaction in books.transactions:
        theirs = books.bank.get(transaction.id, sandbox.Entry())
        if theirs.state == "approved" and not theirs.holds_nothing:
            by_session[transaction.session_id] += 1
            for item in transaction.lines:
                paid[str(transaction.order), item.line_id] += item.amount
    for session_id, times in by_session.items():
        if times > 1:
            yield f"session {session_id} was paid {times} times"
    for (order, line_id), amount in paid.items():
        sums = books.of_line(order, line_id)
        if amount - sums["cancelled"] > sums["payable"]:
            yield f"line {line_id} of an order costs {sums['payable']}, payers paid {amount}"
        if amount > sums["authorized"]:
            yield f"line {line_id} of an order has {sums['authorized']} authorized, payers paid {amount}"
        if not 0 <= sums["refunded"] <= sums["captured"] <= sums["captured"] + sums["cancelled"] <= sums["authorized"]:
            yield f"line {line_id} of an order has {sums}"


def _callbacks_came(books: _Books, receivers: Receivers) -> Iterator[str]:
    """What is owed is worked out from what happened, not from what was noted to be owed."""
    given_up = {delivery.url for delivery in books.deliveries if delivery.status == "failed"}
    if any(delivery.attempts <= MAX_RETRIES for delivery in books.deliveries if delivery.status == "failed"):
        yield "a callback was given up too early"
    owed = set(_owed(books))
    heard = {
        (call["session_id"], call.get("transaction_id"), call.get("error") or call.get("event"), call.get("event_id"))
        for call in receivers.heard
    }
    for each in sorted(owed - heard, key=repr):
        if not any(each[0] in url for url in given_up):
            yield f"the callback {each} (session, transaction, event) never came"
    # That an automatic capture was refused is told too; it is tried again.
    unexpected = {each for each in heard - owed if each[2] != "capture"}
    for each in sorted(unexpected, key=repr):
        yield f"the callback {each} (session, transaction, event) tells what did not happen"


def _owed(books: _Books) -> Iterator[tuple[str, str | None, str | None, str | None]]:
    for transaction in books.transactions:
        if transaction.auto_capture and any(event.transaction_status == "CAPTURED" for event in transaction.events):
            # What is captured by itself is told when it is captured, not before.
            yield transaction.session_id, transaction.id, None, None
        for event in transaction.events:
            if event.event == "AUTHORIZE" and event.success and transaction.auto_capture:
                continue
            if event.event == "AUTHORIZE" and event.success:
                yield transaction.session_id, transaction.id, None, None
            elif event.event in _REPORTED and event.success:
                yield transaction.session_id, transaction.id, event.event, event.id
    for session in books.sessions:
        if session.status == "cancelled":
            yield session.id, None, "cancelled", None


def _done_once(books: _Books, deed: Deed) -> Iterator[str]:
    """Whoever was told yes finds it once, whoever was told no finds nothing, who knows nothing at most once."""
    entries = [entry for entry in books.entries if _deed_of(entry.given.get("metadata")) == deed.name]
    events = [
        event
        for transaction in books.transactions
        for event in transaction.events
        if event.success and event.event == _KINDS[deed.kind] and _deed_of(event.metadata) == deed.name
    ]
    times = max(len(entries), len(events))
    if times > 1:
        yield f"{deed.name}, a {deed.kind}, was done {times} times"
    if deed.told is None:
        return
    if deed.told.status == 200 and times == 0:
        yield f"{deed.name}, a {deed.kind}, was answered 200 and is not there"
    if deed.told.status != 200 and times and deed.told.keyword != "outcome_unknown":
        yield f"{deed.name}, a {deed.kind}, was refused ({deed.told.keyword}) and is there"


def _deed_of(metadata: Any) -> str | None:
    return metadata.get("deed") if isinstance(metadata, dict) else None
