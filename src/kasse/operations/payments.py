"""Paying a session: claim the lines, call the gateway, settle; come back from the payer's bank; give up.

Source: design, section 4; checkout reference, section 6.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from kasse.domain import history
from kasse.domain import session as rules
from kasse.domain.access import Caller
from kasse.domain.history import PaymentStarted
from kasse.domain.profile import payment_methods
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import GatewayCall, Transaction
from kasse.domain.transaction_list import marks
from kasse.gateways.port import CardDetails, Gateway, Method, offered
from kasse.gateways.zero import ZERO
from kasse.operations import intents, orders, sessions, transactions
from kasse.operations.gateway_calls import begun, close_attempt, look_up, make_call
from kasse.operations.house import House
from kasse.operations.intents import first_look_up
from kasse.operations.new_transactions import new_transaction
from kasse.operations.settling import Settled, owed_on_cancel
from kasse.operations.transactions import OperationRequest
from kasse.store.port import Loads, Record

PAYER = "payer"
_log = structlog.get_logger()


def gateway_for(house: House, account_id: str, method: str) -> tuple[Gateway, Method]:
    """Who moves the money of an account by this method; installed gateways come before our own.

    Raises ``Refusal`` (not_payable).
    """
    for port in reversed(tuple(house.gateways.values())):
        found = offered(port, method)
        if found is not None and port.serves(account_id):
            return port, found
    raise Refusal("not_payable", f"expected a gateway of account {account_id} that offers {method[:100]!r}, none does")


async def pay(
    house: House,
    caller: Caller,
    session_id: str,
    method: str,
    card: CardDetails | None = None,
    if_unmodified_since: datetime | int | None = None,
) -> Settled:
    """Pay a session by a method that its configuration enables, such as ``dintero_psp.creditcard``.

    ``card`` is needed by the methods that take one and is not sent on by the others. The answer may be known, unknown,
    on hold, or that the payer has to confirm elsewhere. ``if_unmodified_since`` is the session that the payer saw, by
    its ``updated_at`` or version: so nobody pays another amount than he was shown.

    Raises ``Refusal`` with nothing changed when the session cannot be paid so now (session_paid, session_being_paid,
    session_cancelled, session_expired, session_locked, session_changed, nothing_left_to_pay, line_being_paid,
    order_not_open, not_payable, missing_field), and ``CardRefused`` when the gateway does not take such a card.
    """
    settled = await begun(house, caller, session_id, "authorize")
    if settled is not None:
        return settled
    port, card = check_card(house, caller.account_id, method, card)
    call, transaction = await _start(house, caller, session_id, method, port.name, if_unmodified_since)
    return await make_call(house, call, transaction, card)


def check_card(
    house: House, account_id: str, method: str, card: CardDetails | None
) -> tuple[Gateway, CardDetails | None]:
    """Whether such a card may be sent on; answers where to, and the card if the method takes one.

    Raises ``Refusal`` (not_payable, missing_field), ``CardRefused``.
    """
    port, offer = gateway_for(house, account_id, method)
    if not offer.takes_card:
        return port, None
    if card is None:
        raise Refusal("missing_field", f"expected a card to pay by {method}, got none", path="/card")
    port.check_card(account_id, card)
    return port, card


async def _start(
    house: House, caller: Caller, session_id: str, method: str, gateway: str, since: datetime | int | None
) -> tuple[GatewayCall, Transaction]:
    """Claim the lines and commit the intent."""

    async def decide(loads: Loads) -> tuple[tuple[GatewayCall, Transaction], Sequence[Record]]:
        now = house.clock.now(caller.account_id)
        session = await sessions.load(loads, caller.account_id, session_id)
        rules.require_unmodified(session, since)
        rules.require_payable(session, now)
        rules.require_shipping(session)
        _require_method(session, method)
        transaction = new_transaction(house, caller, session, method, gateway)
        event = sessions.event_by(house, caller, "ADD_PAYMENT_INFORMATION", now, payment_product_type=method)
        paying = rules.step(session, "paying", event, transaction_id=transaction.id, last_error=None)
        call = GatewayCall(
            account_id=caller.account_id,
            key=transaction.id,
            transaction_id=transaction.id,
            session_id=session.id,
            gateway=gateway,
            kind="authorize",
            amount=session.amount,
            currency=session.currency,
            started_at=now,
            by=caller.by,
            request_id=caller.request_id,
            request_headers=caller.origin.headers,
            look_up_at=first_look_up(house),
            items=transaction.items,
            lines=session.items,
            entry_id=house.ids.uuid(),
        )
        records: list[Record] = [paying, transaction, marks(transaction), call]
        if session.order is not None:
            lines = {item.line_id for item in session.items}
            state = await orders.load(loads, caller.account_id, session.order, lines)
            rules.require_current(session, state.order)
            rules.check_claim(state, session.items)
            what = PaymentStarted(session.id, transaction.id, session.items)
            records.append(history.advance(state, what, caller, house.ids.uuid(), now))
        return (call, transaction), records

    return await house.store.change(decide)


def _require_method(session: PaymentSession, method: str) -> None:
    """Raises ``Refusal`` (not_payable)."""
    if method not in payment_methods(session.configuration):
        raise Refusal("not_payable", f"expected a session that offers {method}, {session.id} does not")
    if (method == ZERO) != (session.amount == 0):
        raise Refusal(
            "not_payable", f"expected {ZERO} for an amount of 0 and for no other, got {method} for {session.amount}"
        )


async def look_at_payment(house: House, session: PaymentSession) -> GatewayCall | None:
    """The gateway call of the payment that is under way, or None."""
    transaction_id = session.transaction_id
    if session.status != "paying" or transaction_id is None:
        return None
    return await house.store.glance(lambda loads: loads.gateway_call(session.account_id, transaction_id))


async def come_back(house: House, account_id: str, session_id: str, transaction_id: str) -> PaymentSession:
    """The payer is back from his bank: ask the gateway how it went. Safe to call at any time, any number of times.

    Raises ``Refusal``: session_not_found, transaction_not_found.
    """
    found = await _load_payment(house, account_id, session_id, transaction_id)
    if found is None:
        raise Refusal("transaction_not_found", f"session {session_id} has no payment {transaction_id[:100]!r}")
    call, transaction, session = found
    held_by_the_gateway = call.state == "on_hold" and call.look_up_at is not None
    if call.state in ("waiting_for_payer", "unknown") or held_by_the_gateway:
        session = (await look_up(house, call, transaction)).session
    return session


async def start_over(house: House, account_id: str, session_id: str) -> PaymentSession:
    """Give up a payment whose payer has to confirm it elsewhere, so that he can pay in another way.

    A payment whose outcome is unknown cannot be given up. Raises ``Refusal``: session_not_found, outcome_unknown.
    """
    session = await sessions.get(house, account_id, session_id)
    if session.status != "paying" or session.transaction_id is None:
        return session
    found = await _load_payment(house, account_id, session_id, session.transaction_id)
    if found is None or found[0].state not in ("waiting_for_payer", "closing"):
        raise Refusal(
            "outcome_unknown",
            f"the payment of session {session_id} has been sent to the bank and its answer is not there yet",
        )
    call, transaction, _ = found
    settled = await close_attempt(house, call, transaction)
    if not settled.known:
        raise Refusal("outcome_unknown", f"the bank does not answer about the payment of session {session_id} now")
    return settled.session


async def _load_payment(
    house: House, account_id: str, session_id: str, transaction_id: str
) -> tuple[GatewayCall, Transaction, PaymentSession] | None:
    async def query(loads: Loads) -> tuple[GatewayCall, Transaction, PaymentSession] | None:
        session, transaction, call = await loads.together(
            sessions.load(loads, account_id, session_id),
            loads.transaction(account_id, transaction_id),
            loads.gateway_call(account_id, transaction_id),
        )
        if transaction is None or call is None or transaction.session_id != session.id:
            return None
        return call, transaction, session

    return await house.store.glance(query)


async def cancel(house: House, caller: Caller, session_id: str) -> PaymentSession:
    """Cancel a session. What a merchant cancels after it was paid is voided, as long as nothing is captured.

    Cancelling again, or a session that has expired, changes nothing. Source: checkout reference, section 4.
    Raises ``Refusal``: session_not_found, session_paid (captured, or the payer asks), outcome_unknown,
    gateway_declined.
    """
    session = await start_over(house, caller.account_id, session_id)
    if session.status == "paid" and caller.by != PAYER:
        await _release(house, caller, session)

    async def decide(loads: Loads) -> tuple[PaymentSession, Sequence[Record]]:
        now = house.clock.now(caller.account_id)
        session = await sessions.load(loads, caller.account_id, session_id)
        status = rules.status_at(session, now)
        if status in ("cancelled", "expired", "failed"):
            return session, ()
        if status != "open" and not (status == "paid" and await _is_released(loads, session)):
            rules.require_payable(session, now)
        event = sessions.event_by(house, caller, "CANCELLED", now)
        ended = rules.step(session, "cancelled", event, cancelled_at=now, cancelled_by=caller.by)
        return ended, (ended, *owed_on_cancel(house, ended))

    return await house.store.change(decide)


async def _release(house: House, caller: Caller, session: PaymentSession) -> None:
    """Void the payment of a session. Raises ``Refusal`` (session_paid) when some of it is captured."""
    transaction = await transactions.get(house, session.account_id, str(session.transaction_id))
    if transaction.status == "AUTHORIZED":
        settled = await transactions.operate(house, caller, transaction.id, "void", OperationRequest())
        if not settled.known:
            raise Refusal(
                "outcome_unknown",
                f"the gateway has not answered whether it released the payment of session {session.id}; cancel again "
                "when it has",
            )


async def _is_released(loads: Loads, session: PaymentSession) -> bool:
    transaction = await loads.transaction(session.account_id, str(session.transaction_id))
    return transaction is not None and transaction.status == "AUTHORIZATION_VOIDED"


async def settle_due(house: House, limit: int = 20) -> int:
    """Look up the calls whose outcome is overdue, and start those whose time has come; answers how many.

    Several workers may do this side by side.
    """

    async def decide(loads: Loads) -> tuple[list[tuple[GatewayCall, Transaction]], Sequence[Record]]:
        now = house.clock.now()
        # Pushed ahead, so that nobody else looks it up while we do, and someone does if we die.
        lease = now + timedelta(seconds=2 * house.settings.gateway_timeout)
        taken: list[tuple[GatewayCall, Transaction]] = []
        records: list[Record] = []
        calls = await loads.due_gateway_calls(now, limit)
        found = await loads.together(*(loads.transaction(call.account_id, call.transaction_id) for call in calls))
        for call, transaction in zip(calls, found, strict=True):
            if transaction is None:
                continue
            if call.state == "scheduled":
                started, holding = intents.due(transaction, call)
                call = msgspec.structs.replace(started, version=call.version)
                if holding is None:
                    records.append(msgspec.structs.replace(call, version=call.version + 1))
                    continue
                transaction = msgspec.structs.replace(holding, version=transaction.version + 1)
                records.append(transaction)
            call = msgspec.structs.replace(call, look_up_at=lease, version=call.version + 1)
            records.append(call)
            taken.append((call, transaction))
        return taken, records

    due = await house.store.change(decide)
    # Side by side: of a gateway that does not answer the others would have to wait for every call.
    await asyncio.gather(*(_look_up_alone(house, call, transaction) for call, transaction in due))
    return len(due)


async def _look_up_alone(house: House, call: GatewayCall, transaction: Transaction) -> None:
    """One that goes wrong is tried again when its lease is over, and keeps nobody else waiting."""
    try:
        await look_up(house, call, transaction)
    except Exception as error:
        _log.error("look_up_failed", gateway=call.gateway, kind=call.kind, key=call.key, exc_info=error)
