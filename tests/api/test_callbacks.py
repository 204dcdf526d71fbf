"""Callbacks as a merchant's own server gets them, signatures checked with code of our own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.api.conftest import MovableClock
from tests.api.merchant import Receiver, Request, arrived, eventually
from tests.running import Json, Running, Shop, running

T = TypeVar("T")
PATIENCE_S = 10


@pytest.fixture(scope="module")
def server(server_clock: MovableClock) -> Iterator[Running]:
    with running(clock=server_clock, look_up_after=0.2) as found:
        yield found


def callbacks(shop: Shop, session: Json) -> list[Json]:
    found: list[Json] = shop.ok("GET", f"/v1/sessions/{session['id']}/callbacks")["callbacks"]
    return found


def settled(shop: Shop, session: Json, number: int = 1) -> list[Json]:
    """The session's callbacks once none of them waits any more."""
    found = eventually(
        lambda: callbacks(shop, session), lambda found: all(each["status"] != "waiting" for each in found)
    )
    assert len(found) == number
    return found


def opened(shop: Shop, receiver: Receiver, query: str = "") -> tuple[Json, Json]:
    """An order, and a session whose callbacks go to the receiver."""
    order = shop.order(1000)
    return order, shop.session(order, url={"callback_url": f"{receiver.url}/callback{query}"})


# -- what is sent


def test_by_default_the_callback_is_a_get_with_the_names_of_everything(shop: Shop, receiver: Receiver) -> None:
    order, session = opened(shop, receiver, "?cart=7&mark=a%2Bb+c&empty=")
    paid = shop.pay(session)
    [request] = arrived(receiver)
    assert (request.method, request.body) == ("GET", b"")
    assert urlsplit(request.url).path == "/callback"
    transaction = shop.transaction(paid["transaction_id"])
    assert request.query == {
        **{"cart": "7", "mark": "a+b c", "empty": ""},
        "transaction_id": paid["transaction_id"],
        "session_id": session["id"],
        "merchant_reference": order["order_id"],
        "time": transaction["created_at"],
    }
    assert re.fullmatch(r"[0-9a-f-]{36}", request.headers["event-delivery"])
    assert "Dintero-Signature" not in request.headers
    assert "Authorization" not in request.headers
    [told] = settled(shop, session)
    assert told["id"] == request.headers["event-delivery"]
    assert told["url"] == request.url
    assert (told["method"], told["event"], told["status"]) == ("GET", "authorized", "delivered")
    [attempt] = told["attempts"]
    assert (attempt["number"], attempt["status_code"], attempt["error"]) == (1, 200, None)
    assert attempt["duration_ms"] >= 0


@pytest.mark.parametrize("query", ["?method=POST", "?method=POST&includes=session&sid_parameter_name=sid"])
def test_a_post_carries_the_transaction(shop: Shop, receiver: Receiver, query: str) -> None:
    _, session = opened(shop, receiver, query)
    paid = shop.pay(session)
    [request] = arrived(receiver)
    assert request.method == "POST"
    assert request.headers["Content-Type"].startswith("application/json")
    assert request.query["sid" if "sid" in query else "session_id"] == session["id"]
    body = json.loads(request.body)
    included = body.pop("session", None)
    assert body == shop.transaction(paid["transaction_id"])
    assert (included is None) == ("includes" not in query)
    if included is not None:
        # What the session notes of the call itself comes after it.
        now = shop.read_session(session)
        told = [event for event in now["events"] if event["name"] != "AUTH_CALLBACK_SENT"]
        assert included == {**now, "events": told, "updated_at": included["updated_at"]}
        assert included["transaction_id"] == paid["transaction_id"]


