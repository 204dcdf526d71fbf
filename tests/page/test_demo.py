"""The demo shop, by every way into the payment page."""

from __future__ import annotations

import pytest
import requests
from playwright.sync_api import expect

from kasse.operations import sample
from tests.page.browsing import CONFIRM, PAID, Payer
from tests.running import PATIENCE_S, Json, Running, running

pytestmark = pytest.mark.browser

LIES_OVER = """([button, place]) => {
    const [a, b] = [button, place].map((each) => each.getBoundingClientRect());
    const frame = document.querySelector("iframe").getBoundingClientRect();
    return Math.abs(a.left - frame.left - b.left) < 1.5 && Math.abs(a.top - frame.top - b.top) < 1.5;
}"""


@pytest.fixture
def demo(server: Running) -> str:
    """The address of the shop."""
    server.run(sample.make(server.house))
    return f"{server.base_url}/demo/"


def checks_out(payer: Payer, demo: str, way: str) -> None:
    payer.page.goto(demo)
    payer.page.get_by_label("Wool blanket").fill("3")
    payer.page.get_by_label("Coffee").fill("0")
    payer.page.get_by_label(way).check()
    payer.page.get_by_role("button", name="Check out").click()


def is_thanked(payer: Payer, amount: str = "NOK\xa01,422.30") -> None:
    """Three blankets and the freight."""
    expect(payer.page.get_by_role("heading", name="Thank you")).to_be_visible()
    expect(payer.page.locator("dl")).to_contain_text("AUTHORIZED")
    expect(payer.page.locator("dl")).to_contain_text(amount)


def test_the_payer_is_sent_to_the_page_and_back(payer: Payer, demo: str) -> None:
    checks_out(payer, demo, "On Kasse's page")
    payer.pay(PAID)
    is_thanked(payer)


@pytest.mark.parametrize("card", [PAID, CONFIRM])
def test_the_payer_pays_in_the_shop(payer: Payer, demo: str, card: str) -> None:
    checks_out(payer, demo, "in a frame")
    frame = payer.page.frame_locator("iframe")
    frame.locator("[autocomplete=cc-number]").fill(card)
    frame.locator("[autocomplete=cc-exp]").fill("12/30")
    frame.locator("[autocomplete=cc-csc]").fill("123")
    frame.locator("[data-card-form] [type=submit]").click()
    if card == CONFIRM:
        frame.get_by_role("button", name="Approve").click()
    is_thanked(payer)


def test_the_payer_pays_in_a_window_of_its_own(payer: Payer, demo: str) -> None:
    checks_out(payer, demo, "In a window of its own")
    button = payer.page.locator("#checkout > button")
    place = payer.page.frame_locator("iframe").locator("[data-pop-out-place]")
    payer.page.wait_for_function(LIES_OVER, arg=[button.element_handle(), place.element_handle()])
    with payer.page.expect_popup() as opening:
        button.click()
    window = Payer(payer.context, opening.value, payer.complaints, payer.hosts)
    window.pay(PAID)
    is_thanked(payer)


def test_the_window_speaks_as_the_frame_does(payer: Payer, demo: str) -> None:
    checks_out(payer, demo, "In a window of its own")
    button, frame = payer.page.locator("#checkout > button"), payer.page.frame_locator("iframe")
    frame.get_by_role("link", name="Norsk").click()
    expect(button).to_have_text("Betal 1\xa0422,30\xa0kr")
    with payer.page.expect_popup() as opening:
        button.click()
    window = Payer(payer.context, opening.value, payer.complaints, payer.hosts)
    expect(window.page.locator("html[lang=nb]")).to_be_attached()
    window.page.get_by_role("link", name="Deutsch").click()
    expect(frame.locator("html[lang=de]")).to_be_attached()
    window.pay(PAID)
    is_thanked(payer)


def test_express_asks_the_shop_what_shipping_costs(demo: str, server: Running) -> None:
    form = {"quantity-1": "1", "quantity-2": "0", "way": "redirect", "express": "yes"}
    answer = requests.post(demo, form, timeout=PATIENCE_S, allow_redirects=False)
    session = f"{server.base_url}{answer.headers['location']}/session"
    address: Json = {"first_name": "Kari", "address_line": "Storgata 1", "postal_code": "0155", "country": "NO"}

    def change(path: str, body: Json) -> requests.Response:
        seen = requests.get(session, timeout=PATIENCE_S).json()["updated_at"]
        return requests.put(
            f"{session}/order/{path}", json=body, headers={"If-Unmodified-Since": seen}, timeout=PATIENCE_S
        )

    offered = change("shipping_address", address).json()["express"]["shipping_options"]
    assert [each["amount"] for each in offered] == [9900, 4900, 4900]
    chosen = change("shipping_option", offered[0]).json()
    assert chosen["order"]["amount"] == 44910 + 9900
    nowhere = change("shipping_address", {**address, "country": "US"}).json()
    assert nowhere["express"]["shipping_options"] == []
    assert nowhere["order"]["amount"] == 44910


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"quantity-1": "21"}, "expected quantity-1 from 0 to 20, got &#39;21&#39;"),
        ({"quantity-1": "-1"}, "expected quantity-1 from 0 to 20, got &#39;-1&#39;"),
        ({"quantity-1": "0", "quantity-2": "0"}, "expected at least one thing in the cart, got none"),
        ({"quantity-1": "1", "way": "by foot"}, "expected one of redirect, frame, pop_out, got &#39;by foot&#39;"),
    ],
)
def test_what_cannot_be_bought_is_told(demo: str, form: dict[str, str], words: str) -> None:
    answer = requests.post(demo, form, timeout=PATIENCE_S, allow_redirects=False)
    assert answer.status_code == 400
    assert words in answer.text


def test_who_only_says_that_he_has_paid_is_not_believed(demo: str) -> None:
    answer = requests.get(f"{demo}returned?transaction_id=T12345678.nothing", timeout=PATIENCE_S)
    assert answer.status_code == 404
    assert "there is no transaction" in answer.text


def test_a_server_that_is_no_demo_has_no_shop() -> None:
    with running() as server:
        assert requests.get(f"{server.base_url}/demo/", timeout=PATIENCE_S).status_code == 404
