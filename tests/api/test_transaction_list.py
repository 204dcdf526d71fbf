"""The list of transactions, their second references and all that one tells, over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from kasse.gateways.sandbox import Sandbox
from tests.api.refusing import refuse
from tests.api.test_methods import EXTERNAL, WALLET, enable, pay
from tests.running import PATIENCE_S, Json, Running, Shop

ITEMS: list[Json] = [
    {"id": "a", "line_id": "1", "description": "A", "quantity": 1, "amount": 1000, "vat_amount": 200, "vat": 25},
    {"id": "b", "line_id": "2", "description": "B", "quantity": 1, "amount": 500, "vat_amount": 100, "vat": 25},
]
HEADERS = {
    "Dintero-System-Name": "shop",
    "Dintero-System-Version": "1",
    "Dintero-System-Plugin-Name": "plugin",
    "Dintero-System-Plugin-Version": "2",
    "User-Agent": "shop/1",
}
KARI: Json = {
    **{"first_name": "Kari", "last_name": "Nordmann"},
    **{"email": "Kari@Shop.example", "phone_number": "+4790000001"},
}


def body(**more: Any) -> Json:
    order = {"amount": 1500, "currency": "NOK", "merchant_reference": "web-1", "items": ITEMS, **more.pop("order", {})}
    return {"url": {"return_url": "https://shop.example/done"}, "order": order, "profile_id": "default", **more}


def direct(shop: Shop, **more: Any) -> Json:
    return shop.ok("POST", "/v1/sessions-profile", body(**more), headers=HEADERS)


def listed(shop: Shop, **query: Any) -> list[str]:
    answer = shop.call("GET", "/v1/transactions", params=query)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, list)
    return [each["id"] for each in found]


@pytest.fixture(scope="module")
def shop(server: Running) -> Shop:
    found = server.shop()
    enable(server, found, WALLET, EXTERNAL)
    return found


@pytest.fixture(scope="module")
def paid(shop: Shop) -> dict[str, str]:
    """Transactions of every kind, oldest first, by short names."""
    found = {}
    session = direct(
        shop,
        customer={"customer_id": "kari-1", "email": "kari@shop.example"},
        configuration={"channel": "in_store"},
        order={"shipping_address": KARI, "store": {"id": "oslo", "terminal_id": "till-1"}},
        metadata={"payout_correlation_id": "payout-1"},
    )
    found["card"] = shop.pay(session)["transaction_id"]
    swedish = {"merchant_reference": "web-2", "merchant_reference_2": "second", "currency": "SEK", "amount": 700}
    found["mastercard"] = shop.pay(direct(shop, order={**swedish, "items": []}), "5200000000000007")["transaction_id"]
    found["declined"] = shop.pay(direct(shop), "4000300000000006")["transaction_id"]
    found["wallet"] = pay(shop, direct(shop), WALLET)["transaction_id"]
    found["external"] = pay(shop, direct(shop, order={"payout_destination_id": "seller-1"}), EXTERNAL)["transaction_id"]
    shop.ok("POST", f"/v1/transactions/{found['mastercard']}/capture", {"amount": 300})
    shop.ok("POST", f"/v1/transactions/{found['mastercard']}/refund", {"amount": 100})
    return found


def names(paid: dict[str, str], ids: list[str]) -> list[str]:
    by_id = {id: name for name, id in paid.items()}
    return [by_id[id] for id in ids]


def test_a_list_is_a_bare_array_newest_first_in_pages(shop: Shop, paid: dict[str, str]) -> None:
    assert names(paid, listed(shop)) == [*reversed(paid)]
    first = listed(shop, limit=2)
    assert names(paid, first) == ["external", "wallet"]
    assert names(paid, listed(shop, limit=2, starting_after=first[-1])) == ["declined", "mastercard"]


SOON = "2099-01-01T00:00:00"
FILTERS: list[tuple[Json, list[str]]] = [
    ({"status": ["AUTHORIZED", "ON_HOLD"]}, ["external", "card"]),
    ({"status": "DECLINED,INITIATED"}, ["wallet", "declined"]),
    ({"payment_product": "swish"}, ["wallet"]),
    ({"payment_product": ["swish", "dintero"]}, ["external", "wallet"]),
    ({"payment_product_type": "dintero.external"}, ["external"]),
    ({"card_brand": "Mastercard"}, ["mastercard"]),
    ({"card_brand": ["Visa", "Mastercard"], "currency": "SEK"}, ["mastercard"]),
    ({"store_id": "oslo"}, ["card"]),
    ({"terminal_id": "till-1"}, ["card"]),
    ({"payout_correlation_id": "payout-1"}, ["card"]),
    ({"payout_destination_id": "seller-1"}, ["external"]),
    ({"channel": "in_store"}, ["card"]),
    ({"token_id": "none"}, []),
    ({"merchant_reference": "web-2"}, ["mastercard"]),
    ({"merchant_reference_2": "second"}, ["mastercard"]),
    ({"amount": 700}, ["mastercard"]),
    ({"amount.gte": 701, "status": "ON_HOLD"}, ["external"]),
    ({"amount.lte": 700}, ["mastercard"]),
    ({"created_at.gte": SOON}, []),
    ({"created_at.gte": "2020-01-01T00:00:00Z", "created_at.lte": SOON, "amount": 700}, ["mastercard"]),
    ({"captured_at.gte": "2020-01-01"}, ["mastercard"]),
    ({"captured_at.gte": "2020-01-01T00:00:00", "captured_at.lte": SOON}, ["mastercard"]),
    ({"refunded_at.lte": "2020-01-01T00:00:00+01:00"}, []),
    ({"refunded_at.gte": "2020-01-01T00:00:00+01:00"}, ["mastercard"]),
    ({"search": "KARI@shop.example"}, ["card"]),
    ({"search": "kari nordmann"}, ["card"]),
    ({"search": "+4790000001"}, ["card"]),
    ({"search": "second"}, ["mastercard"]),
    ({"search": "web-2"}, ["mastercard"]),
    ({"customer_id": "kari-1"}, ["card"]),
    ({"payment_operation": "recurring_purchase"}, []),
    ({"payment_operation": "unscheduled_purchase", "currency": "SEK"}, ["mastercard"]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS, ids=[str(query) for query, _ in FILTERS])
def test_every_filter_of_the_list(shop: Shop, paid: dict[str, str], query: Json, expected: list[str]) -> None:
    assert names(paid, listed(shop, **query)) == expected


def test_a_list_by_ids_and_sessions(shop: Shop, paid: dict[str, str]) -> None:
    assert names(paid, listed(shop, id=[paid["card"], paid["wallet"], "nothing"])) == ["wallet", "card"]
    assert names(paid, listed(shop, **{"id[]": [paid["card"], "nothing"], "status[]": "AUTHORIZED"})) == ["card"]
    assert names(paid, listed(shop, id=f"{paid['card']},{paid['wallet']}")) == ["wallet", "card"]
    session = shop.transaction(paid["card"])["session_id"]
    assert names(paid, listed(shop, session_id=session)) == ["card"]
    assert names(paid, listed(shop, search=session)) == ["card"]
    assert names(paid, listed(shop, search=paid["wallet"])) == ["wallet"]


def test_nobody_sees_another_account(server: Running, paid: dict[str, str]) -> None:
    other = server.shop()
    assert listed(other) == listed(other, id=paid["card"]) == listed(other, search="web-2") == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"status": "PAID"},
        {"amount": "1.5"},
        {"amount.gte": "9" * 30},
        {"created_at.gte": "yesterday"},
        {"starting_after": "T00000000.nothing"},
        {"id": [str(n) for n in range(101)]},
    ],
    ids=str,
)
def test_a_filter_that_makes_no_sense_is_refused(shop: Shop, query: Json) -> None:
    problem = shop.refused(400, "wrong_value", "GET", "/v1/transactions", params=query)
    assert problem["path"] == f"/{next(iter(query))}"
    assert "expected" in problem["message"]


def test_a_list_needs_a_scope(server: Running) -> None:
    server.shop("read:shopping").refused(403, "missing_scope", "GET", "/v1/transactions")
    assert listed(server.shop("read:checkout")) == []


def test_sessions_come_with_a_list(shop: Shop, paid: dict[str, str]) -> None:
    answer = shop.call("GET", "/v1/transactions", params={"includes": "session", "id": paid["card"]})
    [found] = answer.json()
    assert found["session"]["id"] == found["session_id"]


# -- one transaction


def test_a_transaction_takes_along_what_its_session_said(shop: Shop) -> None:
    box = {"id": "newsletter", "label": "News", "checked": True}
    session = direct(
        shop,
        customer={"customer_id": "k", "email": "k@shop.example"},
        checkboxes=[box],
        metadata={"ext_one": "1"},
        merchant={"name": "Fjord", "country": "NO", "merchant_category_code": "5999", "logo_url": "https://x.example"},
        configuration={"channel": "in_app"},
        order={"billing_address": KARI, "event_reference": "event-7", "partial_payment": False},
    )
    read = shop.transaction(shop.pay(session)["transaction_id"])
    assert (read["customer"]["customer_id"], read["checkboxes"], read["channel"]) == ("k", [box], "in_app")
    assert read["billing_address"] == KARI
    assert read["partial_payment"] is False
    assert read["customer_ip"] == "127.0.0.1"
    assert read["user_agent"].startswith("python-requests")
    assert read["url"] == {"redirect_url": "https://shop.example/done"}
    assert read["metadata"] == {
        **{"ext_one": "1", "merchant_name": "Fjord", "merchant_country": "NO", "merchant_category_code": "5999"},
        **{"event_reference": "event-7", "session:profile_id": "default", "gateway:id": "sandbox"},
    }
    assert read["events"][0]["event_reference"] == "event-7"
    assert read["events"][0]["calculated_vat_amount"] == 300
    assert "initiating_system_request_headers" not in read
    assert "session" not in read


def test_what_is_included_on_request(shop: Shop) -> None:
    session = direct(shop)
    id = shop.pay(session)["transaction_id"]
    at = f"/v1/transactions/{id}"
    shop.ok("POST", f"{at}/capture", {"amount": 400}, headers=HEADERS)
    includes = ["events.request_headers", "initiating_system_request_headers", "card.payment_token", "nonsense"]
    read = shop.ok("GET", at, params={"includes": includes})
    lower = {name.lower(): value for name, value in HEADERS.items()}
    assert read["initiating_system_request_headers"] == lower
    assert read["events"][-1]["request_headers"] == lower
    latest = shop.ok("GET", at, params={"includes": "session.events.latest"})
    assert [each["name"] for each in latest["session"]["events"]] == ["COMPLETED"]
    whole = shop.ok("GET", at, params={"includes": "session"})
    assert len(whole["session"]["events"]) > 1


def test_only_successful_events_on_request(shop: Shop) -> None:
    id = shop.pay(direct(shop), "4000300000000006")["transaction_id"]
    assert [each["success"] for each in shop.transaction(id)["events"]] == [False]
    assert shop.ok("GET", f"/v1/transactions/{id}", params={"includes": "events.success.true"})["events"] == []


def test_the_tax_of_a_part_is_in_proportion(shop: Shop) -> None:
    at = f"/v1/transactions/{shop.pay(direct(shop))['transaction_id']}"
    for asked, tax in (
        ({"amount": 250, "items": [{"line_id": "1", "amount": 250}]}, 50),
        ({"amount": 100, "items": [{"line_id": "1", "amount": 100, "vat_amount": 7}]}, 7),
        ({"amount": 100, "items": [{"line_id": "rounding-fee", "amount": 100}]}, None),
        ({"amount": 100}, None),
    ):
        captured = shop.ok("POST", f"{at}/capture", asked)
        assert captured["events"][-1].get("calculated_vat_amount") == tax
        assert captured["events"][-1]["items"] == asked.get("items", [])


def test_a_second_reference_is_changed_and_found(shop: Shop) -> None:
    id = shop.pay(direct(shop))["transaction_id"]
    changed = shop.ok("PUT", f"/v1/transactions/{id}", {"merchant_reference_2": "new-2", "other": 1})
    assert changed["merchant_reference_2"] == "new-2"
    assert shop.transaction(id) == changed
    assert listed(shop, merchant_reference_2="new-2") == listed(shop, search="new-2") == [id]
    again = shop.ok("PUT", f"/v1/transactions/{id}", {"merchant_reference_2": "new-2"})
    assert again["updated_at"] == changed["updated_at"]


def test_a_second_reference_that_is_none_is_refused(server: Running, shop: Shop, paid: dict[str, str]) -> None:
    at = f"/v1/transactions/{paid['card']}"
    shop.refused(400, "missing_field", "PUT", at, {})
    shop.refused(400, "wrong_type", "PUT", at, {"merchant_reference_2": 7})
    shop.refused(400, "wrong_value", "PUT", at, {"merchant_reference_2": "x" * 1001})
    shop.refused(404, "transaction_not_found", "PUT", f"{at}x", {"merchant_reference_2": "x"})
    server.shop("read:checkout").refused(403, "missing_scope", "PUT", at, {"merchant_reference_2": "x"})


def test_a_final_capture_releases_the_rest(shop: Shop) -> None:
    order = shop.order(1000, 500)
    at = f"/v1/transactions/{shop.pay(shop.session(order))['transaction_id']}"
    captured = shop.ok("POST", f"{at}/capture", {"amount": 700.0, "final_capture": True, "id": "seen"})
    assert captured["status"] == "CAPTURED"
    assert [(each["event"], each["amount"]) for each in captured["events"]][1:] == [("CAPTURE", 700), ("VOID", 800)]
    assert shop.read_order(order)["cancellations"][0]["amount"] == 800
    shop.refused(400, "wrong_status", "POST", f"{at}/capture", {"amount": 1})


def test_an_automatic_capture_that_fails_sends_the_payer_on_with_its_error(
    shop: Shop, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sandbox, "capture", refuse)
    session = direct(shop, configuration={"auto_capture": True})
    paid = shop.pay(session)
    assert paid["status"] == "AUTHORIZED"
    page = requests.get(f"{shop.base_url}/v1/view/{session['id']}", timeout=PATIENCE_S)
    assert f"transaction_id={paid['transaction_id']}&amp;error=capture" in page.text
    monkeypatch.undo()
    captured = shop.ok("POST", f"/v1/transactions/{paid['transaction_id']}/capture", {"amount": 1500})
    assert captured["status"] == "CAPTURED"
