"""The reads of the SQLite engine: ``Loads`` over one connection.

The methods are async because the port is, but never wait: the engine runs them to their end in one go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable
from datetime import datetime
from typing import Any, TypeVar

import apsw
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
from kasse.domain.callbacks import Attempt, Delivery
from kasse.domain.history import Event, OrderState
from kasse.domain.hooks import Notice, Subscription
from kasse.domain.ledger import Entry, LineSums, OrderSums
from kasse.domain.order import Draft, Line, Order
from kasse.domain.paging import Filters, Page, SessionFilters
from kasse.domain.profile import Profile
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import GatewayCall, Transaction
from kasse.domain.transaction_list import TransactionFilters
from kasse.store.port import MOST_COUNTED, Backlog
from kasse.store.sqlite_lists import (
    DUE_SESSIONS,
    ORDER,
    narrowed,
    order_list,
    paged,
    places,
    session_list,
)
from kasse.store.times import from_milliseconds, milliseconds
from kasse.store.transaction_list import transaction_list

T = TypeVar("T")

_LINES = (
    "SELECT order_ref, line_id, payable, authorized, cancelled, captured, refunded, claimed, doc FROM order_lines "
    "WHERE account_id = ? AND order_ref IN"
)


class SqliteLoads:
    """Reads as of the transaction that the connection is in."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._decoders: dict[type, msgspec.json.Decoder[Any]] = {}

    def _decode(self, doc: str, type_: type[T]) -> T:
        decoder = self._decoders.get(type_)
        if decoder is None:
            decoder = self._decoders[type_] = msgspec.json.Decoder(type_)
        return decoder.decode(doc)  # type: ignore[no-any-return]

    def _one(self, type_: type[T], sql: str, *bindings: Any) -> T | None:
        row = self._connection.execute(sql, bindings).get
        return None if row is None else self._decode(row, type_)

    def _all(self, type_: type[T], sql: str, *bindings: Any) -> list[T]:
        return [self._decode(doc, type_) for (doc,) in self._connection.execute(sql, bindings)]

    async def together(self, *loads: Awaitable[Any]) -> list[Any]:
        results, errors = list[Any](), list[Exception]()
        for load in loads:
            try:
                results.append(await load)
            except apsw.Error:
                raise
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return results

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
            bindings.append(_json(chosen))
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

    async def session(self, account_id: str, session_id: str) -> PaymentSession | None:
        sql = "SELECT doc FROM sessions WHERE account_id = ? AND id = ?"
        return self._one(PaymentSession, sql, account_id, session_id)

    async def sessions_by_id(self, account_id: str, ids: Collection[str]) -> dict[str, PaymentSession]:
        sql = f"SELECT doc FROM sessions WHERE account_id = ? AND id IN ({places(ids)})"  # noqa: S608
        return {each.id: each for each in self._all(PaymentSession, sql, account_id, *ids)}

    async def sessions_of(self, account_id: str, order: str, page: Page) -> list[PaymentSession]:
        sql = "SELECT doc FROM sessions WHERE account_id = ? AND order_ref = ?"
        sql, bindings = paged(sql, "sessions", (account_id, order), page)
        return self._all(PaymentSession, sql, *bindings)

    async def newest_sessions(
        self, account_id: str, orders: Collection[str], limit: int
    ) -> dict[str, list[PaymentSession]]:
        sql = (
            "SELECT wanted.value, s.doc FROM json_each(?2) wanted JOIN sessions s ON s.account_id = ?1 AND s.id IN ("
            "SELECT newest.id FROM sessions newest WHERE newest.account_id = ?1 AND newest.order_ref = wanted.value "
            "ORDER BY newest.created_at DESC, newest.id DESC LIMIT ?3) ORDER BY s.created_at DESC, s.id DESC"
        )
        found: dict[str, list[PaymentSession]] = {order: [] for order in orders}
        for order, doc in self._connection.execute(sql, (account_id, _json(list(orders)), limit)):
            found[order].append(self._decode(doc, PaymentSession))
        return found

    async def sessions_from(self, after: tuple[str, str] | None, limit: int) -> list[PaymentSession]:
        sql = "SELECT doc FROM sessions WHERE (account_id, id) > (?, ?) ORDER BY account_id, id LIMIT ?"
        return self._all(PaymentSession, sql, *(after or ("", "")), limit)

    async def versions(self, sessions: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, int]]:
        sql = (
            "SELECT sessions.account_id, sessions.id, sessions.version, coalesce(orders.version, 0) "
            "FROM json_each(?) AS asked JOIN sessions ON sessions.account_id = asked.value ->> 0 "
            "AND sessions.id = asked.value ->> 1 "
            "LEFT JOIN orders ON orders.account_id = sessions.account_id AND orders.id = sessions.order_ref"
        )
        rows = self._connection.execute(sql, (msgspec.json.encode(list(sessions)).decode(),))
        return {(account_id, id): (version, of_order) for account_id, id, version, of_order in rows}

    async def sessions(self, account_id: str, filters: SessionFilters, page: Page) -> list[PaymentSession]:
        sql, bindings = session_list(account_id, filters, page)
        return self._all(PaymentSession, sql, *bindings)

    async def due_sessions(self, now: datetime, limit: int) -> list[PaymentSession]:
        return self._all(PaymentSession, DUE_SESSIONS, milliseconds(now), limit)

    async def transaction(self, account_id: str, transaction_id: str) -> Transaction | None:
        sql = "SELECT doc FROM transactions WHERE account_id = ? AND id = ?"
        return self._one(Transaction, sql, account_id, transaction_id)

    async def transactions(self, account_id: str, filters: TransactionFilters, page: Page) -> list[Transaction]:
        sql, values = transaction_list(filters, page, "?", "?1")
        return self._all(Transaction, sql, account_id, *values)

    async def transactions_of_session(self, account_id: str, session_id: str) -> list[Transaction]:
        sql = "SELECT doc FROM transactions WHERE account_id = ? AND session_id = ? ORDER BY created_at, id"
        return self._all(Transaction, sql, account_id, session_id)

    async def transactions_of_order(self, account_id: str, order: str) -> list[Transaction]:
        sql = "SELECT doc FROM transactions WHERE account_id = ? AND order_ref = ? ORDER BY created_at, id"
        return self._all(Transaction, sql, account_id, order)

    async def gateway_call(self, account_id: str, key: str) -> GatewayCall | None:
        return self._one(GatewayCall, "SELECT doc FROM gateway_calls WHERE account_id = ? AND key = ?", account_id, key)

    async def due_gateway_calls(self, now: datetime, limit: int) -> list[GatewayCall]:
        sql = "SELECT doc FROM gateway_calls WHERE state <> 'done' AND look_up_at <= ? ORDER BY look_up_at LIMIT ?"
        return self._all(GatewayCall, sql, milliseconds(now), limit)

    async def due_deliveries(self, now: datetime, limit: int, busy_receivers: Collection[str] = ()) -> list[Delivery]:
        sql = (
            "SELECT doc FROM deliveries WHERE status = 'waiting' AND due_at <= ? "  # noqa: S608
            f"AND receiver NOT IN ({places(busy_receivers)}) ORDER BY due_at LIMIT ?"
        )
        return self._all(Delivery, sql, milliseconds(now), *busy_receivers, limit)

    async def backlog(self) -> Backlog:
        ask = self._connection.execute
        waiting, due_first = ask(
            "SELECT count(*), min(due_at) FROM "
            "(SELECT due_at FROM deliveries WHERE status = 'waiting' ORDER BY due_at LIMIT ?)",
            (MOST_COUNTED,),
        ).get
        calls = ask(
            "SELECT state, count(*) FROM "
            "(SELECT state FROM gateway_calls WHERE state <> 'done' LIMIT ?) GROUP BY state",
            (MOST_COUNTED,),
        )
        return Backlog(waiting, None if due_first is None else from_milliseconds(due_first), dict(calls))

    async def delivery(self, account_id: str, delivery_id: str) -> Delivery | None:
        sql = "SELECT doc FROM deliveries WHERE account_id = ? AND id = ?"
        return self._one(Delivery, sql, account_id, delivery_id)

    async def deliveries_of(self, account_id: str, session_id: str) -> list[Delivery]:
        sql = "SELECT doc FROM deliveries WHERE account_id = ? AND session_id = ? ORDER BY rowid"
        return self._all(Delivery, sql, account_id, session_id)

    async def deliveries_of_subscription(self, account_id: str, subscription_id: str, page: Page) -> list[Delivery]:
        sql = "SELECT doc FROM deliveries WHERE account_id = ? AND subscription_id = ?"
        bindings: tuple[Any, ...] = (account_id, subscription_id)
        if page.after is not None:
            sql += " AND rowid < (SELECT rowid FROM deliveries WHERE account_id = ? AND id = ?)"
            bindings = (*bindings, account_id, page.after)
        return self._all(Delivery, f"{sql} ORDER BY rowid DESC LIMIT ?", *bindings, page.limit)

    async def attempts(self, account_id: str, delivery_id: str) -> list[Attempt]:
        sql = "SELECT doc FROM delivery_attempts WHERE account_id = ? AND delivery_id = ? ORDER BY number"
        return self._all(Attempt, sql, account_id, delivery_id)

    async def attempts_of(self, account_id: str, session_id: str) -> dict[str, list[Attempt]]:
        sql = (
            "SELECT attempt.doc FROM deliveries JOIN delivery_attempts attempt ON attempt.account_id = "
            "deliveries.account_id AND attempt.delivery_id = deliveries.id "
            "WHERE deliveries.account_id = ? AND deliveries.session_id = ? ORDER BY attempt.delivery_id, number"
        )
        found: dict[str, list[Attempt]] = {}
        for attempt in self._all(Attempt, sql, account_id, session_id):
            found.setdefault(attempt.delivery_id, []).append(attempt)
        return found

    async def attempts_of_all(self, account_id: str, deliveries: Collection[str]) -> dict[str, list[Attempt]]:
        sql = (
            "SELECT doc FROM delivery_attempts WHERE account_id = ? "  # noqa: S608
            f"AND delivery_id IN ({places(deliveries)}) ORDER BY delivery_id, number"
        )
        found: dict[str, list[Attempt]] = {id: [] for id in deliveries}
        for attempt in self._all(Attempt, sql, account_id, *deliveries):
            found[attempt.delivery_id].append(attempt)
        return found

    async def subscription(self, account_id: str, id: str) -> Subscription | None:
        return self._one(Subscription, "SELECT doc FROM subscriptions WHERE account_id = ? AND id = ?", account_id, id)

    async def subscriptions(self, account_id: str) -> list[Subscription]:
        sql = "SELECT doc FROM subscriptions WHERE account_id = ? AND deleted = 0 ORDER BY created_at, id"
        return self._all(Subscription, sql, account_id)

    async def notice(self, account_id: str, id: str) -> Notice | None:
        return self._one(Notice, "SELECT doc FROM notices WHERE account_id = ? AND id = ?", account_id, id)

    async def notices_to_tell(self, limit: int) -> list[Notice]:
        return self._all(Notice, "SELECT doc FROM notices WHERE told = 0 ORDER BY created_at LIMIT ?", limit)


def _state(order: Order, lines: Iterable[tuple[str, Line, LineSums]]) -> OrderState:
    lines = tuple(lines)
    return OrderState(
        order,
        {line.line_id: line for _, line, _ in lines},
        {sums.line_id: sums for _, _, sums in lines},
    )


def _json(values: Collection[int] | Collection[str]) -> str:
    return msgspec.json.encode(values).decode()
