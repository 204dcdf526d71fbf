"""What a session costs as the house fills: more orders, more lines in an order, a longer history."""

from __future__ import annotations

import json
import tempfile
from typing import Any

import msgspec

from benchmarks import filler, limits
from benchmarks.machine import Database, Server, kasse
from benchmarks.part import Effort, Part, databases
from kasse.bench.processes import processor_seconds
from tests.running import Shop, session_request
from tests.store.postgres_server import PostgresServer

_SAMPLE = 2_000


def growth(server: PostgresServer, effort: Effort) -> Part:
    """Opening sessions for orders drawn from all that there are."""
    rows, figures = [], {}
    with databases(server) as both:
        for database in both:
            for orders in effort.orders:
                with kasse(database) as running:
                    filler.fill(database, running.shop(), orders)
                    found = _open_sessions(running, _some(database, running), 8, effort.seconds)
                rows.append([database.engine, f"{orders}", f"{found.rate:.0f}", f"{found.p50:.2f}", f"{found.p99:.2f}"])
                rows[-1] += [f"{found.processor:.3f}", f"{found.database:.3f}" if database.postgres else ""]
                cost = found.processor + found.database
                figures[f"{database.engine}: {orders}"] = {"rate": found.rate, "processor": cost}
    words = f"Sessions of up to {_SAMPLE} orders drawn from all over, 8 connections."
    head = ["engine", "orders", "a second", "p50 ms", "p99 ms", "CPU ms", "PostgreSQL CPU ms"]
    return Part("Growth: orders", words, head, rows, figures)


def _some(database: Database, running: Server) -> list[str]:
    sql = f"SELECT order_id FROM orders ORDER BY id LIMIT {_SAMPLE}"  # noqa: S608 (ids are spread like chance)
    return [f"{running.url}/v1/accounts/{{}}/shopping/orders/{id}/sessions" for id in database.sql(sql).split()]


def histories(server: PostgresServer, effort: Effort) -> Part:
    """Opening sessions for one order that has had few and many already."""
    many = 10_000 if effort.rounds > 1 else 500
    rows, figures = [], {}
    with databases(server) as both:
        for database in both:
            with kasse(database) as running:
                shop = running.shop()
                old, new = shop.order(99800, 11500), shop.order(99800, 11500)
                while _events(database) < many:
                    _sessions_of(running, shop, old, 8, 2)
                for name, order in (("few", new), ("many", old)):
                    found = _sessions_of(running, shop, order, 1, min(2, effort.seconds))
                    rows.append([database.engine, name, f"{_events(database)}", f"{found.p50:.2f}"])
                    rows[-1].append(f"{found.processor:.3f}")
                    figures[f"{database.engine}: {name}"] = {"p50": found.p50, "processor": found.processor}
    words = f"One connection; an order with few sessions and events, and one with {many} and more."
    return Part("Growth: history", words, ["engine", "sessions", "events in all", "p50 ms", "CPU ms"], rows, figures)


def _events(database: Database) -> int:
    return int(database.sql("SELECT count(*) FROM order_events"))


def long_orders(server: PostgresServer, effort: Effort) -> Part:
    """Opening sessions for all lines of short and long orders."""
    rows, figures = [], {}
    with databases(server) as both:
        for database in both:
            with kasse(database) as running:
                shop = running.shop()
                for lines in (1, 10, 100, 500):
                    found = _sessions_of(running, shop, shop.order(*[1000] * lines), 1, min(5, effort.seconds))
                    rows.append([database.engine, f"{lines}", f"{found.p50:.2f}", f"{found.processor:.3f}"])
                    figures[f"{database.engine}: {lines}"] = {"p50": found.p50, "processor": found.processor}
    words = "One connection; a session for all lines of an order."
    return Part("Growth: lines", words, ["engine", "lines", "p50 ms", "CPU ms"], rows, figures)


def _sessions_of(running: Server, shop: Shop, order: dict[str, Any], connections: int, seconds: float) -> limits.Limit:
    url = f"{shop.shopping}/orders/{order['order_id']}/sessions"
    lines = [item["line_id"] for item in order["items"]]
    return _send(running, shop, url, lines, connections, seconds)


def _open_sessions(running: Server, urls: list[str], connections: int, seconds: float) -> limits.Limit:
    shop = running.shop()
    with tempfile.NamedTemporaryFile("w", suffix=".urls") as file:
        file.write("\n".join(url.format(shop.account_id) for url in urls))
        file.flush()
        return _send(running, shop, f"@{file.name}", [1, 2, 3], connections, seconds)


def _send(running: Server, shop: Shop, url: str, lines: list[int], connections: int, seconds: float) -> limits.Limit:
    body = json.dumps(session_request(lines))
    bearer = str(shop.http.headers["Authorization"])
    more = ("application/json", body, bearer)
    before = processor_seconds(running.database.watched.values())
    found = limits.hammer("sessions", running.pid, "POST", url, connections, seconds, *more)
    used = processor_seconds(running.database.watched.values()) - before
    return msgspec.structs.replace(found, database=used * 1000 / (found.rate * seconds))
