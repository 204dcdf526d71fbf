"""A shop that has the page in a frame of its own: the published SDK, on a page of another site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import FrameLocator, Locator, Page, expect

from tests.page.browsing import PAID, PATIENCE_MS, Payer
from tests.page.states import Shopping
from tests.running import Json

ENDINGS = ("onPayment", "onPaymentError", "onSessionCancel")


@dataclass
class Cart:
    """The shop's page with the checkout in it. Its host is ``localhost``, the page's is ``127.0.0.1``."""

    shopping: Shopping
    payer: Payer
    session: Json

    @classmethod
    def opens(
        cls,
        shopping: Shopping,
        payer: Payer,
        session: Json | None = None,
        handlers: Sequence[str] = ENDINGS,
        more: str = "{}",
        **options: Any,
    ) -> Cart:
        """Open the shop and embed a session; ``more`` are options in JavaScript."""
        cart = cls(shopping, payer, session or shopping.session(url=shopping.merchant.urls_elsewhere))
        payer.page.goto(f"{shopping.merchant.elsewhere}/cart")
        options = {"sid": cart.session["id"], "endpoint": shopping.server.base_url, "language": "en", **options}
        payer.page.evaluate(f"([options, names]) => embed(options, names, {more})", [options, list(handlers)])
        return cart

    @property
    def page(self) -> Page:
        return self.payer.page

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("iframe")

    @property
    def number(self) -> Locator:
        return self.frame.locator("[autocomplete=cc-number]")

    @property
    def pay_button(self) -> Locator:
        return self.frame.locator("[data-card-form] [type=submit]")

    @property
    def pop_out_button(self) -> Locator:
        return self.page.locator("#dintero-checkout-sdk-launch-pop-out")

    def sees(self, state: str) -> None:
        expect(self.frame.locator(f"body[data-state={state}]")).to_be_visible()

    def fill(self, number: str = PAID) -> None:
        self.number.fill(number)
        self.frame.locator("[autocomplete=cc-exp]").fill("12/30")
        self.frame.locator("[autocomplete=cc-csc]").fill("123")

    def pay(self, number: str = PAID) -> None:
        self.fill(number)
        self.pay_button.click()

    # -- what the shop hears

    def heard(self, type: str) -> list[Json]:
        found: list[Json] = self.page.evaluate("(type) => heard.filter((each) => each.type === type)", type)
        return found

    def waits_for(self, type: str, times: int = 1) -> Json:
        """The message of this type that comes as the so-manyth."""
        counted = "([type, times]) => heard.filter((each) => each.type === type).length >= times"
        self.page.wait_for_function(counted, arg=[type, times], timeout=PATIENCE_MS)
        return self.heard(type)[times - 1]

    def is_told(self, name: str) -> Json:
        """What the shop's own function of this name was called with, the first time."""
        self.page.wait_for_function("(name) => told.some(([each]) => each === name)", arg=name, timeout=PATIENCE_MS)
        event: Json = self.page.evaluate("(name) => told.find(([each]) => each === name)[1]", name)
        return event

    @contextmanager
    def pop_out(self, click: Callable[[], None] | None = None) -> Any:
        """The payer in the window that opens when he presses the shop's button."""
        with self.page.expect_popup() as opening:
            (click or self.pop_out_button.click)()
        payer = self.payer
        yield Payer(payer.context, opening.value, payer.complaints, payer.hosts)
