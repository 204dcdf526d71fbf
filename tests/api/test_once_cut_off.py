"""The server dies when a request with an ``Idempotency-Key`` is done and not answered: the same request, sent again,
is told what came of it. On both engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from kasse.api import once
from kasse.operations.verification import verify
from tests.running import Json, Running, Shop, running
from tests.store.postgres_server import postgres_server

KEY = {"Idempotency-Key": "key-1"}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings: Json = {"look_up_after": 0.1, "gateway_timeout": 5.0}
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("cut-off")
        with running(database=f"sqlite:///{folder}/kasse.db", **settings) as found:
            yield found
        return
    with (
        postgres_server() as postgres,
        postgres.kasse_database() as name,
        running(database=postgres.url(name), **settings) as found,
    ):
        yield found


def cut_off(shop: Shop, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any) -> None:
    """Send a request whose answer is never stored nor sent."""

    async def die(self: object, response: object) -> None:
        raise RuntimeError("the server dies here")

    with monkeypatch.context() as here:
        here.setattr(once._Once, "keep", die)
        answer = shop.call(method, path, body, headers=KEY)
        assert answer.status_code == 500, f"it was answered: {answer.text}"


def again(shop: Shop, method: str, path: str, body: Any) -> requests.Response:
    answer = shop.call(method, path, body, headers=KEY)
    assert answer.headers["Idempotency-Replayed"] == "true"
    return answer


def paid(shop: Shop, card: str | None = None) -> tuple[Json, str]:
    """An order of 1000 that is paid, 500 of it captured, and its transaction."""
    order = shop.order(1000)
    transaction = shop.pay(shop.session(order), card)["transaction_id"]
    shop.ok("POST", f"/v1/transactions/{transaction}/capture", {"amount": 500})
    return order, transaction


ITEMS = {"items": [{"line_id": 1, "amount": 100}]}
MOVES: dict[str, tuple[str, Json]] = {
    "capture": ("/v1/transactions/{transaction}/capture", {"amount": 100}),
    "final capture": ("/v1/transactions/{transaction}/capture", {"amount": 100, "final_capture": True}),
    "refund": ("/v1/transactions/{transaction}/refund", {"amount": 100}),
    "void": ("/v1/transactions/{transaction}/void", {}),
    "capture on the order": ("orders/{id}/captures", ITEMS),
    "refund on the order": ("orders/{id}/refunds", ITEMS),
    "cancel on the order": ("orders/{id}/cancellations", ITEMS),
}


@pytest.mark.parametrize("name", MOVES)
def test_what_was_moved_is_told_and_not_moved_again(
    shop: Shop, server: Running, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    order, transaction = paid(shop)
    path, body = MOVES[name]
    path = path.format(transaction=transaction, id=order["id"])
    cut_off(shop, monkeypatch, "POST", path, body)
    after, moved = shop.read_order(order), shop.transaction(transaction)
    problem = shop.refused(409, "idempotency_key_reused", "POST", path, {**body, "x": 1}, headers=KEY)
    assert "another" in problem["message"]
    told = again(shop, "POST", path, body)
    assert told.status_code == 200, told.text
    if path.startswith("/"):
        assert told.json() == moved
    else:
        entries = [*after["captures"][1:], *after["refunds"], *after["cancellations"]]
        assert [{**told.json(), "_links": None}] == [{**entry, "_links": None} for entry in entries]
    assert again(shop, "POST", path, body).content == told.content
    assert (shop.read_order(order), shop.transaction(transaction)) == (after, moved)
    assert server.run(verify(server.house)).difference is None


def test_a_payment_is_told_and_not_made_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    cut_off(shop, monkeypatch, "POST", shop.pay_path(session), {})
    told = again(shop, "POST", shop.pay_path(session), {})
    [authorization] = shop.read_order(order)["authorizations"]
    assert told.status_code == 200
    assert told.json()["status"] == "AUTHORIZED"
    assert told.json()["transaction_id"] == authorization["payment_details"]["payment_id"]


@pytest.mark.parametrize("what", ["order", "session"])
def test_a_cancelling_goes_on_where_it_was_cut_off(shop: Shop, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    transaction = shop.pay(session)["transaction_id"]
    path = f"orders/{order['id']}/cancel" if what == "order" else f"/v1/sessions/{session['id']}/cancel"
    cut_off(shop, monkeypatch, "POST", path, {})
    told = again(shop, "POST", path, {})
    assert told.status_code == 200, told.text
    assert shop.transaction(transaction)["status"] == "AUTHORIZATION_VOIDED"
    assert len(shop.read_order(order)["cancellations"]) == 1
    if what == "order":
        assert told.json()["status"] == "cancelled"
    assert again(shop, "POST", path, {}).content == told.content


def test_no_answer_for_good_while_the_outcome_is_unknown(shop: Shop) -> None:
    order = shop.order(1000)
    transaction = shop.pay(shop.session(order), "4100000000000019")["transaction_id"]
    path = f"/v1/transactions/{transaction}/capture"
    first = shop.call("POST", path, {"amount": 100}, headers=KEY)
    assert first.status_code == 202
    waiting = first.headers["event-request-id"]
    while (told := again(shop, "POST", path, {"amount": 100})).status_code == 202:
        assert told.headers["event-request-id"] == waiting
    assert told.status_code == 200
    captured = [event["amount"] for event in told.json()["events"] if event["event"] == "CAPTURE"]
    assert captured == [100]
    assert [entry["amount"] for entry in shop.read_order(order)["captures"]] == [100]


def test_on_the_order_too(shop: Shop) -> None:
    order = shop.order(1000)
    shop.pay(shop.session(order), "4100000000000019")
    path = f"orders/{order['id']}/captures"
    first = shop.call("POST", path, ITEMS, headers=KEY)
    assert first.json()["error"]["errors"][0]["keyword"] == "outcome_unknown"
    while (told := again(shop, "POST", path, ITEMS)).status_code == 409:
        assert told.json()["error"]["errors"][0]["keyword"] == "outcome_unknown"
    assert told.status_code == 200
    [entry] = shop.read_order(order)["captures"]
    assert entry["id"] == told.json()["id"]


DIRECT = {
    "url": {"return_url": "https://shop.example/thanks"},
    "order": {"amount": 1000, "currency": "NOK", "merchant_reference": "web-1"},
}


def test_a_session_is_opened_and_changed_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, body in (
        ("/v1/sessions-profile", {**DIRECT, "profile_id": "default"}),
        ("/v1/sessions?include_session=true", {**DIRECT, "configuration": {}}),
    ):
        before = shop.call("GET", "/v1/sessions").json()
        cut_off(shop, monkeypatch, "POST", path, body)
        told = again(shop, "POST", path, body).json()
        now = shop.call("GET", "/v1/sessions").json()
        assert [each["id"] for each in now] == [told["id"], *(each["id"] for each in before)]
        assert told.get("session") == (now[0] if "include_session" in path else None)
        assert told["url"].endswith(f"/v1/view/{told['id']}")
    path, body = f"/v1/sessions/{told['id']}?update_without_lock=true", {"order": {"amount": 500}}
    cut_off(shop, monkeypatch, "PUT", path, body)
    changed = again(shop, "PUT", path, body).json()
    assert changed == shop.ok("GET", f"/v1/sessions/{told['id']}")
    assert [event["name"] for event in changed["events"]].count("UPDATE_SESSION") == 1


def test_another_reference_is_given_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    _, transaction = paid(shop)
    path, body = f"/v1/transactions/{transaction}", {"merchant_reference_2": "r-2"}
    cut_off(shop, monkeypatch, "PUT", path, body)
    assert again(shop, "PUT", path, body).json() == shop.transaction(transaction)


def test_a_clock_is_moved_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = f"/v1/accounts/{shop.account_id}/sandbox/clock"
    shop.ok("POST", f"{clock}/stop", {"at": "2026-02-03T09:00:00Z"})
    cut_off(shop, monkeypatch, "POST", f"{clock}/move", {"by": 60})
    told = again(shop, "POST", f"{clock}/move", {"by": 60}).json()
    assert told == shop.ok("GET", clock)
    assert (told["now"][:19], told["stopped"]) == ("2026-02-03T09:01:00", True)


def test_every_route_has_a_way_to_answer_a_request_that_was_cut_off() -> None:
    """Either its answer is stored with its effect, or it may go its way again, or it goes on from its gateway call."""
    from kasse.main import declared

    calls_a_gateway = {
        *(f"/v1/transactions/{{transaction_id}}/{kind}" for kind in ("capture", "refund", "void", "authorization")),
        "/v1/accounts/{aid}/sandbox/sessions/{session_id}/pay",
    }
    left = [
        f"{route.method} {route.path}"
        for route in declared()
        if route.method in ("POST", "PUT") and route.scopes is not None and not route.secret_answer
        if route.renders is None and not route.repeatable and route.path not in calls_a_gateway
    ]
    assert left == []
