"""Express over real HTTP: the page's calls, and the merchant's server that is asked in between.

Source: checkout reference, sections 2 (rows 18 to 21b), 5 and 10.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from kasse.domain.callbacks import signature
from tests.asking import MerchantServer
from tests.running import PATIENCE_S, Json, Running, Shop, running

POST: Json = {"id": "post", "line_id": "post-1", "amount": 490, "title": "Post", "operator": "Posten"}
PICK_UP: Json = {"id": "pickup", "line_id": "pickup-1", "amount": 0, "title": "Pick up", "operator": ""}
HOME: Json = {"first_name": "Åse", "country": "NO", "postal_code": "0155"}
CABIN: Json = {"country": "NO", "postal_code": "9990"}
GONE = "1970-01-01T00:00:00.000Z"


def request(*options: Json, **express: Any) -> Json:
    order: Json = {
        **{"amount": 1000, "currency": "NOK", "merchant_reference": "web-1"},
        "items": [{"line_id": "1", "id": "tea", "amount": 700}, {"line_id": "2", "id": "pot", "amount": 300}],
    }
    url = {"return_url": "https://shop.example/done", "callback_url": "http://127.0.0.1:1/told"}
    return {
        **{"profile_id": "default", "url": url, "order": order},
        "express": {"shipping_options": list(options), **express},
    }


def opened(shop: Shop, *options: Json, **express: Any) -> Json:
    made: Json = shop.ok("POST", "/v1/sessions-profile?include_session=true", request(*options, **express))["session"]
    return made


def asking(shop: Shop, merchant: MerchantServer, *options: Json, **express: Any) -> Json:
    return opened(shop, *options, shipping_address_callback_url=merchant.url, **express)


class Page:
    """The payer's page: it knows the session's id and no token."""

    def __init__(self, shop: Shop, session: Json) -> None:
        self._base = f"{shop.base_url}/v1/view/{session['id']}/session"

    def call(self, method: str, path: str, body: Json | None = None, seen: str | None = None) -> requests.Response:
        headers = {} if seen is None else {"If-Unmodified-Since": seen}
        return requests.request(method, f"{self._base}{path}", json=body, headers=headers, timeout=PATIENCE_S)

    def ok(self, method: str, path: str, body: Json | None = None, seen: str | None = None) -> Json:
        answer = self.call(method, path, body, seen)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def refused(
        self, status: int, keyword: str, method: str, path: str, body: Json | None = None, seen: str | None = None
    ) -> Json:
        answer = self.call(method, path, body, seen)
        assert answer.status_code == status, answer.text
        problem: Json = answer.json()["error"]["errors"][0]
        assert problem["keyword"] == keyword
        return problem

    def session(self) -> Json:
        return self.ok("GET", "")

    def live_at(self, address: Json, seen: str | None = None) -> Json:
        return self.ok("PUT", "/order/addresses", {"shipping_address": address}, seen)

    def ship_by(self, option: Json, seen: str | None = None) -> Json:
        return self.ok("PUT", "/order/shipping_option", option, seen)


def names(session: Json) -> list[str]:
    return [event["name"] for event in session["events"]]


def adds_up(session: Json) -> bool:
    order = session["order"]
    shipping = order.get("shipping_option", {}).get("amount", 0)
    return bool(order["amount"] == sum(item["amount"] for item in order["items"]) + shipping)


# -- fixed options


def test_the_payer_gives_an_address_chooses_and_pays_what_that_makes(shop: Shop) -> None:
    session = opened(shop, POST, PICK_UP)
    page = Page(shop, session)
    shop.refused(409, "not_payable", "POST", shop.pay_path(session), {})
    at_home = page.live_at(HOME)
    assert at_home["order"]["shipping_address"] == HOME
    assert at_home["order"]["amount"] == 1000
    shop.refused(409, "not_payable", "POST", shop.pay_path(session), {})
    by_post = page.ship_by(POST)
    assert by_post["order"]["shipping_option"] == POST
    assert by_post["order"]["amount"] == 1490
    picked_up = page.ship_by(PICK_UP)
    assert picked_up["order"]["amount"] == 1000
    assert names(page.ship_by(POST)) == ["INITIATED", "SET_SHIPPING_ADDRESS", *["SET_SHIPPING_OPTION"] * 3]
    paid = shop.pay(session)
    transaction = shop.transaction(paid["transaction_id"])
    assert (transaction["amount"], transaction["shipping_option"]) == (1490, POST)
    assert [item["line_id"] for item in transaction["items"]] == ["1", "2", "post-1"]


def test_the_price_of_an_option_is_the_merchants_whatever_the_payer_sends(shop: Shop) -> None:
    page = Page(shop, opened(shop, POST))
    assert page.ship_by({**POST, "amount": 1, "title": "Mine"})["order"]["shipping_option"] == POST
    for wrong in ({"id": "boat"}, {"id": "post", "line_id": "pickup-1"}):
        page.refused(400, "wrong_value", "PUT", "/order/shipping_option", wrong)
    page.refused(400, "missing_field", "PUT", "/order/shipping_option", {})
    assert page.session()["order"]["amount"] == 1490


def test_an_address_is_checked(shop: Shop) -> None:
    page = Page(shop, opened(shop, POST, customer_types=["b2c"]))
    company = {**HOME, "business_name": "Fjord AS"}
    for address, keyword, path in (
        ({"country": "Norway"}, "wrong_value", "/shipping_address/country"),
        ({"country": 47}, "wrong_type", "/shipping_address/country"),
        (company, "wrong_value", "/shipping_address"),
    ):
        body = {"shipping_address": address}
        assert page.refused(400, keyword, "PUT", "/order/addresses", body)["path"] == path
    page.refused(400, "missing_field", "PUT", "/order/addresses", {})
    page.refused(400, "wrong_value", "PUT", "/order/addresses", {"shipping_address": HOME, "billing_address": CABIN})
    both = page.ok("PUT", "/order/addresses", {"shipping_address": HOME, "billing_address": HOME})
    assert names(both)[1:] == ["SET_SHIPPING_ADDRESS", "SET_BILLING_ADDRESS"]
    assert both["order"]["billing_address"] == HOME
    moved = page.ok("PUT", "/order/shipping_address", {**CABIN, "comment": "by boat", "email": ""})
    assert moved["order"]["shipping_address"] == {**CABIN, "comment": "by boat"}


def test_only_express_sessions_are_changed_by_the_payer(shop: Shop) -> None:
    body = request()
    del body["express"]
    page = Page(shop, shop.ok("POST", "/v1/sessions-profile", body))
    page.refused(409, "wrong_state", "PUT", "/order/addresses", {"shipping_address": HOME})
    page.refused(409, "wrong_state", "PUT", "/order/shipping_option", POST)
    page.refused(409, "wrong_state", "PUT", "/order/discount_codes", {"discount_codes": ["A"]})


# -- the merchant is asked


def test_the_merchant_says_what_the_shipping_may_be_and_what_it_all_costs(shop: Shop, merchant: MerchantServer) -> None:
    session = asking(shop, merchant)
    page = Page(shop, session)
    merchant.say = lambda asked: {"shipping_options": [POST, PICK_UP], "order": {"amount": 1000.0}}
    at_home = page.live_at(HOME)
    assert at_home["express"]["shipping_options"] == [POST, PICK_UP]
    [asked] = merchant.asked
    assert asked["id"] == session["id"]
    assert asked["order"]["shipping_address"] == HOME
    assert asked["express"]["shipping_address_callback_url"] == merchant.url
    assert merchant.headers[0]["content-type"] == "application/json; charset=utf-8"
    assert "dintero-signature" not in merchant.headers[0]
    page.ship_by(POST)
    merchant.say = lambda asked: {
        "shipping_options": [POST],
        "order": {"amount": asked["order"]["shipping_option"]["amount"] + 1000},
    }
    assert page.live_at(CABIN)["order"]["amount"] == 1490
    assert shop.read_session(session)["order"]["shipping_address"] == CABIN


def test_what_the_merchants_sum_is_off_becomes_a_correction(shop: Shop, merchant: MerchantServer) -> None:
    page = Page(shop, asking(shop, merchant))
    merchant.say = lambda asked: {"shipping_options": [POST], "order": {"amount": 1025}}
    session = page.live_at(HOME)
    correction = session["order"]["items"][-1]
    assert correction == {
        **{"id": correction["id"], "line_id": correction["id"], "amount": 25, "quantity": 1},
        **{"description": "Correction", "version": 2},
    }
    assert correction["id"].startswith("correction-")
    assert session["order"]["amount"] == 1025
    assert adds_up(page.ship_by(POST))
    merchant.say = lambda asked: {"shipping_options": [PICK_UP], "order": {"amount": 1490}}
    away = page.live_at(CABIN)
    assert away["order"]["amount"] == 1000
    assert "shipping_option" not in away["order"]
    assert len(away["order"]["items"]) == 2


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((500, b"{}"), "status is 500"),
        ((404, b"{}"), "status is 404"),
        ((201, b'{"shipping_options": []}'), "status is 201"),
        ((302, b""), "status is 302"),
        ((200, b""), "JSON"),
        ((200, b"{"), "JSON"),
        ((200, b'{"shipping_options": NaN}'), "JSON"),
        ((200, b"[]"), "object"),
        ((200, b"{}"), "shipping_options"),
        ((200, b'{"shipping_options": [], "shipping_options": []}'), "twice"),
        ((200, b'{"shipping_options": [{"id": "a", "line_id": "a", "amount": 1, "countries": 7}]}'), "countries"),
        ((200, b'{"shipping_options": [{"id": "a", "line_id": "a", "amount": 1, "title": []}]}'), "title"),
        ((200, b'{"shipping_options": [], "order": {"store": 7}}'), "store"),
        ((200, b'{"shipping_options": [], "order": {"discount_codes": 7}}'), "discount_codes"),
        ((200, b'{"shipping_options": [], "order": {"merchant_reference_2": []}}'), "merchant_reference_2"),
        ((200, b'{"shipping_options": [], "order": {"items": [{"amount": 1, "quantity": "x"}]}}'), "quantity"),
        ((200, b'{"shipping_options": [], "x": "' + b"x" * 1024 * 1024 + b'"}'), "longer than"),
    ],
)
def test_whatever_else_the_merchants_server_does_is_a_failure_and_changes_nothing(
    shop: Shop, merchant: MerchantServer, said: tuple[int, bytes], why: str
) -> None:
    session = asking(shop, merchant, POST)
    page = Page(shop, session)
    merchant.say = lambda asked: said
    problem = page.refused(500, "callback_failed", "PUT", "/order/addresses", {"shipping_address": HOME})
    assert why in problem["message"]
    assert merchant.url not in problem["message"]
    assert len(merchant.asked) == 1
    assert shop.read_session(session) == session


def test_a_server_that_is_not_there_is_a_failure(shop: Shop) -> None:
    session = opened(shop, shipping_address_callback_url="http://127.0.0.1:1/ask")
    problem = Page(shop, session).refused(500, "callback_failed", "PUT", "/order/addresses", {"shipping_address": HOME})
    assert "no connection" in problem["message"]


def test_a_server_that_does_not_answer_in_time_is_a_failure_and_holds_up_nobody(merchant: MerchantServer) -> None:
    stopped = threading.Event()
    merchant.say = lambda asked: {"shipping_options": []} if stopped.wait(PATIENCE_S) else {}
    with running(express_timeout=0.5) as server:
        shop = server.shop()
        page = Page(shop, asking(shop, merchant))
        problem = page.refused(500, "callback_failed", "PUT", "/order/addresses", {"shipping_address": HOME})
        assert "0.5 seconds" in problem["message"]
        assert "shipping_address" not in page.session()["order"]
    stopped.set()


def test_a_production_accounts_merchant_is_asked_on_the_open_internet_only(
    server: Running, merchant: MerchantServer
) -> None:
    shop = server.shop(account_id="P43211234")
    asked = request(shipping_address_callback_url="https://10.1.2.3/ask")
    asked["url"]["callback_url"] = "https://shop.example/told"
    page = Page(shop, shop.ok("POST", "/v1/sessions-profile", asked))
    problem = page.refused(500, "callback_failed", "PUT", "/order/addresses", {"shipping_address": HOME})
    assert "not a public address" in problem["message"]
    assert merchant.asked == []


def test_the_shops_own_page_may_have_asked_already(shop: Shop, merchant: MerchantServer) -> None:
    page = Page(shop, asking(shop, merchant, POST))
    path = "/order/addresses?client_side_address_callback=true"
    changed = page.ok("PUT", path, {"shipping_address": HOME})
    assert changed["order"]["shipping_address"] == HOME
    assert merchant.asked == []


# -- discount codes


def test_discount_codes_are_worth_what_the_merchant_says(shop: Shop, merchant: MerchantServer) -> None:
    session = opened(shop, POST, discount_codes={"max_count": 2, "callback_url": merchant.url})
    page = Page(shop, session)
    page.ship_by(POST)
    items = [{"line_id": "1", "id": "tea", "amount": 600}, {"line_id": "2", "id": "pot", "amount": 300}]
    merchant.say = lambda asked: {
        "shipping_options": [POST],
        "order": {"amount": 900, "items": items, "discount_codes": asked["order"]["discount_codes"][:1]},
        "discount_lines": [],
    }
    cheaper = page.ok("PUT", "/order/discount_codes", {"discount_codes": ["TEA", "OLD"]})
    assert merchant.asked[0]["order"]["discount_codes"] == ["TEA", "OLD"]
    assert cheaper["order"]["discount_codes"] == ["TEA"]
    assert (cheaper["order"]["amount"], adds_up(cheaper)) == (1390, True)
    event = cheaper["events"][-1]
    assert (event["name"], event["details"]) == ("SET_DISCOUNT_CODES", {"discount_codes": ["TEA"], "amount": 1390})
    body = {"discount_codes": ["A", "B", "C"]}
    assert page.refused(400, "wrong_value", "PUT", "/order/discount_codes", body)["path"] == "/discount_codes"


def test_codes_that_are_worth_nothing_are_204(shop: Shop, merchant: MerchantServer) -> None:
    page = Page(shop, opened(shop, discount_codes={"max_count": 1, "callback_url": merchant.url}))
    merchant.say = lambda asked: {"shipping_options": [], "order": {"amount": 1000, "discount_codes": []}}
    answer = page.call("PUT", "/order/discount_codes", {"discount_codes": ["NOPE"]})
    assert (answer.status_code, answer.content) == (204, b"")
    assert page.session()["order"]["amount"] == 1000


# -- who saw what


def test_a_change_is_refused_when_the_session_is_not_what_the_page_saw(shop: Shop, merchant: MerchantServer) -> None:
    page = Page(shop, asking(shop, merchant, POST, discount_codes={"max_count": 1, "callback_url": merchant.url}))
    merchant.say = lambda asked: {"shipping_options": [POST]}
    before = page.session()
    for path, body in (
        ("/order/addresses", {"shipping_address": HOME}),
        ("/order/shipping_address", HOME),
        ("/order/shipping_option", POST),
        ("/order/discount_codes", {"discount_codes": ["A"]}),
    ):
        page.refused(412, "session_changed", "PUT", path, body, GONE)
    page.refused(412, "session_changed", "POST", "/lock", None, GONE)
    assert page.session() == before
    assert merchant.asked == []
    seen = before["updated_at"]
    for step in (page.live_at(HOME, seen), page.session()):
        seen = step["updated_at"]
    assert page.ship_by(POST, seen)["updated_at"] > seen
    page.refused(412, "session_changed", "PUT", "/order/shipping_option", POST, seen)
    page.refused(400, "wrong_value", "PUT", "/order/shipping_option", POST, "yesterday")


def test_what_is_changed_while_the_merchant_is_asked_is_not_written_over(shop: Shop, merchant: MerchantServer) -> None:
    session = asking(shop, merchant, POST, PICK_UP)
    page = Page(shop, session)
    seen = page.session()["updated_at"]

    def choose_meanwhile(asked: Json) -> Json:
        if "shipping_option" not in asked["order"]:
            page.ship_by(POST)
        return {"shipping_options": [POST, PICK_UP]}

    merchant.say = choose_meanwhile
    page.refused(412, "session_changed", "PUT", "/order/addresses", {"shipping_address": HOME}, seen)
    now = page.session()["order"]
    assert (now["amount"], "shipping_address" in now) == (1490, False)


def test_without_a_state_to_keep_to_the_merchant_is_asked_anew(shop: Shop, merchant: MerchantServer) -> None:
    page = Page(shop, asking(shop, merchant, POST, PICK_UP))

    def choose_meanwhile(asked: Json) -> Json:
        if "shipping_option" not in asked["order"]:
            page.ship_by(POST)
        return {"shipping_options": [POST, PICK_UP]}

    merchant.say = choose_meanwhile
    session = page.live_at(HOME)
    assert [asked["order"]["amount"] for asked in merchant.asked] == [1000, 1490]
    assert (session["order"]["amount"], session["order"]["shipping_address"]) == (1490, HOME)


def test_two_addresses_at_once_end_as_one_of_them_with_its_own_answer(shop: Shop, merchant: MerchantServer) -> None:
    session = asking(shop, merchant)
    page = Page(shop, session)
    both = threading.Barrier(2)
    first_round = [True, True]

    def by_postal_code(asked: Json) -> Json:
        if first_round:
            first_round.pop()
            both.wait(PATIENCE_S)
        code = asked["order"]["shipping_address"]["postal_code"]
        return {"shipping_options": [{**POST, "title": code}]}

    merchant.say = by_postal_code
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(page.live_at, (HOME, CABIN)))
    assert {one["order"]["shipping_address"]["postal_code"] for one in done} == {"0155", "9990"}
    end = page.session()
    assert [option["title"] for option in end["express"]["shipping_options"]] == [
        end["order"]["shipping_address"]["postal_code"]
    ]
    assert names(end).count("SET_SHIPPING_ADDRESS") == 2


def test_who_pays_while_the_merchant_is_asked_pays_what_he_saw(shop: Shop, merchant: MerchantServer) -> None:
    session = asking(shop, merchant, POST)
    page = Page(shop, session)
    merchant.say = lambda asked: {"shipping_options": [POST]}
    page.live_at(HOME)
    page.ship_by(POST)

    def pay_meanwhile(asked: Json) -> Json:
        if len(merchant.asked) == 2:
            assert shop.pay(session)["status"] == "AUTHORIZED"
        return {"shipping_options": [{**POST, "amount": 9000}]}

    merchant.say = pay_meanwhile
    page.refused(409, "session_paid", "PUT", "/order/addresses", {"shipping_address": CABIN})
    end = page.session()
    assert (end["order"]["amount"], end["order"]["shipping_address"]) == (1490, HOME)
    assert shop.transaction(end["transaction_id"])["amount"] == 1490


# -- an order's session


def test_an_express_session_of_an_order_keeps_shipping_beside_its_lines(shop: Shop, merchant: MerchantServer) -> None:
    order = shop.order(700, 300)
    express = {"shipping_options": [], "shipping_address_callback_url": merchant.url}
    session = shop.session(order, express=express)
    page = Page(shop, session)
    merchant.say = lambda asked: {"shipping_options": [POST], "order": {"amount": asked["order"]["amount"]}}
    page.live_at(HOME)
    assert page.ship_by(POST)["order"]["amount"] == 1490
    assert page.live_at(CABIN)["order"]["amount"] == 1490
    paid = shop.pay(session)
    assert shop.transaction(paid["transaction_id"])["amount"] == 1490
    [authorization] = shop.read_order(order)["authorizations"]
    assert authorization["amount"] == 1000
    read = shop.ok("GET", f"orders/{order['order_id']}/sessions/{session['id']}")
    assert (read["amount"], read["shipping_option"]) == (1490, POST)


def test_the_merchants_answer_cannot_change_the_lines_of_an_order(shop: Shop, merchant: MerchantServer) -> None:
    order = shop.order(700, 300)
    session = shop.session(order, express={"shipping_options": [], "shipping_address_callback_url": merchant.url})
    page = Page(shop, session)
    merchant.say = lambda asked: {"shipping_options": [POST], "order": {"amount": 900}}
    problem = page.refused(500, "callback_failed", "PUT", "/order/addresses", {"shipping_address": HOME})
    assert "lines of the order" in problem["message"]
    assert page.session()["order"]["amount"] == 1000


# -- questions are signed


def test_a_question_is_signed_as_a_callback_is(shop: Shop, merchant: MerchantServer) -> None:
    made = shop.ok("POST", "/v1/admin/signature")
    merchant.say = lambda asked: {"shipping_options": [POST]}
    Page(shop, asking(shop, merchant)).live_at(HOME)
    [headers], [body] = merchant.headers, merchant.bodies
    secret, timestamp = made["signature"]["secret"], int(headers["webhook-timestamp"])
    assert headers["dintero-signature"] == signature(secret, timestamp, shop.account_id, "POST", merchant.url)
    assert Webhook(made["webhook_secret"]).verify(body, headers) == merchant.asked[0]


@pytest.mark.parametrize("known", ["old", "new"])
def test_while_a_secret_is_replaced_a_merchant_who_knows_either_is_asked(
    shop: Shop, merchant: MerchantServer, known: str
) -> None:
    secrets = {name: shop.ok("POST", "/v1/admin/signature") for name in ("old", "new")}

    def say(asked: Json) -> Any:
        headers = merchant.headers[-1]
        secret, timestamp = secrets[known]["signature"]["secret"], int(headers["webhook-timestamp"])
        good = headers["dintero-signature"] == signature(secret, timestamp, shop.account_id, "POST", merchant.url)
        return {"shipping_options": [POST]} if good else (401, b"{}")

    merchant.say = say
    page = Page(shop, asking(shop, merchant))
    assert page.live_at(HOME)["express"]["shipping_options"] == [POST]
    assert len(merchant.asked) == (1 if known == "new" else 2)
    assert len({headers["webhook-id"] for headers in merchant.headers}) == 1
    for each in secrets.values():
        Webhook(each["webhook_secret"]).verify(merchant.bodies[0], merchant.headers[0])
    merchant.say = lambda asked: (403, b"{}")
    page.refused(500, "callback_failed", "PUT", "/order/addresses", {"shipping_address": CABIN})
    assert len(merchant.asked) == (3 if known == "new" else 4)
