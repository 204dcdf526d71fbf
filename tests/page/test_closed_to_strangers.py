"""The page lets nothing in and nothing out: policy, headers, and texts that look like markup."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Dialog, Response, expect

from kasse.page.framing import frame_ancestors
from tests.page.browsing import CONFIRM, Payer
from tests.page.states import STATES, Shopping
from tests.running import Json, line

pytestmark = pytest.mark.browser

EVIL = "<script>alert(1)</script>"
SHOP = '<b onclick="alert(2)">Fjord</b> & "Fjell" {amount} {{ 7 * 7 }}'


@pytest.mark.parametrize("state", sorted(STATES))
def test_every_state_is_closed_and_kept_nowhere(shopping: Shopping, payer: Payer, state: str) -> None:
    """That nothing offends the policy, and nobody else is talked to, holds for every test: see ``payers``."""
    answers: list[Response] = []
    payer.page.on("response", lambda answer: answers.append(answer))
    STATES[state](shopping, payer, {})
    pages = [answer for answer in answers if answer.request.is_navigation_request() and not 300 <= answer.status < 400]
    assert pages
    for page in pages:
        headers = page.headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        policy = {name: sources for name, *sources in map(str.split, headers["content-security-policy"].split(";"))}
        assert policy["default-src"] == ["'none'"]
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
        assert policy["base-uri"] == ["'none'"]
        assert policy["frame-ancestors"] == ["*"], "a test account"
        assert "cross-origin-opener-policy" not in headers, "a pop-out could not speak with its shop"
        assert policy["form-action"] == (["*"] if "/sandbox/" in page.url else ["'self'"])
        assert "unsafe" not in headers["content-security-policy"]
    for asset in answers:
        if urlsplit(asset.url).path.startswith("/page-assets/"):
            assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert asset.headers["x-content-type-options"] == "nosniff"
    assert payer.context.cookies() == []


def test_a_form_that_somebody_slipped_in_could_not_take_the_card_elsewhere(shopping: Shopping, payer: Payer) -> None:
    payer.forgives = "form-action"
    payer.open(shopping.session())
    with payer.page.expect_console_message(lambda message: "form-action" in message.text):
        payer.page.evaluate(
            """(elsewhere) => {
                const form = document.createElement("form");
                form.action = elsewhere;
                document.body.append(form);
                form.submit();
            }""",
            f"{shopping.merchant.base}/done",
        )
    assert shopping.merchant.calls == []


def session(shopping: Shopping) -> Json:
    items = [line(1, 10_000, description=EVIL, quantity=2), line(2, 5_000, description="{amount} %s &amp; <!--")]
    order = shopping.order(items=items)
    return shopping.session(order, merchant={"name": SHOP, "logo_url": "javascript:alert(3)"})


def test_texts_that_look_like_markup_are_shown_as_they_are(shopping: Shopping, payer: Payer) -> None:
    dialogs: list[Dialog] = []
    payer.page.on("dialog", lambda dialog: dialogs.append(dialog))
    payer.open(session(shopping))
    expect(payer.page.locator(".shop")).to_contain_text(SHOP)
    expect(payer.page.locator(".lines .what")).to_have_text([f"2 × {EVIL}", "{amount} %s &amp; <!--"])
    expect(payer.page).to_have_title(f"Pay NOK\xa0150.00 to {SHOP}")
    expect(payer.page.locator(".shop b, .lines script, .shop img")).to_have_count(0)
    payer.pay(CONFIRM)
    expect(payer.page.get_by_role("definition").first).to_have_text(SHOP)
    payer.page.get_by_role("button", name="Approve").click()
    payer.is_at_the_shop()
    payer.page.go_back()
    payer.page.go_back()
    payer.sees("paid")
    expect(payer.page.get_by_role("main")).to_contain_text(f"You have paid NOK 150.00 to {SHOP}.")
    expect(payer.page.get_by_role("link", name=f"Back to {SHOP}")).to_be_visible()
    assert dialogs == []


@pytest.mark.parametrize("language", ["<script>alert(1)</script>", "../../en", "%00", "nb%22%3E"])
def test_a_strange_language_is_english_and_not_repeated(shopping: Shopping, payer: Payer, language: str) -> None:
    payer.open(shopping.session(), language=language)
    expect(payer.page.locator("html")).to_have_attribute("lang", "en")
    assert "alert(1)" not in payer.page.content()
    assert "etc" not in payer.page.locator("form").first.get_attribute("action")  # type: ignore[operator]


PUT_INTO_A_FRAME = """(url) => {
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
}"""


def test_in_production_only_the_site_that_the_payer_returns_to_may_put_the_page_into_a_frame(
    shopping: Shopping, payer: Payer
) -> None:
    payer.forgives = "frame-ancestors"
    shop = shopping.server.shop(account_id=shopping.shop.account_id.replace("T", "P"))
    opened = replace(shopping, shop=shop).session()
    payer.page.goto(f"{shopping.merchant.elsewhere}/done")
    with payer.page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        payer.page.evaluate(PUT_INTO_A_FRAME, opened["url"])
    payer.page.goto(f"{shopping.merchant.base}/done")
    payer.page.evaluate(PUT_INTO_A_FRAME, opened["url"])
    expect(payer.page.frame_locator("iframe").locator("body")).to_have_attribute("data-state", "unavailable")


@pytest.mark.parametrize(
    ("account_id", "configuration", "allowed"),
    [
        ("T12345678", {}, "*"),
        ("T12345678", {"frame_ancestors": []}, "'none'"),
        ("P12345678", {}, "https://shop.example:8443"),
        ("P12345678", {"frame_ancestors": []}, "'none'"),
        (
            "P12345678",
            {"frame_ancestors": ["https://a.example", "https://*.b.example:444"]},
            "https://a.example https://*.b.example:444",
        ),
        (
            "P12345678",
            {"frame_ancestors": ["*", "a.example", "https://a.example/x", "https://a; script-src *", 7]},
            "'none'",
        ),
        ("P12345678", {"frame_ancestors": "https://a.example"}, "https://shop.example:8443"),
    ],
)
def test_who_may_put_the_page_into_a_frame(account_id: str, configuration: Json, allowed: str) -> None:
    assert frame_ancestors(account_id, "https://user@shop.example:8443/done?a=b", configuration) == allowed


@pytest.mark.parametrize(
    "return_url", ["shop://done", "https://shop.example;/", "//shop.example", "https://[", "https://x y/"]
)
def test_a_strange_return_address_lets_nobody_put_the_page_into_a_frame(return_url: str) -> None:
    assert frame_ancestors("P12345678", return_url, {}) == "'none'"
