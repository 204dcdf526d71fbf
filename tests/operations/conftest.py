"""A house on a database of its own, and a merchant's usual steps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from kasse.domain.access import Caller
from kasse.domain.history import OrderState
from kasse.domain.ledger import Entry, EntryKind, LineAmount
from kasse.domain.profile import CARD
from kasse.domain.session import ChosenItem, PaymentSession, SessionUrl
from kasse.domain.transaction import CallKind, Transaction
from kasse.gateways.port import CardDetails
from kasse.main import open_house
from kasse.operations import accounts, drafts, ledger_entries, orders, payments, sessions, transactions
from kasse.operations.house import House
from kasse.operations.ledger_entries import EntryRequest
from kasse.operations.sessions import SessionRequest
from kasse.operations.settling import Settled
from kasse.operations.transactions import OperationRequest
from kasse.settings import Settings

ACCOUNT = "T12345678"
APPROVED = "4000000000000002"


class MovedClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)

    def now(self, account_id: str | None = None) -> datetime:
        return self.time

    def move(self, minutes: float) -> None:
        self.time += timedelta(minutes=minutes)


@dataclass
class Merchant:
    """Asks the operations of one house, each time in a request of its own."""

    house: House
    clock: MovedClock
    _requests: count[int] = field(default_factory=lambda: count(1))

    @property
    def caller(self) -> Caller:
        return Caller(ACCOUNT, "test", frozenset(), f"request-{next(self._requests)}")

    async def order(self, *amounts: int) -> str:
        """An open order with a line for each amount, numbered from 1."""
        items = [{"id": "SKU", "line_id": n, "gross_amount": amount} for n, amount in enumerate(amounts, 1)]
        draft = await drafts.create(self.house, self.caller, {"currency": "NOK", "items": items}, {})
        [details] = await drafts.complete(self.house, self.caller, draft.id)
        return details.state.order.id

    async def session(self, order: str, *lines: int, shipping: int = 0, **configuration: Any) -> PaymentSession:
        option = {"id": "post", "line_id": "post", "amount": shipping, "title": "Post"} if shipping else None
        chosen = tuple(ChosenItem(line_id) for line_id in lines)
        url = SessionUrl("https://shop.example/done", "https://shop.example/called?report_error=true")
        request = SessionRequest(chosen, "default", url, shipping_option=option, configuration=configuration)
        return await sessions.open_for_order(self.house, self.caller, order, request)

    async def pay(self, session: PaymentSession, card: str = APPROVED) -> Settled:
        return await payments.pay(self.house, self.caller, session.id, CARD, CardDetails(card, "12/30", "123"))

    async def paid(self, order: str, *lines: int, card: str = APPROVED, shipping: int = 0) -> str:
        """Pay lines of an order; answers the transaction's id."""
        return (await self.pay(await self.session(order, *lines, shipping=shipping), card)).transaction.id

    async def record(self, order: str, kind: EntryKind, amounts: Mapping[int, int]) -> Entry:
        request = EntryRequest(tuple(LineAmount(line_id, amount) for line_id, amount in amounts.items()))
        return await ledger_entries.record(self.house, self.caller, order, kind, request)

    async def operate(self, transaction: str, kind: CallKind, amount: int | None = None) -> Settled:
        return await transactions.operate(self.house, self.caller, transaction, kind, OperationRequest(amount))

    async def settle(self) -> None:
        """Let the time pass after which missing answers are looked up."""
        self.clock.move(minutes=6)
        await payments.settle_due(self.house)

    async def state(self, order: str) -> OrderState:
        return (await orders.get(self.house, ACCOUNT, order)).state

    async def captured(self, order: str) -> dict[int, int]:
        return {line_id: sums.captured for line_id, sums in (await self.state(order)).sums.items()}

    async def refunded(self, order: str) -> dict[int, int]:
        return {line_id: sums.refunded for line_id, sums in (await self.state(order)).sums.items()}

    async def transaction(self, id: str) -> Transaction:
        return await transactions.get(self.house, ACCOUNT, id)


@pytest.fixture
async def merchant(tmp_path: Path) -> AsyncIterator[Merchant]:
    clock = MovedClock()
    async with open_house(Settings(database=f"sqlite:///{tmp_path}/kasse.db"), clock) as house:
        await accounts.create_account(house, ACCOUNT, "Fjord & Fjell")
        yield Merchant(house, clock)
