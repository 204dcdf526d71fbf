"""Paying a session with test cards over real HTTP: what each does to session, transaction and order."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
import requests

from tests.running import Json, Running, Shop, line, running

T = TypeVar("T")
PATIENCE_S = 10

APPROVED = ["4000000000000002", "5200000000000007"]
ATTEMPTED = ["4000200000000008", "5200000000000023"]
CHALLENGED = ["4000100000000000", "5200000000000015", "4100000000000076"]
FAILING = ["4000300000000006", "5200000000000031"]
ANSWER_LOST = "4100000000000001"
NEVER_ARRIVES = "5100000000000008"


def eventually(look: Callable[[], T], good: Callable[[T], bool]) -> T:
    """What ``look`` finds once it is ``good``."""
    deadline = time.monotonic() + PATIENCE_S
    while not good(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def waiting() -> Iterator[Shop]:
    """A merchant of a server that does not look up what became of a call before the test is over."""
    with running(look_up_after=600) as server:
        yield server.shop()


def names(session: Json) -> list[str]:
    return [event["name"] for event in session["events"]]


def history(shop: Shop, order: Json) -> list[str]:
    return [event["name"] for event in shop.ok("GET", f"orders/{order['order_id']}/events")["events"]]


# -- approved


@pytest.mark.parametrize(
    ("card", "brand", "status", "eci"),
    [
        (APPROVED[0], "Visa", "Y", "05"),
        (APPROVED[1], "Mastercard", "Y", "02"),
        (ATTEMPTED[0], "Visa", "A", "06"),
        (ATTEMPTED[1], "Mastercard", "A", "01"),
    ],
)
def test_an_approved_card_authorizes_session_transaction_and_order(
    shop: Shop, card: str, brand: str, status: str, eci: str
) -> None:
    order = shop.order(1000, 500)
    session = shop.session(order)
    paid = shop.pay(session, card)
    assert paid == {
        **{"transaction_id": paid["transaction_id"], "status": "AUTHORIZED", "error": None, "action_url": None}
    }
    transaction = shop.transaction(paid["transaction_id"])
    assert (transaction["status"], transaction["amount"], transaction["currency"]) == ("AUTHORIZED", 1500, "NOK")
    assert transaction["session_id"] == session["id"]
    assert transaction["merchant_reference"] == order["order_id"]
    assert transaction["payment_product_type"].startswith(f"{transaction['payment_product']}.")
    assert transaction["channel"] == "ecommerce"
    kept = transaction["card"]
    assert (kept["brand"], kept["authentication_status"], kept["eci"]) == (brand, status, eci)
    assert kept["masked_pan"] == f"{card[:6]}******{card[-4:]}"
    assert re.fullmatch(r"\d\d/\d{4}", kept["expiry_date"])
    [event] = transaction["events"]
    assert (event["event"], event["success"], event["amount"]) == ("AUTHORIZE", True, 1500)
    assert event["transaction_status"] == "AUTHORIZED"
    read = shop.read_session(session)
    assert read["transaction_id"] == paid["transaction_id"]
    assert names(read) == ["INITIATED", "ADD_PAYMENT_INFORMATION", "AUTHORIZED", "COMPLETED"]
    [entry] = shop.read_order(order)["authorizations"]
    assert (entry["amount"], entry["success"]) == (1500, True)
    assert entry["items"] == [{"line_id": 1, "amount": 1000}, {"line_id": 2, "amount": 500}]
    details = entry["payment_details"]
    assert details["payment_id"] == paid["transaction_id"]
    assert details["card"] == {"masked_pan": kept["masked_pan"], "type": "Credit", "brand": brand}
    assert card not in str((transaction, read, shop.read_order(order), history(shop, order)))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"unknown": 1}'])
def test_without_a_card_an_approved_one_is_taken(shop: Shop, body: bytes) -> None:
    answer = shop.call("POST", shop.pay_path(shop.session(shop.order(1000))), data=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "AUTHORIZED"


@pytest.mark.parametrize(("currency", "amount"), [("JPY", 99_451), ("KWD", 12_345), ("CLF", 7)])
def test_every_currency_is_paid_in_its_own_minor_units(shop: Shop, currency: str, amount: int) -> None:
    order = shop.order(amount, currency=currency)
    transaction = shop.transaction(shop.pay(shop.session(order))["transaction_id"])
    assert (transaction["amount"], transaction["currency"]) == (amount, currency)


# -- declined


@pytest.mark.parametrize("card", FAILING)
def test_who_fails_3_d_secure_is_declined_and_may_try_again(shop: Shop, card: str) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    declined = shop.pay(session, card)
    assert declined["status"] == "DECLINED"
    assert declined["error"]["code"] == "authentication_failed"
    assert declined["error"]["type"] == ["FAILED_VERIFICATION"]
    failed = shop.transaction(declined["transaction_id"])
    assert (failed["status"], failed["card"]["authentication_status"]) == ("DECLINED", "N")
    assert [(event["event"], event["success"]) for event in failed["events"]] == [("AUTHORIZE", False)]
    assert failed["events"][0]["error"]["message"] == declined["error"]["message"]
    read = shop.read_session(session)
    assert "transaction_id" not in read
    assert names(read) == ["INITIATED", "ADD_PAYMENT_INFORMATION", "PAY_FAILED"]
    assert shop.read_order(order)["authorizations"] == []

    paid = shop.pay(session)
    assert paid["status"] == "AUTHORIZED"
    assert paid["transaction_id"] != declined["transaction_id"]
    assert shop.read_session(session)["transaction_id"] == paid["transaction_id"]
    assert shop.transaction(declined["transaction_id"]) == failed
    assert history(shop, order) == [
        *("order_created", "session_opened", "payment_started", "payment_ended"),
        *("payment_started", "authorization_added"),
    ]


RETRIES = {"04": "DO_NOT_RETRY", "54": "RETRY_IMMEDIATELY"}


@pytest.mark.parametrize(
    ("amount", "currency", "response", "error_type"),
    [
        (9_950_100, "NOK", "01", "DECLINED"),
        (9_950_499, "NOK", "04", "PICK_UP_CARD"),
        (9_955_100, "SEK", "51", "INSUFFICIENT_FUNDS"),
        (9_955_400, "NOK", "54", "EXPIRED_CARD"),
        (9_956_100, "EUR", "61", "EXCEEDS_APPROVAL_LIMIT"),
        (9_959_100, "NOK", "91", "ISSUER_ERROR"),
        (9_959_900, "NOK", "99", "DECLINED"),
        (99_551, "JPY", "51", "INSUFFICIENT_FUNDS"),
        (99_551_000, "KWD", "51", "INSUFFICIENT_FUNDS"),
    ],
)
def test_an_amount_of_995xx_is_refused_with_the_issuers_code(
    shop: Shop, amount: int, currency: str, response: str, error_type: str
) -> None:
    order = shop.order(amount, currency=currency)
    session = shop.session(order)
    declined = shop.pay(session)
    assert declined["status"] == "FAILED"
    assert declined["error"]["code"] == f"issuer_{response}"
    assert declined["error"]["type"] == [error_type]
    [event] = shop.transaction(declined["transaction_id"])["events"]
    assert event["error"]["result_code"] == response
    assert event["error"]["retry_policy"] == {"retry_codes": [RETRIES.get(response, "RETRY_AFTER_DELAY")]}
    [failed] = [each for each in shop.read_session(session)["events"] if each["name"] == "PAY_FAILED"]
    assert failed["details"]["error"] == declined["error"]["message"]
    assert shop.read_order(order)["payment_status"] == "pending"


@pytest.mark.parametrize("amount", [9_950_000, 9_949_999, 9_960_000, 99_551])
def test_an_amount_beside_995xx_is_approved(shop: Shop, amount: int) -> None:
    assert shop.pay(shop.session(shop.order(amount)))["status"] == "AUTHORIZED"


def test_a_declined_payment_gives_the_lines_back_to_other_sessions(shop: Shop) -> None:
    order = shop.order(1000)
    first, second = shop.session(order), shop.session(order)
    assert shop.pay(first, FAILING[0])["status"] == "DECLINED"
    assert shop.pay(second)["status"] == "AUTHORIZED"
    shop.refused(409, "nothing_left_to_pay", "POST", shop.pay_path(first), {})


# -- time-outs


def test_an_answer_that_is_lost_is_unknown_until_the_gateway_tells(shop: Shop) -> None:
    order = shop.order(1000)
    session, other = shop.session(order), shop.session(order)
    paid = shop.pay(session, ANSWER_LOST)
    assert (paid["status"], paid["error"]) == ("UNKNOWN", None)
    settled = eventually(lambda: shop.transaction(paid["transaction_id"]), lambda found: found["status"] != "UNKNOWN")
    assert settled["status"] == "AUTHORIZED"
    [event] = settled["events"]
    assert (event["event"], event["success"], event["amount"]) == ("AUTHORIZE", True, 1000)
    assert event["correlation_request_id"]
    assert event["correlation_request_id"] != event["request_id"]
    assert names(shop.read_session(session))[-2:] == ["AUTHORIZED", "COMPLETED"]
    assert [entry["amount"] for entry in shop.read_order(order)["authorizations"]] == [1000]
    shop.refused(409, "nothing_left_to_pay", "POST", shop.pay_path(other), {})


def test_while_the_outcome_is_unknown_nobody_pays_the_same_lines(waiting: Shop) -> None:
    shop = waiting
    order = shop.order(1000)
    session, other = shop.session(order), shop.session(order)
    paid = shop.pay(session, NEVER_ARRIVES)
    assert paid["status"] == "UNKNOWN"
    problem = shop.refused(409, "line_being_paid", "POST", shop.pay_path(other), {})
    assert "1000 is being paid right now" in problem["message"]
    shop.refused(409, "session_being_paid", "POST", shop.pay_path(session), {})
    body = {"items": [{"line_id": 1, "amount": 1000}]}
    shop.refused(409, "line_being_paid", "POST", f"orders/{order['order_id']}/authorizations", body)
    shop.refused(409, "outcome_unknown", "POST", f"/v1/sessions/{session['id']}/cancel")


def test_a_call_that_never_arrived_fails_in_the_end_and_the_lines_are_free(shop: Shop) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    paid = shop.pay(session, NEVER_ARRIVES)
    assert paid["status"] == "UNKNOWN"
    settled = eventually(lambda: shop.transaction(paid["transaction_id"]), lambda found: found["status"] != "UNKNOWN")
    assert settled["status"] == "FAILED"
    assert settled["events"][-1]["error"]["message"]
    assert names(shop.read_session(session))[-1] == "PAY_FAILED"
    assert history(shop, order)[-1] == "payment_ended"
    assert shop.read_order(order)["authorizations"] == []
    assert shop.pay(session)["status"] == "AUTHORIZED"


# -- 3-D Secure


def answer(url: str, choice: str) -> requests.Response:
    """Load the pretend bank's page and send one of its forms, without following where it leads."""
    page = requests.get(url, timeout=20)
    assert page.status_code == 200, page.text
    actions = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"', page.text)
    [action] = [each.replace("&amp;", "&") for each in actions if f"/{choice}" in each]
    return requests.post(urljoin(url, action), timeout=20, allow_redirects=False)


