"""What a page of orders costs: the first one and the thousandth, with and without each filter."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import requests

from benchmarks import filler
from benchmarks.machine import Database, Server, kasse
from benchmarks.part import Effort, Part, databases
from tests.running import Shop
from tests.store.postgres_server import PostgresServer

_LIMIT = 10
_PAGE = 1000
# Out of a hundred orders: their status, how much is paid, their store and, of the first one, the customer.
_STATUS = "CASE WHEN {n} % 100 < 70 THEN 'open' WHEN {n} % 100 < 97 THEN 'closed' ELSE 'cancelled' END"
_PAID = "CASE WHEN {n} % 10 < 3 THEN 'pending' WHEN {n} % 10 < 9 THEN 'paid' ELSE 'refunded' END"
_NUMBER = {
    # A number for each order that has nothing to do with its age.
    "SQLite": "(rowid * 7919 % 10007)",
    "PostgreSQL": "(('x' || substr(md5(id), 1, 7))::bit(28)::int)",
}


@dataclass(frozen=True)
class Case:
    """A list: its address, and the same in SQL."""

    path: str
    where: str


def _marked(name: str, value: str) -> str:
    return (
        "EXISTS (SELECT 1 FROM order_marks m WHERE m.account_id = o.account_id AND m.order_ref = o.id "  # noqa: S608
        f"AND m.name = '{name}' AND m.value = '{value}')"
    )


def _cases(middle: int) -> dict[str, Case]:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(middle / 1000))
    until = f"o.created_at <= {middle // 1000 * 1000}"
    return {
        "no filter": Case("orders?", "true"),
        "status=open": Case("orders?status=open", "o.status = 'open'"),
        "status=cancelled": Case("orders?status=cancelled", "o.status = 'cancelled'"),
        "status=closed,cancelled": Case("orders?status=closed,cancelled", "o.status IN ('closed', 'cancelled')"),
        "payment_status=paid": Case("orders?payment_status=paid", "o.payment_status = 'paid'"),
        "payment_status=paid,refunded": Case(
            "orders?payment_status=paid,refunded", "o.payment_status IN ('paid', 'refunded')"
        ),
        "status=cancelled, payment_status=refunded": Case(
            "orders?status=cancelled&payment_status=refunded",
            "o.status = 'cancelled' AND o.payment_status = 'refunded'",
        ),
        "created_at.lte": Case(f"orders?created_at.lte={at}", until),
        "created_at.lte, status=cancelled": Case(
            f"orders?created_at.lte={at}&status=cancelled", f"{until} AND o.status = 'cancelled'"
        ),
        "customer_id": Case("orders?customer_id=c1", _marked("customer_id", "c1")),
        "a customer's": Case("customers/c1/orders?", _marked("customer_id", "c1")),
        "a store's": Case("stores/oslo/orders?", _marked("store_id", "oslo")),
        "a store's, status=cancelled": Case(
            "stores/oslo/orders?status=cancelled", f"{_marked('store_id', 'oslo')} AND o.status = 'cancelled'"
        ),
        "store_id=oslo,bergen": Case("orders?store_id=oslo,bergen", "true"),
        "store_id, customer_id": Case(
            "orders?store_id=oslo&customer_id=c1", f"{_marked('store_id', 'oslo')} AND {_marked('customer_id', 'c1')}"
        ),
        "with events": Case("orders?include_events=true", "true"),
    }


def lists(server: PostgresServer, effort: Effort) -> Part:
    """Pages of ten orders among as many as there are at most in this effort."""
    orders = effort.orders[-1]
    rows, figures = [], {}
    with databases(server) as both:
        for database in both:
            with kasse(database) as running:
                shop = running.shop()
                filler.fill(database, shop, orders)
                _spread(database)
                middle = int(database.sql("SELECT (min(created_at) + max(created_at)) / 2 FROM orders"))
                for name, case in _cases(middle).items():
                    first, later, page = _pages(database, running, shop, case, 20 if effort.rounds == 1 else 100)
                    ratio = later / first
                    rows.append([database.engine, name, f"{first:.1f}", f"{page}", f"{later:.1f}", f"{ratio:.2f}"])
                    figures[f"{database.engine}: {name}"] = {"first": first, "later": later, "ratio": ratio}
    words = (
        f"{orders} orders, {_LIMIT} a page, one connection; the first page and the thousandth (or the last) "
        "in turn, the middle of their times."
    )
    return Part("Lists", words, ["engine", "list", "first ms", "page", "ms", "ratio"], rows, figures)


def _spread(database: Database) -> None:
    """Orders of all kinds: by status, by what is paid, of two stores, every hundredth of one customer."""
    n = _NUMBER[database.engine]
    mark = "INSERT INTO order_marks (account_id, name, value, created_at, order_ref) SELECT account_id, "
    store = f"CASE WHEN {n} % 2 = 0 THEN 'oslo' ELSE 'bergen' END"
    database.sql(
        f"UPDATE orders SET status = {_STATUS.format(n=n)}, payment_status = {_PAID.format(n=f'({n} / 100)')}",  # noqa: S608
        "DELETE FROM order_marks",
        f"{mark} 'store_id', {store}, created_at, id FROM orders",
        f"{mark} 'customer_id', 'c1', created_at, id FROM orders WHERE {n} % 50 = 0",
    )
    database.sql("VACUUM" if database.postgres else "SELECT 1")
    database.sql("ANALYZE")


def _pages(database: Database, running: Server, shop: Shop, case: Case, times: int) -> tuple[float, float, int]:
    """How long the first page takes and a later one, in milliseconds, and which one that is."""
    there = int(database.sql(f"SELECT count(*) FROM orders o WHERE {case.where}"))  # noqa: S608
    page = max(2, min(_PAGE, there // _LIMIT))
    before = database.sql(
        f"SELECT id FROM orders o WHERE {case.where} "  # noqa: S608
        f"ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET {(page - 1) * _LIMIT - 2}"
    )
    first = f"{shop.shopping}/{case.path}&limit={_LIMIT}"
    token = _read(shop, f"{shop.shopping}/{case.path}&limit=1&starting_after={before}")["next_page_token"]
    later = f"{first}&page_token={token}"
    taken: dict[str, list[float]] = {first: [], later: []}
    for _ in range(times):
        for url, found in taken.items():
            started = time.perf_counter()
            _read(shop, url)
            found.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken[first]), statistics.median(taken[later]), page


def _read(shop: Shop, url: str) -> dict[str, Any]:
    answer: requests.Response = shop.http.get(url, timeout=300)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found
