"""The reads of the PostgreSQL engine: ``Loads`` as questions that the engine puts to the database.

Each statement names its account to the database before it reads (see ``kasse_lock`` in the migrations). It does so
in the same round trip: ``room`` comes first, because what is read depends on its result.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, cast

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
from kasse.store.postgres_lists import DUE_SESSIONS, after, draft_list, order_list, paged, session_list
from kasse.store.postgres_questions import Look, Question, Rows, Together
from kasse.store.times import from_milliseconds, milliseconds
from kasse.store.transaction_list import transaction_list

T = TypeVar("T")

EVERY_ACCOUNT = "*"
_LARGEST = 2**63


@dataclass(frozen=True)
class Seen:
    """A record that something was decided on: its table, key and version."""

    table: str
    account: str
    key: str
    version: int

    @property
    def name(self) -> tuple[str, ...]:
        """As a row that is written is named."""
        return (self.table, self.account, self.key) if self.key else (self.table, self.account)


@dataclass
class PostgresLoads:
    """The reads, and a note of what they saw: the versions of single records, and whether there was more to see."""

    seen: list[Seen] = field(default_factory=list)
    saw_a_list: bool = False

    async def _rows(self, sql: str, *values: Any) -> Rows:
        if not all(_storable(value) for value in values):
            # Neither half a surrogate nor a NUL can be stored in a text, so there is nothing of that name.
            return ()
        return await Question(sql, values)

    async def _look(self, what: str, account_id: str, key: str, chosen: str | None = None) -> Sequence[Any] | None:
        """The one row that is found, if any."""
        if not (_storable(account_id) and _storable(key)):
            return None
        rows = await Look(what, account_id, key, chosen)
        return rows[0] if rows else None

    async def together(self, *loads: Awaitable[Any]) -> list[Any]:
        return await Together(loads)

    async def _one(self, type_: type[T], account_id: str, sql: str, *values: Any) -> T | None:
        rows = await self._rows(in_room(sql), account_id, *values)
        return _decode(rows[0][0], type_) if rows else None

    async def _all(self, type_: type[T], account_id: str, sql: str, *values: Any) -> list[T]:
        return [_decode(row[0], type_) for row in await self._rows(in_room(sql), account_id, *values)]

    async def _list(self, type_: type[T], account_id: str, sql: str, *values: Any) -> list[T]:
        """Like ``_all``, for what a later row could be missing from."""
        self.saw_a_list = True
        return await self._all(type_, account_id, sql, *values)

    async def _by_key(self, type_: type[T], table: str, account_id: str, key: str) -> T | None:
        """A record with versions, by its primary key."""
        row = await self._look(table, account_id, key)
        return None if row is None else self._saw(table, key, account_id, _decode(row[0][0], type_))

    def _saw(self, table: str, key: str, account_id: str, record: Any) -> Any:
        self.seen.append(Seen(table, account_id, key, record.version))
        return record

    # -- accounts and who may do what in them

    async def account(self, account_id: str) -> Account | None:
        row = await self._look("accounts", account_id, "")
        return None if row is None else self._saw("accounts", "", account_id, _decode(row[0][0], Account))

    async def client(self, account_id: str, id: str) -> Client | None:
        return await self._by_key(Client, "clients", account_id, id)

    async def client_by_login(self, account_id: str, client_id: str) -> Client | None:
        row = await self._look("a login", account_id, client_id)
        if row is None:
            return None
        client = _decode(row[0][0], Client)
        self._saw("clients", client.id, account_id, client)
        return client

    async def login(self, account_id: str, client_id: str) -> tuple[Client, list[Grant]] | None:
        row = await self._look("a login", account_id, client_id)
        if row is None:
            return None
        self.saw_a_list = True
        client, *grants = row[0]
        return _decode(client, Client), [_decode(grant, Grant) for grant in grants]

    async def clients(self, account_id: str) -> list[Client]:
        sql = "SELECT doc FROM clients WHERE account_id = room.id AND NOT deleted ORDER BY created_at DESC, id DESC"
        return await self._list(Client, account_id, sql)

    async def grant(self, account_id: str, id: str) -> Grant | None:
        return await self._by_key(Grant, "grants", account_id, id)

    async def grants(self, account_id: str, client: str | None = None) -> list[Grant]:
        sql = "SELECT doc FROM grants WHERE account_id = room.id AND NOT deleted"
        order = " ORDER BY created_at DESC, id DESC"
        if client is None:
            return await self._list(Grant, account_id, sql + order)
        return await self._list(Grant, account_id, sql + " AND client = $2" + order, client)

    async def signing_keys(self) -> list[SigningKey]:
        self.saw_a_list = True
        rows = await self._rows("SELECT doc FROM server_signing_keys ORDER BY created_at DESC, kid")
        return [_decode(row[0], SigningKey) for row in rows]

    async def server_secret(self, name: str) -> ServerSecret | None:
        rows = await self._rows("SELECT doc FROM server_secrets WHERE name = $1", name)
        return _decode(rows[0][0], ServerSecret) if rows else None

    async def signature_secrets(self, account_id: str, limit: int) -> list[SignatureSecret]:
        sql = "SELECT doc FROM signature_secrets WHERE account_id = room.id ORDER BY created_at DESC, id LIMIT $2"
        return await self._list(SignatureSecret, account_id, sql, limit)

    async def account_clock(self, account_id: str) -> AccountClock | None:
        row = await self._look("account_clocks", account_id, "")
        return None if row is None else self._saw("account_clocks", "", account_id, _decode(row[0][0], AccountClock))

    async def account_clocks(self) -> list[AccountClock]:
        self.saw_a_list = True
        sql = "SELECT doc FROM account_clocks WHERE room.id = $1 ORDER BY account_id"
        return await self._all(AccountClock, EVERY_ACCOUNT, sql)

    async def api_key(self, account_id: str, id: str) -> ApiKey | None:
        return await self._by_key(ApiKey, "api_keys", account_id, id)

    async def api_key_by_hash(self, account_id: str, key_hash: str) -> ApiKey | None:
        sql = "SELECT doc FROM api_keys WHERE account_id = room.id AND key_hash = $2"
        key = await self._one(ApiKey, account_id, sql, key_hash)
        if key is not None:
            self.seen.append(Seen("api_keys", account_id, key.id, key.version))
        return key

    async def api_keys(self, account_id: str, page: Page, deleted: bool = False) -> list[ApiKey]:
        start = "SELECT created_at, id FROM api_keys WHERE account_id = $1 AND id = $3"
        sql = "SELECT doc FROM api_keys AS o WHERE account_id = room.id AND (NOT deleted OR $2)"
        return await self._list(ApiKey, account_id, paged(sql, start, page), deleted, *after(page))

    async def profile(self, account_id: str, profile_id: str, deleted: bool = False) -> Profile | None:
        profile = await self._by_key(Profile, "profiles", account_id, profile_id)
        return None if profile is None or (profile.deleted_at and not deleted) else profile

    async def profiles(self, account_id: str) -> list[Profile]:
        sql = "SELECT doc FROM profiles WHERE account_id = room.id AND NOT deleted ORDER BY id"
        return await self._list(Profile, account_id, sql)

    async def draft(self, account_id: str, draft_id: str) -> Draft | None:
        return await self._by_key(Draft, "drafts", account_id, draft_id)

    async def drafts(self, account_id: str, filters: Filters, page: Page) -> list[Draft]:
        sql, values = draft_list(filters, page)
        return await self._list(Draft, account_id, sql, *values)

    async def stored_answer(self, account_id: str, id: str) -> StoredAnswer | None:
        return await self._by_key(StoredAnswer, "answers", account_id, id)

    # -- orders

    async def order(self, account_id: str, order_id: str, lines: Collection[int] | None = None) -> OrderState | None:
        chosen = None
        if lines is not None:
            chosen = "{" + ",".join(str(line_id) for line_id in lines if -_LARGEST <= line_id < _LARGEST) + "}"
        row = await self._look("an order", account_id, order_id, chosen)
        if row is None:
            return None
        doc, status, payment_status, *numbers, last_hash = row[0]
        *sums, updated_at, version = map(int, numbers)
        line_rows = [(*map(int, line[:7]), line[7]) for line in row[1] or ()]
        state = _state((account_id, doc, status, payment_status, *sums, updated_at, version, last_hash, line_rows))
        self._saw("orders", state.order.id, account_id, state.order)
        return state

    async def orders(self, account_id: str, filters: Filters, page: Page) -> list[OrderState]:
        self.saw_a_list = True
        sql, values = order_list(_ORDER, filters, page)
        return [_state(row) for row in await self._rows(in_room(sql), account_id, *values)]

    async def orders_from(self, after: tuple[str, str] | None, limit: int) -> list[OrderState]:
        self.saw_a_list = True
        sql = _ORDER + " WHERE room.id = $1 AND (o.account_id, o.id) > ($2, $3) ORDER BY 1, o.id LIMIT $4"
        return [_state(row) for row in await self._rows(in_room(sql), EVERY_ACCOUNT, *(after or ("", "")), limit)]

    async def marks(self, account_id: str, order: str) -> frozenset[tuple[str, str]]:
        self.saw_a_list = True
        sql = "SELECT name, value FROM order_marks WHERE account_id = room.id AND order_ref = $2"
        return frozenset((name, value) for name, value in await self._rows(in_room(sql), account_id, order))

    async def order_exists(self, account_id: str, order_id: str) -> bool:
        # A name that is free now and taken before the commit is refused by the unique keys.
        sql = "SELECT 1 FROM orders WHERE account_id = room.id AND (id = $2 OR order_id = $2)"
        return bool(await self._rows(in_room(sql), account_id, order_id))

    async def entries(self, account_id: str, order: str) -> list[Entry]:
        self._see_of_order(account_id, order)
        return (await self._by_order(Entry, "ledger_entries", account_id, (order,)))[order]

    async def events(self, account_id: str, order: str) -> list[Event]:
        self._see_of_order(account_id, order)
        return (await self._by_order(Event, "order_events", account_id, (order,)))[order]

    async def entries_of(self, account_id: str, orders: Collection[str]) -> dict[str, list[Entry]]:
        self.saw_a_list = True
        return await self._by_order(Entry, "ledger_entries", account_id, orders)

    async def events_of(self, account_id: str, orders: Collection[str]) -> dict[str, list[Event]]:
        self.saw_a_list = True
        return await self._by_order(Event, "order_events", account_id, orders)

    def _see_of_order(self, account_id: str, order: str) -> None:
        """What belongs to an order grows with the order's version only: it is enough to have seen that before."""
        if not any((seen.table, seen.account, seen.key) == ("orders", account_id, order) for seen in self.seen):
            self.saw_a_list = True

    async def _by_order(
        self, type_: type[T], table: str, account_id: str, orders: Collection[str]
    ) -> dict[str, list[T]]:
        sql = f"SELECT order_ref, doc FROM {table} WHERE account_id = room.id AND order_ref = ANY($2) "  # noqa: S608
        found: dict[str, list[T]] = {order: [] for order in orders}
        for order, doc in await self._rows(in_room(sql + "ORDER BY order_ref, seq"), account_id, list(orders)):
            found[order].append(_decode(doc, type_))
        return found

    # -- payments

    async def session(self, account_id: str, session_id: str) -> PaymentSession | None:
        return await self._by_key(PaymentSession, "sessions", account_id, session_id)

    async def sessions_by_id(self, account_id: str, ids: Collection[str]) -> dict[str, PaymentSession]:
        sql = "SELECT doc FROM sessions WHERE account_id = room.id AND id = ANY($2::text[])"
        return {each.id: each for each in await self._list(PaymentSession, account_id, sql, list(ids))}

    async def sessions_of(self, account_id: str, order: str, page: Page) -> list[PaymentSession]:
        start = "SELECT created_at, id FROM sessions WHERE account_id = $1 AND id = $3"
        sql = paged("SELECT doc FROM sessions AS o WHERE account_id = room.id AND order_ref = $2", start, page)
        return await self._list(PaymentSession, account_id, sql, order, *after(page))

    async def newest_sessions(
        self, account_id: str, orders: Collection[str], limit: int
    ) -> dict[str, list[PaymentSession]]:
        for order in orders:
            self._see_of_order(account_id, order)
        sql = (
            "SELECT wanted, newest.doc FROM unnest($2::text[]) AS wanted, LATERAL (SELECT doc, created_at, id "
            "FROM sessions WHERE account_id = room.id AND order_ref = wanted "
            "ORDER BY created_at DESC, id DESC LIMIT $3) AS newest ORDER BY created_at DESC, id DESC"
        )
        found: dict[str, list[PaymentSession]] = {order: [] for order in orders}
        for order, doc in await self._rows(in_room(sql), account_id, list(orders), limit):
            found[order].append(_decode(doc, PaymentSession))
        return found

    async def sessions_from(self, after: tuple[str, str] | None, limit: int) -> list[PaymentSession]:
        sql = (
            "SELECT doc FROM sessions WHERE room.id = $1 AND (account_id, id) > ($2, $3) "
            "ORDER BY account_id, id LIMIT $4"
        )
        return await self._list(PaymentSession, EVERY_ACCOUNT, sql, *(after or ("", "")), limit)

    async def versions(self, sessions: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, int]]:
        # No list to be guarded: whoever asks decides nothing on it.
        sql = (
            "SELECT sessions.account_id, sessions.id, sessions.version, coalesce(orders.version, 0) "
            "FROM unnest($2::text[], $3::text[]) AS asked (account_id, id) "
            "JOIN sessions ON room.id = $1 AND sessions.account_id = asked.account_id AND sessions.id = asked.id "
            "LEFT JOIN orders ON orders.account_id = sessions.account_id AND orders.id = sessions.order_ref"
        )
        accounts, ids = [account for account, _ in sessions], [id for _, id in sessions]
        rows = await self._rows(in_room(sql), EVERY_ACCOUNT, accounts, ids)
        return {(account_id, id): (version, of_order) for account_id, id, version, of_order in rows}

    async def sessions(self, account_id: str, filters: SessionFilters, page: Page) -> list[PaymentSession]:
        sql, values = session_list(filters, page)
        return await self._list(PaymentSession, account_id, sql, *values)

    async def due_sessions(self, now: datetime, limit: int) -> list[PaymentSession]:
        # As with the gateway calls.
        return await self._all(PaymentSession, EVERY_ACCOUNT, DUE_SESSIONS, milliseconds(now), limit)

    async def transaction(self, account_id: str, transaction_id: str) -> Transaction | None:
        return await self._by_key(Transaction, "transactions", account_id, transaction_id)

    async def transactions(self, account_id: str, filters: TransactionFilters, page: Page) -> list[Transaction]:
        sql, values = transaction_list(filters, page, "$", "room.id")
        return await self._list(Transaction, account_id, sql, *values)

    async def transactions_of_session(self, account_id: str, session_id: str) -> list[Transaction]:
        sql = "SELECT doc FROM transactions WHERE account_id = room.id AND session_id = $2 ORDER BY created_at, id"
        return await self._list(Transaction, account_id, sql, session_id)

    async def transactions_of_order(self, account_id: str, order: str) -> list[Transaction]:
        sql = "SELECT doc FROM transactions WHERE account_id = room.id AND order_ref = $2 ORDER BY created_at, id"
        return await self._list(Transaction, account_id, sql, order)

    async def gateway_call(self, account_id: str, key: str) -> GatewayCall | None:
        return await self._by_key(GatewayCall, "gateway_calls", account_id, key)

    async def due_gateway_calls(self, now: datetime, limit: int) -> list[GatewayCall]:
        # No list to be guarded: each is taken by its version, and one that becomes due meanwhile waits for the next.
        sql = (
            "SELECT doc FROM gateway_calls WHERE room.id = $1 AND state <> 'done' AND look_up_at <= $2 "
            "ORDER BY look_up_at LIMIT $3"
        )
        return await self._all(GatewayCall, EVERY_ACCOUNT, sql, milliseconds(now), limit)

    # -- callbacks

    async def due_deliveries(self, now: datetime, limit: int, busy_receivers: Collection[str] = ()) -> list[Delivery]:
        # As with the gateway calls.
        sql = (
            "SELECT doc FROM deliveries WHERE room.id = $1 AND status = 'waiting' AND due_at <= $2 "
            "AND receiver <> ALL($4::text[]) ORDER BY due_at LIMIT $3"
        )
        return await self._all(Delivery, EVERY_ACCOUNT, sql, milliseconds(now), limit, list(busy_receivers))

    async def backlog(self) -> Backlog:
        sql = (
            "SELECT '' AS state, count(*), min(due_at) FROM (SELECT due_at FROM deliveries "
            "WHERE room.id = $1 AND status = 'waiting' ORDER BY due_at LIMIT $2) AS waiting "
            "UNION ALL SELECT state, count(*), NULL FROM (SELECT state FROM gateway_calls "
            "WHERE room.id = $1 AND state <> 'done' LIMIT $2) AS open GROUP BY state"
        )
        found = {state: rest for state, *rest in await self._rows(in_room(sql), EVERY_ACCOUNT, MOST_COUNTED)}
        waiting, due_first = found.pop("")
        due_first = None if due_first is None else from_milliseconds(due_first)
        return Backlog(waiting, due_first, {state: number for state, (number, _) in found.items()})

    async def delivery(self, account_id: str, delivery_id: str) -> Delivery | None:
        return await self._by_key(Delivery, "deliveries", account_id, delivery_id)

    async def deliveries_of(self, account_id: str, session_id: str) -> list[Delivery]:
        sql = "SELECT doc FROM deliveries WHERE account_id = room.id AND session_id = $2 ORDER BY owed"
        return await self._list(Delivery, account_id, sql, session_id)

    async def deliveries_of_subscription(self, account_id: str, subscription_id: str, page: Page) -> list[Delivery]:
        sql = "SELECT doc FROM deliveries WHERE account_id = room.id AND subscription_id = $2"
        values: tuple[Any, ...] = (subscription_id, page.limit)
        if page.after is not None:
            sql += " AND owed < (SELECT owed FROM deliveries WHERE account_id = $1 AND id = $4)"
            values = (*values, page.after)
        return await self._list(Delivery, account_id, sql + " ORDER BY owed DESC LIMIT $3", *values)

    async def attempts(self, account_id: str, delivery_id: str) -> list[Attempt]:
        # No list to be guarded: the next number can be taken once.
        sql = "SELECT doc FROM delivery_attempts WHERE account_id = room.id AND delivery_id = $2 ORDER BY number"
        return await self._all(Attempt, account_id, sql, delivery_id)

    async def attempts_of(self, account_id: str, session_id: str) -> dict[str, list[Attempt]]:
        sql = (
            "SELECT attempt.doc FROM deliveries JOIN delivery_attempts AS attempt ON attempt.account_id = room.id "
            "AND attempt.delivery_id = deliveries.id "
            "WHERE deliveries.account_id = room.id AND session_id = $2 ORDER BY attempt.delivery_id, number"
        )
        found: dict[str, list[Attempt]] = {}
        for attempt in await self._list(Attempt, account_id, sql, session_id):
            found.setdefault(attempt.delivery_id, []).append(attempt)
        return found

    async def attempts_of_all(self, account_id: str, deliveries: Collection[str]) -> dict[str, list[Attempt]]:
        sql = (
            "SELECT doc FROM delivery_attempts WHERE account_id = room.id AND delivery_id = ANY($2) "
            "ORDER BY delivery_id, number"
        )
        found: dict[str, list[Attempt]] = {id: [] for id in deliveries}
        for attempt in await self._list(Attempt, account_id, sql, list(deliveries)):
            found[attempt.delivery_id].append(attempt)
        return found

    async def subscription(self, account_id: str, id: str) -> Subscription | None:
        return await self._by_key(Subscription, "subscriptions", account_id, id)

    async def subscriptions(self, account_id: str) -> list[Subscription]:
        sql = "SELECT doc FROM subscriptions WHERE account_id = room.id AND NOT deleted ORDER BY created_at, id"
        return await self._list(Subscription, account_id, sql)

    async def notice(self, account_id: str, id: str) -> Notice | None:
        return await self._by_key(Notice, "notices", account_id, id)

    async def notices_to_tell(self, limit: int) -> list[Notice]:
        # As with the gateway calls.
        sql = "SELECT doc FROM notices WHERE room.id = $1 AND NOT told ORDER BY created_at LIMIT $2"
        return await self._all(Notice, EVERY_ACCOUNT, sql, limit)

    # -- the sandbox gateway's book

    async def book_entry(self, account_id: str, key: str) -> dict[str, Any] | None:
        sql = "SELECT doc FROM sandbox_book WHERE account_id = room.id AND key = $2"
        return await self._one(dict[str, Any], account_id, sql, key)


