"""The connection to PostgreSQL is cut at every request and at every answer of a merchant's whole way, one after the
other: each time the way ends as it would have, and the books agree.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from kasse.main import open_house
from kasse.operations import accounts
from kasse.operations.house import House
from kasse.operations.verification import verify
from kasse.settings import Settings
from tests.faults.servers import ACCOUNT
from tests.faults.trade import MovedClock, lost, settle_all, trade
from tests.store.postgres_proxy import Network, When, network
from tests.store.postgres_server import PostgresServer, postgres_server

pytestmark = pytest.mark.postgres
WHOLE = ["draft", "order", "session", "authorized", "captured", "refunded"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.mark.parametrize("when", ["the next request", "the request has gone", "the next answer"])
async def test_a_way_whose_connection_is_cut_at_any_statement_ends_well(
    postgres: PostgresServer, when: When, long: bool
) -> None:
    clock = MovedClock()
    with postgres.kasse_database() as name:
        async with network(postgres.port) as found:
            url = postgres.url(name).replace(f":{postgres.port}/", f":{found.port}/")
            async with open_house(Settings(database=url, look_up_after=0.1), clock) as house:
                await accounts.create_account(house, ACCOUNT, "Fjord & Fjell")
                cut = await _ways(house, found, when, every=1 if long else 5)
                await settle_all(house, clock)
                assert (await verify(house)).difference is None
    assert cut >= (20 if long else 5)


async def _ways(house: House, network: Network, when: When, every: int) -> int:
    """Go the way again and again, and cut at a later place each time until the way is over before it."""
    place = cut = 0
    while True:
        answered: list[tuple[str, str, int]] = []
        network.cut_at(when, after=place)
        # The card that is approved at once, whatever the lot.
        await trade(house, _First(), answered)
        assert [what for what, _, _ in answered] == WHOLE, f"cut at {when} {place}"
        assert await lost(house, answered) == []
        assert Counter(what for what, _, _ in answered).most_common(1)[0][1] == 1
        if not network.cut.is_set():
            return cut
        cut, place = cut + 1, place + every


class _First(random.Random):
    """Chooses what comes first."""

    def choice(self, seq: Any) -> Any:
        return seq[0]
