"""The page in a frame of a shop on another site, embedded by the published browser SDK.

Source: page reference, sections 1 to 7 and 9.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from playwright.sync_api import expect

from kasse.operations.house import House
from kasse.page import routes
from kasse.page.present import Seen, pay_view
from kasse.page.view import PayView
from kasse.page.visit import Visit
from tests.page.browsing import CONFIRM, REFUSED, Payer
from tests.page.embedding import Cart
from tests.page.states import Shopping
from tests.running import Json

pytestmark = pytest.mark.browser


def test_a_payment_in_a_frame_is_told_to_the_shop(shopping: Shopping, payer: Payer) -> None:
    order = shopping.order()
    cart = Cart.opens(shopping, payer, shopping.session(order), handlers=["onSession", "onPayment"])
    loaded = cart.is_told("onSession")
    assert loaded["session"]["id"] == cart.session["id"]
    assert loaded["session"]["order"]["amount"] == 10_000
    assert cart.waits_for("LanguageChanged")["language"] == "en"
    cart.pay()
    paid = cart.is_told("onPayment")
    transaction_id = shopping.shop.read_session(cart.session)["transaction_id"]
    assert paid["type"] == "SessionPaymentAuthorized"
    assert (paid["transaction_id"], paid["merchant_reference"]) == (transaction_id, order["order_id"])
    assert paid["href"] == (
        f"{shopping.merchant.base}/done?cart=7&merchant_reference={order['order_id']}&transaction_id={transaction_id}"
    )
    expect(cart.frame.get_by_role("heading", level=1)).to_have_text("Thank you, your payment is complete")
    expect(cart.frame.locator("a, button")).to_have_count(0)
    assert "/embedResult/" in cart.page.frames[-1].url
    assert shopping.authorizations(order) == [10_000]
    assert shopping.merchant.returns() == [], "the frame was led to the merchant"


def test_every_message_says_whose_it_is_and_is_acknowledged(shopping: Shopping, payer: Payer) -> None:
    payer.context.add_init_script(
        "window.acks = []; addEventListener('message', ({ data }) => data.ack && acks.push(data.ack))"
    )
    cart = Cart.opens(shopping, payer)
    cart.waits_for("SessionLoaded")
    messages: list[Json] = cart.page.evaluate("heard.filter((each) => each.type)")
    assert {each["sid"] for each in messages} == {cart.session["id"]}
    assert {each["origin"] for each in messages} == {shopping.server.base_url}
    ids = [each["mid"] for each in messages]
    assert len(set(ids)) == len(ids)
    frame = cart.page.frames[-1]
    frame.wait_for_function("(ids) => ids.every((id) => acks.includes(id))", arg=ids)


def test_the_frame_is_as_high_as_what_is_in_it(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer)
    cart.sees("ready")
    cart.waits_for("HeightChanged")
    expect(cart.pay_button).to_be_in_viewport(ratio=1)

    def heights() -> tuple[float, float]:
        content = cart.frame.locator("body").evaluate("body => body.getBoundingClientRect().height")
        return content, cart.page.locator("iframe").evaluate("frame => frame.getBoundingClientRect().height")

    def fits() -> bool:
        content, frame = heights()
        return abs(content - frame) <= 1

    before = heights()[1]
    assert fits()
    cart.pay_button.click()
    expect(cart.frame.locator("#card_number-error")).to_have_text("Enter the card number.")
    cart.waits_for("HeightChanged", len(cart.heard("HeightChanged")))
    cart.page.wait_for_function("(before) => document.querySelector('iframe').offsetHeight > before", arg=before)
    assert fits()


def test_without_functions_of_its_own_the_shop_is_led_to_its_return_address(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer, handlers=[])
    cart.pay()
    payer.is_at_the_shop()
    assert f"transaction_id={shopping.shop.account_id}" in payer.page.url


def test_cancelling_in_a_frame_is_told_to_the_shop(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer)
    cart.frame.get_by_role("button", name="Cancel payment").click()
    event = cart.is_told("onSessionCancel")
    assert event["href"].endswith("&error=cancelled")
    expect(cart.frame.get_by_role("heading", level=1)).to_have_text("The payment was cancelled")
    assert shopping.merchant.returns() == []


@pytest.mark.parametrize("answer", ["Approve", "Reject"])
def test_the_bank_asks_within_the_frame(shopping: Shopping, payer: Payer, answer: str) -> None:
    order = shopping.order()
    cart = Cart.opens(shopping, payer, shopping.session(order))
    cart.pay(CONFIRM)
    cart.sees("bank")
    cart.waits_for("ScrollToTop")
    cart.frame.get_by_role("button", name=answer).click()
    if answer == "Approve":
        assert cart.is_told("onPayment")["type"] == "SessionPaymentAuthorized"
        assert shopping.authorizations(order) == [10_000]
        return
    cart.sees("declined")
    assert cart.page.evaluate("told") == [], "a decline can be tried again, so it is not the end"
    cart.pay()
    assert cart.is_told("onPayment")["type"] == "SessionPaymentAuthorized"


def test_a_decline_in_a_frame_is_told_there_and_tried_again(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer)
    cart.pay(REFUSED)
    cart.sees("declined")
    expect(cart.frame.get_by_role("alert").first).to_contain_text("You have not been charged.")
    assert cart.page.evaluate("told") == []


@pytest.mark.parametrize("why", ["no way to pay", "a fault of the page"])
def test_the_way_back_from_a_page_that_cannot_be_shown_is_told_to_the_shop(
    shopping: Shopping, payer: Payer, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    configuration = {}
    if why == "no way to pay":
        configuration = {"dintero_psp": {"creditcard": {"payability": "disabled_by_gateway"}}}
    session = shopping.direct_session(configuration=configuration)
    asked = breaks(monkeypatch, session["id"]) if why == "a fault of the page" else []
    cart = Cart.opens(shopping, payer, session)
    cart.sees("unavailable")
    cart.waits_for("SessionLoaded")
    cart.page.wait_for_timeout(1500)
    assert len(asked) <= 1, "it loads itself again and again"
    assert cart.page.evaluate("told") == [], "nothing has ended yet"
    cart.frame.get_by_role("link", name="Back to Fjord & Fjell").click()
    event = cart.is_told("onPaymentError")
    assert (event["type"], event["error"]) == ("SessionPaymentError", "failed")
    assert event["href"] == f"{shopping.merchant.base}/done?cart=7&merchant_reference=web-7&error=failed"
    expect(cart.frame.get_by_role("heading", level=1)).to_have_text("The payment was not completed")
    assert shopping.merchant.returns() == [], "the frame was led to the merchant"


def breaks(monkeypatch: pytest.MonkeyPatch, session_id: str) -> list[str]:
    """There is a fault in the house wherever this session is shown as what it is. Answers how it was to be shown."""
    asked = list[str]()

    def shows_others(house: House, seen: Seen, visit: Visit) -> PayView:
        if seen.session.id == session_id and seen.state != "unavailable":
            asked.append(seen.state)
            raise RuntimeError("a fault, on purpose")
        return pay_view(house, seen, visit)

    monkeypatch.setattr(routes, "pay_view", shows_others)
    return asked


@pytest.mark.parametrize("how", ["unknown", "expired"])
def test_a_session_that_is_not_there_is_told_as_such(shopping: Shopping, payer: Payer, how: str) -> None:
    session = shopping.session()
    if how == "unknown":
        session = {**session, "id": f"{shopping.shop.account_id}.nothing"}
    else:
        shopping.move_time(timedelta(hours=25))
    cart = Cart.opens(shopping, payer, session, handlers=["onSessionNotFound", "onSession"])
    cart.is_told("onSessionNotFound")
    cart.waits_for("HeightChanged")
    assert [name for name, _ in cart.page.evaluate("told")] == ["onSessionNotFound"]


def test_a_session_that_is_paid_elsewhere_ends_in_the_frame_too(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer)
    cart.waits_for("SessionLoaded")
    shopping.shop.pay(cart.session)
    assert cart.is_told("onPayment")["type"] == "SessionPaymentAuthorized"


def test_an_order_that_is_being_paid_cannot_be_locked(shopping: Shopping, payer: Payer) -> None:
    shopping.never_looks_up()
    cart = Cart.opens(shopping, payer, handlers=["onSessionLockFailed"])
    cart.pay("4100 0000 0000 0001")
    cart.sees("waiting")
    failed = cart.page.evaluate("checkout.lockSession().then(() => 'locked', () => 'failed')")
    assert failed == "failed"
    cart.is_told("onSessionLockFailed")


def test_the_shop_locks_changes_and_refreshes_the_order(shopping: Shopping, payer: Payer) -> None:
    session = shopping.direct_session()
    cart = Cart.opens(shopping, payer, session, handlers=["onSession", "onSessionLocked", "onPayment"])
    cart.waits_for("SessionLoaded")
    cart.fill()
    lock_id = cart.page.evaluate("checkout.lockSession()")["pay_lock_id"]
    assert cart.is_told("onSessionLocked")["pay_lock_id"] == lock_id
    expect(cart.number).to_be_disabled()
    expect(cart.pay_button).to_be_disabled()
    expect(cart.frame.get_by_text("The shop is updating your order.")).to_be_visible()
    changed = {"order": {"amount": 12_500, "items": [shopping.item(12_500)]}}
    shopping.shop.ok("PUT", f"/v1/sessions/{session['id']}", changed)
    refreshed = cart.page.evaluate("checkout.refreshSession()")
    assert refreshed["session"]["order"]["amount"] == 12_500
    expect(cart.pay_button).to_have_text("Pay NOK\xa0125.00")
    expect(cart.number).to_be_enabled()
    expect(cart.number).to_have_value("4000 0000 0000 0002")
    cart.pay_button.click()
    transaction = shopping.shop.transaction(cart.is_told("onPayment")["transaction_id"])
    assert transaction["amount"] == 12_500


def test_a_change_by_the_merchant_alone_shows_in_the_frame(shopping: Shopping, payer: Payer) -> None:
    session = shopping.direct_session()
    cart = Cart.opens(shopping, payer, session)
    cart.waits_for("SessionLoaded")
    cart.number.fill("4000 1")
    changed = {"order": {"amount": 7_500, "items": [shopping.item(7_500)]}}
    shopping.shop.ok("PUT", f"/v1/sessions/{session['id']}?update_without_lock=true", changed)
    assert cart.waits_for("SessionUpdated")["session"]["order"]["amount"] == 7_500
    expect(cart.pay_button).to_have_text("Pay NOK\xa075.00")
    expect(cart.number).to_have_value("4000 1")


VALIDATES = """{ onValidateSession: (event, checkout, callback) => {
    told.push(["onValidateSession", { type: event.type, session: event.session }]);
    window.answer = callback;
} }"""


def test_the_shop_is_asked_before_the_payment_goes_out(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer, more=VALIDATES)
    cart.pay()
    asked = cart.is_told("onValidateSession")
    assert asked["session"]["id"] == cart.session["id"]
    expect(cart.pay_button).to_be_disabled()
    assert shopping.attempts(cart.session) == 0
    cart.page.evaluate("answer({ success: false, clientValidationError: 'We are out of jumpers.' })")
    expect(cart.frame.get_by_role("alert")).to_contain_text("We are out of jumpers.")
    expect(cart.pay_button).to_be_enabled()
    assert shopping.attempts(cart.session) == 0
    cart.page.evaluate("told.length = 0")
    cart.pay_button.click()
    cart.is_told("onValidateSession")
    cart.page.evaluate("answer({ success: true })")
    cart.is_told("onPayment")


def test_a_shop_whose_check_breaks_does_not_get_paid(shopping: Shopping, payer: Payer) -> None:
    payer.forgives = "out of order"
    cart = Cart.opens(shopping, payer, more="{ onValidateSession: () => { throw Error('out of order'); } }")
    cart.pay()
    expect(cart.frame.get_by_role("alert")).to_contain_text("Validation runtime error")
    assert shopping.attempts(cart.session) == 0


def test_messages_of_strangers_are_not_heeded(shopping: Shopping, payer: Payer) -> None:
    """Neither those of another window, nor those that do not know the session."""
    cart = Cart.opens(shopping, payer)
    cart.waits_for("SessionLoaded")
    cart.page.evaluate(
        """([sid, origin]) => {
            const target = document.querySelector("iframe").contentWindow;
            target.postMessage({ type: "LockSession", sid: "another" }, "*");
            target.postMessage({ type: "LockSession" }, "*");
            target.postMessage({ type: "toString", sid }, "*");
            target.postMessage("LockSession", "*");
            target.postMessage(null, "*");
            const stranger = document.body.appendChild(document.createElement("iframe"));
            stranger.contentWindow.eval(`parent.document.querySelector("iframe").contentWindow
                .postMessage({ type: "LockSession", sid: "${sid}" }, "*")`);
        }""",
        [cart.session["id"], shopping.server.base_url],
    )
    cart.page.evaluate("checkout.refreshSession()")
    assert cart.heard("SessionLocked") == []
    assert "PAY_LOCK_START" not in shopping.events(cart.session)


def test_the_shop_may_hide_the_test_message(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer, hideTestMessage=True)
    cart.sees("ready")
    expect(cart.frame.locator("aside.test")).to_have_count(0)


def test_the_terms_open_in_a_window_of_their_own(shopping: Shopping, payer: Payer) -> None:
    cart = Cart.opens(shopping, payer)
    with payer.page.expect_popup() as opening:
        cart.frame.get_by_role("link", name="Terms and conditions").click()
    opening.value.wait_for_url(f"{shopping.merchant.base}/terms")
    [call] = [call for call in shopping.merchant.calls if call.path == "/terms"]
    assert "referer" not in call.headers


@pytest.mark.parametrize(
    ("query", "heading"),
    [
        ("merchant_reference=a&transaction_id=T1.a", "Thank you, your payment is complete"),
        ("error=cancelled", "The payment was cancelled"),
        ("error=authorization", "The payment was not completed"),
        ("error=<script>&language=nb", "Betalingen ble ikke fullført"),
    ],
)
def test_the_result_is_plain_and_leads_nowhere(shopping: Shopping, payer: Payer, query: str, heading: str) -> None:
    payer.page.goto(f"{shopping.server.base_url}/embedResult/?sid=T1.x&sdk=0.8.30&{query}")
    expect(payer.heading).to_have_text(heading)
    expect(payer.page.locator("a, button, form")).to_have_count(0)
