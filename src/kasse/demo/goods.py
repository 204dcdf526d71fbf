"""What the demo shop sells and where it sends it: the sample's order, in other quantities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kasse.domain.session import ChosenItem, PaymentSession, SessionUrl
from kasse.operations import drafts, sample, sessions
from kasse.operations.house import House
from kasse.operations.sessions import SessionRequest

_FREIGHT = "FR"
GOODS: list[dict[str, Any]] = [line for line in sample.ORDER["items"] if line["id"] != _FREIGHT]


async def sell(house: House, quantities: Mapping[int, int], express: bool) -> PaymentSession:
    """Make an order of the demo shop's goods, so many of each line, and open a session for all of it.

    In express the payer says where to, and the shop is asked what that costs; else freight is a line.
    """
    caller = sample.caller()
    goods = [_so_many(line, quantities[line["line_id"]]) for line in GOODS if quantities.get(line["line_id"])]
    freight = [] if express else [line for line in sample.ORDER["items"] if line["id"] == _FREIGHT]
    order = {"currency": sample.CURRENCY, "items": [*goods, *freight]}
    draft = await drafts.create(house, caller, order, {"generate_order_id": "ALPHANUMERIC_9"})
    [completed] = await drafts.complete(house, caller, draft.id)
    base = house.settings.base_url
    asks = {"shipping_options": [], "shipping_address_callback_url": f"{base}/demo/shipping"}
    request = SessionRequest(
        items=tuple(ChosenItem(line["line_id"]) for line in order["items"]),
        profile_id="default",
        url=SessionUrl(return_url=f"{base}/demo/returned"),
        given={"express": asks} if express else {},
    )
    return await sessions.open_for_order(house, caller, completed.state.order.id, request)


def _so_many(line: Mapping[str, Any], quantity: int) -> dict[str, Any]:
    """A line of the sample with another quantity; its amounts are whole multiples."""

    def scaled(amount: int) -> int:
        return amount * quantity // int(line["quantity"])

    found = {**line, "quantity": quantity, "gross_amount": scaled(line["gross_amount"])}
    for name in ("discount_lines", "tax_lines"):
        if name in line:
            found[name] = [{**each, "amount": scaled(each["amount"])} for each in line[name]]
    return found


def shipping_options(country: str) -> list[dict[str, Any]]:
    """What the demo shop sends to a country for, tax included; nothing where it does not go."""
    if country not in ("NO", "SE", "DK", "FI"):
        return []
    home, shop = (9900, 4900) if country == "NO" else (19900, 12900)
    options = [
        _option("home", "home-1", home, "Home delivery", "delivery"),
        _option("pick-up", "pick-up-1", shop, "Storgata corner shop", "pick_up"),
        _option("pick-up", "pick-up-2", shop, "Central station", "pick_up"),
    ]
    return options if country == "NO" else options[:1]


def _option(id: str, line_id: str, amount: int, title: str, method: str) -> dict[str, Any]:
    more = {"operator": "Posten", "delivery_method": method, "vat": 25, "vat_amount": amount // 5}
    return {"id": id, "line_id": line_id, "amount": amount, "title": title, **more}
