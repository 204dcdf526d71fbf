"""What the answers of gateways change.

Settling a call is done once however often it is tried: a redirect, a look-up and the call itself may all come back
at the same time. Source: design, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import msgspec

from kasse.domain import callbacks, history
from kasse.domain import session as session_rules
from kasse.domain import transaction as rules
from kasse.domain.access import Caller
from kasse.domain.callbacks import Occasion
from kasse.domain.history import EntryAdded, PaymentEnded, What
from kasse.domain.hooks import of_authorization
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession, SessionEvent
from kasse.domain.transaction import (
    EVENT_NAMES,
    CallState,
    GatewayCall,
    PaymentError,
    Pending,
    Transaction,
    TransactionEvent,
    TransactionStatus,
)
from kasse.domain.transaction_list import card_marks
from kasse.gateways.port import Answer, Approved, Declined, OnHold, PayerNeeded, offered
from kasse.operations import intents, orders
from kasse.operations.call_entries import authorization_entry, operation_entry
from kasse.operations.house import House
from kasse.operations.intents import first_look_up
from kasse.store.port import Loads, Record

LONGEST_LOOK_UP_PAUSE = timedelta(minutes=5)
WAIT_FOR_PAYER = timedelta(minutes=1)


@dataclass(frozen=True)
class Settled:
    """Where a call has led. ``known`` is False while the gateway's answer is missing or the payer is busy elsewhere.

    ``next`` is a call that follows by itself: its intent is committed, it is to be made.
    """

    call: GatewayCall
    transaction: Transaction
    session: PaymentSession
    error: PaymentError | None = None
    next: GatewayCall | None = None

    @property
    def known(self) -> bool:
        return self.call.state == "done"


async def settle(house: House, account_id: str, key: str, answer: Answer | None) -> Settled:
    """Record what a gateway answered; None when it did not. A call that is settled stays as it is."""

    async def decide(loads: Loads) -> tuple[Settled, Sequence[Record]]:
        before = await load_call(loads, account_id, key)
        if before.call.state in ("scheduled", "done"):
            return before, ()
        if answer is None or isinstance(answer, PayerNeeded):
            return _postponed(house, before, answer)
        if before.call.state == "closing" and isinstance(answer, Approved | OnHold):
            # It is being released; only the answer to that tells how it ends.
            return before, ()
        if _is_late(house, before, answer):
            return _closing(house, before)
        if isinstance(answer, OnHold):
            return await _held(house, loads, before, answer)
        if before.call.kind == "authorize":
            return await _authorization(house, loads, before, answer)
        return await _operation(house, loads, before, answer)

    return await house.store.change(decide)


def _is_late(house: House, before: Settled, answer: Answer) -> bool:
    """A payer's success that comes to light when his session is over: it is given back, never silently kept."""
    call, session = before.call, before.session
    if call.kind != "authorize" or call.state not in ("waiting_for_payer", "unknown"):
        return False
    return isinstance(answer, Approved | OnHold) and house.clock.now(call.account_id) >= session.expires_at


def _closing(house: House, before: Settled) -> tuple[Settled, Sequence[Record]]:
    """Commit that a payment shall end without success, before the gateway is asked to see to it."""
    closing = msgspec.structs.replace(
        before.call, state="closing", look_up_at=first_look_up(house), version=before.call.version + 1
    )
    return replace(before, call=closing), (closing,)


async def begin_to_close(house: House, account_id: str, key: str, states: Sequence[CallState]) -> Settled:
    """Commit that a payment shall end, unless its call is in another state than these by now."""

    async def decide(loads: Loads) -> tuple[Settled, Sequence[Record]]:
        found = await load_call(loads, account_id, key)
        return _closing(house, found) if found.call.state in states else (found, ())

    return await house.store.change(decide)


async def decide_held(
    house: House, caller: Caller, transaction_id: str, answer: Approved | Declined, **told: Any
) -> Settled:
    """The merchant says how a payment on hold ends; ``told`` are fields of the call such as ``reference``.

    Raises ``Refusal``: transaction_not_found, wrong_state (it is not on hold any more), wrong_status (it is not the
    merchant who decides).
    """

    async def decide(loads: Loads) -> tuple[Settled, Sequence[Record]]:
        transaction = await loads.transaction(caller.account_id, transaction_id)
        if transaction is None:
            raise Refusal("transaction_not_found", f"there is no transaction {transaction_id[:100]!r} in this account")
        require_merchant_decides(house, transaction)
        if transaction.status != "ON_HOLD":
            raise rules.wrong_status(transaction, "to authorize", "ON_HOLD", "wrong_state")
        before = await load_call(loads, caller.account_id, transaction_id)
        call = msgspec.structs.replace(
            before.call,
            by=caller.by,
            request_id=caller.request_id,
            request_headers=caller.origin.headers,
            **told,
        )
        return await _authorization(house, loads, replace(before, call=call), answer)

    return await house.store.change(decide)


