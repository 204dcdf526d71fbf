"""Fifty payers at once, on one server and on two: a line is paid once, and everybody else is told why."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import requests

from tests.faults.servers import Server, differences, look, make_client, verified
from tests.running import Json, Shop
from tests.store.postgres_server import postgres_server

PAYERS = 50
SHORT, LONG = 2, 200


@dataclass(frozen=True)
class Market:
    """One merchant, at one server or at several that share a database."""

    shops: list[Shop]
    database: str


@pytest.fixture(
    scope="module",
    params=[("sqlite", 1), ("sqlite", 2), pytest.param(("postgresql", 2), marks=pytest.mark.postgres)],
    ids=["one server", "two servers on one file", "two servers on PostgreSQL"],
)
def market(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    engine, number = request.param
    with ExitStack() as stack:
        if engine == "sqlite":
            database = f"sqlite:///{tmp_path_factory.mktemp('races')}/kasse.db"
        else:
            postgres = stack.enter_context(postgres_server())
            database = postgres.url(stack.enter_context(postgres.kasse_database()))
        yield from _market(database, number)


def _market(database: str, number: int) -> Iterator[Market]:
    client = make_client(database)
    servers = [Server(database) for _ in range(number)]
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait_until_it_answers()
        yield Market([server.shop(*client) for server in servers], database)
        assert verified(database).difference is None
    finally:
        for server in servers:
            server.end(signal.SIGKILL)


def at_once(market: Market, calls: Sequence[Callable[[Shop], requests.Response]]) -> list[requests.Response]:
    """Make all calls at the same moment, in turn at each server."""
    barrier = threading.Barrier(len(calls))

    def make(number: int) -> requests.Response:
        barrier.wait(30)
        return calls[number](market.shops[number % len(market.shops)])

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(make, range(len(calls))))


def paying(session: Json, card: str | None = None) -> Callable[[Shop], requests.Response]:
    def pay(shop: Shop) -> requests.Response:
        # A connection of his own, as every payer has.
        headers = {"Authorization": str(shop.http.headers["Authorization"])}
        body = {} if card is None else {"card": card}
        return requests.post(shop.base_url + shop.pay_path(session), json=body, headers=headers, timeout=30)

    return pay


def told(answers: Sequence[requests.Response]) -> Counter[str]:
    """What each was told: a status, or the keyword of a refusal."""
    found: Counter[str] = Counter()
    for answer in answers:
        body = answer.json()
        if answer.status_code == 200:
            found[body["status"]] += 1
        else:
            assert answer.status_code == 409, answer.text
            assert body["error"]["errors"][0]["message"]
            found[body["error"]["errors"][0]["keyword"]] += 1
    return found


def test_of_fifty_payers_with_a_session_each_on_the_same_lines_one_pays(
    market: Market, times: Callable[[int, int], int]
) -> None:
    for _ in range(times(SHORT, LONG)):
        _one_of_fifty_pays(market)
    _all_is_well(market)


def _one_of_fifty_pays(market: Market) -> None:
    shop = market.shops[0]
    order = shop.order(10_000, 2_500)
    sessions = [shop.session(order) for _ in range(PAYERS)]
    answers = told(at_once(market, [paying(session) for session in sessions]))
    assert answers["AUTHORIZED"] == 1
    assert answers["line_being_paid"] + answers["nothing_left_to_pay"] == PAYERS - 1
    found = shop.read_order(order)
    assert [entry["amount"] for entry in found["authorizations"]] == [12_500]


def test_of_fifty_who_pay_the_same_session_one_pays(market: Market) -> None:
    shop = market.shops[0]
    order = shop.order(700)
    session = shop.session(order)
    answers = told(at_once(market, [paying(session)] * PAYERS))
    assert answers["AUTHORIZED"] == 1
    assert answers["session_being_paid"] + answers["session_paid"] == PAYERS - 1
    _the_book_has_one(market, order, 700)


def _all_is_well(market: Market) -> None:
    found = look(market.database)
    approved = [entry for entry in found.book.values() if entry.state == "approved"]
    assert sum(entry.amount for entry in approved) == sum(state.order.sums.authorized for state in found.orders)
    assert found.claimed == 0
    assert differences(found) == []


def _the_book_has_one(market: Market, order: Json, amount: int) -> None:
    found = look(market.database)
    ours = [transaction for transaction in found.transactions if transaction.order_id == order["order_id"]]
    approved = [found.book[each.id].amount for each in ours if found.book[each.id].state == "approved"]
    assert approved == [amount]
    assert found.claimed == 0
    assert differences(found) == []


def test_of_fifty_payers_on_lines_that_overlap_no_line_is_paid_twice(market: Market) -> None:
    shop = market.shops[0]
    order = shop.order(*[100] * 10)
    sessions = [shop.session(order, 1 + n % 10, 1 + (n + 1 + n // 10) % 10) for n in range(PAYERS)]
    answers = told(at_once(market, [paying(session) for session in sessions]))
    assert 1 <= answers["AUTHORIZED"] <= 5
    assert answers["AUTHORIZED"] + answers["line_being_paid"] + answers["nothing_left_to_pay"] == PAYERS
    items = [item["line_id"] for entry in shop.read_order(order)["authorizations"] for item in entry["items"]]
    assert len(items) == len(set(items)) == 2 * answers["AUTHORIZED"]
    assert differences(look(market.database)) == []


def test_when_fifty_payers_are_declined_the_lines_are_free_again(market: Market) -> None:
    shop = market.shops[0]
    order = shop.order(9_955_100)
    sessions = [shop.session(order) for _ in range(PAYERS)]
    answers = told(at_once(market, [paying(session) for session in sessions]))
    assert answers["FAILED"] >= 1
    assert answers["FAILED"] + answers["line_being_paid"] == PAYERS
    found = look(market.database)
    assert found.claimed == 0
    assert differences(found) == []
    assert shop.read_order(order)["authorizations"] == []


@pytest.mark.parametrize("kind", ["captures", "refunds", "cancellations"])
def test_of_fifty_who_take_the_same_money_one_gets_it(market: Market, kind: str) -> None:
    shop = market.shops[0]
    order = shop.order(10_000)
    shop.pay(shop.session(order))
    if kind == "refunds":
        shop.ok("POST", f"orders/{order['order_id']}/captures", {"items": [{"line_id": 1, "amount": 10_000}]})
    body = {"items": [{"line_id": 1, "amount": 6_000}]}

    def take(shop: Shop) -> requests.Response:
        headers = {"Authorization": str(shop.http.headers["Authorization"])}
        url = f"{shop.shopping}/orders/{order['order_id']}/{kind}"
        return requests.post(url, json=body, headers=headers, timeout=30)

    answers = at_once(market, [take] * PAYERS)
    keywords = Counter(
        "taken" if answer.status_code == 200 else answer.json()["error"]["errors"][0]["keyword"] for answer in answers
    )
    assert keywords["taken"] == 1
    assert keywords["outcome_unknown"] + keywords["amount_above_left"] == PAYERS - 1, keywords
    assert [entry["amount"] for entry in shop.read_order(order)[kind]] == [6_000]
    assert differences(look(market.database)) == []
