"""The reads of the PostgreSQL engine that are about paying: sessions, transactions, gateway calls, callbacks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from kasse.domain.callbacks import Attempt, Delivery
from kasse.domain.hooks import Notice, Subscription
from kasse.domain.paging import Page, SessionFilters
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import GatewayCall, Transaction
from kasse.domain.transaction_list import TransactionFilters
from kasse.store.port import MOST_COUNTED, Backlog
from kasse.store.postgres_lists import DUE_SESSIONS, after, paged, session_list
from kasse.store.postgres_loading import EVERY_ACCOUNT, Loading, decode, in_room
from kasse.store.strays import Stray, statement
from kasse.store.times import from_milliseconds, milliseconds
from kasse.store.transaction_list import transaction_list


class PaymentReads(Loading):
    """A part of ``PostgresLoads``."""

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
            found[order].append(decode(doc, PaymentSession))
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

    async def strays(self) -> list[Stray]:
        self.saw_a_list = True
        return [Stray(*row) for row in await self._rows(in_room(_STRAYS), EVERY_ACCOUNT)]


class _Words:
    """Of PostgreSQL, for ``strays``. As ``json``, which takes what ``jsonb`` does not; what is no JSON stops it all."""

    readable = "TRUE"
    everywhere = "room.id = $1"

    def text(self, field: str) -> str:
        return f"(c.doc::json ->> '{field}')"

    def unlike(self, column: str, field: str) -> str:
        return f"{column}::text IS DISTINCT FROM {self.text(field)}"

    def unlike_time(self, column: str, field: str) -> str:
        told = f"extract(epoch FROM {self.text(field)}::timestamptz) * 1000"
        return f"(({column} IS NULL) <> ({told} IS NULL) OR abs({column} - {told}) > 1)"


_STRAYS = statement(_Words())
