"""Check every session and its payments, with or without an order: the second half of ``kasse verify``.

What is under way is looked at twice: it may have moved on between two reads. Source: design, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from kasse.domain import callbacks
from kasse.domain.callbacks import Delivery, Occasion
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import GatewayCall, Transaction, amounts, status_by_events
from kasse.gateways import sandbox
from kasse.operations.house import House
from kasse.store.port import Loads

_AT_ONCE = 200
_LOOKS = 4
UNDECIDED = ("INITIATED", "UNKNOWN", "ON_HOLD")
NOT_AUTHORIZED = (*UNDECIDED, "DECLINED", "FAILED")


@dataclass
class VerifiedPayments:
    sessions: int = 0
    transactions: int = 0
    difference: str | None = None


async def verify_payments(house: House) -> VerifiedPayments:
    """Stops at the first difference."""
    found = VerifiedPayments()
    after: tuple[str, str] | None = None
    while True:
        start = after

        async def query(loads: Loads, start: tuple[str, str] | None = start) -> list[PaymentSession]:
            return await loads.sessions_from(start, _AT_ONCE)

        try:
            batch = await house.store.read(query)
            for session in batch:
                payments, found.difference = await _verify_session(house, session.account_id, session.id)
                found.sessions, found.transactions = found.sessions + 1, found.transactions + payments
                if found.difference is not None:
                    return found
        except msgspec.MsgspecError as error:
            place = f"after {after[1]} of account {after[0]}" if after else "at the beginning"
            found.difference = f"something in the {_AT_ONCE} sessions {place} is no record: {error}"
            return found
        if not batch:
            return found
        after = (batch[-1].account_id, batch[-1].id)


@dataclass(frozen=True)
class _Paid:
    """A session and all that belongs to it. ``calls`` are those that are under way, by their keys."""

    session: PaymentSession
    transactions: list[Transaction]
    calls: dict[str, GatewayCall]
    deliveries: list[Delivery]
    book: dict[str, sandbox.Entry] = field(default_factory=dict)


async def _verify_session(house: House, account_id: str, session_id: str) -> tuple[int, str | None]:
    """How many payments it has, and what differs, if it still does when it is looked at again."""
    before: _Paid | None = None
    for _ in range(_LOOKS):
        paid = await _load(house, account_id, session_id)
        difference = next(_differences(paid), None)
        if difference is None or paid == before:
            break
        before = paid
    return len(paid.transactions), difference and f"account {account_id}, session {session_id}: {difference}"


async def _load(house: House, account_id: str, session_id: str) -> _Paid:
    async def query(loads: Loads) -> _Paid:
        session = await loads.session(account_id, session_id)
        if session is None:
            raise ValueError(f"session {session_id} is gone")
        transactions = await loads.transactions_of_session(account_id, session_id)
        keys = [(each.id, *(pending.key for pending in each.pending)) for each in transactions]
        calls = [await loads.gateway_call(account_id, key) for several in keys for key in several]
        under_way = {call.key: call for call in calls if call is not None and call.state != "done"}
        return _Paid(session, transactions, under_way, await loads.deliveries_of(account_id, session_id))

    paid = await house.store.read(query)
    for transaction in paid.transactions:
        if transaction.gateway == "sandbox":
            entry = await house.store.book_get(account_id, transaction.id)
            paid.book[transaction.id] = sandbox.Entry() if entry is None else msgspec.convert(entry, sandbox.Entry)
    return paid


def _differences(paid: _Paid) -> Iterator[str]:
    for transaction in paid.transactions:
        yield from _under_way(paid, transaction)
        yield from _status(transaction)
        if transaction.id in paid.book and transaction.id not in paid.calls and not transaction.pending:
            yield from _unlike_book(transaction, paid.book[transaction.id])
        yield from _callback(paid, transaction)
    yield from _session(paid)


def _under_way(paid: _Paid, transaction: Transaction) -> Iterator[str]:
    """A payment without an outcome is somebody's to look up, so that what it claims cannot stay claimed for ever."""
    name = f"transaction {transaction.id}"
    call = paid.calls.get(transaction.id)
    if transaction.status in UNDECIDED and call is None:
        yield f"{name} is {transaction.status}, and nobody will ask the gateway about it"
    if transaction.status not in UNDECIDED and call is not None:
        yield f"{name} is {transaction.status}, its call to the gateway is {call.state}"
    for pending in transaction.pending:
        held = paid.calls.get(pending.key)
        if held is None:
            yield f"{name} holds {pending.amount} for a {pending.kind} that is not under way"
        elif (held.kind, held.amount) != (pending.kind, pending.amount):
            yield f"{name} holds {pending.amount} for a {pending.kind}, the call is a {held.kind} of {held.amount}"
    for call in paid.calls.values():
        if call.look_up_at is None and call.state != "on_hold":
            yield f"the call {call.key} is {call.state} and will never be looked up"


