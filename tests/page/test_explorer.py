"""The interactive page of the API, in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.page.browsing import Browsing, Payer
from tests.running import Running

pytestmark = pytest.mark.browser


def test_an_operation_is_tried_from_the_page(browsing: Browsing, payer: Payer, server: Running) -> None:
    shop = server.shop()
    page = payer.page
    page.goto(f"{server.base_url}/docs")
    page.get_by_label("Account").first.fill(shop.account_id)
    page.get_by_label("Client id").fill(shop.client_id)
    page.get_by_label("Client secret").fill(shop.client_secret)
    page.get_by_role("button", name="Get a token").click()
    expect(page.locator("#login output")).to_have_text("Logged in.")
    create = page.locator("details.operation", has_text="Create an order without a draft")
    create.locator("summary").click()
    create.get_by_label("aid").fill(shop.account_id)
    create.get_by_role("button", name="Send").click()
    expect(create.get_by_role("status")).to_contain_text("200 OK")
    [order] = shop.ok("GET", "orders")["orders"]
    expect(create.get_by_role("status")).to_contain_text(order["order_id"])
