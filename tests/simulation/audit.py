"""What must be true at the end of every run, whatever went wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

from kasse.domain.session import LOCK_LIFETIME, SessionEvent
from kasse.domain.transaction import amounts
from kasse.gateways import sandbox
from kasse.operations.verification import verify
from tests.simulation.books import Books
from tests.simulation.hearsay import callbacks_came, done_once, notices_came, one_capture
from tests.simulation.network import Receivers
from tests.simulation.people import Merchant
from tests.simulation.world import World

T = TypeVar("T")

_OPEN = ("INITIATED", "UNKNOWN")


async def audit(world: World, merchant: Merchant, receivers: Receivers) -> None:
    """Note as problems whatever does not agree."""
    process = await world.some_process()
    assert process.house is not None
    verified = await verify(process.house)
    if verified.difference is not None:
        world.problem(f"kasse verify: {verified.difference}")
    books = Books(world)
    for told in (
        *_nothing_is_stuck(books),
        *_the_gateway_agrees(books),
        *_nobody_paid_twice(books),
        *_sessions_cost_what_was_paid(books),
        *_cancelled_orders_hold_nothing(books),
        *callbacks_came(books, receivers),
        *notices_came(books, receivers),
        *(text for deed in merchant.deeds for text in done_once(books, deed)),
        *(text for each in merchant.matched for text in one_capture(books, *each)),
    ):
        world.problem(told)
    world.counts.update(transaction.status for transaction in books.transactions)
    world.counts.update(f"session {session.status}" for session in books.sessions)
    world.counts.update(f"order {status}" for _, status in books.orders)
    world.counts.update(f"{deed.kind} {deed.told.status if deed.told else 'unknown'}" for deed in merchant.deeds)
    world.counts["callbacks heard"] = len(receivers.heard)
    world.counts["webhook calls heard"] = len(receivers.notices)


def _nothing_is_stuck(books: Books) -> Iterator[str]:
    # What is on hold at the merchant's own wish stays claimed until he decides.
    held = [each for each in books.transactions if each.status == "ON_HOLD"]
    claimed = sum(abs(item.amount) for each in held for item in each.lines)
    if books.claimed != claimed:
        yield f"{books.claimed} of the lines of orders are claimed for ever, on hold are {claimed}"
    on_hold = {each.id for each in held}
    for call in books.calls:
        if call.state != "done" and not (call.state == "on_hold" and call.key in on_hold):
            yield f"the call {call.key} is {call.state} for ever"
    for transaction in books.transactions:
        if transaction.status in _OPEN or transaction.pending:
            yield f"transaction {transaction.id} is {transaction.status} for ever, {len(transaction.pending)} pending"
    for session in books.sessions:
        if session.status == "paying":
            yield f"session {session.id} is being paid for ever"
        if session.status == "on_hold" and session.transaction_id not in on_hold:
            yield f"session {session.id} is on hold for ever"
    for notice in books.notices:
        if not notice.told:
            yield f"{notice.id} is never told"


def _the_gateway_agrees(books: Books) -> Iterator[str]:
    bank = dict(books.bank)
    for transaction in books.transactions:
        if transaction.gateway != "sandbox":
            continue
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


def _nobody_paid_twice(books: Books) -> Iterator[str]:
    """By what the gateway has, not by what we think. What it released may be paid again."""
    paid: Counter[tuple[str, int]] = Counter()
    by_session: Counter[str] = Counter()
    for transaction in books.transactions:
        theirs, ours = books.bank.get(transaction.id, sandbox.Entry()), amounts(transaction)
        elsewhere = transaction.gateway != "sandbox" and ours.authorized > ours.voided
        if elsewhere or (theirs.state == "approved" and not theirs.holds_nothing):
            by_session[transaction.session_id] += 1
            for item in transaction.lines:
                paid[str(transaction.order), item.line_id] += item.amount
    for entry, order in books.entries_elsewhere():
        for item in entry.items:
            paid[order, item.line_id] += item.amount
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


def _sessions_cost_what_was_paid(books: Books) -> Iterator[str]:
    """Nobody pays another amount than the session has, and nobody pays while the shop has locked it."""
    for session in books.sessions:
        paid = books.transaction(session.transaction_id)
        if paid is not None and paid.amount != session.amount:
            yield f"session {session.id} costs {session.amount}, {paid.amount} is paid"
        order = session.checkout_order
        items = sum(item["amount"] for item in order.get("items") or ())
        shipping = (order.get("shipping_option") or {}).get("amount", 0)
        if items and order["amount"] != items + shipping:
            yield f"session {session.id} costs {order['amount']}, its items {items} and its shipping {shipping}"
        locked: SessionEvent | None = None
        for event in session.events:
            if event.name == "PAY_LOCK_START":
                locked = event
            elif event.name == "PAY_LOCK_END":
                locked = None
            elif locked and event.name == "ADD_PAYMENT_INFORMATION":
                lapses = locked.created_at + LOCK_LIFETIME
                yield from [f"session {session.id} was paid while it was locked"] * (event.created_at < lapses)


def _cancelled_orders_hold_nothing(books: Books) -> Iterator[str]:
    for id, status in books.orders:
        for sums in books.lines(id) if status == "cancelled" else ():
            if sums["captured"] != sums["refunded"] or sums["authorized"] != sums["captured"] + sums["cancelled"]:
                yield f"order {id} is cancelled, a line of it has {sums}"
