"""A merchant's whole way through the operations of a house, noting what was answered."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from kasse.clock import SystemClock
from kasse.domain.access import Caller
from kasse.domain.session import ChosenItem, SessionUrl
from kasse.domain.transaction import amounts
from kasse.gateways.port import CardDetails
from kasse.operations import drafts, payments, sessions, transactions
from kasse.operations.house import House
from kasse.operations.sessions import SessionRequest
from kasse.operations.transactions import OperationRequest
from kasse.store.port import Loads
from tests.faults.servers import ACCOUNT

CALLER = Caller(ACCOUNT, "somebody", frozenset(), "request-1")
CARDS = ("4000000000000002", "4000000000000002", "4100000000000019", "5100000000000008")
CALLBACK = SessionUrl("https://shop.example", "http://127.0.0.1:1/callback")


class MovedClock(SystemClock):
    ahead = timedelta()

    def now(self, account_id: str | None = None) -> datetime:
        return super().now(account_id) + self.ahead


async def trade(house: House, chance: random.Random, answered: list[tuple[str, str, int]]) -> None:
    """Order, session, payment, capture and refund; each is noted as (what, id, sum) once it was answered."""
    amount = chance.randrange(100, 90_000)
    items = [{"id": "A", "line_id": 1, "gross_amount": amount, "tax_lines": [], "description": "x" * 200}]
    draft = await drafts.create(house, CALLER, {"currency": "NOK", "items": items}, {})
    answered.append(("draft", draft.id, 0))
    [details] = await drafts.complete(house, CALLER, draft.id)
    order_id = details.state.order.id
    answered.append(("order", order_id, 0))
    session = await sessions.open_for_order(
        house, CALLER, order_id, SessionRequest((ChosenItem(1),), "default", CALLBACK)
    )
    answered.append(("session", session.id, 0))
    card = CardDetails(chance.choice(CARDS), "12/2099", "123")
    paid = await payments.pay(house, CALLER, session.id, "dintero_psp.creditcard", card)
    if paid.transaction.status != "AUTHORIZED":
        return
    answered.append(("authorized", paid.transaction.id, amount))
    captured = await transactions.operate(
        house, CALLER, paid.transaction.id, "capture", OperationRequest(amount=amount)
    )
    if captured.known:
        answered.append(("captured", paid.transaction.id, amount))
        await transactions.operate(house, CALLER, paid.transaction.id, "refund", OperationRequest(amount=50))
        answered.append(("refunded", paid.transaction.id, 50))


async def lost(house: House, answered: list[tuple[str, str, int]]) -> list[str]:
    """What was answered and is not there."""

    async def query(loads: Loads) -> list[str]:
        missing = []
        for what, id, amount in answered:
            if what == "draft":
                there = await loads.draft(ACCOUNT, id) is not None
            elif what == "order":
                there = await loads.order(ACCOUNT, id) is not None
            elif what == "session":
                there = await loads.session(ACCOUNT, id) is not None
            else:
                transaction = await loads.transaction(ACCOUNT, id)
                there = transaction is not None and getattr(amounts(transaction), what) == amount
            if not there:
                missing.append(f"{what} {id}")
        return missing

    return await house.store.read(query)


async def settle_all(house: House, clock: MovedClock) -> None:
    """Time passes and what is overdue is looked up, until nothing is."""
    for _ in range(8):
        clock.ahead += timedelta(minutes=10)
        while await payments.settle_due(house):
            pass
