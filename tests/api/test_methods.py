"""Ways to pay other than by card, over real HTTP: a wallet elsewhere, an invoice, nothing at all."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import requests

from kasse.operations.house import House
from kasse.store.port import Loads
from tests.running import PATIENCE_S, Json, Running, Shop, line, session_request

WALLET, EXTERNAL, ZERO = "swish.swish", "dintero.external", "dintero.zero"


def enable(server: Running, shop: Shop, *methods: str) -> None:
    """Let the account's default profile offer these besides cards."""

    async def put(house: House) -> None:
        async def decide(loads: Loads) -> tuple[None, Any]:
            profile = await loads.profile(shop.account_id, "default")
            assert profile is not None
            configuration: Json = copy.deepcopy(profile.configuration)
            for method in methods:
                provider, _, product = method.partition(".")
                products = configuration.setdefault(provider, {"type": "payment_type"})
                products[product] = {"type": "payment_product_type", "enabled": True}
            after = msgspec.structs.replace(profile, configuration=configuration, version=profile.version + 1)
            return None, (after,)

        await house.store.change(decide)

    server.run(put(server.house))


def pay(shop: Shop, session: Json, method: str) -> Json:
    return shop.ok("POST", shop.pay_path(session), {"payment_product_type": method})


def test_a_wallet_sends_the_payer_to_its_page_and_back(server: Running, shop: Shop) -> None:
    enable(server, shop, WALLET)
    order = shop.order(1000)
    session = shop.session(order)
    paid = pay(shop, session, WALLET)
    assert paid["status"] == "INITIATED"
    page = requests.get(paid["action_url"], timeout=PATIENCE_S)
    assert (page.status_code, "Card" in page.text) == (200, False)
    back = requests.post(f"{paid['action_url']}/approve", timeout=PATIENCE_S, allow_redirects=False)
    at = requests.get(f"{shop.base_url}{back.headers['location']}", timeout=PATIENCE_S, allow_redirects=False)
    assert f"transaction_id={paid['transaction_id']}" in at.headers["location"]
    transaction = shop.transaction(paid["transaction_id"])
    assert (transaction["status"], transaction["payment_product"]) == ("AUTHORIZED", "swish")
    assert transaction["payment_product_type"] == WALLET
    assert "card" not in transaction
    assert shop.read_order(order)["authorizations"][0]["payment_details"]["payment_product_type"] == WALLET


def test_a_payer_who_turns_back_at_the_wallet_can_pay_by_card(server: Running, shop: Shop) -> None:
    enable(server, shop, WALLET)
    session = shop.session(shop.order(1000))
    paid = pay(shop, session, WALLET)
    back = requests.post(f"{paid['action_url']}/reject", timeout=PATIENCE_S, allow_redirects=False)
    requests.get(f"{shop.base_url}{back.headers['location']}", timeout=PATIENCE_S, allow_redirects=False)
    declined = shop.transaction(paid["transaction_id"])
    assert declined["status"] == "DECLINED"
    assert declined["events"][-1]["error"]["code"] == "not_approved"
    assert shop.pay(session)["status"] == "AUTHORIZED"


def test_an_external_payment_waits_on_hold_and_keeps_its_lines(server: Running, shop: Shop) -> None:
    enable(server, shop, EXTERNAL)
    order = shop.order(1000)
    session, other = shop.session(order), shop.session(order)
    paid = pay(shop, session, EXTERNAL)
    assert paid["status"] == "ON_HOLD"
    read = shop.read_session(session)
    assert read["transaction_id"] == paid["transaction_id"]
    assert [event["name"] for event in read["events"]][-1] == "COMPLETED"
    shop.refused(409, "line_being_paid", "POST", shop.pay_path(other))
    shop.refused(409, "session_paid", "POST", shop.pay_path(session))
    page = requests.get(f"{shop.base_url}/v1/view/{session['id']}", timeout=PATIENCE_S)
    assert f"transaction_id={paid['transaction_id']}" in page.text


def test_a_method_that_the_profile_does_not_offer_is_refused(shop: Shop) -> None:
    session = shop.session(shop.order(1000))
    for method in (WALLET, "klarna.klarna", "nonsense"):
        shop.refused(409, "not_payable", "POST", shop.pay_path(session), {"payment_product_type": method})


def test_the_method_for_nothing_takes_nothing_else(server: Running, shop: Shop) -> None:
    enable(server, shop, ZERO)
    session = shop.session(shop.order(1000))
    problem = shop.refused(409, "not_payable", "POST", shop.pay_path(session), {"payment_product_type": ZERO})
    assert "1000" in problem["message"]


def test_an_order_that_costs_nothing_is_paid_captured_and_voided(server: Running, shop: Shop) -> None:
    free = shop.order(items=[line(1, 0)])
    shop.refused(400, "amount_not_positive", "POST", f"orders/{free['order_id']}/sessions", session_request([1]))
    enable(server, shop, ZERO)
    session = shop.session(free)
    shop.refused(409, "not_payable", "POST", shop.pay_path(session))
    paid = pay(shop, session, ZERO)
    assert paid["status"] == "AUTHORIZED"
    at = f"/v1/transactions/{paid['transaction_id']}"
    shop.refused(400, "amount_above_left", "POST", f"{at}/capture", {"amount": 1})
    assert shop.ok("POST", f"{at}/capture", {"amount": 0})["status"] == "CAPTURED"
    shop.refused(400, "wrong_status", "POST", f"{at}/void")
    other = pay(shop, shop.session(shop.order(items=[line(1, 0)])), ZERO)
    voided = shop.ok("POST", f"/v1/transactions/{other['transaction_id']}/void")
    assert voided["status"] == "AUTHORIZATION_VOIDED"
    by_itself = shop.session(shop.order(items=[line(1, 0)]), configuration={"auto_capture": True})
    assert pay(shop, by_itself, ZERO)["status"] == "CAPTURED"