def require_merchant_decides(house: House, transaction: Transaction) -> None:
    """Raises ``Refusal`` (wrong_status)."""
    method = offered(house.gateways[transaction.gateway], transaction.payment_product_type)
    if method is None or not method.merchant_decides:
        raise Refusal(
            "wrong_status",
            "expected a transaction that is paid elsewhere, by dintero.external, to authorize it; "
            f"{transaction.id} is by {transaction.payment_product_type}",
        )


async def load_call(loads: Loads, account_id: str, key: str) -> Settled:
    """A call with what it belongs to."""
    call = await loads.gateway_call(account_id, key)
    if call is None:
        raise ValueError(f"there is no gateway call {key}")
    transaction, session = await loads.together(
        loads.transaction(account_id, call.transaction_id), loads.session(account_id, call.session_id)
    )
    if transaction is None or session is None:
        raise ValueError(f"the gateway call {key} belongs to nothing")
    return Settled(call, transaction, session, call.error)


def _postponed(house: House, before: Settled, answer: PayerNeeded | None) -> tuple[Settled, Sequence[Record]]:
    """Neither yes nor no: say when to ask the gateway, and keep every claim."""
    now = house.clock.now(before.call.account_id)
    pause = timedelta(seconds=house.settings.look_up_after) * 2 ** min(before.call.look_ups, 12)
    if answer is not None:
        pause = max(pause, WAIT_FOR_PAYER)
    call = msgspec.structs.replace(
        before.call,
        state=_undecided(before.call, answer),
        action_url=before.call.action_url if answer is None else answer.url,
        look_ups=before.call.look_ups + 1,
        look_up_at=house.clock.now() + min(pause, LONGEST_LOOK_UP_PAUSE),
        version=before.call.version + 1,
    )
    transaction = before.transaction
    if answer is not None or before.call.state in ("unknown", "on_hold", "closing"):
        return Settled(call, transaction, before.session), (call,)
    if call.kind == "authorize":
        transaction = msgspec.structs.replace(
            transaction, status="UNKNOWN", updated_at=now, version=transaction.version + 1
        )
    else:
        event = msgspec.structs.replace(
            _transaction_event(house, before, transaction.status, True), event=f"INITIATE_{EVENT_NAMES[call.kind]}"
        )
        transaction = rules.record(transaction, event, transaction.status)
    return Settled(call, transaction, before.session), (call, transaction)


def _undecided(call: GatewayCall, answer: PayerNeeded | None) -> CallState:
    if call.state in ("on_hold", "closing"):
        return call.state
    return "unknown" if answer is None else "waiting_for_payer"


async def _held(house: House, loads: Loads, before: Settled, answer: OnHold) -> tuple[Settled, Sequence[Record]]:
    """An authorization is looked at by somebody: for the payer it is over, the lines stay claimed."""
    call, transaction = before.call, before.transaction
    if call.kind != "authorize":
        return _postponed(house, before, None)
    now = house.clock.now(call.account_id)
    pause = timedelta(seconds=house.settings.look_up_after) * 2 ** min(call.look_ups, 12)
    method = offered(house.gateways[call.gateway], transaction.payment_product_type)
    nobody_to_ask = method is not None and method.merchant_decides
    held = msgspec.structs.replace(
        call,
        state="on_hold",
        look_ups=call.look_ups + 1,
        look_up_at=None if nobody_to_ask else house.clock.now() + min(pause, LONGEST_LOOK_UP_PAUSE),
        version=call.version + 1,
    )
    if call.state == "on_hold":
        return Settled(held, transaction, before.session), (held,)
    event = msgspec.structs.replace(_transaction_event(house, before, "ON_HOLD", True), event="INITIALIZE")
    card = answer.card or transaction.card
    transaction = rules.record(transaction, event, "ON_HOLD", card=card)
    session = session_rules.step(before.session, "on_hold", _session_event(house, call, "COMPLETED", now))
    records: list[Record] = [held, transaction, session, *_card_marks(before, transaction)]
    records += _owed(house, session, _occasion(transaction))
    return Settled(held, transaction, session), records