def follow(reply: requests.Response, host: str) -> str:
    """Follow redirects within the server; answers the first address outside."""
    for _ in range(5):
        assert reply.status_code in (302, 303), reply.text
        url = urljoin(reply.url, reply.headers["Location"])
        if not url.startswith(host):
            return url
        reply = requests.get(url, timeout=20, allow_redirects=False)
        if reply.status_code == 200:
            return url
    raise AssertionError("too many redirects")


@pytest.mark.parametrize("card", CHALLENGED)
def test_a_payer_confirms_at_his_bank_and_comes_back_to_the_merchant(shop: Shop, card: str) -> None:
    order = shop.order(1000)
    session = shop.session(order, url={"return_url": "https://shop.example/done?cart=7&merchant=a%26b#top"})
    started = shop.pay(session, card)
    assert (started["status"], started["error"]) == ("INITIATED", None)
    assert started["action_url"].startswith(f"{shop.base_url}/")
    assert shop.transaction(started["transaction_id"])["status"] == "INITIATED"
    shop.refused(409, "session_being_paid", "POST", shop.pay_path(session), {})

    end = follow(answer(started["action_url"], "approve"), shop.base_url)
    parts = urlsplit(end)
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("https", "shop.example", "/done", "top")
    assert parts.query.startswith("cart=7&merchant=a%26b&")
    assert dict(parse_qsl(parts.query)) == {
        **{"cart": "7", "merchant": "a&b"},
        **{"merchant_reference": order["order_id"], "transaction_id": started["transaction_id"]},
    }
    transaction = shop.transaction(started["transaction_id"])
    assert (transaction["status"], transaction["card"]["authentication_status"]) == ("AUTHORIZED", "Y")
    assert [entry["amount"] for entry in shop.read_order(order)["authorizations"]] == [1000]


