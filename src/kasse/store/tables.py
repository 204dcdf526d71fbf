"""The tables that hold what the house knows, the same in every engine. A migration that adds one adds it here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """``key`` names a row. Rows ``by_arrival`` are read in the order in which they were stored."""

    name: str
    key: tuple[str, ...]
    by_arrival: bool = False


TABLES = (
    Table("server_signing_keys", ("kid",)),
    Table("server_secrets", ("name",)),
    Table("accounts", ("account_id",)),
    Table("clients", ("account_id", "id")),
    Table("grants", ("account_id", "id")),
    Table("signature_secrets", ("account_id", "id")),
    Table("api_keys", ("account_id", "id")),
    Table("profiles", ("account_id", "id")),
    Table("account_clocks", ("account_id",)),
    Table("drafts", ("account_id", "id")),
    Table("orders", ("account_id", "id")),
    Table("order_lines", ("account_id", "order_ref", "line_id")),
    Table("order_marks", ("account_id", "name", "value", "created_at", "order_ref")),
    Table("order_events", ("account_id", "order_ref", "seq")),
    Table("ledger_entries", ("account_id", "order_ref", "seq")),
    Table("sessions", ("account_id", "id")),
    Table("transactions", ("account_id", "id")),
    Table("transaction_marks", ("account_id", "name", "value", "created_at", "transaction_id")),
    Table("gateway_calls", ("account_id", "key")),
    Table("subscriptions", ("account_id", "id")),
    Table("notices", ("account_id", "id")),
    Table("deliveries", ("account_id", "id"), by_arrival=True),
    Table("delivery_attempts", ("account_id", "delivery_id", "number")),
    Table("answers", ("account_id", "id")),
    Table("sandbox_book", ("account_id", "key")),
)
OF_AN_ENGINE = frozenset({"migrations", "server_commits"})
"""What an engine keeps for itself: how far its tables are, and which commits it may have to look up."""