async def _authorization(
    house: House, loads: Loads, before: Settled, answer: Approved | Declined
) -> tuple[Settled, Sequence[Record]]:
    call, transaction = before.call, before.transaction
    now = house.clock.now(call.account_id)
    approved = isinstance(answer, Approved)
    error = None if isinstance(answer, Approved) else answer.error
    status: TransactionStatus = "AUTHORIZED"
    if isinstance(answer, Declined):
        status = "DECLINED" if answer.by_payer and transaction.status != "ON_HOLD" else "FAILED"
    event = _transaction_event(house, before, status, approved, error)
    card = answer.card or transaction.card
    transaction = rules.record(transaction, event, status, card=card, authorization_id=call.entry_id)
    follows: GatewayCall | None = None
    if approved and transaction.auto_capture:
        follows, transaction = intents.capture_all(house, transaction)
    transaction = msgspec.structs.replace(transaction, version=before.transaction.version + 1)
    records: list[Record] = [_done(call, error), transaction, *([follows] if follows else [])]
    records += _card_marks(before, transaction)
    held = before.session.status == "on_hold"
    if approved:
        session = session_rules.step(before.session, "paid", _session_event(house, call, "AUTHORIZED", now))
        if not held:
            session = session_rules.note(session, _session_event(house, call, "COMPLETED", now))
        if follows is None:
            records += _owed(house, session, _occasion(transaction))
        what: What = EntryAdded(authorization_entry(transaction, call, card), releases_claim=True)
    else:
        details = {"error": error.message if error else "", "payment_product_type": transaction.payment_product_type}
        if held:
            # The payer has been sent on as one who paid, so nobody can try again.
            failed = _session_event(house, call, "FAILED", now, **details)
            session = session_rules.step(before.session, "failed", failed, last_error=error_name(error))
            records += _owed(house, session, _occasion(transaction, error="failed"))
        else:
            failed = _session_event(house, call, "PAY_FAILED", now, **details)
            session = session_rules.step(
                before.session, "open", failed, transaction_id=None, last_error=error_name(error)
            )
        what = PaymentEnded(session.id, transaction.id, transaction.lines)
    session = msgspec.structs.replace(session, version=before.session.version + 1)
    records.append(session)
    if transaction.order is not None:
        records.append(await _order_step(house, loads, transaction, call, what))
    return Settled(_done(call, error), transaction, session, error, follows), records


def _card_marks(before: Settled, transaction: Transaction) -> list[Record]:
    """By what a transaction is found besides, once its card is known."""
    found = card_marks(transaction) if before.transaction.card is None else None
    return [] if found is None else [found]


async def _operation(
    house: House, loads: Loads, before: Settled, answer: Approved | Declined
) -> tuple[Settled, Sequence[Record]]:
    """A capture, refund or void has its answer."""
    call, transaction = before.call, before.transaction
    pending = tuple(each for each in transaction.pending if each.key != call.key)
    if isinstance(answer, Declined):
        return _refused_operation(house, before, answer.error, pending)
    event = _transaction_event(house, before, transaction.status, True)
    so_far = msgspec.structs.replace(transaction, events=(*transaction.events, event))
    status = rules.status_by_events(so_far)
    event = msgspec.structs.replace(event, transaction_status=status)
    became_captured = status == "CAPTURED" != transaction.status
    transaction = rules.record(transaction, event, status, pending=pending)
    follows: GatewayCall | None = None
    if call.final:
        transaction = msgspec.structs.replace(transaction, final_capture=True)
        begun = intents.void_rest(house, transaction, call)
        follows, transaction = begun or (None, transaction)
    transaction = msgspec.structs.replace(transaction, version=before.transaction.version + 1)
    records: list[Record] = [_done(call), transaction, *([follows] if follows else [])]
    session = before.session
    if transaction.auto_capture and became_captured:
        # What was to be captured by itself is told when it is captured, not before (checkout reference, section 9).
        records += _owed(house, session, _occasion(transaction))
        if session.last_error == "capture":
            session = msgspec.structs.replace(session, last_error=None, version=session.version + 1)
            records.append(session)
    records += _owed(house, session, _occasion(transaction, event))
    if transaction.order is not None and call.lines:
        what = EntryAdded(operation_entry(transaction, call))
        records.append(await _order_step(house, loads, transaction, call, what))
    return Settled(_done(call), transaction, session, next=follows), records


