"""How to bring the page into each of its states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import requests
from playwright.sync_api import expect

from kasse.clock import SystemClock
from kasse.domain.transaction import CallKind
from kasse.gateways.port import Instruction, LookedUp, NoAnswer
from kasse.gateways.sandbox import Sandbox
from tests.page.browsing import CONFIRM, REFUSED, SILENT_VISA, Payer
from tests.page.express import EVERY_OPTION, Steps
from tests.page.merchant import Merchant
from tests.running import PATIENCE_S, Json, Running, Shop, line

CART: tuple[Json, ...] = (
    line(1, 129_900, description="Wool jumper, moss green", quantity=1),
    line(2, 29_800, description="Socks", quantity=2),
    line(3, 7_900, description="Delivery, parcel locker", quantity=1),
)


@dataclass
class OwnTime:
    """The machine's time, of which an account may be ahead."""

    ahead: dict[str | None, timedelta] = field(default_factory=dict)
    system: SystemClock = field(default_factory=SystemClock)

    def now(self, account_id: str | None = None) -> datetime:
        return self.system.now() + self.ahead.get(account_id, timedelta())


@dataclass
class Shopping:
    """A merchant's side: opens sessions that lead back to his own server, and looks at what became of them."""

    server: Running
    shop: Shop
    merchant: Merchant
    clock: OwnTime

    def order(self, *amounts: int, **more: Any) -> Json:
        return self.shop.order(*amounts, **more)

    def cart(self) -> Json:
        return self.order(items=CART)

    def session(self, order: Json | None = None, *lines: int, **more: Any) -> Json:
        urls = {**self.merchant.urls, **more.pop("url", {})}
        return self.shop.session(order or self.order(), *lines, url=urls, **more)

    def direct_session(self, amount: int = 10_000, **more: Any) -> Json:
        """A session with an order of its own, which a merchant may change."""
        order = {
            "amount": amount,
            "currency": "NOK",
            "merchant_reference": "web-7",
            "items": [self.item(amount)],
            **more.pop("order", {}),
        }
        body = {"profile_id": "default", "url": self.merchant.urls, "order": order, **more}
        return self.shop.ok("POST", "/v1/sessions-profile", body)

    def express_session(self, *options: Json, **more: Any) -> Json:
        """One whose payer chooses among these options; ``more`` is about express, but for its ``configuration``."""
        configuration = {"configuration": more.pop("configuration")} if "configuration" in more else {}
        return self.direct_session(express={"shipping_options": list(options), **more}, **configuration)

    @staticmethod
    def item(amount: int) -> Json:
        return {"id": "SKU-1", "line_id": "1", "description": "Wool jumper", "quantity": 1, "amount": amount}

    def events(self, session: Json) -> list[str]:
        return [event["name"] for event in self.shop.read_session(session)["events"]]

    def attempts(self, session: Json) -> int:
        """How many payments were begun."""
        return self.events(session).count("ADD_PAYMENT_INFORMATION")

    def authorizations(self, order: Json) -> list[int]:
        """What the sandbox holds for an order, by authorization."""
        return [entry["amount"] for entry in self.shop.read_order(order)["authorizations"] if entry["success"]]

    def move_time(self, by: timedelta) -> None:
        """From now on this account lives later than everyone else."""
        self.clock.ahead[self.shop.account_id] = by

    def never_looks_up(self) -> None:
        """A payment without an answer stays so: whoever asks the bank about one of this account hears nothing."""
        sandbox = cast(Sandbox, self.server.house.gateways["sandbox"])
        look_up = Sandbox.look_up

        async def silent_for_some(kind: CallKind, instruction: Instruction) -> LookedUp:
            if instruction.account_id in _SILENT:
                raise NoAnswer
            return await look_up(sandbox, kind, instruction)

        _SILENT.add(self.shop.account_id)
        setattr(sandbox, "look_up", silent_for_some)  # noqa: B010 (a method cannot be assigned to)

    def look_up(self, session: Json) -> None:
        """Ask the gateway now, as when the payer comes back from it; it answers again."""
        _SILENT.discard(self.shop.account_id)
        transaction_id = self.shop.read_session(session)["transaction_id"]
        path = f"/v1/sessions/{session['id']}/redirect/{transaction_id}"
        requests.get(self.server.base_url + path, allow_redirects=False, timeout=PATIENCE_S).raise_for_status()


