"""The reads of the SQLite engine: ``Loads`` over one connection.

The methods are async because the port is, but never wait: the engine runs them to their end in one go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import msgspec

from kasse.domain.access import (
    Account,
    ApiKey,
    Client,
    Grant,
    ServerSecret,
    SignatureSecret,
    SigningKey,
    StoredAnswer,
)
from kasse.domain.account_clock import AccountClock
from kasse.domain.history import Event, OrderState
from kasse.domain.ledger import Entry, LineSums, OrderSums
from kasse.domain.order import Draft, Line, Order
from kasse.domain.paging import Filters, Page
from kasse.domain.profile import Profile
from kasse.store.sqlite_lists import (
    ORDER,
    narrowed,
    order_list,
    paged,
    places,
)
from kasse.store.sqlite_loading import as_json
from kasse.store.sqlite_payment_reads import PaymentReads
from kasse.store.times import from_milliseconds

T = TypeVar("T")

_LINES = (
    "SELECT order_ref, line_id, payable, authorized, cancelled, captured, refunded, claimed, doc FROM order_lines "
    "WHERE account_id = ? AND order_ref IN"
)


class SqliteLoads(PaymentReads):
    """``Loads``, as of the transaction that the connection is in."""

    async def account(self, account_id: str) -> Account | None:
        return self._one(Account, "SELECT doc FROM accounts WHERE account_id = ?", account_id)

    async def client(self, account_id: str, id: str) -> Client | None:
        return self._one(Client, "SELECT doc FROM clients WHERE account_id = ? AND id = ?", account_id, id)

    async def client_by_login(self, account_id: str, client_id: str) -> Client | None:
        sql = "SELECT doc FROM clients WHERE account_id = ? AND client_id = ? AND deleted = 0"
        return self._one(Client, sql, account_id, client_id)

    async def login(self, account_id: str, client_id: str) -> tuple[Client, list[Grant]] | None:
        client = await self.client_by_login(account_id, client_id)
        # An unknown one takes the same way.
        grants = await self.grants(account_id, "" if client is None else client.id)
        return None if client is None else (client, grants)

    async def clients(self, account_id: str) -> list[Client]:
        sql = "SELECT doc FROM clients WHERE account_id = ? AND deleted = 0 ORDER BY created_at DESC, id DESC"
        return self._all(Client, sql, account_id)

    async def grant(self, account_id: str, id: str) -> Grant | None:
        return self._one(Grant, "SELECT doc FROM grants WHERE account_id = ? AND id = ?", account_id, id)

    async def grants(self, account_id: str, client: str | None = None) -> list[Grant]:
        sql = "SELECT doc FROM grants WHERE account_id = ? AND deleted = 0"
        order = " ORDER BY created_at DESC, id DESC"
        if client is None:
            return self._all(Grant, sql + order, account_id)
        return self._all(Grant, sql + " AND client = ?" + order, account_id, client)

    async def signing_keys(self) -> list[SigningKey]:
        return self._all(SigningKey, "SELECT doc FROM server_signing_keys ORDER BY created_at DESC, kid")

    async def server_secret(self, name: str) -> ServerSecret | None:
        return self._one(ServerSecret, "SELECT doc FROM server_secrets WHERE name = ?", name)

    async def signature_secrets(self, account_id: str, limit: int) -> list[SignatureSecret]:
        sql = "SELECT doc FROM signature_secrets WHERE account_id = ? ORDER BY created_at DESC, rowid DESC LIMIT ?"
        return self._all(SignatureSecret, sql, account_id, limit)

    async def api_key(self, account_id: str, id: str) -> ApiKey | None:
        return self._one(ApiKey, "SELECT doc FROM api_keys WHERE account_id = ? AND id = ?", account_id, id)

    async def api_key_by_hash(self, account_id: str, key_hash: str) -> ApiKey | None:
        sql = "SELECT doc FROM api_keys WHERE account_id = ? AND key_hash = ?"
        return self._one(ApiKey, sql, account_id, key_hash)

    async def api_keys(self, account_id: str, page: Page, deleted: bool = False) -> list[ApiKey]:
        sql = "SELECT doc FROM api_keys WHERE account_id = ? AND deleted <= ?"
        sql, bindings = paged(sql, "api_keys", (account_id, deleted), page)
        return self._all(ApiKey, sql, *bindings)

    async def stored_answer(self, account_id: str, id: str) -> StoredAnswer | None:
        return self._one(StoredAnswer, "SELECT doc FROM answers WHERE account_id = ? AND id = ?", account_id, id)

    async def account_clock(self, account_id: str) -> AccountClock | None:
        return self._one(AccountClock, "SELECT doc FROM account_clocks WHERE account_id = ?", account_id)

    async def account_clocks(self) -> list[AccountClock]:
        return self._all(AccountClock, "SELECT doc FROM account_clocks ORDER BY account_id")

    async def profile(self, account_id: str, profile_id: str, deleted: bool = False) -> Profile | None:
        sql = "SELECT doc FROM profiles WHERE account_id = ? AND id = ? AND deleted <= ?"
        return self._one(Profile, sql, account_id, profile_id, deleted)

    async def profiles(self, account_id: str) -> list[Profile]:
        return self._all(
            Profile, "SELECT doc FROM profiles WHERE account_id = ? AND deleted = 0 ORDER BY id", account_id
        )

    async def drafts(self, account_id: str, filters: Filters, page: Page) -> list[Draft]:
        where, bindings = narrowed("drafts", filters)
        sql = f"SELECT doc FROM drafts WHERE drafts.account_id = ?{where}"  # noqa: S608
        sql, bindings = paged(sql, "drafts", (account_id, *bindings), page)
        return self._all(Draft, sql, *bindings)

    async def draft(self, account_id: str, draft_id: str) -> Draft | None:
        return self._one(Draft, "SELECT doc FROM drafts WHERE account_id = ? AND id = ?", account_id, draft_id)

    async def order(self, account_id: str, order_id: str, lines: Collection[int] | None = None) -> OrderState | None:
        order = self._head(account_id, order_id)
        if order is None:
            return None
        rows = self._line_rows(account_id, (order.id,), lines)
        return _state(order, [self._line(row) for row in rows])

    def _head(self, account_id: str, name: str) -> Order | None:
        # The internal id comes first: it must never lead to an order whose order_id happens to be the same.
        for column in ("id", "order_id"):
            row = next(self._connection.execute(f"{ORDER}{column} = ?", (account_id, name)), None)
            if row is not None:
                return self._order(row)
        return None

    def _line_rows(
        self, account_id: str, orders: Collection[str], lines: Collection[int] | None
    ) -> Iterable[tuple[Any, ...]]:
        sql = f"{_LINES} ({places(orders)})"
        bindings: list[Any] = [account_id, *orders]
        if lines is not None:
            chosen = [line_id for line_id in lines if -(2**63) <= line_id < 2**63]
            # As JSON, because a statement takes no more than 32 766 parameters.
            sql += " AND line_id IN (SELECT value FROM json_each(?))"
            bindings.append(as_json(chosen))
        return self._connection.execute(f"{sql} ORDER BY order_ref, line_id", bindings)

    def _line(self, row: tuple[Any, ...]) -> tuple[str, Line, LineSums]:
        order, line_id, *amounts, doc = row
        return order, self._decode(doc, Line), LineSums(line_id, *amounts)

    def _order(self, row: tuple[Any, ...]) -> Order:
        doc, status, payment_status, *sums, updated_at, version, last_hash = row
        return msgspec.structs.replace(
            self._decode(doc, Order),
            status=status,
            payment_status=payment_status,
            sums=OrderSums(*sums),
            updated_at=from_milliseconds(updated_at),
            version=version,
            last_hash=last_hash,
        )

    async def order_exists(self, account_id: str, order_id: str) -> bool:
        sql = "SELECT 1 FROM orders WHERE account_id = ?1 AND (id = ?2 OR order_id = ?2)"
        return self._connection.execute(sql, (account_id, order_id)).get is not None

    async def orders(self, account_id: str, filters: Filters, page: Page) -> list[OrderState]:
        if page.after is not None:
            first = self._head(account_id, page.after)
            page = Page(page.limit, first.id if first else page.after)
        sql, bindings = order_list(account_id, filters, page)
        orders = [self._order(row) for row in self._connection.execute(sql, bindings)]
        lines: dict[str, list[tuple[str, Line, LineSums]]] = {order.id: [] for order in orders}
        for row in self._line_rows(account_id, lines, None):
            lines[row[0]].append(self._line(row))
        return [_state(order, lines[order.id]) for order in orders]

    async def orders_from(self, after: tuple[str, str] | None, limit: int) -> list[OrderState]:
        sql = ORDER.partition("WHERE")[0] + "WHERE (account_id, id) > (?, ?) ORDER BY account_id, id LIMIT ?"
        orders = [self._order(row) for row in self._connection.execute(sql, (*(after or ("", "")), limit))]
        return [
            _state(order, [self._line(row) for row in self._line_rows(order.account_id, (order.id,), None)])
            for order in orders
        ]

    async def marks(self, account_id: str, order: str) -> frozenset[tuple[str, str]]:
        sql = "SELECT name, value FROM order_marks WHERE account_id = ? AND order_ref = ?"
        return frozenset((str(name), str(value)) for name, value in self._connection.execute(sql, (account_id, order)))

    async def entries(self, account_id: str, order: str) -> list[Entry]:
        sql = "SELECT doc FROM ledger_entries WHERE account_id = ? AND order_ref = ? ORDER BY seq"
        return self._all(Entry, sql, account_id, order)

    async def events(self, account_id: str, order: str) -> list[Event]:
        sql = "SELECT doc FROM order_events WHERE account_id = ? AND order_ref = ? ORDER BY seq"
        return self._all(Event, sql, account_id, order)

    async def entries_of(self, account_id: str, orders: Collection[str]) -> dict[str, list[Entry]]:
        return self._by_order(Entry, "ledger_entries", account_id, orders)

    async def events_of(self, account_id: str, orders: Collection[str]) -> dict[str, list[Event]]:
        return self._by_order(Event, "order_events", account_id, orders)

    def _by_order(self, type_: type[T], table: str, account_id: str, orders: Collection[str]) -> dict[str, list[T]]:
        found: dict[str, list[T]] = {order: [] for order in orders}
        sql = f"SELECT order_ref, doc FROM {table} WHERE account_id = ? AND order_ref IN ({places(orders)}) "  # noqa: S608
        for order, doc in self._connection.execute(sql + "ORDER BY order_ref, seq", (account_id, *orders)):
            found[order].append(self._decode(doc, type_))
        return found


def _state(order: Order, lines: Iterable[tuple[str, Line, LineSums]]) -> OrderState:
    lines = tuple(lines)
    return OrderState(
        order,
        {line.line_id: line for _, line, _ in lines},
        {sums.line_id: sums for _, _, sums in lines},
    )