def _refused_operation(
    house: House, before: Settled, error: PaymentError, pending: tuple[Pending, ...]
) -> tuple[Settled, Sequence[Record]]:
    """The gateway said no to a capture, refund or void; an automatic capture is tried again later."""
    transaction, session = before.transaction, before.session
    event = _transaction_event(house, before, transaction.status, False, error)
    transaction = rules.record(transaction, event, transaction.status, pending=pending)
    done = _done(before.call, error)
    records: list[Record] = [done]
    if before.call.automatic:
        begun = intents.capture_later(house, transaction, before.call)
        if begun is not None:
            again, transaction = begun
            records.append(again)
        if session.last_error != "capture":
            # The payer's browser takes this along to the merchant (checkout reference, 6.4).
            session = msgspec.structs.replace(session, last_error="capture", version=session.version + 1)
            records += [session, *_owed(house, session, _occasion(transaction, error="capture"))]
    records.append(transaction)
    return Settled(done, transaction, session, error), records


async def _order_step(
    house: House, loads: Loads, transaction: Transaction, call: GatewayCall, what: What
) -> history.OrderStep:
    """The order's event about it, noted under the name of whoever asked for the call."""
    lines = {line.line_id for line in transaction.lines}
    state = await orders.load(loads, transaction.account_id, str(transaction.order), lines)
    return history.advance(state, what, _asker(call), house.ids.uuid(), house.clock.now(transaction.account_id))


def _asker(call: GatewayCall) -> Caller:
    return Caller(call.account_id, call.by, frozenset(), call.request_id)


def _done(call: GatewayCall, error: PaymentError | None = None) -> GatewayCall:
    return msgspec.structs.replace(call, state="done", look_up_at=None, error=error, version=call.version + 1)


def _transaction_event(
    house: House, before: Settled, status: TransactionStatus, success: bool, error: PaymentError | None = None
) -> TransactionEvent:
    call, transaction = before.call, before.transaction
    return TransactionEvent(
        id=str(len(transaction.events) + 1),
        event=EVENT_NAMES[call.kind],
        transaction_status=status,
        success=success,
        amount=call.amount,
        created_at=house.clock.now(call.account_id),
        created_by=call.by,
        request_id=house.ids.uuid() if call.state == "unknown" else call.request_id,
        items=call.items,
        lines=call.lines,
        event_reference=call.reference or transaction.given.get("event_reference"),
        error=error,
        reason=call.reason,
        metadata=call.metadata,
        correlation_request_id=call.request_id if call.state == "unknown" else None,
        entry_id=call.entry_id,
        request_headers=call.request_headers,
    )


def _session_event(house: House, call: GatewayCall, name: str, now: Any, **details: Any) -> SessionEvent:
    return SessionEvent(house.ids.uuid(), name, now, call.request_id, details, call.request_headers)


def _occasion(transaction: Transaction, event: TransactionEvent | None = None, error: str | None = None) -> Occasion:
    """``error`` ``failed`` ends a payment that the merchant has heard of before: he hears of it in any case."""
    return Occasion(
        session_id=transaction.session_id,
        merchant_reference=transaction.merchant_reference,
        time=transaction.created_at,
        transaction_id=transaction.id,
        event=event.event if event else None,
        event_id=event.id if event else None,
        error=error,
        told_before=error == "failed",
        on_hold=event is None and transaction.status == "ON_HOLD",
        transaction_event_id=transaction.events[-1].id if transaction.events else None,
    )


def _owed(house: House, session: PaymentSession, occasion: Occasion) -> list[Record]:
    """What is to be told on an occasion: the call to the session's merchant, and to whom the account subscribes it."""
    # Calls leave by the server's clock, whatever the account's own says.
    now, records = house.clock.now(), list[Record]()
    if occasion.event is None:
        status = "ON_HOLD" if occasion.on_hold else "AUTHORIZED"
        transaction_id = None if occasion.error == "cancelled" else occasion.transaction_id
        records.append(of_authorization(session.account_id, session.id, transaction_id, status, occasion.error, now))
    url = session.url.callback_url
    owed = callbacks.delivery(session.account_id, house.ids.uuid(), url, occasion, now) if url else None
    return records if owed is None else [*records, owed]


def owed_on_cancel(house: House, session: PaymentSession) -> list[Record]:
    """The call owed when a session ends because somebody cancelled it."""
    occasion = Occasion(session.id, session.merchant_reference, session.created_at, error="cancelled")
    return _owed(house, session, occasion)


def error_name(error: PaymentError | None) -> str:
    """The kind of a decline, for the payer's page."""
    return error.type[0] if error is not None and error.type else "UNKNOWN"
