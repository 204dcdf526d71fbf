"""``kasse copy``: a shop's whole books move to PostgreSQL and back, and business goes on there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from kasse.store import copying
from kasse.store.tables import TABLES
from tests.running import Json, Shop, running
from tests.store.postgres_server import PostgresServer, postgres_server
from tests.test_cli import kasse, printed

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def counts(database: str) -> dict[str, int]:
    async def count() -> dict[str, int]:
        async with copying._side(database, write=False) as side:
            return {table.name: await side.count(table.name) for table in TABLES}

    return asyncio.run(count())


def keyed(shop: Shop, path: str, body: Json) -> requests.Response:
    return shop.call("POST", path, body, headers={"Idempotency-Key": "refund-1"})


def test_a_shop_moves_to_postgresql_and_back(tmp_path: Path, postgres: PostgresServer) -> None:
    first, last = f"sqlite:///{tmp_path}/first.db", f"sqlite:///{tmp_path}/last.db"
    refund = {"items": [{"line_id": 1, "amount": 100}]}
    with running(database=first, look_up_after=0.1) as server:
        shop = server.shop()
        order, unpaid = shop.order(1000, 500), shop.order(300)
        open_session = shop.session(unpaid, metadata={"naïve": "✓ 🧶"})
        transaction = shop.pay(shop.session(order))["transaction_id"]
        path = f"orders/{order['order_id']}"
        shop.ok("POST", f"/v1/transactions/{transaction}/capture", {"amount": 1000})
        answered = keyed(shop, f"{path}/refunds", refund).json()
        shop.ok("POST", f"{path}/comments", {"text": "hello"})
        before = {each["id"]: shop.ok("GET", f"orders/{each['id']}?include_events=true") for each in (order, unpaid)}
    with postgres.kasse_database() as name:
        middle = postgres.url(name)
        for source, target in ((first, middle), (middle, last)):
            told = printed("copy", "--from", source, "--to", target)
            assert "orders " in told
            assert postgres.password not in told
            assert counts(target) == counts(source)
            assert printed("verify", "--database", target) == printed("verify", "--database", source)
            with running(database=target, look_up_after=0.1) as server:
                again = Shop(server.base_url, shop.account_id, shop.client_id, shop.client_secret)
                for id, was in before.items():
                    now = again.ok("GET", f"orders/{id}?include_events=true")
                    assert without_links(now) == without_links(was)
                assert without_links(keyed(again, f"{path}/refunds", refund).json()) == without_links(answered)
        full = kasse("copy", "--from", first, "--to", middle)
        assert full.returncode == 1
        assert "expected an empty database to copy to, it holds" in full.stderr
        assert "orders (2)" in full.stderr
    with running(database=last, look_up_after=0.1) as server:
        again = Shop(server.base_url, shop.account_id, shop.client_id, shop.client_secret)
        again.pay(open_session)
        assert again.ok("POST", f"{path}/captures", {"items": [{"line_id": 2, "amount": 500}]})["amount"] == 500
        assert len(again.read_order(order)["refunds"]) == 1
    assert "2 orders, " in printed("verify", "--database", last)


def without_links(value: Json) -> Json:
    """The server's own address is another one each time."""

    def plain(each: object) -> object:
        if isinstance(each, dict):
            return {name: plain(one) for name, one in each.items() if name not in ("_links", "url")}
        return [plain(one) for one in each] if isinstance(each, list) else each

    found = plain(value)
    assert isinstance(found, dict)
    return found


def test_what_is_wrong_with_a_copy_is_told_in_a_sentence(tmp_path: Path) -> None:
    missing = f"sqlite:///{tmp_path}/none.db"
    for source, target, told in (
        (missing, f"sqlite:///{tmp_path}/new.db", "there is no database"),
        ("mysql://here", missing, "expected sqlite:///"),
        (missing, "postgresql://u:secret@127.0.0.1:1/none", "there is no database"),
    ):
        done = kasse("copy", "--from", source, "--to", target)
        assert done.returncode == 1, done.stderr
        assert told in done.stderr
        assert "Traceback" not in done.stderr
        assert "secret" not in done.stderr
    assert list(tmp_path.iterdir()) == []