def test_a_payer_who_turns_back_at_his_bank_can_pay_in_another_way(shop: Shop) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    started = shop.pay(session, CHALLENGED[0])
    end = follow(answer(started["action_url"], "reject"), shop.base_url)
    assert end.startswith(f"{shop.base_url}/v1/view/{session['id']}")
    transaction = shop.transaction(started["transaction_id"])
    assert (transaction["status"], transaction["card"]["authentication_status"]) == ("DECLINED", "N")
    assert "PAY_FAILED" in names(shop.read_session(session))
    assert shop.pay(session)["status"] == "AUTHORIZED"


def test_answering_the_bank_twice_pays_once(shop: Shop) -> None:
    order = shop.order(1000)
    started = shop.pay(shop.session(order), CHALLENGED[0])
    first = answer(started["action_url"], "approve")
    late = requests.post(f"{started['action_url']}/reject", timeout=20, allow_redirects=False)
    ends = {follow(reply, shop.base_url) for reply in (first, late, first)}
    assert len(ends) == 1
    assert "transaction_id=" in ends.pop()
    assert shop.transaction(started["transaction_id"])["status"] == "AUTHORIZED"
    assert len(shop.read_order(order)["authorizations"]) == 1
    again = requests.get(started["action_url"], timeout=20, allow_redirects=False)
    assert "transaction_id=" in follow(again, shop.base_url)


