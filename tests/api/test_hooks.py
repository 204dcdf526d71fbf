"""Webhooks of an account over real HTTP, as a subscriber's own server gets them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from kasse.domain.hooks import SUBSCRIBABLE, webhook_secret
from tests.api.conftest import MovableClock
from tests.api.merchant import Receiver, Request, arrived, eventually
from tests.running import SCOPES, Json, Running, Shop, line, running

SECRET = "a secret of the shop's own"


@pytest.fixture(scope="module")
def server(server_clock: MovableClock) -> Iterator[Running]:
    with running(clock=server_clock) as found:
        yield found


@pytest.fixture
def shop(server: Running) -> Shop:
    return server.shop(*SCOPES, "admin:hooks")


def hooks(shop: Shop, rest: str = "") -> str:
    return f"/v1/accounts/{shop.account_id}/hooks/subscriptions{rest}"


def subscribe(shop: Shop, receiver: Receiver, *events: str, **more: Any) -> Json:
    """Subscribe, and take the ping away."""
    config = {"url": f"{receiver.url}/hook", "content_type": "application/json", **more.pop("config", {})}
    wanted = list(events or SUBSCRIBABLE)
    made = shop.ok("POST", hooks(shop), {"config": config, "events": wanted, **more})
    assert made["events"] == wanted
    arrived(receiver)
    receiver.requests.clear()
    return made


def heard(receiver: Receiver, number: int) -> list[tuple[str, Json]]:
    """The events that came, each with its body; more than ``number`` would be wrong."""
    return [(request.headers["event"], json.loads(request.body)) for request in arrived(receiver, number)]


def deliveries(shop: Shop, subscription: Json) -> list[Json]:
    """Those that are no ping, newest first."""
    found: Any = shop.ok("GET", hooks(shop, f"/{subscription['id']}/deliveries"))
    return [each for each in found if each["event"] != "ping"]


def tried(shop: Shop, subscription: Json, times: int) -> Json:
    """The newest delivery, once it has been tried so often."""
    found = eventually(
        lambda: deliveries(shop, subscription), lambda found: bool(found) and len(found[0]["attempts"]) == times
    )
    return found[0]


def signature(request: Request, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), request.body, hashlib.sha1).hexdigest()


def draft(shop: Shop) -> Json:
    return shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": [line(1, 10_000)]}})


# -- subscriptions


def test_a_new_subscription_is_sent_a_ping_with_itself(shop: Shop, receiver: Receiver) -> None:
    config: Json = {"url": f"{receiver.url}/hook?a=b", "content_type": "application/json", "secret": SECRET}
    made = shop.ok(
        "POST", hooks(shop), {"config": {**config, "insecure_ssl": 0}, "events": ["shopping_draft_add"], "more": 1}
    )
    assert made["config"]["secret"] == {"type": "HMAC-SHA1"}
    assert made["active"] is True
    [request] = arrived(receiver)
    body = json.loads(request.body)
    assert (request.method, request.headers["event"]) == ("POST", "ping")
    assert request.url.endswith("/hook?a=b")
    assert request.headers["Content-Type"].startswith("application/json")
    assert request.headers["User-Agent"] == f"Dintero-Hook/{made['id'][:8]}"
    assert body["event_delivery"] == request.headers["event-delivery"]
    assert (body["account_id"], body["event"], body["id"]) == (shop.account_id, "ping", made["id"])
    assert body["config"] == made["config"]
    assert request.headers["event-signature"] == signature(request)
    Webhook(webhook_secret(SECRET)).verify(request.body, request.headers)
    assert SECRET not in json.dumps(body)


def test_a_ping_is_sent_when_asked_for(shop: Shop, receiver: Receiver) -> None:
    made = subscribe(shop, receiver)
    answer = shop.call("POST", hooks(shop, f"/{made['id']}/ping"))
    assert (answer.status_code, answer.content) == (204, b"")
    [(event, _)] = heard(receiver, 1)
    assert event == "ping"


def test_subscriptions_are_listed_read_changed_and_deleted(shop: Shop, receiver: Receiver) -> None:
    made = subscribe(shop, receiver, "shopping_draft_add", config={"secret": SECRET})
    assert shop.ok("GET", hooks(shop, f"/{made['id']}")) == made
    assert shop.ok("GET", hooks(shop)) == [made]  # type: ignore[comparison-overlap]
    changed = shop.ok(
        "PUT",
        hooks(shop, f"/{made['id']}"),
        {"config": {"url": f"{receiver.url}/other"}, "events": ["shopping_draft_update"], "fields": ["draft.id"]},
    )
    assert changed["config"] == {**made["config"], "url": f"{receiver.url}/other"}
    assert (changed["events"], changed["fields"]) == (["shopping_draft_update"], ["draft.id"])
    gone = shop.ok("DELETE", hooks(shop, f"/{made['id']}"))
    assert gone["deleted_at"]
    assert gone["deleted_by"]
    every = (
        *(("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/ping"), ("GET", "/deliveries")),
        *(("GET", "/deliveries/x"), ("POST", "/deliveries/x/resend")),
    )
    for method, rest in every:
        body: Json | None = {} if method == "PUT" else None
        shop.refused(404, "subscription_not_found", method, hooks(shop, f"/{made['id']}{rest}"), body)


@pytest.mark.parametrize(
    ("body", "keyword", "path"),
    [
        ({"events": ["checkout_transaction"]}, "missing_field", "/config"),
        ({"config": {}, "events": ["checkout_transaction"]}, "missing_field", "/config/url"),
        ({"config": {"url": "https://a.example"}}, "missing_field", "/events"),
        ({"config": {"url": "https://a.example"}, "events": []}, "wrong_value", "/events"),
        ({"config": {"url": "https://a.example"}, "events": ["order_made"]}, "wrong_value", "/events/0"),
        ({"config": {"url": "ftp://a.example"}, "events": ["settlement_add"]}, "bad_url", "/config/url"),
        ({"config": {"url": "shop.example"}, "events": ["settlement_add"]}, "bad_url", "/config/url"),
        (
            {"config": {"url": "https://a.example", "content_type": "text/xml"}, "events": ["settlement_add"]},
            "wrong_value",
            "/config/content_type",
        ),
        ({"config": {"url": "https://a.example"}, "events": ["settlement_add"], "active": 1}, "wrong_type", "/active"),
        (
            {"config": {"url": "https://a.example"}, "events": ["settlement_add"], "fields": "id"},
            "wrong_type",
            "/fields",
        ),
    ],
)
def test_a_subscription_that_cannot_be_made(shop: Shop, body: Json, keyword: str, path: str) -> None:
    assert shop.refused(400, keyword, "POST", hooks(shop), body)["path"] == path
    assert shop.ok("GET", hooks(shop)) == []  # type: ignore[comparison-overlap]


def test_who_may_read_and_who_may_write(server: Running) -> None:
    body: Json = {"config": {"url": "http://127.0.0.1:1/hook"}, "events": ["settlement_add"]}
    reader = server.shop("read:hooks")
    assert reader.ok("GET", hooks(reader)) == []  # type: ignore[comparison-overlap]
    reader.refused(403, "missing_scope", "POST", hooks(reader), body)
    reader.refused(403, "missing_scope", "POST", hooks(reader, "/x/ping"))
    writer = server.shop("write:hooks")
    assert writer.ok("POST", hooks(writer), body)["id"]
    stranger = server.shop("admin:shopping")
    stranger.refused(403, "missing_scope", "GET", hooks(stranger))
    reader.refused(403, "other_account", "GET", hooks(writer))


def test_a_production_account_is_called_over_tls_only(server: Running) -> None:
    shop = server.shop("admin:hooks", account_id="P98765432")
    body: Json = {"config": {"url": "http://shop.example/hook"}, "events": ["settlement_add"]}
    problem = shop.refused(400, "bad_url", "POST", hooks(shop), body)
    assert problem["path"] == "/config/url"
    body["config"] = {"url": "https://127.0.0.1:1/hook"}
    shop.refused(400, "bad_url", "POST", hooks(shop), body)
    body["config"] = {"url": "https://10.1.2.3/hook"}
    made = shop.ok("POST", hooks(shop), body)
    path = hooks(shop, f"/{made['id']}/deliveries")

    def told() -> list[Json]:
        found: Any = shop.ok("GET", path)
        return list(found)

    [ping] = eventually(told, lambda found: bool(found[0]["attempts"]))
    assert ping["attempts"][0]["error"] == "calls to 10.1.2.3 are not allowed: it is not a public address"


# -- what is told


def test_the_life_of_an_order_is_told_step_by_step(shop: Shop, receiver: Receiver) -> None:
    subscribe(shop, receiver)
    order = shop.order(10_000)
    found = heard(receiver, 4)
    assert {event for event, _ in found} == {
        *("shopping_draft_add", "shopping_draft_complete", "shopping_order_add", "shopping_order_event_add")
    }
    for event, body in found:
        assert (body["account_id"], body["event"]) == (shop.account_id, event)
        if event.startswith("shopping_order"):
            assert body["order"]["order_id"] == order["order_id"]
    receiver.requests.clear()
    session = shop.session(order)
    [(event, body)] = heard(receiver, 1)
    assert (event, body["order_event"]["name"]) == ("shopping_order_event_add", "session_opened")
    receiver.requests.clear()
    transaction_id = shop.pay(session)["transaction_id"]
    found = heard(receiver, 5)
    kinds = sorted(event for event, _ in found)
    assert kinds == [
        "checkout_authorization",
        *["checkout_transaction"] * 2,
        *["shopping_order_event_add"] * 2,
    ]
    for event, body in found:
        if event.startswith("checkout_"):
            assert body["transaction"]["id"] == transaction_id
            assert body["transaction"]["session_id"] == session["id"]
    receiver.requests.clear()
    shop.ok("POST", f"/v1/transactions/{transaction_id}/capture", {"amount": 4_000})
    found = heard(receiver, 2)
    assert sorted(event for event, _ in found) == ["checkout_transaction", "shopping_order_event_add"]
    receiver.requests.clear()
    shop.ok("PUT", f"orders/{order['order_id']}", {"customer_note": "hello"})
    assert sorted(event for event, _ in heard(receiver, 2)) == ["shopping_order_event_add", "shopping_order_update"]


def test_a_cancelled_session_is_told_without_a_transaction(shop: Shop, receiver: Receiver) -> None:
    session = shop.session(shop.order())
    subscribe(shop, receiver, "checkout_authorization")
    shop.ok("POST", f"/v1/sessions/{session['id']}/cancel")
    [(event, body)] = heard(receiver, 1)
    assert (event, body["session_id"], body["error"]) == ("checkout_authorization", session["id"], "cancelled")
    assert "transaction" not in body


def test_only_what_was_subscribed_to_is_told_and_only_to_active_ones(shop: Shop, receiver: Receiver) -> None:
    off = subscribe(shop, receiver, "shopping_draft_add", active=False)
    subscribe(shop, receiver, "checkout_transaction")
    draft(shop)
    shop.ok("PUT", hooks(shop, f"/{off['id']}"), {"active": True})
    second = draft(shop)
    [(event, body)] = heard(receiver, 1)
    assert (event, body["draft"]["id"]) == ("shopping_draft_add", second["id"])


def test_what_is_refused_is_not_told(shop: Shop, receiver: Receiver) -> None:
    subscribe(shop, receiver)
    shop.refused(400, "unknown_currency", "POST", "draft_orders", {"order": {"currency": "XXQ", "items": []}})
    made = draft(shop)
    [(_, body)] = heard(receiver, 1)
    assert body["draft"]["id"] == made["id"]


def test_another_account_hears_nothing(server: Running, shop: Shop, receiver: Receiver) -> None:
    subscribe(shop, receiver)
    other = server.shop()
    draft(other)
    made = draft(shop)
    [(_, body)] = heard(receiver, 1)
    assert body["draft"]["id"] == made["id"]


def test_a_mask_takes_what_is_wanted_and_leaves_the_rest(shop: Shop, receiver: Receiver) -> None:
    subscribe(
        shop,
        receiver,
        "shopping_draft_add",
        fields=["draft.id", "draft.order", "nothing.there"],
        exclude_fields=["draft.order.items.tax_lines", "account_id"],
    )
    made = draft(shop)
    [(_, body)] = heard(receiver, 1)
    assert set(body) == {"account_id", "event", "event_delivery", "draft"}
    assert set(body["draft"]) == {"id", "order"}
    assert body["draft"]["id"] == made["id"]
    assert "tax_lines" not in body["draft"]["order"]["items"][0]
    assert body["draft"]["order"]["items"][0]["gross_amount"] == 10_000


# -- deliveries


def test_a_call_is_tried_five_times_and_then_given_up(shop: Shop, receiver: Receiver, clock: MovableClock) -> None:
    made = subscribe(shop, receiver, "shopping_draft_add", config={"secret": SECRET})
    receiver.answers = [500, 302, 404, 503, 500]
    draft(shop)
    for tries, pause in enumerate((10, 60, 600, 3600), 1):
        assert tried(shop, made, tries)["status"] == "waiting"
        clock.ahead += timedelta(seconds=pause + 1)
    told = tried(shop, made, 5)
    assert told["status"] == "failed"
    assert [each["status_code"] for each in told["attempts"]] == [500, 302, 404, 503, 500]
    assert len({request.headers["event-delivery"] for request in receiver.requests}) == 1
    assert {request.headers["event-signature"] for request in receiver.requests} == {signature(receiver.requests[0])}
    receiver.answers = [200]
    path = hooks(shop, f"/{made['id']}/deliveries/{told['id']}")
    assert shop.ok("POST", f"{path}/resend")["status"] == "waiting"
    last = eventually(lambda: shop.ok("GET", path), lambda found: found["status"] == "delivered")
    assert len(last["attempts"]) == 6
    assert shop.ok("GET", hooks(shop, f"/{made['id']}"))["failures"] == 0


def test_failures_in_a_row_switch_a_subscription_off_and_it_stays_there(
    shop: Shop, receiver: Receiver, clock: MovableClock
) -> None:
    made = subscribe(shop, receiver, "shopping_draft_add")
    receiver.answers = [500]
    for _ in range(5):
        draft(shop)
    for times in ([1] * 5, [2] * 5, [3] * 5, [4] * 5):
        eventually(lambda: [len(each["attempts"]) for each in deliveries(shop, made)], times.__eq__)
        clock.ahead += timedelta(seconds=3601)
    subscription = eventually(
        lambda: shop.ok("GET", hooks(shop, f"/{made['id']}")), lambda found: found["active"] is False
    )
    assert subscription["disabled_at"]
    assert subscription["failures"] == 5
    receiver.requests.clear()
    receiver.answers = [200]
    draft(shop)
    again = shop.ok("PUT", hooks(shop, f"/{made['id']}"), {"active": True})
    assert (again["active"], again["failures"], again.get("disabled_at")) == (True, 0, None)
    last = draft(shop)
    [(_, body)] = heard(receiver, 1)
    assert body["draft"]["id"] == last["id"]


def test_deliveries_are_listed_page_by_page(shop: Shop, receiver: Receiver) -> None:
    made = subscribe(shop, receiver, "shopping_draft_add")
    for _ in range(3):
        draft(shop)
    arrived(receiver, 3)
    first: Any = shop.ok("GET", hooks(shop, f"/{made['id']}/deliveries?limit=2"))
    rest: Any = shop.ok("GET", hooks(shop, f"/{made['id']}/deliveries?limit=10&starting_after={first[1]['id']}"))
    assert [each["event"] for each in (*first, *rest)] == [*["shopping_draft_add"] * 3, "ping"]
    assert len({each["id"] for each in (*first, *rest)}) == 4
    shop.refused(404, "delivery_not_found", "GET", hooks(shop, f"/{made['id']}/deliveries?starting_after=x"))
    shop.refused(404, "delivery_not_found", "GET", hooks(shop, f"/{made['id']}/deliveries/x"))
    shop.refused(404, "delivery_not_found", "POST", hooks(shop, f"/{made['id']}/deliveries/x/resend"))


def test_what_waits_is_not_sent_after_a_subscription_was_deleted(
    shop: Shop, receiver: Receiver, clock: MovableClock
) -> None:
    made = subscribe(shop, receiver, "shopping_draft_add")
    receiver.answers = [500, 200]
    draft(shop)
    tried(shop, made, 1)
    shop.ok("DELETE", hooks(shop, f"/{made['id']}"))
    receiver.requests.clear()
    other = subscribe(shop, receiver, "shopping_draft_add")
    clock.ahead += timedelta(seconds=11)
    draft(shop)
    assert tried(shop, other, 1)["status"] == "delivered"
    assert len(receiver.requests) == 1


def test_without_a_secret_of_its_own_the_accounts_secret_signs_the_body(shop: Shop, receiver: Receiver) -> None:
    secret = shop.ok("POST", "/v1/admin/signature")["webhook_secret"]
    subscribe(shop, receiver, "shopping_draft_add")
    draft(shop)
    [request] = arrived(receiver)
    assert "event-signature" not in request.headers
    assert "Dintero-Signature" not in request.headers
    Webhook(secret).verify(request.body, request.headers)
