"""Plain orders, sessions and transactions for tests of the rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from kasse.domain import history
from kasse.domain.access import Caller
from kasse.domain.history import OrderState, What
from kasse.domain.ledger import Entry, EntryKind, LineAmount, Part
from kasse.domain.order import Line, Order, totals
from kasse.domain.session import PaymentSession, SessionEvent, SessionStatus, SessionUrl
from kasse.domain.transaction import Transaction, TransactionEvent, TransactionStatus

ACCOUNT = "T12345678"
NOW = datetime(2026, 2, 3, 9, 0, tzinfo=UTC)
CALLER = Caller(ACCOUNT, "test", frozenset(), "request-1")


def line(line_id: int, amount: int, **given: Any) -> Line:
    return Line(line_id, amount, 0, {"id": f"SKU-{line_id}", "line_id": line_id, "gross_amount": amount, **given})


def new_order(*amounts: int) -> tuple[Order, tuple[Line, ...]]:
    """An order with a line for each amount, numbered from 1."""
    lines = tuple(line(n, amount) for n, amount in enumerate(amounts, 1))
    gross, net = totals(lines)
    return Order(ACCOUNT, "order-1", "K7Q2M9XAB", "NOK", gross, net, NOW, "test", NOW, {}), lines


def state_of(*amounts: int) -> OrderState:
    return history.after(history.create(*new_order(*amounts), CALLER, "event-1", NOW))


def then(state: OrderState, *whats: What) -> OrderState:
    """The state after some more events."""
    for what in whats:
        state = history.after(history.advance(state, what, CALLER, f"event-{state.order.version + 1}", NOW), state)
    return state


def items(amounts: Mapping[int, int]) -> tuple[LineAmount, ...]:
    return tuple(LineAmount(line_id, amount) for line_id, amount in amounts.items())


def entry(kind: EntryKind, amounts: Mapping[int, int], id: str = "e1", of: str | None = None, **more: Any) -> Entry:
    """An entry of the ledger; one that is ``of`` an authorization draws all of its money on that."""
    parts = tuple(Part(of, line_id, amount) for line_id, amount in amounts.items()) if of else ()
    return Entry(id, kind, items(amounts), more.pop("success", True), NOW, "test", of, parts, **more)


def session(status: SessionStatus = "open", **more: Any) -> PaymentSession:
    return PaymentSession(
        account_id=ACCOUNT,
        id=f"{ACCOUNT}.s1",
        items=more.pop("items", items({1: 1000})),
        amount=1000,
        currency="NOK",
        url=SessionUrl("https://shop.example/done"),
        profile_id="default",
        checkout_order={"amount": 1000, "currency": "NOK", "merchant_reference": "ref-1"},
        created_at=NOW,
        created_by="test",
        updated_at=NOW,
        expires_at=NOW + timedelta(hours=24),
        status=status,
        **more,
    )


def session_event(name: str = "VISITED") -> SessionEvent:
    return SessionEvent("event-1", name, NOW, "request-1")


def transaction(
    lines: Mapping[int, int], shipping: int = 0, status: TransactionStatus = "INITIATED", **more: Any
) -> Transaction:
    return Transaction(
        account_id=ACCOUNT,
        id=f"{ACCOUNT}.t1",
        session_id=f"{ACCOUNT}.s1",
        gateway="sandbox",
        amount=sum(lines.values()) + shipping,
        currency="NOK",
        payment_product_type="dintero_psp.creditcard",
        merchant_reference="ref-1",
        created_at=NOW,
        updated_at=NOW,
        status=status,
        lines=items(lines),
        **more,
    )


def transaction_event(
    name: str, amount: int, status: TransactionStatus, lines: tuple[LineAmount, ...] = (), success: bool = True
) -> TransactionEvent:
    return TransactionEvent("1", name, status, success, amount, NOW, "test", "request-1", lines=lines)
