"""Thirty-two clients at once: never more captured than authorized, never more refunded than captured."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kasse.domain.profile import CARD
from kasse.operations.verification import verify
from tests.api.test_methods import EXTERNAL, enable, pay
from tests.running import Json, Running, Shop, running
from tests.store.postgres_server import postgres_server


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def busy(request: pytest.FixtureRequest) -> Iterator[Running]:
    if request.param == "sqlite":
        with running() as found:
            yield found
        return
    with postgres_server() as server, server.kasse_database() as name, running(database=server.url(name)) as found:
        yield found


def _authorized(shop: Shop, by_hand: bool) -> Json:
    order = shop.order(1000, 500)
    if by_hand:
        items = [{"line_id": 1, "amount": 1000}, {"line_id": 2, "amount": 500}]
        shop.ok("POST", f"orders/{order['order_id']}/authorizations", {"items": items})
    else:
        shop.pay(shop.session(order))
    return order


def _sum(order: Json, kind: str, line_id: int) -> int:
    return sum(
        item["amount"]
        for entry in order[kind]
        if entry["success"]
        for item in entry["items"]
        if item["line_id"] == line_id
    )


@pytest.mark.parametrize("by_hand", [True, False], ids=["recorded by hand", "through the gateway"])
def test_thirty_two_clients_capture_and_refund_the_same_orders(busy: Running, by_hand: bool) -> None:
    shop = busy.shop()
    orders = [_authorized(shop, by_hand) for _ in range(3)]

    def work(seed: int) -> set[int]:
        chance, client, statuses = random.Random(seed), Shop(*_login(shop)), set[int]()
        for _ in range(6):
            order, kind = chance.choice(orders), chance.choice(["captures", "captures", "refunds", "cancellations"])
            item = {"line_id": chance.choice([1, 2]), "amount": chance.choice([50, 100, 250])}
            answer = client.call("POST", f"orders/{order['order_id']}/{kind}", {"items": [item]})
            statuses.add(answer.status_code)
        return statuses

    with ThreadPoolExecutor(32) as clients:
        statuses = set().union(*clients.map(work, range(32)))
    assert 200 in statuses
    assert statuses <= {200, 400, 409}
    for order in orders:
        found = shop.read_order(order)
        for line_id, payable in ((1, 1000), (2, 500)):
            captured, refunded = _sum(found, "captures", line_id), _sum(found, "refunds", line_id)
            assert _sum(found, "authorizations", line_id) == payable
            assert captured + _sum(found, "cancellations", line_id) <= payable
            assert 0 <= refunded <= captured
    # The counters are what the entries add up to, and what the transactions and their history say.
    assert busy.run(verify(busy.house)).difference is None


def _login(shop: Shop) -> tuple[str, str, str, str]:
    return shop.base_url, shop.account_id, shop.client_id, shop.client_secret


@pytest.mark.parametrize("method", [CARD, EXTERNAL])
def test_thirty_two_clients_ask_on_the_order_and_on_its_payment(busy: Running, method: str) -> None:
    shop = busy.shop()
    enable(busy, shop, method)
    order = shop.order(1000, 500)
    transaction = str(pay(shop, shop.session(order), method)["transaction_id"])
    if method == EXTERNAL:
        shop.ok("POST", f"/v1/transactions/{transaction}/authorization", {})

    def work(seed: int) -> set[int]:
        chance, client, statuses = random.Random(seed), Shop(*_login(shop)), set[int]()
        for step in ("capture", "capture", "refund"):
            amount = chance.choice([50, 100, 250])
            if chance.random() < 0.5:
                answer = client.call("POST", f"/v1/transactions/{transaction}/{step}", {"amount": amount})
            else:
                item = {"line_id": chance.choice([1, 2]), "amount": amount}
                answer = client.call("POST", f"orders/{order['order_id']}/{step}s", {"items": [item]})
            statuses.add(answer.status_code)
        return statuses

    with ThreadPoolExecutor(32) as clients:
        statuses = set().union(*clients.map(work, range(32)))
    assert 200 in statuses
    assert statuses <= {200, 400, 409}
    found, moved = shop.read_order(order), shop.transaction(transaction)["events"]
    for line_id, payable in ((1, 1000), (2, 500)):
        captured, refunded = _sum(found, "captures", line_id), _sum(found, "refunds", line_id)
        assert _sum(found, "authorizations", line_id) == payable
        assert 0 <= refunded <= captured <= payable
    for kind, event in (("captures", "CAPTURE"), ("refunds", "REFUND")):
        by_order = sorted(entry["amount"] for entry in found[kind] if entry["success"])
        assert by_order == sorted(each["amount"] for each in moved if each["event"] == event and each["success"])
    assert busy.run(verify(busy.house)).difference is None
