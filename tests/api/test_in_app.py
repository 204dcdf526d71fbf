"""An app that has its payer back before anybody else, and asks how it went, over real HTTP."""

from __future__ import annotations

import pytest
import requests

from kasse.gateways.sandbox import WALLET, Sandbox
from tests.api.merchant import query
from tests.api.refusing import refuse
from tests.api.test_methods import EXTERNAL, enable
from tests.running import PATIENCE_S, Json, Running, Shop

APP = "fjordapp://paid?cart=7&initial_recipient=merchant"
CHALLENGE = "4000100000000000"


def opened(
    shop: Shop, return_url: str = APP, channel: str = "in_app", amount: int = 1000, **configuration: object
) -> Json:
    return shop.ok(
        "POST",
        "/v1/sessions-profile",
        {
            "profile_id": "default",
            "url": {"return_url": return_url},
            "order": {"amount": amount, "currency": "NOK", "merchant_reference": "app-1"},
            "configuration": {"channel": channel, **configuration},
        },
    )


def asked(url: str) -> requests.Response:
    return requests.get(url, timeout=PATIENCE_S, allow_redirects=False)


def answered(action_url: str, answer: str) -> str:
    """Where the bank or wallet sends a payer who has answered."""
    back = requests.post(f"{action_url}/{answer}", timeout=PATIENCE_S, allow_redirects=False)
    assert back.status_code == 303
    return back.headers["Location"]


def ask(shop: Shop, session: Json, paying: Json) -> str:
    """Where the outcome of a payment is asked for."""
    return f"{shop.base_url}/v1/sessions/{session['id']}/redirect/{paying['transaction_id']}"


@pytest.mark.parametrize("method", ["card", "wallet"])
def test_an_app_gets_its_payer_first_and_asks_until_it_is_told(server: Running, shop: Shop, method: str) -> None:
    enable(server, shop, WALLET)
    session = opened(shop)
    how: Json = {"card": CHALLENGE} if method == "card" else {"payment_product_type": WALLET}
    paying = shop.ok("POST", shop.pay_path(session), how)
    page = requests.get(paying["action_url"], timeout=PATIENCE_S)
    assert "form-action * fjordapp:" in page.headers["Content-Security-Policy"]

    asking = ask(shop, session, paying)
    undecided = asked(asking)
    assert (undecided.status_code, undecided.json()["session_id"]) == (202, session["id"])

    back = answered(paying["action_url"], "approve")
    assert back.startswith("fjordapp://paid?")
    assert query(back) == {
        **{"cart": "7", "initial_recipient": "merchant", "merchant_reference": "app-1"},
        **{"session_id": session["id"], "payment_return_url": asking},
    }
    told = asked(query(back)["payment_return_url"])
    assert told.status_code == 302
    assert query(told.headers["Location"]) == {
        **{"cart": "7", "initial_recipient": "merchant", "merchant_reference": "app-1"},
        **{"session_id": session["id"], "transaction_id": paying["transaction_id"]},
    }
    assert shop.transaction(paying["transaction_id"])["status"] == "AUTHORIZED"


def test_an_app_is_told_that_its_payer_turned_back(shop: Shop) -> None:
    session = opened(shop)
    paying = shop.pay(session, CHALLENGE)
    back = answered(paying["action_url"], "reject")
    told = query(asked(query(back)["payment_return_url"]).headers["Location"])
    assert told["error"] == "authorization"
    assert "transaction_id" not in told
    # The session is still there to be paid in another way, and then that is what the app is told.
    paid = shop.pay(session)
    told = query(asked(query(back)["payment_return_url"]).headers["Location"])
    assert told["transaction_id"] == paid["transaction_id"]


def test_an_app_is_told_of_a_cancelled_session_and_of_a_refused_payment(shop: Shop) -> None:
    session = opened(shop)
    paying = shop.pay(session, CHALLENGE)
    shop.ok("POST", f"/v1/sessions/{session['id']}/cancel")
    told = asked(ask(shop, session, paying))
    assert query(told.headers["Location"])["error"] in ("cancelled", "authorization")


def test_an_app_is_told_that_the_issuer_refused(shop: Shop) -> None:
    session = opened(shop, amount=9_950_500)  # the payer confirms, then the issuer says 05
    paying = shop.pay(session, CHALLENGE)
    back = answered(paying["action_url"], "approve")
    told = query(asked(query(back)["payment_return_url"]).headers["Location"])
    assert told["error"] == "failed"
    assert "transaction_id" not in told
    assert shop.transaction(paying["transaction_id"])["status"] == "FAILED"


def test_an_app_is_told_that_the_automatic_capture_failed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened(shop, auto_capture=True)
    paying = shop.pay(session, CHALLENGE)
    back = answered(paying["action_url"], "approve")
    with monkeypatch.context() as patched:
        patched.setattr(Sandbox, "capture", refuse)
        told = query(asked(query(back)["payment_return_url"]).headers["Location"])
    assert told["error"] == "capture"
    assert told["transaction_id"] == paying["transaction_id"]
    assert shop.transaction(paying["transaction_id"])["status"] == "AUTHORIZED"


def test_an_app_is_told_of_a_payment_on_hold_as_of_one_that_is_paid(server: Running, shop: Shop) -> None:
    enable(server, shop, EXTERNAL)
    session = opened(shop)
    paid = shop.ok("POST", shop.pay_path(session), {"payment_product_type": EXTERNAL})
    told = query(asked(ask(shop, session, paid)).headers["Location"])
    assert (told["transaction_id"], "error" in told) == (paid["transaction_id"], False)
    assert shop.transaction(paid["transaction_id"])["status"] == "ON_HOLD"


def test_the_page_tells_an_app_how_it_went_and_where_to_ask(shop: Shop) -> None:
    session = opened(shop)
    body = {"payment_product_type": "dintero_psp.creditcard"}
    card = {"number": "4000000000000002", "expiry": "12/39", "cvc": "123"}
    at = f"{shop.base_url}/v1/sessions/{session['id']}/pay"
    paid = requests.post(at, json={**body, "card": card}, timeout=PATIENCE_S).json()
    sent = query(paid["redirect_url"])
    assert sent["session_id"] == session["id"]
    assert query(asked(sent["payment_return_url"]).headers["Location"])["transaction_id"] == sent["transaction_id"]


@pytest.mark.parametrize(
    ("return_url", "channel"),
    [
        ("https://shop.example/done?initial_recipient=merchant", "ecommerce"),
        ("https://shop.example/done?initial_recipient=page", "in_app"),
        ("fjordapp://paid", "in_app"),
    ],
)
def test_everybody_else_comes_back_by_this_server(shop: Shop, return_url: str, channel: str) -> None:
    session = opened(shop, return_url, channel)
    back = answered(shop.pay(session, CHALLENGE)["action_url"], "approve")
    told = asked(f"{shop.base_url}{back}")
    assert told.status_code == 302
    assert told.headers["Location"].startswith(return_url)
    assert {"session_id", "payment_return_url"}.isdisjoint(query(told.headers["Location"]))
