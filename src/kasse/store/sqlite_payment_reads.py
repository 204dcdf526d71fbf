"""The reads of the SQLite engine that are about paying: sessions, transactions, gateway calls, callbacks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec

from kasse.domain.callbacks import Attempt, Delivery
from kasse.domain.hooks import Notice, Subscription
from kasse.domain.paging import Page, SessionFilters
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import GatewayCall, Transaction
from kasse.domain.transaction_list import TransactionFilters
from kasse.store.port import MOST_COUNTED, Backlog
from kasse.store.sqlite_lists import DUE_SESSIONS, paged, places, session_list
from kasse.store.sqlite_loading import Loading, as_json
from kasse.store.strays import Stray, statement
from kasse.store.times import from_milliseconds, milliseconds
from kasse.store.transaction_list import transaction_list


class PaymentReads(Loading):
    """A part of ``SqliteLoads``."""

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
        for order, doc in self._connection.execute(sql, (account_id, as_json(list(orders)), limit)):
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

    async def strays(self) -> list[Stray]:
        return [Stray(*row) for row in self._connection.execute(_STRAYS)]


class _Words:
    """Of SQLite, for ``strays``."""

    readable = "json_valid(c.doc)"
    everywhere = "TRUE"

    def text(self, field: str) -> str:
        return f"CAST(c.doc ->> '{field}' AS TEXT)"

    def unlike(self, column: str, field: str) -> str:
        return f"{column} IS NOT (c.doc ->> '{field}')"

    def unlike_time(self, column: str, field: str) -> str:
        told = f"unixepoch({self.text(field)}, 'subsec') * 1000"
        return f"(({column} IS NULL) <> ({told} IS NULL) OR abs({column} - {told}) > 1)"


_STRAYS = statement(_Words())