def test_captures_refunds_and_voids_are_told_to_those_who_ask(shop: Shop, receiver: Receiver) -> None:
    query = "?report_event=CAPTURE&report_event=REFUND&report_event=VOID"
    _, session = opened(shop, receiver, query)
    transaction = shop.pay(session)["transaction_id"]
    arrived(receiver)
    for number, (kind, amount) in enumerate((("capture", 600), ("refund", 100), ("void", None)), 2):
        body = None if amount is None else {"amount": amount}
        shop.ok("POST", f"/v1/transactions/{transaction}/{kind}", body)
        request = arrived(receiver, number)[-1]
        assert (request.query["event"], request.query["event_id"]) == (kind.upper(), str(number))
        assert request.query["transaction_id"] == transaction
    assert [each["event"] for each in settled(shop, session, 4)] == ["authorized", "CAPTURE", "REFUND", "VOID"]


def test_who_asks_for_captures_only_hears_of_nothing_else(shop: Shop, receiver: Receiver) -> None:
    order, session = opened(shop, receiver, "?report_event=CAPTURE")
    transaction = shop.pay(session)["transaction_id"]
    path = f"orders/{order['order_id']}/captures"
    shop.ok("POST", path, {"items": [{"line_id": 1, "amount": 700}]})
    shop.ok("POST", f"/v1/transactions/{transaction}/refund", {"amount": 700})
    shop.ok("POST", f"/v1/transactions/{transaction}/void")
    assert [each["event"] for each in settled(shop, session, 2)] == ["authorized", "CAPTURE"]
    arrived(receiver, 2)


def test_a_cancelled_session_is_told_where_errors_are_asked_for(shop: Shop, receiver: Receiver) -> None:
    order, session = opened(shop, receiver, "?report_error=true&method=POST")
    shop.ok("POST", f"/v1/sessions/{session['id']}/cancel")
    [request] = arrived(receiver)
    assert request.query["error"] == "cancelled"
    assert request.query["session_id"] == session["id"]
    assert request.query["merchant_reference"] == order["order_id"]
    assert "transaction_id" not in request.query
    [told] = settled(shop, session)
    assert told["event"] == "cancelled"
    _, silent = opened(shop, receiver)
    shop.ok("POST", f"/v1/sessions/{silent['id']}/cancel")
    assert callbacks(shop, silent) == []


def test_a_declined_try_is_no_end_and_is_not_told(shop: Shop, receiver: Receiver) -> None:
    _, session = opened(shop, receiver)
    assert shop.pay(session, "4000300000000006")["status"] == "DECLINED"
    assert callbacks(shop, session) == []
    paid = shop.pay(session)
    [request] = arrived(receiver)
    assert request.query["transaction_id"] == paid["transaction_id"]


def test_a_session_without_a_callback_url_owes_nothing(shop: Shop) -> None:
    order = {"amount": 10, "currency": "NOK", "merchant_reference": "r"}
    body = {"url": {"return_url": "https://shop.example/done"}, "order": order, "profile_id": "default"}
    made = shop.ok("POST", "/v1/sessions-profile", body)
    shop.pay(made)
    assert callbacks(shop, made) == []


@pytest.mark.parametrize(("asked", "seconds"), [("30", 30), ("120", 60), ("-1", 0), ("soon", 0)])
def test_a_callback_may_be_delayed_by_a_minute_at_most(
    shop: Shop, receiver: Receiver, asked: str, seconds: int
) -> None:
    _, session = opened(shop, receiver, f"?delay_callback={asked}")
    shop.pay(session)
    [told] = callbacks(shop, session)
    if seconds:
        created, due = (datetime.fromisoformat(told[name]) for name in ("created_at", "due_at"))
        assert due - created == timedelta(seconds=seconds)
        assert (told["status"], told["attempts"]) == ("waiting", [])
        assert receiver.requests == []
    else:
        arrived(receiver)


# -- tries