def test_the_issuer_has_its_say_after_the_challenge(shop: Shop) -> None:
    started = shop.pay(shop.session(shop.order(9_955_100)), CHALLENGED[0])
    assert "/v1/view/" in follow(answer(started["action_url"], "approve"), shop.base_url)
    transaction = shop.transaction(started["transaction_id"])
    assert (transaction["status"], transaction["events"][-1]["error"]["code"]) == ("FAILED", "issuer_51")


def test_a_session_is_cancelled_while_its_payer_is_at_the_bank(shop: Shop) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    started = shop.pay(session, CHALLENGED[0])
    cancelled = shop.ok("POST", f"/v1/sessions/{session['id']}/cancel")
    assert cancelled["cancelled_at"]
    assert shop.transaction(started["transaction_id"])["status"] == "DECLINED"
    requests.post(f"{started['action_url']}/approve", timeout=20, allow_redirects=False)
    assert shop.transaction(started["transaction_id"])["status"] == "DECLINED"
    assert shop.read_order(order)["authorizations"] == []


# -- sessions without an order of ours


def direct(shop: Shop, **more: object) -> Json:
    order = {
        "amount": 1200,
        "currency": "NOK",
        "merchant_reference": "cart-7",
        "merchant_reference_2": "second",
        "items": [{"line_id": "a", "amount": 1000, "quantity": 1.5, "tax_rate": 25}],
        "shipping_option": {"id": "post", "line_id": 9, "amount": 200, "title": "Post", "operator": ""},
        "event_reference": "default-ref",
        **more,
    }
    body = {"url": {"return_url": "https://shop.example/done"}, "order": order, "profile_id": "default"}
    return shop.ok("POST", "/v1/sessions-profile?include_session=true", body)