def _authorized(transaction: Transaction) -> bool:
    """By its events: of a payment of nothing the sums do not tell."""
    return any(event.event == "AUTHORIZE" and event.success for event in transaction.events)


def _status(transaction: Transaction) -> Iterator[str]:
    sums = amounts(transaction)
    if not _authorized(transaction):
        if transaction.status not in NOT_AUTHORIZED:
            yield f"transaction {transaction.id} is {transaction.status}, none of its events authorized it"
        return
    if not 0 <= sums.refunded <= sums.captured <= sums.captured + sums.voided <= sums.authorized:
        yield f"transaction {transaction.id} has {sums}"
    if sums.authorized != transaction.amount:
        yield f"transaction {transaction.id} is for {transaction.amount}, {sums.authorized} was authorized"
    last = next(event for event in reversed(transaction.events) if event.success)
    if last.transaction_status != transaction.status:
        yield f"transaction {transaction.id} is {transaction.status}, its last event made it {last.transaction_status}"
    expected = status_by_events(transaction)
    if transaction.status in ("AUTHORIZED", "AUTHORIZATION_VOIDED") and transaction.status != expected:
        yield f"transaction {transaction.id} is {transaction.status}, its events amount to {expected}"


def _unlike_book(transaction: Transaction, entry: sandbox.Entry) -> Iterator[str]:
    """Against the book that the sandbox keeps, as a real acquirer keeps one."""
    ours = amounts(transaction)
    if not ours.authorized and entry.holds_nothing:
        # It was closed while the payer confirmed it: approved, and released again.
        return
    if bool(ours.authorized) != (entry.state == "approved"):
        yield f"transaction {transaction.id} is {transaction.status}, the gateway's book has it as {entry.state}"
        return
    theirs = (entry.moved("capture"), entry.moved("refund"), entry.moved("void"))
    if (ours.captured, ours.refunded, ours.voided) != theirs:
        yield f"transaction {transaction.id} has {ours}, the gateway's book has captured, refunded, voided {theirs}"


def _callback(paid: _Paid, transaction: Transaction) -> Iterator[str]:
    """A payment that succeeded is told to the merchant, once the money is taken where it is taken by itself."""
    session, sums = paid.session, amounts(transaction)
    if session.url.callback_url is None or not sums.authorized:
        return
    if transaction.auto_capture and all(event.transaction_status != "CAPTURED" for event in transaction.events):
        return
    occasion = Occasion(session.id, session.merchant_reference, transaction.created_at, transaction.id)
    owed = callbacks.delivery(session.account_id, "", session.url.callback_url, occasion, transaction.created_at)
    told = (each for each in paid.deliveries if each.transaction_id == transaction.id)
    if owed is not None and not any(each.event == owed.event for each in told):
        yield f"transaction {transaction.id} succeeded, and no callback about it is owed or was made"


def _session(paid: _Paid) -> Iterator[str]:
    session = paid.session
    by_id = {transaction.id: transaction for transaction in paid.transactions}
    held = [each for each in paid.transactions if _authorized(each) and each.status != "AUTHORIZATION_VOIDED"]
    if len(held) > 1:
        yield f"it is paid by {len(held)} transactions"
    undecided = [each.id for each in paid.transactions if each.status in ("INITIATED", "UNKNOWN")]
    if undecided and (session.status != "paying" or undecided != [session.transaction_id]):
        yield f"it is {session.status} with transaction {session.transaction_id}, under way is {', '.join(undecided)}"
    if session.status == "paying" and not undecided:
        yield f"it is being paid, and transaction {session.transaction_id} is not under way"
    if session.status == "paid":
        payment = by_id.get(str(session.transaction_id))
        if payment is None:
            yield f"it is paid by transaction {session.transaction_id}, which is missing"
        elif not _authorized(payment) and payment.status != "ON_HOLD":
            yield f"it is paid, its transaction {payment.id} is {payment.status}"
    elif held and session.status not in ("cancelled", "failed"):
        yield f"it is {session.status}, its transaction {held[0].id} is {held[0].status}"
