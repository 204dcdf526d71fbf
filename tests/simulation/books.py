"""All that is stored at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from kasse.domain.access import StoredAnswer
from kasse.domain.callbacks import Delivery
from kasse.domain.history import Event
from kasse.domain.hooks import Notice, Subscription
from kasse.domain.ledger import Entry
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import GatewayCall, Transaction
from kasse.gateways import sandbox
from tests.simulation.world import World

T = TypeVar("T")


class Books:
    """All that is stored, read apart from the code that is tried."""

    def __init__(self, world: World) -> None:
        self._rows = world.store.connection.execute
        self.transactions = self._all("transactions", Transaction)
        self.sessions = self._all("sessions", PaymentSession)
        self.calls = self._all("gateway_calls", GatewayCall)
        self.deliveries = self._all("deliveries", Delivery)
        self.entries = self._all("ledger_entries", Entry)
        self.claimed = self._rows("SELECT coalesce(sum(abs(claimed)), 0) FROM order_lines").get
        self.subscriptions = self._all("subscriptions", Subscription)
        self.notices = self._all("notices", Notice)
        self.events = self._all("order_events", Event)
        self.orders: list[Any] = self._rows("SELECT id, doc ->> 'status' FROM orders").fetchall()
        self.answers = self._all("answers", StoredAnswer)
        sql = "SELECT key, doc FROM sandbox_book"
        self.bank = {key: msgspec.json.decode(doc, type=sandbox.Entry) for key, doc in self._rows(sql)}

    def _all(self, table: str, kind: type[T]) -> list[T]:
        return [msgspec.json.decode(doc, type=kind) for (doc,) in self._rows(f"SELECT doc FROM {table}")]  # noqa: S608

    def entries_elsewhere(self) -> Iterator[tuple[Entry, str]]:
        """The authorizations of money that is none of ours, each with its order."""
        for order, doc in self._rows("SELECT order_ref, doc FROM ledger_entries"):
            entry = msgspec.json.decode(str(doc), type=Entry)
            if entry.kind == "authorization" and entry.success and entry.transaction_id is None:
                yield entry, str(order)

    def transaction(self, id: str | None) -> Transaction | None:
        return next((each for each in self.transactions if each.id == id), None)

    def of_line(self, order: str, line_id: int) -> dict[str, int]:
        [sums] = self.lines(order, "AND line_id = ?", line_id)
        return sums

    def lines(self, order: str, where: str = "", *values: int) -> list[dict[str, int]]:
        names = ("payable", "authorized", "cancelled", "captured", "refunded")
        sql = f"SELECT {','.join(names)} FROM order_lines WHERE order_ref = ? {where}"  # noqa: S608
        rows = self._rows(sql, (order, *values)).fetchall()
        return [{name: int(str(value)) for name, value in zip(names, row, strict=True)} for row in rows]
