"""Express as a payer goes through it, and a merchant's server that is asked meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import FrameLocator, Locator, Page

from tests.asking import MerchantServer, merchant_server
from tests.running import Json

POST: Json = {"id": "post", "line_id": "post-1", "amount": 4900, "title": "Parcel post", "operator": "Posten"}
LOCKERS: list[Json] = [
    {
        **{"id": "locker", "line_id": f"locker-{n}", "amount": 2900, "title": "Parcel locker", "operator": "Posten"},
        "delivery_method": "pick_up",
        "pick_up_address": {"business_name": name, "address_line": f"{street} 1", "postal_code": "0155"},
    }
    for n, (name, street) in enumerate([("Central station", "Jernbanetorget"), ("Corner kiosk", "Storgata")], 1)
]
SLOTS: list[Json] = [
    {
        **{"id": "van", "line_id": f"van-{hour}", "amount": 9900, "title": "Home delivery", "operator": "Van & Son"},
        "time_slot": {"starts_at": f"2026-11-26T{hour}:00:00+01:00", "ends_at": f"2026-11-26T{hour + 2}:00:00+01:00"},
    }
    for hour in (10, 16)
]
PICK_UP: Json = {"id": "shop", "line_id": "shop-1", "amount": 0, "title": "Collect in Oslo", "operator": ""}
HOME = {
    "email": "ase@example.com",
    "phone_number": "+47 400 00 000",
    "first_name": "Åse",
    "last_name": "Nordmann",
    "address_line": "Storgata 7",
    "postal_code": "0155",
    "postal_place": "Oslo",
    "country": "NO",
}


EVERY_OPTION = (POST, *LOCKERS, *SLOTS, PICK_UP)


@contextmanager
def asked_server(*options: Json) -> Iterator[MerchantServer]:
    """A server that offers these options for every address."""
    with merchant_server() as made:
        made.say = lambda session: {"shipping_options": list(options)}
        yield made


class Steps:
    """The steps on a page, or in a frame of one."""

    def __init__(self, place: Page | FrameLocator) -> None:
        self.place = place

    def field(self, name: str) -> Locator:
        return self.place.locator(f"#{name}")

    def fill(self, **fields: str) -> None:
        for name, value in {**HOME, **fields}.items():
            if name.endswith("country"):
                self.field(name).select_option(value)
            else:
                self.field(name).fill(value)

    def live_at(self, **fields: str) -> None:
        self.fill(**fields)
        self.send_address.click()

    @property
    def send_address(self) -> Locator:
        return self.field("address-send")

    @property
    def send_option(self) -> Locator:
        return self.field("shipping-send")

    @property
    def shipping(self) -> Locator:
        return self.field("shipping-heading")

    def option(self, line_id: str) -> Locator:
        return self.place.locator(f"input[name=option][value='{line_id}']")

    def apply(self, code: str) -> None:
        self.field("code").fill(code)
        self.field("code-send").click()

    @property
    def total(self) -> Locator:
        return self.place.locator(".total")

    @property
    def said(self) -> Locator:
        return self.place.locator("[data-said]")

    @property
    def trouble(self) -> Locator:
        return self.place.locator("[data-trouble]")

    @property
    def told(self) -> Locator:
        return self.place.locator("[data-told]")
