"""A payer at his browser, who also watches what it complains about and whom it talks to."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, expect, sync_playwright

from tests.running import Json

T = TypeVar("T")

PATIENCE_MS = 20_000
PAID = "4000 0000 0000 0002"
CONFIRM = "4000 1000 0000 0000"
REFUSED = "4000 3000 0000 0006"
SILENT_VISA = "4100 0000 0000 0001"
SILENT_MASTERCARD = "5100 0000 0000 0008"

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_ROOT = Path(__file__).parents[2]


class Browsing:
    """One browser, in a thread of its own: Playwright leaves an event loop running in the thread that it is used in,
    and other tests of the same process want to run theirs."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "browser")
        self.run(self._start)

    def run(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result()

    def stop(self) -> None:
        self.run(self._stop)
        self._thread.shutdown()

    def _start(self) -> None:
        self._playwright: Playwright = sync_playwright().start()
        self.browser: Browser = self._playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)
        expect.set_options(timeout=PATIENCE_MS)

    def _stop(self) -> None:
        self.browser.close()
        self._playwright.stop()


def chromium() -> str:
    """The browser to drive: the one that ``CHROMIUM`` names, else the system's."""
    found = subprocess.run([_ROOT / "scripts/chromium", "--find"], capture_output=True, text=True, env=os.environ)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@dataclass
class Payer:
    """``page`` is the tab that he looks at. ``hosts`` are those that his browser talked to.

    ``complaints`` are his browser's; a test that provokes one says with ``forgives`` what is in its text.
    """

    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    forgives: str | None = None

    @classmethod
    def sits_down(cls, browser: Browser, **options: Any) -> Payer:
        """A new payer, without a past; ``options`` are those of a browser context."""
        context = browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(
            "addEventListener('securitypolicyviolation', (event) =>"
            " console.error('Content Security Policy', event.violatedDirective, event.blockedURI))"
        )
        payer = cls(context, context.new_page())
        context.on("console", lambda message: payer._hears(message.type, message.text))
        context.on("weberror", lambda error: payer.complaints.append(str(error.error)))
        context.on("request", lambda request: payer.hosts.add(urlsplit(request.url).netloc))
        return payer

    def _hears(self, kind: str, text: str) -> None:
        # That a page came with an error status is how this server says that something is wrong with it.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource: the server responded with"):
            self.complaints.append(text)

    def new_tab(self) -> Payer:
        """The same payer in another tab: same browser, same past."""
        return Payer(self.context, self.context.new_page(), self.complaints, self.hosts)

    def goes_deaf(self) -> None:
        """This tab does not hear what happens elsewhere, nor ask before it pays."""
        self.page.route("**/events", lambda route: route.fulfill(status=503))
        self.page.route("**/state", lambda route: route.fulfill(status=500))

    def hears_again(self) -> None:
        self.page.unroute("**/events")
        self.page.unroute("**/state")

    # -- what he does

    def open(self, session: Json, **query: str) -> None:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        self.page.goto(f"{session['url']}?{asked}" if asked else session["url"])

    def fill(self, number: str = PAID, expiry: str = "12/30", cvc: str = "123") -> None:
        self.number.fill(number)
        self.expiry.fill(expiry)
        self.cvc.fill(cvc)

    def pay(self, number: str = PAID, expiry: str = "12/30", cvc: str = "123") -> None:
        """Fill in a card and send it off."""
        self.fill(number, expiry, cvc)
        self.pay_button.click()

    # -- what he sees; by form and place where it does not depend on the language

    @property
    def number(self) -> Locator:
        return self.page.locator("[autocomplete=cc-number]")

    @property
    def expiry(self) -> Locator:
        return self.page.locator("[autocomplete=cc-exp]")

    @property
    def cvc(self) -> Locator:
        return self.page.locator("[autocomplete=cc-csc]")

    @property
    def pay_button(self) -> Locator:
        return self.page.locator("[data-card-form] [type=submit]")

    @property
    def cancel_button(self) -> Locator:
        return self.page.get_by_role("button", name="Cancel payment")

    @property
    def alert(self) -> Locator:
        return self.page.get_by_role("alert")

    @property
    def heading(self) -> Locator:
        return self.page.get_by_role("heading", level=1)

    def sees(self, state: str) -> None:
        """The page is in a state, or gets there by itself."""
        expect(self.page.locator(f"body[data-state={state}]")).to_be_visible()

    def is_at_the_shop(self) -> None:
        expect(self.heading).to_have_text("Back at the shop")

    def arrives(self, url: str | re.Pattern[str]) -> None:
        expect(self.page).to_have_url(url)