@pytest.mark.parametrize("status", [500, 503, 302])
def test_a_failure_of_the_receiver_is_tried_again_with_the_same_name(
    shop: Shop, receiver: Receiver, clock: MovableClock, status: int
) -> None:
    receiver.answers = [status, status, 204]
    _, session = opened(shop, receiver, "?method=POST")
    shop.pay(session)
    for number in (1, 2):
        eventually(lambda: callbacks(shop, session)[0]["attempts"], lambda found, n=number: len(found) == n)  # type: ignore[misc]
        [told] = callbacks(shop, session)
        assert told["status"] == "waiting"
        started = datetime.fromisoformat(told["attempts"][-1]["started_at"])
        assert timedelta(seconds=5 * number) <= datetime.fromisoformat(told["due_at"]) - started
        clock.ahead += timedelta(seconds=5 * number + 1)
    [told] = settled(shop, session)
    assert told["status"] == "delivered"
    assert [attempt["status_code"] for attempt in told["attempts"]] == [status, status, 204]
    assert [attempt["number"] for attempt in told["attempts"]] == [1, 2, 3]
    requests = arrived(receiver, 3)
    assert len({request.headers["event-delivery"] for request in requests}) == 1
    assert len({request.url for request in requests}) == 1


def test_after_twenty_tries_more_it_is_given_up(shop: Shop, receiver: Receiver, clock: MovableClock) -> None:
    receiver.answers = [503]
    _, session = opened(shop, receiver)
    shop.pay(session)
    for number in range(1, 21):
        [told] = eventually(
            lambda: callbacks(shop, session),
            lambda found, n=number: len(found[0]["attempts"]) == n,  # type: ignore[misc]
        )
        assert told["status"] == "waiting"
        clock.ahead += timedelta(seconds=min(5 * 2 ** (number - 1), 4 * 3600) + 2)
        shop.http.headers["Authorization"] = f"Bearer {shop.token()}"  # the token before is of two days ago in the end
    [told] = settled(shop, session)
    assert (told["status"], len(told["attempts"])) == ("failed", 21)
    clock.ahead += timedelta(hours=5)
    time.sleep(0.7)  # more than a round of the worker
    arrived(receiver, 21)


@pytest.mark.parametrize("status", [400, 404, 410, 499])
def test_a_refusal_of_the_receiver_is_final(shop: Shop, receiver: Receiver, clock: MovableClock, status: int) -> None:
    receiver.answers = [status]
    _, session = opened(shop, receiver)
    shop.pay(session)
    [told] = settled(shop, session)
    assert (told["status"], [attempt["status_code"] for attempt in told["attempts"]]) == ("failed", [status])
    clock.ahead += timedelta(hours=5)
    time.sleep(0.7)  # more than a round of the worker
    arrived(receiver)


def test_who_cannot_be_reached_is_told_in_words(shop: Shop) -> None:
    session = shop.session(shop.order(1000), url={"callback_url": "http://127.0.0.1:1/callback?secret=7"})
    shop.pay(session)
    [told] = eventually(lambda: callbacks(shop, session), lambda found: bool(found[0]["attempts"]))
    [attempt] = told["attempts"]
    assert attempt["status_code"] is None
    assert "127.0.0.1" in attempt["error"]
    assert "secret" not in attempt["error"]
    assert told["status"] == "waiting"


# -- signatures


def form(text: str) -> str:
    """application/x-www-form-urlencoded, as browsers write it."""
    plain = b"*-._0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return "".join("+" if byte == 32 else chr(byte) if byte in plain else f"%{byte:02X}" for byte in text.encode())


def signed(secret: str, account_id: str, request: Request, ahead: timedelta = timedelta()) -> bool:
    """Whether the request carries a fresh signature made with the secret (checkout reference, 9.1).

    ``ahead`` is how far the server's clock is before the machine's.
    """
    found = re.fullmatch(r"t=(\d+),v0-hmac-sha256=([0-9a-f]{64})", request.headers["Dintero-Signature"])
    assert found is not None
    assert abs(int(found[1]) - ahead.total_seconds() - time.time()) < 5 * 60
    parts = urlsplit(request.url)
    pairs = sorted(parse_qsl(parts.query, keep_blank_values=True), key=lambda pair: pair[0])
    query = "&".join(f"{form(name)}={form(value)}" for name, value in pairs)
    text = "\n".join((found[1], account_id, request.method, str(parts.hostname), parts.path, query))
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest() == found[2]


