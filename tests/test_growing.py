"""The page on growing tells what works: its SQL is run on a shop's database, and business goes on there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kasse.operations.verification import verify
from kasse.store.tables import TABLES
from tests.running import Json, Shop, running
from tests.store.postgres_server import ADMIN, PostgresServer, postgres_server

PAGE = (Path(__file__).parent.parent / "docs/how-to/grow.md").read_text()
KEYS, SLOT, REPORTS, PIECES = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def test_every_table_of_merchants_begins_with_the_account(postgres: PostgresServer) -> None:
    with postgres.kasse_database() as name:
        assert postgres.sql(KEYS, name, "kasse") == ""
        postgres.sql("CREATE TABLE something (id TEXT PRIMARY KEY)", name, "kasse")
        assert postgres.sql(KEYS, name, "kasse") == "something"


def test_a_replica_can_have_a_slot(postgres: PostgresServer) -> None:
    assert "kasse_replica" in postgres.sql(SLOT)
    postgres.sql("SELECT pg_drop_replication_slot('kasse_replica')")


def test_reports_see_every_account_and_no_secret_and_write_nothing(postgres: PostgresServer) -> None:
    with postgres.kasse_database() as name:
        with running(database=postgres.url(name)) as server:
            for _ in range(2):
                server.shop().order(1000)
        postgres.sql(REPORTS, name, ADMIN)
        try:
            postgres.sql(f"ALTER ROLE kasse_reports LOGIN PASSWORD '{postgres.password}'", name)
            assert postgres.sql("SELECT count(DISTINCT account_id) FROM orders", name, "kasse_reports") == "2"
            for refused in ("SELECT * FROM server_secrets", "SELECT * FROM clients", "DELETE FROM orders"):
                with pytest.raises(AssertionError, match="permission denied"):
                    postgres.sql(refused, name, "kasse_reports")
        finally:
            postgres.sql("DROP OWNED BY kasse_reports; DROP ROLE kasse_reports", name)


def test_a_table_in_pieces_holds_what_it_held_and_business_goes_on(postgres: PostgresServer) -> None:
    with postgres.kasse_database() as name:
        with running(database=postgres.url(name)) as server:
            shops = [server.shop() for _ in range(3)]
            orders = [shop.order(1000, 500) for shop in shops]
            before = [_events(shop, order) for shop, order in zip(shops, orders, strict=True)]
        postgres.sql(PIECES, name, "kasse")
        assert postgres.sql("SELECT count(*) FROM pg_inherits", name) != "0"
        # Nobody sees them but by their account, not even piece by piece.
        assert postgres.sql("SELECT count(*) FROM order_events", name, "kasse") == "0"
        assert postgres.sql("SELECT count(*) FROM pieces.order_events_3", name, "kasse") == "0"
        with running(database=postgres.url(name)) as server:
            for shop, order, events in zip(shops, orders, before, strict=True):
                again = type(shop)(server.base_url, shop.account_id, shop.client_id, shop.client_secret)
                assert _events(again, order) == events
                again.pay(again.session(order))
            found = server.run(verify(server.house))
        assert found.difference is None
        assert found.orders == 3


def _events(shop: Shop, order: Json) -> list[Json]:
    """The history of an order, without its links: they say where the server is."""
    events: list[Json] = shop.ok("GET", f"orders/{order['id']}?include_events=true")["events"]
    return [{name: value for name, value in event.items() if name != "_links"} for event in events]


def test_the_plan_for_a_spread_database_names_every_table() -> None:
    for table in TABLES:
        assert f"'{table.name}'" in PAGE, table.name