def test_a_session_with_an_order_of_its_own_is_paid_like_any_other(shop: Shop) -> None:
    made = direct(shop)
    assert set(made) == {"id", "url", "session"}
    assert made["session"] == shop.read_session(made)
    order = made["session"]["order"]
    assert order["items"] == [{"line_id": "a", "amount": 1000, "quantity": 1.5, "tax_rate": 25, "version": 1}]
    assert order["shipping_option"]["line_id"] == "9"
    paid = shop.pay(made)
    transaction = shop.transaction(paid["transaction_id"])
    assert (transaction["status"], transaction["amount"]) == ("AUTHORIZED", 1200)
    assert (transaction["merchant_reference"], transaction["merchant_reference_2"]) == ("cart-7", "second")
    assert [(item["line_id"], item["amount"]) for item in transaction["items"]] == [("a", 1000), ("9", 200)]
    [event] = transaction["events"]
    assert event["event_reference"] == "default-ref"
    included = shop.ok("GET", f"/v1/transactions/{paid['transaction_id']}?includes=card.payment_token&includes=session")
    assert included["session"] == shop.read_session(made)


def test_what_only_the_server_says_is_not_taken_from_the_client(shop: Shop) -> None:
    body = {
        "url": {"return_url": "https://shop.example/done"},
        "order": {"amount": 10, "currency": "NOK", "merchant_reference": "r"},
        "profile_id": "default",
        "checkboxes": [{"id": 7, "label": "x"}],
        **{"id": "mine", "transaction_id": "forged", "cancelled_at": "then", "cancelled_by": "me", "events": [1]},
    }
    made = shop.ok("POST", "/v1/sessions-profile?include_session=true", body)
    assert made["id"] != "mine"
    assert made["session"]["checkboxes"] == body["checkboxes"]
    assert [event["name"] for event in made["session"]["events"]] == ["INITIATED"]
    assert not set(made["session"]) & {"transaction_id", "cancelled_at", "cancelled_by"}


def test_lines_without_an_id_get_one_that_is_free(shop: Shop) -> None:
    made = direct(shop, items=[{"amount": 500}, {"amount": 250, "line_id": "line-1"}, {"amount": 250, "line_id": None}])
    assert [item["line_id"] for item in made["session"]["order"]["items"]] == ["line-2", "line-1", "line-3"]


@pytest.mark.parametrize("items", [[], [{"amount": 999, "line_id": "1"}], [{"amount": 5, "line_id": "1"}]])
def test_without_the_toggle_the_amount_is_the_charge_whatever_the_items_say(shop: Shop, items: list[Json]) -> None:
    made = direct(shop, items=items)
    assert shop.transaction(shop.pay(made)["transaction_id"])["amount"] == 1200


@pytest.mark.parametrize("expires_at", ["2036-02-03T09:00:00.034Z", "2036-02-03T09:00:00.123456789+02:00"])
def test_an_expiry_may_have_any_number_of_digits(shop: Shop, expires_at: str) -> None:
    body = {
        "url": {"return_url": "https://shop.example/done"},
        "order": {"amount": 1, "currency": "NOK", "merchant_reference": "r"},
        "profile_id": "default",
        "expires_at": expires_at,
    }
    made = shop.ok("POST", "/v1/sessions-profile", body)
    assert shop.read_session(made)["expires_at"].startswith("2036-02-03T")
    assert shop.pay(made)["status"] == "AUTHORIZED"


def test_production_has_no_sandbox(shop: Shop, server: Running) -> None:
    merchant = server.shop(account_id=f"P{shop.account_id[1:]}")
    session = merchant.session(merchant.order(items=[line(1, 1000)]))
    problem = merchant.refused(403, "not_in_production", "POST", merchant.pay_path(session), {})
    assert "test account" in problem["message"]
    assert "transaction_id" not in merchant.read_session(session)