def test_our_way_to_check_a_signature_fits_the_documented_example() -> None:
    query = "&".join(f"{form(name)}={form(value)}" for name, value in sorted({"B": "123", "A": "992"}.items()))
    text = f"1582236537\nP00000000\nGET\nexample.com\n/callback\n{query}"
    digest = hmac.new(b"123", text.encode(), hashlib.sha256).hexdigest()
    assert digest == "6bed2ab1b919d460ef7465a20dc6c97260dca73fab6647106ca525f0908df64a"


@pytest.mark.parametrize(
    "query", ["", "?B=123&A=992", "?method=POST&q=a%20b+c~*%C3%A5&q=2&Z=%2F%26%3D&empty=&a", "?method=POST"]
)
def test_a_call_is_signed_once_the_account_has_a_secret(shop: Shop, receiver: Receiver, query: str) -> None:
    secret = shop.ok("POST", "/v1/admin/signature")
    assert secret["signature"]["type"] == "v0-hmac-sha256"
    assert shop.ok("GET", "/v1/admin/signature") == secret
    _, session = opened(shop, receiver, query)
    shop.pay(session)
    [request] = arrived(receiver)
    assert signed(secret["signature"]["secret"], shop.account_id, request)
    assert not signed("another", shop.account_id, request)
    assert not signed(secret["signature"]["secret"], "T00000000", request)


def test_a_new_secret_takes_the_place_of_the_old_one_at_once_where_asked_for(shop: Shop, receiver: Receiver) -> None:
    old, new = (shop.ok("POST", "/v1/admin/signature?overlap=0") for _ in range(2))
    assert old["id"] != new["id"]
    assert "previous_valid_until" not in new
    assert shop.ok("GET", "/v1/admin/signature") == new
    receiver.answers = [401]
    _, session = opened(shop, receiver)
    shop.pay(session)
    [told] = settled(shop, session)
    assert (told["status"], len(told["attempts"])) == ("failed", 1)
    [request] = arrived(receiver)
    assert signed(new["signature"]["secret"], shop.account_id, request)
    assert not signed(old["signature"]["secret"], shop.account_id, request)
    assert len(request.headers["webhook-signature"].split()) == 1


@pytest.mark.parametrize("refusal", [400, 401, 403, 500])
@pytest.mark.parametrize("known", ["old", "new"])
def test_while_a_secret_is_replaced_receivers_that_know_either_are_reached(
    shop: Shop, receiver: Receiver, known: str, refusal: int
) -> None:
    secrets = {name: shop.ok("POST", "/v1/admin/signature") for name in ("old", "new")}
    assert shop.ok("GET", "/v1/admin/signature") == secrets["new"]
    assert secrets["new"]["previous_valid_until"] > secrets["new"]["created_at"]
    secret = secrets[known]["signature"]["secret"]
    # As the documented example checks it: the whole header, or an error of its own.
    receiver.accepts = lambda request: 200 if signed(secret, shop.account_id, request) else refusal
    _, session = opened(shop, receiver)
    shop.pay(session)
    told = eventually(lambda: callbacks(shop, session), lambda found: found[0]["status"] == "delivered")
    codes = [attempt["status_code"] for attempt in told[0]["attempts"]]
    assert codes == ([200] if known == "new" else [refusal, 200])
    for request in receiver.requests:
        for each in secrets.values():
            assert standard(each["webhook_secret"], request) in request.headers["webhook-signature"].split()


def test_the_old_secret_ends_when_its_time_is_over(shop: Shop, receiver: Receiver, clock: MovableClock) -> None:
    old, new = (shop.ok("POST", "/v1/admin/signature?overlap=3600") for _ in range(2))
    clock.ahead = timedelta(hours=1, seconds=1)
    secret = old["signature"]["secret"]
    receiver.accepts = lambda request: 200 if signed(secret, shop.account_id, request, clock.ahead) else 401
    _, session = opened(shop, receiver)
    shop.pay(session)
    told = eventually(lambda: callbacks(shop, session), lambda found: found[0]["status"] != "waiting")
    assert (told[0]["status"], [each["status_code"] for each in told[0]["attempts"]]) == ("failed", [401])
    assert len(receiver.requests[0].headers["webhook-signature"].split()) == 1
    assert standard(new["webhook_secret"], receiver.requests[0]) == receiver.requests[0].headers["webhook-signature"]


