"""Fills a database with orders: copies of one that was made the usual way, by SQL, a million in minutes.

Every copy has ids of its own, spread like those that chance would give. Their histories are not chained: this is to
measure with, not to verify.
"""

from __future__ import annotations

from benchmarks.machine import Database
from tests.running import Shop

_AT_A_TIME = 50_000
# The tables with rows of an order, and what names it in them.
_TABLES = {
    "orders": "id",
    "order_lines": "order_ref",
    "order_events": "order_ref",
    "order_marks": "order_ref",
    "sessions": "order_ref",
}
# Eight hexadecimal digits of a number, each number's its own, in no order.
_DIGITS = {
    "SQLite": "printf('%08x', (n * 2654435761) & 4294967295)",
    "PostgreSQL": "lpad(to_hex((n * 2654435761) & 4294967295), 8, '0')",
}
_NUMBERS = {
    "SQLite": "WITH RECURSIVE numbers(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}) ",
    "PostgreSQL": "WITH numbers AS (SELECT n FROM generate_series({first}::bigint, {last}) AS n) ",
}


def fill(database: Database, shop: Shop, orders: int) -> None:
    """Add orders of three lines with a session each until there are so many."""
    there = int(database.sql("SELECT count(*) FROM orders"))
    if there >= orders:
        return
    order = shop.order(99800, 11500, 7500)
    session = shop.session(order)
    id = database.sql(f"SELECT id FROM orders WHERE order_id = '{order['order_id']}'")  # noqa: S608
    names = {id: id[8:], str(order["order_id"]): "G", str(session["id"]): str(session["id"])[18:]}
    for first in range(there + 2, orders + 1, _AT_A_TIME):
        last = min(first + _AT_A_TIME - 1, orders)
        database.sql(*(_copies(database, table, id, names, first, last) for table in _TABLES))
    # What PostgreSQL would otherwise do by itself, beside what is measured.
    database.sql(*(("VACUUM ANALYZE", "CHECKPOINT") if database.postgres else ("ANALYZE",)))


def _copies(database: Database, table: str, id: str, names: dict[str, str], first: int, last: int) -> str:
    engine = database.engine
    columns = _columns(database, table)
    digits = _DIGITS[engine]
    values = []
    for name, is_text in columns.items():
        value = f"t.{name}"
        if is_text and name != "account_id":
            for old, rest in names.items():
                account = f"'{old[:10]}' || " if old.startswith("T") and "." in old else ""
                new = f"'G' || {digits}" if rest == "G" else f"{account}{digits} || '{rest}'"
                value = f"replace({value}, '{old}', {new})"
        elif name == "created_at":
            value = f"{value} + n"
        values.append(value)
    return (
        _NUMBERS[engine].format(first=first, last=last)
        + f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "
        + f"FROM {table} AS t, numbers WHERE t.{_TABLES[table]} = '{id}'"
    )


def _columns(database: Database, table: str) -> dict[str, bool]:
    """The columns that are written, and whether they are text."""
    sql = f"SELECT name || ' ' || type FROM pragma_table_info('{table}')"  # noqa: S608
    if database.postgres:
        sql = (
            "SELECT column_name || ' ' || data_type FROM information_schema.columns "  # noqa: S608
            f"WHERE table_name = '{table}' AND is_identity = 'NO' ORDER BY ordinal_position"
        )
    found = dict(line.split(" ", 1) for line in database.sql(sql).split("\n"))
    return {name: kind.lower() == "text" for name, kind in found.items()}
