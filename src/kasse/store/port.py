"""What the house needs of a database: the only door to it.

Everything that changes state goes through ``Store.change``: it loads, decides and commits in one transaction.
The decision is an async function that gets the loads and answers what to tell the caller and which records to
write. It must be free of other effects, because an engine may run it again when someone else was faster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

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
from kasse.domain.history import Event, OrderState, OrderStep
from kasse.domain.hooks import Notice, Subscription
from kasse.domain.ledger import Entry
from kasse.domain.order import Draft
from kasse.domain.paging import Filters, Page, SessionFilters
from kasse.domain.profile import Profile
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import GatewayCall, Transaction
from kasse.domain.transaction_list import TransactionFilters, TransactionMarks
from kasse.store.strays import Stray

T = TypeVar("T")

Record = (
    Account
    | Client
    | Grant
    | SigningKey
    | ServerSecret
    | SignatureSecret
    | ApiKey
    | StoredAnswer
    | Profile
    | Draft
    | OrderStep
    | PaymentSession
    | AccountClock
    | Transaction
    | TransactionMarks
    | GatewayCall
    | Delivery
    | Attempt
    | Subscription
    | Notice
)
"""What can be written. A record with ``version`` 1 is new; a later version replaces exactly the one before it.

With the records of a change an engine stores what ``domain.hooks.notices`` finds to tell of them, where somebody
subscribes to it: in the same transaction, and without a question of its own. So is a new ``Notice``.
"""


class StoreUnavailable(Exception):
    """The database cannot be written or read now (disk full, locked, gone). Nothing of the change is stored."""


class Contradiction(Exception):
    """The database refused a change that breaks one of its constraints: a mistake of ours, nothing is stored."""


MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Backlog:
    """What waits in all accounts. Nothing is counted beyond ``MOST_COUNTED``. ``due_first`` is when the delivery
    that waits and comes first is or was due; ``open_calls`` counts the gateway calls that are not done by state."""

    waiting: int
    due_first: datetime | None
    open_calls: Mapping[str, int]


class Loads(Protocol):
    """The reads, as of one moment. An order may be named by its ``order_id`` or its internal id (O-21)."""

    async def together(self, *loads: Awaitable[Any]) -> list[Any]:
        """The results of several loads, or of whole queries, in one round trip as far as the engine can.

        What the first of them raises, if any does, is raised once all have ended.
        """
        ...

    async def account(self, account_id: str) -> Account | None: ...

    async def client(self, account_id: str, id: str) -> Client | None:
        """By its ``id``, deleted ones too."""

    async def client_by_login(self, account_id: str, client_id: str) -> Client | None:
        """By the ``client_id`` it logs in with, unless deleted."""

    async def login(self, account_id: str, client_id: str) -> tuple[Client, list[Grant]] | None:
        """The client that logs in with this ``client_id``, unless deleted, and its grants, newest first."""

    async def clients(self, account_id: str) -> list[Client]: ...

    async def grant(self, account_id: str, id: str) -> Grant | None: ...

    async def grants(self, account_id: str, client: str | None = None) -> list[Grant]:
        """Those not deleted, newest first."""

    async def signing_keys(self) -> list[SigningKey]:
        """Newest first."""

    async def server_secret(self, name: str) -> ServerSecret | None: ...

    async def signature_secrets(self, account_id: str, limit: int) -> list[SignatureSecret]:
        """The newest ones, newest first."""

    async def api_key(self, account_id: str, id: str) -> ApiKey | None:
        """Deleted ones too."""

    async def api_key_by_hash(self, account_id: str, key_hash: str) -> ApiKey | None:
        """Deleted ones too."""

    async def api_keys(self, account_id: str, page: Page, deleted: bool = False) -> list[ApiKey]:
        """Newest first, deleted ones only where asked for."""

    async def stored_answer(self, account_id: str, id: str) -> StoredAnswer | None: ...

    async def account_clock(self, account_id: str) -> AccountClock | None: ...

    async def account_clocks(self) -> list[AccountClock]:
        """Of every account that has one."""

    async def profile(self, account_id: str, profile_id: str, deleted: bool = False) -> Profile | None:
        """A deleted one only where asked for."""

    async def profiles(self, account_id: str) -> list[Profile]:
        """Those not deleted, by their ids."""

    async def draft(self, account_id: str, draft_id: str) -> Draft | None: ...

    async def drafts(self, account_id: str, filters: Filters, page: Page) -> list[Draft]: ...

    async def order(self, account_id: str, order_id: str, lines: Collection[int] | None = None) -> OrderState | None:
        """An order with the lines named, or with all of them."""

    async def orders(self, account_id: str, filters: Filters, page: Page) -> list[OrderState]:
        """With all their lines."""

    async def orders_from(self, after: tuple[str, str] | None, limit: int) -> list[OrderState]:
        """Orders of every account with all their lines, by account and internal id, after the one named."""

    async def marks(self, account_id: str, order: str) -> frozenset[tuple[str, str]]:
        """The names and values that an order (internal id) is found by in lists."""

    async def order_exists(self, account_id: str, order_id: str) -> bool: ...

    async def entries(self, account_id: str, order: str) -> list[Entry]:
        """The ledger of an order (internal id), oldest first."""

    async def events(self, account_id: str, order: str) -> list[Event]:
        """The history of an order (internal id), oldest first."""

    async def entries_of(self, account_id: str, orders: Collection[str]) -> dict[str, list[Entry]]:
        """The ledgers of several orders (internal ids)."""

    async def events_of(self, account_id: str, orders: Collection[str]) -> dict[str, list[Event]]:
        """The histories of several orders (internal ids)."""

    async def session(self, account_id: str, session_id: str) -> PaymentSession | None: ...

    async def sessions_by_id(self, account_id: str, ids: Collection[str]) -> dict[str, PaymentSession]: ...

    async def sessions_of(self, account_id: str, order: str, page: Page) -> list[PaymentSession]:
        """The sessions opened for an order (internal id)."""

    async def newest_sessions(
        self, account_id: str, orders: Collection[str], limit: int
    ) -> dict[str, list[PaymentSession]]:
        """The newest sessions of each of several orders (internal ids)."""

    async def sessions_from(self, after: tuple[str, str] | None, limit: int) -> list[PaymentSession]:
        """Sessions of every account, by account and id, after the one named."""

    async def versions(self, sessions: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, int]]:
        """The version of each of these sessions, of any account, and that of its order, 0 where it has none."""

    async def sessions(self, account_id: str, filters: SessionFilters, page: Page) -> list[PaymentSession]: ...

    async def due_sessions(self, now: datetime, limit: int) -> list[PaymentSession]:
        """Sessions of any account whose time is over, by the account's clock where it has one: those that are open, and
        those whose payer is away at his bank. Those that are over longest come first."""

    async def transaction(self, account_id: str, transaction_id: str) -> Transaction | None: ...

    async def transactions(self, account_id: str, filters: TransactionFilters, page: Page) -> list[Transaction]:
        """Newest first."""

    async def transactions_of_session(self, account_id: str, session_id: str) -> list[Transaction]:
        """The payments that were tried in a session, oldest first."""

    async def transactions_of_order(self, account_id: str, order: str) -> list[Transaction]:
        """The transactions that pay or tried to pay an order (internal id), oldest first."""

    async def gateway_call(self, account_id: str, key: str) -> GatewayCall | None: ...

    async def due_gateway_calls(self, now: datetime, limit: int) -> list[GatewayCall]:
        """Calls of any account that are not done and whose ``look_up_at`` has come."""

    async def due_deliveries(self, now: datetime, limit: int, busy_receivers: Collection[str] = ()) -> list[Delivery]:
        """Deliveries of any account that are due, without those to receivers that are busy."""

    async def backlog(self) -> Backlog:
        """For those who look on, not for decisions."""

    async def delivery(self, account_id: str, delivery_id: str) -> Delivery | None: ...

    async def deliveries_of(self, account_id: str, session_id: str) -> list[Delivery]: ...

    async def deliveries_of_subscription(self, account_id: str, subscription_id: str, page: Page) -> list[Delivery]:
        """The calls to a webhook, newest first."""

    async def attempts(self, account_id: str, delivery_id: str) -> list[Attempt]:
        """The tries of one delivery, oldest first."""

    async def attempts_of(self, account_id: str, session_id: str) -> dict[str, list[Attempt]]:
        """The tries of every delivery of a session, by delivery."""

    async def attempts_of_all(self, account_id: str, deliveries: Collection[str]) -> dict[str, list[Attempt]]:
        """The tries of several deliveries, by delivery."""

    async def subscription(self, account_id: str, id: str) -> Subscription | None:
        """Deleted ones too."""

    async def subscriptions(self, account_id: str) -> list[Subscription]:
        """Those not deleted, oldest first."""

    async def notice(self, account_id: str, id: str) -> Notice | None: ...

    async def notices_to_tell(self, limit: int) -> list[Notice]:
        """Notices of any account that are not told yet, oldest first."""

    async def strays(self) -> list[Stray]:
        """Rows of any account that belong to what is missing, or are filed under something else than their record says:
        at most one of each kind. Reads every table whole. For ``kasse verify``.

        Raises ``Contradiction`` where a record cannot even be read."""


Decide = Callable[[Loads], Awaitable[tuple[T, Sequence[Record]]]]
Query = Callable[[Loads], Awaitable[T]]


class Store(Protocol):
    """An open database, brought up to date."""

    async def change(self, decide: Decide[T]) -> T:
        """Load, decide, commit, durably: when this returns, the change is on disk.

        A ``Refusal`` raised by ``decide`` passes through with nothing stored. Raises ``Contradiction``,
        ``StoreUnavailable``.
        """

    async def read(self, query: Query[T]) -> T:
        """Read as of one moment."""

    async def glance(self, query: Query[T]) -> T:
        """Read a few rows by their keys, as of one moment: for what is on the way of every request.

        An engine may do it on the spot, so it is not for lists or anything that grows.
        """
        ...

    async def book_put(self, account_id: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        """The sandbox gateway's own book, apart from everything else: store ``entry`` unless ``key`` is there;
        answers what is there now."""
        ...

    async def book_replace(self, account_id: str, key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        """Replace an entry of the book if it still is ``before``."""
        ...

    async def book_get(self, account_id: str, key: str) -> dict[str, Any] | None: ...

    async def forget_answers(self, before: datetime) -> int:
        """Remove the stored answers that are older, and the notices that are told; answers how many answers it were."""
        ...

    async def close(self) -> None: ...