def in_room(sql: str) -> str:
    """Name the account, then read. OFFSET 0 keeps the planner from mixing the two."""
    return (
        "SELECT found.* FROM (SELECT set_config('kasse.account', $1, true) AS id OFFSET 0) AS room, "  # noqa: S608
        f"LATERAL ({sql} OFFSET 0) AS found"
    )


_ORDER = (
    "SELECT o.account_id, doc, status, payment_status, authorized, cancelled, captured, refunded, updated_at, version, "
    "last_hash, ARRAY(SELECT ROW(line_id, payable, l.authorized, l.cancelled, l.captured, l.refunded, claimed, l.doc) "
    "FROM order_lines AS l WHERE l.account_id = o.account_id AND order_ref = o.id ORDER BY line_id) FROM orders AS o"
)


def _state(row: Sequence[Any]) -> OrderState:
    _, doc, status, payment_status, *sums, updated_at, version, last_hash, lines = row
    order = msgspec.structs.replace(
        _decode(doc, Order),
        status=status,
        payment_status=payment_status,
        sums=OrderSums(*sums),
        updated_at=from_milliseconds(updated_at),
        version=version,
        last_hash=last_hash,
    )
    return OrderState(
        order,
        {line[0]: _decode(line[7], Line) for line in lines},
        {line[0]: LineSums(*line[:7]) for line in lines},
    )


def _storable(value: Any) -> bool:
    try:
        return not isinstance(value, str) or b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def _decode(doc: str, type_: type[T]) -> T:
    decoder = _decoders.get(type_)
    if decoder is None:
        decoder = _decoders[type_] = msgspec.json.Decoder(type_)
    return cast(T, decoder.decode(doc))
