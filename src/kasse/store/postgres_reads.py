"""The reads of the PostgreSQL engine: ``Loads`` as questions that the engine puts to the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from kasse.store.postgres_lists import after, draft_list, order_list, paged
from kasse.store.postgres_loading import EVERY_ACCOUNT, Seen, decode, in_room
from kasse.store.postgres_payment_reads import PaymentReads
from kasse.store.times import from_milliseconds

T = TypeVar("T")

_LARGEST = 2**63


class PostgresLoads(PaymentReads):
    """``Loads``: the reads, and a note of what they saw."""

    # -- accounts and who may do what in them

    async def account(self, account_id: str) -> Account | None:
        row = await self._look("accounts", account_id, "")
        return None if row is None else self._saw("accounts", "", account_id, decode(row[0][0], Account))

    async def client(self, account_id: str, id: str) -> Client | None:
        return await self._by_key(Client, "clients", account_id, id)

    async def client_by_login(self, account_id: str, client_id: str) -> Client | None:
        row = await self._look("a login", account_id, client_id)
        if row is None:
            return None
        client = decode(row[0][0], Client)
        self._saw("clients", client.id, account_id, client)
        return client

    async def login(self, account_id: str, client_id: str) -> tuple[Client, list[Grant]] | None:
        row = await self._look("a login", account_id, client_id)
        if row is None:
            return None
        self.saw_a_list = True
        client, *grants = row[0]
        return decode(client, Client), [decode(grant, Grant) for grant in grants]

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
        return [decode(row[0], SigningKey) for row in rows]

    async def server_secret(self, name: str) -> ServerSecret | None:
        rows = await self._rows("SELECT doc FROM server_secrets WHERE name = $1", name)
        return decode(rows[0][0], ServerSecret) if rows else None

    async def signature_secrets(self, account_id: str, limit: int) -> list[SignatureSecret]:
        sql = "SELECT doc FROM signature_secrets WHERE account_id = room.id ORDER BY created_at DESC, id LIMIT $2"
        return await self._list(SignatureSecret, account_id, sql, limit)

    async def account_clock(self, account_id: str) -> AccountClock | None:
        row = await self._look("account_clocks", account_id, "")
        return None if row is None else self._saw("account_clocks", "", account_id, decode(row[0][0], AccountClock))

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
        seen = self._see_of_order(account_id, order)
        return (await self._by_order(Entry, "ledger_entries", account_id, (order,), seen))[order]

    async def events(self, account_id: str, order: str) -> list[Event]:
        seen = self._see_of_order(account_id, order)
        return (await self._by_order(Event, "order_events", account_id, (order,), seen))[order]

    async def entries_of(self, account_id: str, orders: Collection[str]) -> dict[str, list[Entry]]:
        self.saw_a_list = True
        return await self._by_order(Entry, "ledger_entries", account_id, orders)

    async def events_of(self, account_id: str, orders: Collection[str]) -> dict[str, list[Event]]:
        self.saw_a_list = True
        return await self._by_order(Event, "order_events", account_id, orders)

    async def _by_order(
        self, type_: type[T], table: str, account_id: str, orders: Collection[str], of_order: bool = False
    ) -> dict[str, list[T]]:
        sql = f"SELECT order_ref, doc FROM {table} WHERE account_id = room.id AND order_ref = ANY($2) "  # noqa: S608
        found: dict[str, list[T]] = {order: [] for order in orders}
        sql = in_room(sql + "ORDER BY order_ref, seq")
        for order, doc in await self._rows(sql, account_id, list(orders), of_order=of_order):
            found[order].append(decode(doc, type_))
        return found


_ORDER = (
    "SELECT o.account_id, doc, status, payment_status, authorized, cancelled, captured, refunded, updated_at, version, "
    "last_hash, ARRAY(SELECT ROW(line_id, payable, l.authorized, l.cancelled, l.captured, l.refunded, claimed, l.doc) "
    "FROM order_lines AS l WHERE l.account_id = o.account_id AND order_ref = o.id ORDER BY line_id) FROM orders AS o"
)


def _state(row: Sequence[Any]) -> OrderState:
    _, doc, status, payment_status, *sums, updated_at, version, last_hash, lines = row
    order = msgspec.structs.replace(
        decode(doc, Order),
        status=status,
        payment_status=payment_status,
        sums=OrderSums(*sums),
        updated_at=from_milliseconds(updated_at),
        version=version,
        last_hash=last_hash,
    )
    return OrderState(
        order,
        {line[0]: decode(line[7], Line) for line in lines},
        {line[0]: LineSums(*line[:7]) for line in lines},
    )
