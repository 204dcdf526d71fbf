"""How a payer's way ends: what the pay reply says, where he is sent and what is told, over real HTTP.

Source: checkout reference, 6.3, 6.4 and section 9.
"""

from __future__ import annotations

import pytest
import requests

from kasse.gateways.sandbox import Sandbox
from tests.api.merchant import Receiver, arrived, eventually, query
from tests.api.refusing import refuse
from tests.running import PATIENCE_S, Json, Shop

PAID = "4000000000000002"
ANSWER_LOST = "4100000000000001"


def opened(shop: Shop, callback_url: str = "http://127.0.0.1:1/", **configuration: object) -> Json:
    return shop.ok(
        "POST",
        "/v1/sessions-profile",
        {
            "profile_id": "default",
            "url": {"return_url": "https://shop.example/done?cart=7", "callback_url": callback_url},
            "order": {"amount": 1000, "currency": "NOK", "merchant_reference": "web-1"},
            "configuration": configuration,
        },
    )


def paid(shop: Shop, session: Json, number: str = PAID) -> requests.Response:
    card = {"number": number, "expiry": "12/39", "cvc": "123"}
    body: Json = {"payment_product_type": "dintero_psp.creditcard", "card": card}
    return requests.post(f"{shop.base_url}/v1/sessions/{session['id']}/pay", json=body, timeout=PATIENCE_S)


def test_an_automatic_capture_that_is_refused_is_told_with_the_payment(
    shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(shop, f"{receiver.url}/?report_error=true", auto_capture=True)
    with monkeypatch.context() as patched:
        patched.setattr(Sandbox, "capture", refuse)
        reply = paid(shop, session).json()
    transaction_id = shop.read_session(session)["transaction_id"]
    expected = {"cart": "7", "merchant_reference": "web-1", "transaction_id": transaction_id, "error": "capture"}
    assert reply["success"] is True
    assert query(reply["redirect_url"]) == expected
    [told] = arrived(receiver)
    assert (told.query["error"], told.query["transaction_id"]) == ("capture", transaction_id)
    # Captured by hand all the same: from then on nobody hears of an error, and the merchant hears of success.
    assert shop.ok("POST", f"/v1/transactions/{transaction_id}/capture", {"amount": 1000})["status"] == "CAPTURED"
    _, told = arrived(receiver, 2)
    assert "error" not in told.query
    back = f"{shop.base_url}/v1/sessions/{session['id']}/redirect/{transaction_id}"
    sent = requests.get(back, timeout=PATIENCE_S, allow_redirects=False).headers["Location"]
    assert query(sent) == {name: value for name, value in expected.items() if name != "error"}


def test_a_payment_without_an_answer_is_202_and_may_be_asked_for(shop: Shop) -> None:
    session = opened(shop)
    answer = paid(shop, session, ANSWER_LOST)
    reply = answer.json()
    assert (answer.status_code, reply["success"], reply["actions"]) == (202, True, [])
    assert set(reply) == {"success", "actions", "poll_url"}
    state = eventually(
        lambda: requests.get(reply["poll_url"], timeout=PATIENCE_S).json(), lambda found: found["state"] != "waiting"
    )
    assert state["state"] == "paid"
    transaction_id = shop.read_session(session)["transaction_id"]
    assert query(state["href"]) == {"cart": "7", "merchant_reference": "web-1", "transaction_id": transaction_id}


def test_a_payer_who_gives_up_is_sent_back_with_the_reason(shop: Shop) -> None:
    session = opened(shop)
    for _ in range(2):
        answer = requests.post(
            f"{shop.base_url}/v1/view/{session['id']}/session/abandon", timeout=PATIENCE_S, allow_redirects=False
        )
        expected = {"cart": "7", "merchant_reference": "web-1", "error": "cancelled"}
        assert (answer.status_code, query(answer.headers["Location"])) == (302, expected)
    assert shop.read_session(session)["cancelled_by"] == "payer"
