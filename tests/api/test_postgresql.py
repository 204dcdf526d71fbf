"""The whole way once more, with the books in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import pytest

from kasse.operations.verification import verify
from tests.api.test_whole_way import (
    test_the_variant_where_the_coffee_is_cancelled_instead as cancelled_variant,
)
from tests.api.test_whole_way import (
    test_the_worked_example_with_a_session_and_captures_on_the_order as worked_example,
)
from tests.running import Running, running, session_request
from tests.store.postgres_server import postgres_server

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def on_postgresql() -> Iterator[Running]:
    with (
        postgres_server() as server,
        server.kasse_database() as name,
        running(database=server.url(name), look_up_after=0.2, gateway_timeout=5.0) as found,
    ):
        yield found


def test_the_worked_example_of_the_reference(on_postgresql: Running) -> None:
    worked_example(on_postgresql.shop())
    cancelled_variant(on_postgresql.shop())
    found = on_postgresql.run(verify(on_postgresql.house))
    assert found.difference is None
    assert found.orders >= 2


def test_of_twenty_payers_of_the_same_lines_one_pays(on_postgresql: Running) -> None:
    shop = on_postgresql.shop()
    order = shop.order(1000)
    sessions = [shop.session(order) for _ in range(20)]
    with ThreadPoolExecutor(20) as payers:
        answers = list(payers.map(lambda session: shop.call("POST", shop.pay_path(session), {}), sessions))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    assert [entry["amount"] for entry in shop.read_order(order)["authorizations"]] == [1000]
    assert on_postgresql.run(verify(on_postgresql.house)).difference is None


def test_a_session_takes_three_round_trips(on_postgresql: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks and what he was answered; the order, account and profile; and the write. Whatever else the server does
    meanwhile is left out by taking the least of several."""
    shop = on_postgresql.shop()
    order, said, execute = shop.order(1000), list[str](), asyncpg.Connection._execute

    async def noted(self: asyncpg.Connection, sql: str, *more: Any, **named: Any) -> Any:
        said.append(sql)
        return await execute(self, sql, *more, **named)

    monkeypatch.setattr(asyncpg.Connection, "_execute", noted)
    counted = []
    for n in range(5):
        said.clear()
        shop.ok(
            "POST", f"orders/{order['order_id']}/sessions", session_request([1]), headers={"Idempotency-Key": f"{n}"}
        )
        counted.append(len(said))
    assert min(counted) == 3, said
