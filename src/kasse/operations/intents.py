"""Captures, refunds and voids before they are made: an intent that is committed holds the money meanwhile.

Some nobody asks for by hand: the capture right after an authorization where the session says ``auto_capture``, tried
again for 48 hours, and the void of what a final capture leaves. Source: checkout reference, sections 3.5 and 8.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from kasse.domain import transaction as rules
from kasse.domain.ledger import LineAmount
from kasse.domain.transaction import CallKind, GatewayCall, Pending, Transaction
from kasse.domain.transaction_lines import fall_on_lines
from kasse.operations.house import House
from kasse.store.port import Loads, Record

BY_ITSELF = "kasse"
TRY_FOR = timedelta(hours=48)
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=4)


def begin(
    house: House, transaction: Transaction, kind: CallKind, amount: int, lines: tuple[LineAmount, ...], **more: Any
) -> tuple[GatewayCall, Transaction]:
    """The call, and the transaction that holds ``amount`` for it; ``more`` are fields of the call."""
    call = GatewayCall(
        account_id=transaction.account_id,
        key=f"{transaction.id}:{kind}:{house.ids.uuid()}",
        transaction_id=transaction.id,
        session_id=transaction.session_id,
        gateway=transaction.gateway,
        kind=kind,
        amount=amount,
        currency=transaction.currency,
        started_at=house.clock.now(transaction.account_id),
        look_up_at=first_look_up(house),
        lines=lines,
        entry_id=house.ids.uuid(),
        **more,
    )
    return call, _holding(transaction, call)


def first_look_up(house: House) -> datetime:
    """When to look a call up whose maker never came back: after the longest time that its answer may take.

    By the server's clock, whatever the account's own says: it is about what happens here and now.
    """
    wait = house.settings.gateway_timeout + house.settings.look_up_after
    return house.clock.now() + timedelta(seconds=wait)


def _holding(transaction: Transaction, call: GatewayCall) -> Transaction:
    pending = Pending(call.key, call.kind, call.amount, call.lines)
    return msgspec.structs.replace(
        transaction, pending=(*transaction.pending, pending), version=transaction.version + 1
    )


def capture_all(house: House, transaction: Transaction) -> tuple[GatewayCall, Transaction]:
    """The automatic capture of a transaction that has just been authorized."""
    return begin(
        house,
        transaction,
        "capture",
        transaction.amount,
        fall_on_lines(transaction, "capture", transaction.amount, ()),
        by=BY_ITSELF,
        request_id=house.ids.uuid(),
        items=transaction.items,
        automatic=True,
    )


def capture_later(
    house: House, transaction: Transaction, failed: GatewayCall
) -> tuple[GatewayCall, Transaction] | None:
    """Another automatic capture after one that was declined; it holds nothing until its time comes.

    None when 48 hours have passed, or when somebody has captured or voided meanwhile.
    """
    now = house.clock.now(transaction.account_id)
    if transaction.status != "AUTHORIZED" or transaction.pending or now >= transaction.created_at + TRY_FOR:
        return None
    tried = sum(event.event == "CAPTURE" and not event.success for event in transaction.events)
    pause = min(FIRST_PAUSE * 2 ** min(tried - 1, 12), LONGEST_PAUSE)
    again = msgspec.structs.replace(
        failed,
        key=f"{transaction.id}:capture:{house.ids.uuid()}",
        entry_id=house.ids.uuid(),
        request_id=house.ids.uuid(),
        started_at=now,
        state="scheduled",
        look_up_at=house.clock.now() + pause,
        look_ups=0,
        error=None,
        version=1,
    )
    return again, msgspec.structs.replace(transaction, next_capture=again.key)


def due(transaction: Transaction, scheduled: GatewayCall) -> tuple[GatewayCall, Transaction | None]:
    """The time of a scheduled capture has come: it starts, unless somebody has done otherwise meanwhile."""
    if transaction.next_capture != scheduled.key or transaction.status != "AUTHORIZED" or transaction.pending:
        return _dropped(scheduled), None
    started = msgspec.structs.replace(scheduled, state="started")
    return started, msgspec.structs.replace(_holding(transaction, started), next_capture=None)


async def stop_automatic(loads: Loads, transaction: Transaction) -> tuple[Transaction, list[Record]]:
    """Whoever captures or voids by hand ends what would be captured automatically (checkout reference, 8.2)."""
    if transaction.next_capture is None:
        return transaction, []
    scheduled = await loads.gateway_call(transaction.account_id, transaction.next_capture)
    transaction = msgspec.structs.replace(transaction, next_capture=None)
    if scheduled is None or scheduled.state != "scheduled":
        return transaction, []
    dropped = _dropped(scheduled)
    return transaction, [msgspec.structs.replace(dropped, version=scheduled.version + 1)]


def _dropped(scheduled: GatewayCall) -> GatewayCall:
    return msgspec.structs.replace(scheduled, state="done", look_up_at=None)


def void_rest(house: House, transaction: Transaction, capture: GatewayCall) -> tuple[GatewayCall, Transaction] | None:
    """The void of what a final capture leaves; None where it leaves nothing."""
    rest = rules.left_for(transaction, "void")
    if rest <= 0:
        return None
    lines = fall_on_lines(transaction, "void", rest, ())
    return begin(house, transaction, "void", rest, lines, by=capture.by, request_id=capture.request_id)
