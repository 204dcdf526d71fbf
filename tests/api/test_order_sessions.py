"""Payment sessions of an order over real HTTP. Source: orders reference, section 7."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from tests.running import Json, Running, Shop, line, session_request

NEW_CARD = "5200000000000007"
POST: Json = {"id": "post", "line_id": "ship-1", "amount": 490, "title": "Post", "operator": "Posten"}
PICK_UP: Json = {"id": "pickup", "line_id": "ship-2", "amount": 0, "title": "Pick up", "operator": ""}


def sessions_of(shop: Shop, order: Json) -> list[Json]:
    found: list[Json] = shop.ok("GET", f"orders/{order['order_id']}/sessions?limit=100")["sessions"]
    return found


def test_a_session_answers_what_is_to_be_paid_and_where(shop: Shop) -> None:
    order = shop.order(8900, 1000)
    session = shop.session(order)
    assert re.fullmatch(rf"{shop.account_id}\.[1-9A-HJ-NP-Za-km-z]{{22}}", session["id"])
    assert session["items"] == [{"line_id": "1", "amount": 8900}, {"line_id": "2", "amount": 1000}]
    assert (session["amount"], session["currency"], session["profile_id"]) == (9900, "NOK", "default")
    assert session["url"] == f"{shop.base_url}/v1/view/{session['id']}"
    links = {link["rel"]: link["href"] for link in session["_links"]}
    assert links["session_link"] == session["url"]
    assert links["order"] == f"{shop.shopping}/orders/{order['order_id']}"
    assert shop.http.get(links["self"], timeout=20).json() == session
    page = requests.get(session["url"], timeout=20)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "field", ["items", "profile_id", "url", "url/return_url", "url/callback_url", "url/merchant_terms_url"]
)
def test_each_required_field_is_asked_for(shop: Shop, field: str) -> None:
    order = shop.order(1000)
    body = session_request([1])
    inside = body
    *way, last = field.split("/")
    for step in way:
        inside = inside[step]
    del inside[last]
    problem = shop.refused(400, "missing_field", "POST", f"orders/{order['order_id']}/sessions", body)
    assert problem["path"] == f"/{field}"
    assert f"expected {last} at /{field}, got nothing" in problem["message"]
    assert sessions_of(shop, order) == []
    assert shop.read_order(order)["version"] == 1


@pytest.mark.parametrize("profile", [None, 1, "", "nope"])
def test_the_profile_is_one_of_the_accounts(shop: Shop, profile: Any) -> None:
    order = shop.order(1000)
    keyword = {None: "wrong_type", 1: "wrong_type", "": "wrong_value", "nope": "unknown_profile"}[profile]
    body = session_request([1], profile_id=profile)
    assert shop.refused(400, keyword, "POST", f"orders/{order['order_id']}/sessions", body)["path"] == "/profile_id"


def test_what_may_be_left_out_has_a_default(shop: Shop) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    assert not set(session) & {"metadata", "processed_at", "express", "shipping_option", "transaction_id"}
    made, ends = (datetime.fromisoformat(session[name]) for name in ("created_at", "expires_at"))
    assert ends - made == timedelta(hours=24)
    assert session["merchant_reference"] == order["order_id"]
    checkout = shop.read_session(session)
    assert checkout["order"]["merchant_reference"] == order["order_id"]
    assert not set(checkout) & {"express", "transaction_id", "cancelled_at"}
    assert [event["name"] for event in checkout["events"]] == ["INITIATED"]


def test_the_merchants_reference_is_the_requests_or_the_orders(shop: Shop) -> None:
    body = {"order": {"currency": "NOK", "merchant_reference": "web-7001", "items": [line(1, 1000)]}}
    draft = shop.ok("POST", "draft_orders", body)
    [order] = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"]
    assert shop.session(order)["merchant_reference"] == "web-7001"
    assert shop.session(order, merchant_reference="try-2")["merchant_reference"] == "try-2"


@pytest.mark.parametrize("line_id", [1, "1", 1.0, "01"])
def test_a_line_is_named_by_an_integer_or_the_same_as_text(shop: Shop, line_id: Any) -> None:
    order = shop.order(1000)
    body = {**session_request([]), "items": [{"line_id": line_id, "amount": 400.0}]}
    session = shop.ok("POST", f"orders/{order['order_id']}/sessions", body)
    assert session["items"] == [{"line_id": "1", "amount": 400}]


def test_metadata_and_unknown_fields_are_kept_and_sent_back(shop: Shop) -> None:
    order = shop.order(1000)
    more = {"metadata": {"till": 3, "deep": {"a": [1]}}, "processed_at": "2026-02-03T09:00:00Z", "our_own": ["x"]}
    session = shop.session(order, **more)
    assert {name: session[name] for name in more} == more
    assert sessions_of(shop, order) == [session]
    checkout = shop.read_session(session)
    assert checkout["metadata"] == {**more["metadata"], "session:profile_id": "default"}  # type: ignore[dict-item]
    assert checkout["our_own"] == ["x"]


def test_what_only_the_server_says_is_not_taken_from_the_client(shop: Shop) -> None:
    forged = {"transaction_id": "forged", "cancelled_at": "then", "cancelled_by": "me", "amount": 1, "id": "mine"}
    session = shop.session(shop.order(1000), **forged, events=[{"name": "AUTHORIZED"}], currency="EUR")
    assert (session["amount"], session["currency"]) == (1000, "NOK")
    assert session["id"] != "mine"
    assert "transaction_id" not in session
    checkout = shop.read_session(session)
    assert not set(checkout) & {"transaction_id", "cancelled_at", "cancelled_by"}
    assert [event["name"] for event in checkout["events"]] == ["INITIATED"]


def test_a_session_shows_the_lines_as_the_checkout_does(shop: Shop) -> None:
    order = shop.order(items=[{**line(1, 1250), "description": "Tea", "quantity": 2}, line(2, 500)])
    session = shop.session(order, url={"return_url": "https://shop.example/done?cart=7#top"})
    checkout = shop.read_session(session)
    assert checkout["id"] == session["id"]
    assert checkout["order"]["items"] == [
        {
            **{"line_id": "1", "id": "SKU-1", "amount": 1250, "description": "Tea", "quantity": 2},
            **{"vat_amount": 250, "vat": 25, "version": 1},
        },
        {"line_id": "2", "id": "SKU-2", "amount": 500, "quantity": 1, "vat_amount": 100, "vat": 25, "version": 1},
    ]
    assert (checkout["order"]["amount"], checkout["order"]["currency"]) == (1750, "NOK")
    assert checkout["url"] == {
        "return_url": "https://shop.example/done?cart=7#top",
        "callback_url": "http://127.0.0.1:1/callback",
        "merchant_terms_url": "https://shop.example/terms",
    }
    assert checkout["metadata"]["session:profile_id"] == "default"


def test_addresses_and_store_come_from_the_order(shop: Shop) -> None:
    more = {
        "shipping_address": {"first_name": "Åse", "postal_code": "0155", "country": "NO"},
        "billing_address": {"business_name": "Fjord AS"},
        "store": {"id": "oslo", "name": "Oslo"},
    }
    draft = shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": [line(1, 10)], **more}})
    [order] = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"]
    checkout = shop.read_session(shop.session(order))
    assert {name: checkout["order"][name] for name in more} == more


# -- amounts


def test_without_an_amount_all_that_is_left_of_a_line_is_asked_for(shop: Shop) -> None:
    order = shop.order(1000, 500)
    path = f"orders/{order['order_id']}/authorizations"
    shop.ok("POST", path, {"items": [{"line_id": 1, "amount": 300}]})
    session = shop.session(order)
    assert [item["amount"] for item in session["items"]] == [700, 500]
    body = {**session_request([]), "items": [{"line_id": 1, "amount": 701}]}
    problem = shop.refused(400, "amount_above_left", "POST", f"orders/{order['order_id']}/sessions", body)
    assert "line 1 has 700 left to pay, 701 was asked for" in problem["message"]
    cancelled = f"orders/{order['order_id']}/cancellations"
    shop.ok("POST", cancelled, {"items": [{"line_id": 1, "amount": 100}]})
    assert [item["amount"] for item in shop.session(order)["items"]] == [800, 500]


def test_a_line_may_be_paid_in_parts(shop: Shop) -> None:
    order = shop.order(1000)
    for part in (600, 400):
        body = {**session_request([]), "items": [{"line_id": 1, "amount": part}]}
        session = shop.ok("POST", f"orders/{order['order_id']}/sessions", body)
        assert session["amount"] == part
        assert shop.pay(session)["status"] == "AUTHORIZED"
    read = shop.read_order(order)
    assert [entry["amount"] for entry in read["authorizations"]] == [600, 400]
    problem = shop.refused(
        *(409, "nothing_left_to_pay", "POST", f"orders/{order['order_id']}/sessions"), session_request([1])
    )
    assert "line 1 has nothing left to pay, all 1000" in problem["message"]
    assert problem["path"] == "/items/0"


def test_a_reversal_line_lowers_what_is_to_be_paid(shop: Shop) -> None:
    order = shop.order(items=[line(1, 1000), line(2, -300)])
    session = shop.session(order)
    assert session["items"] == [{"line_id": "1", "amount": 1000}, {"line_id": "2", "amount": -300}]
    assert session["amount"] == 700
    paid = shop.pay(session)
    assert shop.transaction(paid["transaction_id"])["amount"] == 700
    shop.ok("POST", f"/v1/transactions/{paid['transaction_id']}/capture", {"amount": 700})
    read = shop.read_order(order)
    assert [entry["amount"] for entry in read["captures"]] == [700]
    assert read["payment_status"] == "paid"


# -- several sessions


def test_an_order_shows_its_newest_ten_sessions_wherever_it_is_shown(shop: Shop) -> None:
    order, other = shop.order(1000), shop.order(500)
    assert order["sessions"] == []
    made = [shop.session(order) for _ in range(11)][::-1]
    one = shop.session(other)
    assert shop.read_order(order)["sessions"] == made[:10]
    listed = {each["id"]: each["sessions"] for each in shop.ok("GET", "orders")["orders"]}
    assert listed == {order["id"]: made[:10], other["id"]: [one]}
    path = f"orders/{order['id']}"
    assert shop.ok("PUT", path, {"metadata": {"a": 1}})["sessions"] == made[:10]
    assert shop.ok("POST", f"{path}/close")["sessions"] == made[:10]
    paid = shop.pay(one)
    assert shop.read_order(other)["sessions"][0]["transaction_id"] == paid["transaction_id"]


def test_any_number_of_sessions_may_be_open_until_one_is_paid(shop: Shop) -> None:
    order = shop.order(1000, 500)
    both, first, second = shop.session(order), shop.session(order, 1), shop.session(order, 2)
    assert [each["id"] for each in sessions_of(shop, order)] == [second["id"], first["id"], both["id"]]
    assert shop.pay(first)["status"] == "AUTHORIZED"
    problem = shop.refused(409, "nothing_left_to_pay", "POST", shop.pay_path(both), {})
    assert "line 1 has 0 left to pay, this session asks for 1000" in problem["message"]
    problem = shop.refused(409, "session_paid", "POST", shop.pay_path(first), {})
    assert first["id"] in problem["message"]
    assert shop.pay(second, NEW_CARD)["status"] == "AUTHORIZED"
    read = shop.read_order(order)
    assert [entry["items"] for entry in read["authorizations"]] == [
        [{"line_id": 1, "amount": 1000}],
        [{"line_id": 2, "amount": 500}],
    ]
    assert "transaction_id" not in shop.read_session(both)


def test_a_session_is_an_event_of_its_order_and_claims_nothing(shop: Shop) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    event = shop.ok("GET", f"orders/{order['order_id']}/events")["events"][-1]
    assert (event["name"], event["session_id"], event["version"]) == ("session_opened", session["id"], 2)
    assert event["items"] == [{"line_id": 1, "amount": 1000}]
    assert event["request"]["body"]["profile_id"] == "default"
    read = shop.read_order(order)
    assert (read["version"], read["payment_status"], read["authorizations"]) == (2, "pending", [])


def test_sessions_are_listed_by_order_newest_first_in_pages(shop: Shop, server: Running) -> None:
    order, other = shop.order(1000), shop.order(1)
    made = [shop.session(order)["id"] for _ in range(5)][::-1]
    path = f"orders/{order['order_id']}/sessions"
    assert [each["id"] for each in shop.ok("GET", path)["sessions"]] == made
    first = shop.ok("GET", f"{path}?limit=2")["sessions"]
    second = shop.ok("GET", f"{path}?limit=2&starting_after={first[-1]['id']}")["sessions"]
    assert [each["id"] for each in first + second] == made[:4]
    assert shop.ok("GET", f"orders/{other['order_id']}/sessions") == {"sessions": []}
    assert shop.ok("GET", f"{path}/{made[0]}")["id"] == made[0]
    shop.refused(404, "session_not_found", "GET", f"orders/{other['order_id']}/sessions/{made[0]}")
    stranger = server.shop()
    stranger.refused(404, "order_not_found", "GET", path)
    stranger.refused(404, "session_not_found", "GET", f"/v1/sessions/{made[0]}")
    theirs = stranger.order(1)
    stranger.refused(404, "session_not_found", "GET", f"orders/{theirs['order_id']}/sessions/{made[0]}")


def test_a_direct_session_is_not_a_session_of_an_order(shop: Shop) -> None:
    order = shop.order(1000)
    body = {
        "url": {"return_url": "https://shop.example/done"},
        "order": {"amount": 10, "currency": "NOK", "merchant_reference": order["order_id"]},
        "profile_id": "default",
    }
    made = shop.ok("POST", "/v1/sessions-profile", body)
    shop.refused(404, "session_not_found", "GET", f"orders/{order['order_id']}/sessions/{made['id']}")
    assert sessions_of(shop, order) == []


def test_a_paid_session_names_its_transaction(shop: Shop) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    transaction = shop.pay(session)["transaction_id"]
    [listed] = sessions_of(shop, order)
    assert listed["transaction_id"] == transaction
    assert shop.read_session(session)["transaction_id"] == transaction


# -- shipping and express


def test_a_shipping_option_adds_to_the_amount_and_is_no_line_of_the_order(shop: Shop) -> None:
    order = shop.order(1000)
    option = {**POST, "delivery_method": "delivery", "eta": {"working_days": [1, 3]}, "line_id": 77}
    session = shop.session(order, shipping_option=option)
    assert session["amount"] == 1490
    assert session["items"] == [{"line_id": "1", "amount": 1000}]
    assert session["shipping_option"] == {**option, "line_id": "77"}
    assert shop.read_session(session)["order"]["amount"] == 1490
    paid = shop.pay(session)
    transaction = shop.transaction(paid["transaction_id"])
    assert transaction["amount"] == 1490
    assert transaction["shipping_option"] == session["shipping_option"]
    assert [(item["line_id"], item["amount"]) for item in transaction["items"]] == [("1", 1000), ("77", 490)]
    assert [entry["amount"] for entry in shop.read_order(order)["authorizations"]] == [1000]
    captured = shop.ok("POST", f"/v1/transactions/{paid['transaction_id']}/capture", {"amount": 1490})
    assert captured["status"] == "CAPTURED"
    read = shop.read_order(order)
    assert [entry["amount"] for entry in read["captures"]] == [1000]
    assert read["payment_status"] == "paid"


def test_in_express_the_option_is_one_of_those_offered(shop: Shop) -> None:
    order = shop.order(1000)
    express = {"shipping_options": [POST, PICK_UP], "customer_types": ["b2c"], "discount_codes": {"max_count": 1}}
    session = shop.session(order, express=express, shipping_option=PICK_UP)
    assert session["amount"] == 1000
    assert session["express"] == express
    assert shop.read_session(session)["express"] == express
    path = f"orders/{order['order_id']}/sessions"
    for wrong in ({**POST, "id": "other"}, {**POST, "line_id": "ship-2"}, {**POST, "line_id": "other"}):
        body = session_request([1], express=express, shipping_option=wrong)
        problem = shop.refused(400, "wrong_value", "POST", path, body)
        assert problem["path"] == "/shipping_option"
        assert repr(wrong["id"]) in problem["message"]
    assert len(sessions_of(shop, order)) == 1


def test_an_option_is_the_same_whether_its_line_id_is_a_number_or_text(shop: Shop) -> None:
    express = {"shipping_options": [{**POST, "line_id": 77}]}
    session = shop.session(shop.order(1000), express=express, shipping_option={**POST, "line_id": "77"})
    assert session["amount"] == 1490


def test_an_express_session_waits_for_its_shipping(shop: Shop) -> None:
    order = shop.order(1000)
    waiting = shop.session(order, express={"shipping_options": [POST]})
    problem = shop.refused(409, "not_payable", "POST", shop.pay_path(waiting), {})
    assert "shipping address" in problem["message"]
    free = {"shipping_options": [POST], "shipping_mode": "shipping_not_required"}
    assert shop.pay(shop.session(order, express=free))["status"] == "AUTHORIZED"


# -- cancelling


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}"])
def test_a_session_is_cancelled_and_cannot_be_paid_any_more(shop: Shop, body: bytes) -> None:
    order = shop.order(1000)
    session = shop.session(order)
    path = f"/v1/sessions/{session['id']}/cancel"
    answer = shop.call("POST", path, data=body)
    assert answer.status_code == 200, answer.text
    cancelled = answer.json()
    assert cancelled["cancelled_at"]
    assert cancelled["cancelled_by"]
    assert [event["name"] for event in cancelled["events"]][-1] == "CANCELLED"
    assert shop.ok("POST", path) == cancelled
    shop.refused(409, "session_cancelled", "POST", shop.pay_path(session), {})
    assert shop.pay(shop.session(order))["status"] == "AUTHORIZED"


def test_a_line_that_costs_nothing_is_paid_along_with_the_others(shop: Shop) -> None:
    order = shop.order(1000, 0)
    session = shop.session(order)
    assert session["items"] == [{"line_id": "1", "amount": 1000}, {"line_id": "2", "amount": 0}]
    paid = shop.pay(session)
    assert paid["status"] == "AUTHORIZED"
    shop.ok("POST", f"/v1/transactions/{paid['transaction_id']}/capture", {"amount": 1000})
    assert shop.read_order(order)["payment_status"] == "paid"