_SILENT: set[str] = set()

Leads = Callable[[Shopping, Payer, dict[str, str]], None]


def ready(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    payer.open(shopping.session(shopping.cart()), **query)
    payer.sees("ready")


def long_order(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    items = [line(n, 10_000 * n, description=f"Lambswool blanket with a long name, no. {n}") for n in range(1, 9)]
    payer.open(shopping.session(shopping.order(items=items)), **query)
    payer.sees("ready")
    payer.page.locator("details.more summary").click()


def card_list(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    ready(shopping, payer, query)
    payer.page.locator("aside details summary").click()


def mistakes(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """Told at once, by the script."""
    ready(shopping, payer, query)
    payer.pay("4000 0000 0000 0003", "12/20", "")
    expect(payer.number).to_be_focused()


def mistake(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """Told by the server."""
    ready(shopping, payer, query)
    payer.pay("4242 4242 4242 4242")
    expect(payer.alert).to_be_focused()


def declined(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    ready(shopping, payer, query)
    payer.pay(REFUSED)
    payer.sees("declined")
    expect(payer.alert).to_be_focused()


def bank(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    ready(shopping, payer, query)
    payer.pay(CONFIRM)
    payer.sees("bank")


def challenge(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    bank(shopping, payer, query)
    payer.page.go_back()
    payer.sees("challenge")


def start_over(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    challenge(shopping, payer, query)
    payer.page.locator("details.start-over > summary").click()


def waiting(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    shopping.never_looks_up()
    ready(shopping, payer, query)
    payer.pay(SILENT_VISA)
    payer.sees("waiting")


def locked_elsewhere(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    order = shopping.cart()
    shopping.shop.pay(shopping.session(order), CONFIRM)
    payer.open(shopping.session(order), **query)
    payer.sees("locked_elsewhere")


def paid_elsewhere(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    order = shopping.cart()
    link = shopping.session(order)
    shopping.shop.pay(shopping.session(order))
    payer.open(link, **query)
    payer.sees("paid_elsewhere")


def paid(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    session = shopping.session(shopping.cart())
    shopping.shop.pay(session)
    payer.open(session, **query)
    payer.sees("paid")


def cancelled(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    session = shopping.session(shopping.cart())
    shopping.shop.ok("POST", f"/v1/sessions/{session['id']}/cancel")
    payer.open(session, **query)
    payer.sees("cancelled")


def expired(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    session = shopping.session(shopping.cart())
    shopping.move_time(timedelta(hours=25))
    payer.open(session, **query)
    payer.sees("expired")


def not_found(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    payer.open({"url": f"{shopping.server.base_url}/v1/view/{shopping.shop.account_id}.nothing"}, **query)
    payer.sees("not_found")


def unavailable(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """A session whose ways to pay have all been turned off."""
    off = {"dintero_psp": {"creditcard": {"payability": "disabled_by_gateway"}}}
    payer.open(shopping.direct_session(configuration=off), **query)
    payer.sees("unavailable")


WAYS = {
    "swish": {"swish": {"enabled": True}},
    "dintero": {
        "external": {
            "enabled": True,
            "display": {
                "payment_method_label": "Counter sale",
                "button_label": "Order now, settle later",
                "content": {"title": "In our store", "description": "By cash, on collection."},
                "terms": [{"ref": "a", "label": "Our terms", "href": "https://shop.example/terms"}],
            },
        },
        "zero": {"enabled": True},
    },
}
THEME = {"primary": "#e4572e", "backdrop": "#12355b", "cardRadius": 4, "buttonRadius": "26px"}


def several_ways(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    payer.open(shopping.direct_session(configuration=WAYS), **query)
    payer.sees("ready")


def nothing_to_pay(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    payer.open(shopping.session(shopping.order(0), configuration=WAYS), **query)
    payer.sees("ready")


def themed(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    payer.open(shopping.direct_session(configuration={"theme": THEME}), **query)
    payer.sees("ready")


def express_address(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    both = {"allow_different_billing_shipping_address": ["b2c", "b2b"], "countries": {"preferred_country": "NO"}}
    payer.open(shopping.express_session(*EVERY_OPTION, configuration=both), **query)
    payer.sees("express")


def express_company(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    express_address(shopping, payer, query)
    steps = Steps(payer.page)
    steps.field("type-b2b").check()
    steps.field("different_billing").check()


def express_mistakes(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    express_address(shopping, payer, query)
    Steps(payer.page).live_at(email="kari", first_name="", postal_code="")
    expect(Steps(payer.page).trouble).to_be_focused()


def express_asking(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """The shop is being asked, and takes its time."""
    session = shopping.express_session(shipping_address_callback_url=f"{shopping.merchant.base}/slow")
    payer.open(session, **query)
    Steps(payer.page).live_at()
    expect(Steps(payer.page).send_address).to_have_attribute("aria-busy", "true")


def express_failed(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """The shop was asked, and said nothing that can be used."""
    session = shopping.express_session(shipping_address_callback_url=f"{shopping.merchant.base}/done")
    payer.open(session, **query)
    Steps(payer.page).live_at()
    expect(Steps(payer.page).trouble).to_be_focused()


def express_shipping(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    codes = {"max_count": 2}
    payer.open(shopping.express_session(*EVERY_OPTION, discount_codes=codes), **query)
    steps = Steps(payer.page)
    steps.live_at()
    expect(steps.shipping).to_be_visible()


def express_nowhere(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    payer.open(shopping.express_session({**EVERY_OPTION[0], "countries": ["SE"]}), **query)
    Steps(payer.page).live_at()
    expect(payer.page.locator(".nowhere")).to_be_focused()


def express_ready(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    express_shipping(shopping, payer, query)
    steps = Steps(payer.page)
    steps.option("van-16").check()
    payer.sees("ready")
    steps.apply("SUMMER")
    expect(payer.page.locator(".code")).to_be_visible()


def express_code_refused(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    codes = {"max_count": 2, "callback_url": f"{shopping.merchant.base}/done"}
    payer.open(shopping.express_session(*EVERY_OPTION, discount_codes=codes), **query)
    steps = Steps(payer.page)
    steps.live_at()
    steps.apply("SUMMER")
    expect(steps.trouble).to_be_focused()


def framed(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """As it is in a frame, by itself."""
    payer.open(shopping.session(shopping.cart()), ui="inline", **query)
    payer.sees("ready")


def launcher(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """As it is in a frame, by itself."""
    payer.open(shopping.session(shopping.cart()), role="pop_out_launcher", **query)
    payer.sees("ready")


def held(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """While the shop changes the order."""
    session = shopping.direct_session()
    lock = f"{shopping.server.base_url}/v1/view/{session['id']}/session/lock"
    requests.post(lock, timeout=PATIENCE_S).raise_for_status()
    payer.open(session, **query)
    expect(payer.pay_button).to_be_disabled()


def loading(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """A pop-out whose shop still checks the order."""
    payer.open(shopping.session(shopping.cart()), role="pop_out_payment", loader="true", **query)
    payer.sees("loading")


def result(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """What is left in a frame after the end."""
    payer.open({"url": f"{shopping.server.base_url}/embedResult/"}, error="failed", **query)
    payer.sees("failed")


def express_framed(shopping: Shopping, payer: Payer, query: dict[str, str]) -> None:
    """As it is in a frame, by itself."""
    express_shipping(shopping, payer, {"ui": "inline", **query})


STATES: dict[str, Leads] = {
    lead.__name__: lead
    for lead in (
        ready,
        long_order,
        card_list,
        mistakes,
        mistake,
        declined,
        bank,
        challenge,
        start_over,
        waiting,
        locked_elsewhere,
        paid_elsewhere,
        paid,
        cancelled,
        expired,
        not_found,
        unavailable,
        several_ways,
        nothing_to_pay,
        themed,
        express_address,
        express_company,
        express_mistakes,
        express_asking,
        express_failed,
        express_shipping,
        express_nowhere,
        express_ready,
        express_code_refused,
        framed,
        launcher,
        held,
        loading,
        result,
        express_framed,
    )
}