@pytest.mark.parametrize("overlap", ["-1", "a day", "2592001", "1.5"])
def test_an_overlap_must_be_a_number_of_seconds_up_to_thirty_days(shop: Shop, overlap: str) -> None:
    shop.refused(400, "wrong_value", "POST", f"/v1/admin/signature?overlap={overlap}")


# -- Standard Webhooks


def standard(secret: str, request: Request) -> str:
    """The signature of a request as the specification of Standard Webhooks describes it."""
    headers = request.headers
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), text, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def test_a_library_for_standard_webhooks_checks_what_was_sent(shop: Shop, receiver: Receiver) -> None:
    secret = shop.ok("POST", "/v1/admin/signature")["webhook_secret"]
    assert secret.startswith("whsec_")
    _, session = opened(shop, receiver, "?method=POST")
    shop.pay(session)
    [request] = arrived(receiver)
    checked = Webhook(secret).verify(request.body, request.headers)
    assert checked["merchant_reference"]
    assert request.headers["webhook-id"] == request.headers["event-delivery"]
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(request.body.replace(b"AUTHORIZED", b"CAPTURED"), request.headers)


def test_the_empty_body_of_a_get_is_signed_too(shop: Shop, receiver: Receiver) -> None:
    secret = shop.ok("POST", "/v1/admin/signature")["webhook_secret"]
    _, session = opened(shop, receiver)
    shop.pay(session)
    [request] = arrived(receiver)
    assert (request.method, request.body) == ("GET", b"")
    assert request.headers["webhook-signature"] == standard(secret, request)


# -- what is noted, and sending again


def test_the_session_notes_that_its_merchant_was_told(shop: Shop, receiver: Receiver) -> None:
    _, session = opened(shop, receiver)
    paid = shop.pay(session)
    [told] = settled(shop, session)
    found = eventually(
        lambda: shop.read_session(session)["events"], lambda events: events[-1]["name"] == "AUTH_CALLBACK_SENT"
    )
    assert [event["name"] for event in found].count("AUTH_CALLBACK_SENT") == 1
    transaction = shop.transaction(paid["transaction_id"])
    assert found[-1]["details"] == {"transaction_event_id": transaction["events"][-1]["id"]}
    assert told["status"] == "delivered"


def test_a_call_that_failed_for_good_is_sent_again_when_asked_for(shop: Shop, receiver: Receiver) -> None:
    receiver.answers = [404, 200]
    _, session = opened(shop, receiver)
    shop.pay(session)
    [told] = settled(shop, session)
    assert told["status"] == "failed"
    path = f"/v1/sessions/{session['id']}/callbacks"
    asked = shop.ok("POST", f"{path}/{told['id']}/resend")
    assert (asked["id"], asked["status"]) == (told["id"], "waiting")
    [told] = eventually(lambda: callbacks(shop, session), lambda found: found[0]["status"] == "delivered")
    assert [each["status_code"] for each in told["attempts"]] == [404, 200]
    first, second = arrived(receiver, 2)
    assert first.headers["event-delivery"] == second.headers["event-delivery"]
    shop.refused(404, "delivery_not_found", "POST", f"{path}/{shop.account_id}/resend")
    other, another = opened(shop, receiver)
    assert other
    shop.refused(404, "delivery_not_found", "POST", f"/v1/sessions/{another['id']}/callbacks/{told['id']}/resend")


def test_an_account_without_a_secret_says_so(shop: Shop) -> None:
    problem = shop.refused(404, "entry_not_found", "GET", "/v1/admin/signature")
    assert "POST" in problem["message"]


def test_the_callbacks_of_another_account_are_not_there(shop: Shop, server: Running, receiver: Receiver) -> None:
    _, session = opened(shop, receiver)
    server.shop().refused(404, "session_not_found", "GET", f"/v1/sessions/{session['id']}/callbacks")
