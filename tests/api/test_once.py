"""Requests with an ``Idempotency-Key`` have their effect once. Source: auth reference, A-10; orders reference, O-15."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
import requests

from tests.running import Json, Running, Shop, line, running, session_request

DRAFT = {"order": {"currency": "NOK", "items": [line(1, 1000)]}}


def send(shop: Shop, method: str, path: str, body: Any, key: str = "key-1") -> requests.Response:
    return shop.call(method, path, body, headers={"Idempotency-Key": key})


def of_line(amount: int) -> Json:
    return {"items": [{"line_id": 1, "amount": amount}]}


def captured(shop: Shop) -> Json:
    """An order whose first line is paid in Kasse, with some of it captured."""
    order = shop.order(1000, 300)
    transaction = shop.pay(shop.session(order, 1))["transaction_id"]
    shop.ok("POST", f"/v1/transactions/{transaction}/capture", {"amount": 500})
    return {**order, "transaction": transaction}


def versions(shop: Shop, order: Json) -> int:
    return int(shop.read_order(order)["version"])


# What is done, on which order; the body that does it again, and another one.
EFFECTS: dict[str, tuple[str, str, Any, Any]] = {
    "open a session": ("POST", "orders/{id}/sessions", session_request([2]), session_request([2], metadata={"x": 1})),
    "capture on the order": ("POST", "orders/{id}/captures", of_line(100), of_line(101)),
    "refund on the order": ("POST", "orders/{id}/refunds", of_line(100), of_line(101)),
    "cancel on the order": ("POST", "orders/{id}/cancellations", of_line(500), of_line(1)),
    "record a failed entry": ("POST", "orders/{id}/captures", {**of_line(1), "success": False}, of_line(1)),
    "capture": ("POST", "/v1/transactions/{transaction}/capture", {"amount": 100}, {"amount": 101}),
    "refund": ("POST", "/v1/transactions/{transaction}/refund", {"amount": 100}, {"amount": 101}),
    "void": ("POST", "/v1/transactions/{transaction}/void", {}, {"amount": 1}),
    "comment": ("POST", "orders/{id}/comments", {"text": "a"}, {"text": "b"}),
    "report": ("POST", "orders/{id}/events", {"service": "s", "service_status": "x"}, {"service": "s"}),
    "update": ("PUT", "orders/{id}", {"metadata": {"x": 1}}, {"metadata": {"x": 2}}),
    "close": ("POST", "orders/{id}/close", {}, {"x": 1}),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_what_is_sent_again_is_answered_again_and_done_once(shop: Shop, name: str) -> None:
    order = captured(shop)
    method, path, body, _ = EFFECTS[name]
    path = path.format(**order)
    first = send(shop, method, path, body)
    assert first.status_code == 200, first.text
    assert "Idempotency-Replayed" not in first.headers
    after = shop.read_order(order)
    for _ in range(2):
        again = send(shop, method, path, body)
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Request-Id"] != first.headers["Request-Id"]
    assert shop.read_order(order) == after


@pytest.mark.parametrize("name", [name for name in EFFECTS if name != "report"])
def test_one_key_is_not_for_two_bodies(shop: Shop, name: str) -> None:
    order = captured(shop)
    method, path, body, other = EFFECTS[name]
    path = path.format(**order)
    assert send(shop, method, path, body).status_code == 200
    after = shop.read_order(order)
    problem = shop.refused(*(409, "idempotency_key_reused", method, path, other), headers={"Idempotency-Key": "key-1"})
    assert "another" in problem["message"]
    assert shop.read_order(order) == after


def test_a_draft_is_made_once_and_completed_once(shop: Shop) -> None:
    first, again = (send(shop, "POST", "draft_orders", DRAFT) for _ in range(2))
    assert first.json() == again.json()
    assert len(shop.ok("GET", "draft_orders")["draft_orders"]) == 1
    path = f"draft_orders/{first.json()['id']}/complete"
    done, repeated = (send(shop, "PUT", path, {}) for _ in range(2))
    assert done.content == repeated.content
    assert len(done.json()["orders"]) == 1
    assert send(shop, "PUT", path, {}, "key-2").json() == done.json()
    added = f"draft_orders/{send(shop, 'POST', 'draft_orders', DRAFT, 'key-3').json()['id']}/items"
    assert [send(shop, "POST", added, line(2, 1)).status_code for _ in range(2)] == [200, 200]


def test_an_order_is_made_once(shop: Shop) -> None:
    body = {"currency": "NOK", "items": [line(1, 1)], "order_id": "web-1"}
    first, again = (send(shop, "POST", "orders", body) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert send(shop, "POST", "orders", body, "key-2").status_code == 409


def test_an_order_is_cancelled_once(shop: Shop) -> None:
    order = shop.order(1000)
    shop.pay(shop.session(order))
    path = f"orders/{order['id']}/cancel"
    first, again = (send(shop, "POST", path, {}) for _ in range(2))
    assert first.status_code == 200, first.text
    assert first.content == again.content
    assert len(shop.read_order(order)["cancellations"]) == 1


def test_a_refusal_is_answered_again_even_when_it_would_go_well_by_now(shop: Shop) -> None:
    order = shop.order(1000)
    path = f"orders/{order['id']}/captures"
    first = send(shop, "POST", path, of_line(100))
    assert first.status_code == 400
    shop.ok("POST", f"orders/{order['id']}/authorizations", of_line(1000))
    again = send(shop, "POST", path, of_line(100))
    assert (again.status_code, again.content) == (400, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert send(shop, "POST", path, of_line(100), "key-2").status_code == 200


def test_a_refusal_of_the_gateway_is_answered_again(shop: Shop) -> None:
    order = shop.order(1000)
    transaction = shop.pay(shop.session(order))["transaction_id"]
    path = f"/v1/transactions/{transaction}/capture"
    first, again = (send(shop, "POST", path, {"amount": 1001}) for _ in range(2))
    assert first.status_code == 400
    assert (again.status_code, again.content) == (400, first.content)


def test_a_key_belongs_to_its_address_and_method(shop: Shop) -> None:
    one, other = shop.order(1000), shop.order(1000)
    for order in (one, other):
        assert send(shop, "POST", f"orders/{order['id']}/authorizations", of_line(10)).status_code == 200
    assert send(shop, "POST", f"orders/{one['id']}/captures", of_line(5)).status_code == 200
    assert [versions(shop, order) for order in (one, other)] == [3, 2]
    assert send(shop, "PUT", f"orders/{one['id']}", {"metadata": {"x": 1}}).status_code == 200


def test_a_key_belongs_to_its_account(shop: Shop, server: Running) -> None:
    another = server.shop()
    mine, theirs = (send(who, "POST", "draft_orders", DRAFT) for who in (shop, another))
    assert mine.json()["id"] != theirs.json()["id"]
    body = {"currency": "NOK", "items": [line(1, 2)]}
    assert send(another, "POST", "orders", body).status_code == 200
    assert send(shop, "POST", "orders", {**body, "metadata": {}}).status_code == 200
    # What carries no account in its address: still each account's own.
    paths = [f"/v1/transactions/{captured(who)['transaction']}/capture" for who in (shop, another)]
    for who, path in zip((shop, another), paths, strict=True):
        assert send(who, "POST", path, {"amount": 1}).status_code == 200
    assert send(another, "POST", paths[0], {"amount": 1}).status_code == 404


def test_a_key_is_no_way_around_a_token(shop: Shop, server: Running) -> None:
    send(shop, "POST", "draft_orders", DRAFT)
    for token, status in (("none", 401), (server.shop().token(), 403)):
        headers = {"Idempotency-Key": "key-1", "Authorization": f"Bearer {token}"}
        assert shop.call("POST", "draft_orders", DRAFT, headers=headers).status_code == status


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_key_is_short_and_printable(shop: Shop, key: str) -> None:
    shop.refused(400, "wrong_value", "POST", "draft_orders", DRAFT, headers={"Idempotency-Key": key})
    assert shop.ok("GET", "draft_orders") == {"draft_orders": []}


def test_reading_and_deleting_take_no_notice_of_a_key(shop: Shop) -> None:
    made = shop.ok("POST", "draft_orders", DRAFT)
    path = f"draft_orders/{made['id']}"
    assert send(shop, "GET", path, None).json() == made
    assert send(shop, "DELETE", path, None).json()["status"] == "deleted"
    assert send(shop, "GET", path, None).json()["status"] == "deleted"


# -- at once


def at_once(count: int, work: Callable[[], requests.Response]) -> list[requests.Response]:
    answers: list[requests.Response] = []
    barrier = threading.Barrier(count)

    def one() -> None:
        barrier.wait(20)
        answers.append(work())

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == count
    return answers


@pytest.mark.parametrize(
    "name", ["open a session", "capture on the order", "refund on the order", "capture", "comment"]
)
def test_the_same_request_several_times_at_once_has_one_effect(shop: Shop, name: str) -> None:
    order = captured(shop)
    method, path, body, _ = EFFECTS[name]
    path = path.format(**order)
    before = versions(shop, order)
    token = shop.http.headers["Authorization"]
    url = f"{shop.base_url}{path}" if path.startswith("/") else f"{shop.shopping}/{path}"
    headers = {"Idempotency-Key": "key-1", "Authorization": str(token)}
    answers = at_once(6, lambda: requests.request(method, url, json=body, headers=headers, timeout=30))
    done = [answer for answer in answers if answer.status_code == 200]
    assert done
    assert len({answer.content for answer in done}) == 1
    for answer in answers:
        if answer.status_code != 200:
            assert answer.status_code == 409
            assert answer.json()["error"]["errors"][0]["keyword"] == "request_under_way"
            assert answer.headers["Retry-After"]
    assert versions(shop, order) == before + 1
    assert send(shop, method, path, body).content == done[0].content


# -- kept


def answers_of(file: Path) -> list[Json]:
    connection = apsw.Connection(str(file))
    try:
        return [json.loads(doc) for (doc,) in connection.execute("SELECT doc FROM answers ORDER BY created_at")]
    finally:
        connection.close()


def test_answers_outlive_the_server_and_hold_no_secrets(tmp_path: Path) -> None:
    file = tmp_path / "kasse.db"
    settings: Json = {"database": f"sqlite:///{file}", "gateway_timeout": 5.0, "look_up_after": 0.1}
    with running(**settings) as server:
        shop = server.shop()
        order = captured(shop)
        path = f"orders/{order['id']}/refunds"
        first = send(shop, "POST", path, of_line(100))
        refused = send(shop, "POST", path, of_line(9_999), "key-2")
        clients = f"/v1/accounts/{shop.account_id}/auth/clients"
        made = [send(shop, "POST", clients, {"name": "Till"}, "key-3").json() for _ in range(2)]
        rotated = send(shop, "POST", f"{clients}/{made[0]['id']}/rotate-secret", {}, "key-4").json()
    with running(**settings) as server:
        again = Shop(server.base_url, shop.account_id, shop.client_id, shop.client_secret)
        repeated = send(again, "POST", path, of_line(100))
        port, now_port = (str(who.base_url.rpartition(":")[2]).encode() for who in (shop, again))
        assert repeated.status_code == 200
        assert repeated.content.replace(port, b"") == first.content.replace(port, b""), now_port
        assert send(again, "POST", path, of_line(101)).status_code == 409
        assert send(again, "POST", path, of_line(9_999), "key-2").content == refused.content
        assert len(again.read_order(order)["refunds"]) == 1
    assert made[0]["id"] != made[1]["id"]
    kept = answers_of(file)
    assert {answer["status"] for answer in kept} == {200, 400}
    assert len(kept) == 2
    text = json.dumps(kept)
    for secret in (*(client["client_secret"] for client in (*made, rotated)), shop.client_secret):
        assert secret not in text


def test_a_body_is_kept_as_a_keyed_digest_only(tmp_path: Path) -> None:
    file = tmp_path / "kasse.db"
    with running(database=f"sqlite:///{file}") as server:
        shop = server.shop()
        session = shop.session(shop.order(1000))
        paid = send(shop, "POST", shop.pay_path(session), {"card": "4000000000000002"})
        assert paid.status_code == 200, paid.text
        assert send(shop, "POST", shop.pay_path(session), {"card": "4000000000000002"}).content == paid.content
    assert "4000000000000002" not in json.dumps(answers_of(file))
    assert b"4000000000000002" not in file.read_bytes()


def test_after_a_day_a_key_may_be_used_anew(tmp_path: Path) -> None:
    file = tmp_path / "kasse.db"
    with running(database=f"sqlite:///{file}") as server:
        shop = server.shop()
        first = send(shop, "POST", "draft_orders", DRAFT).json()
        [kept] = answers_of(file)
        made = datetime.fromisoformat(kept["created_at"])
        assert server.run(server.house.store.forget_answers(made)) == 0
        assert send(shop, "POST", "draft_orders", DRAFT).json() == first
        assert server.run(server.house.store.forget_answers(made + timedelta(milliseconds=1))) == 1
        assert send(shop, "POST", "draft_orders", DRAFT).json()["id"] != first["id"]
