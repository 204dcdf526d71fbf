"""What people at a shop do besides taking money: they change sessions and orders, decide what is on hold, note money
that moved elsewhere, and play with the clock of their test account."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.running import Json

if TYPE_CHECKING:
    from tests.simulation.network import Answer
    from tests.simulation.people import Merchant

EXTERNAL, WALLET, NOTHING = "dintero.external", "swish.swish", "dintero.zero"
MORE_WAYS_TO_PAY: Json = {
    "dintero": {"external": {"enabled": True}, "zero": {"enabled": True}},
    "swish": {"swish": {"enabled": True}},
}
SHIPPING, DISCOUNTS = "https://shop.example/shipping", "https://shop.example/discounts"
OPTIONS: tuple[Json, ...] = (
    {"id": "post", "line_id": "post-1", "amount": 490, "title": "Post", "operator": "Posten"},
    {"id": "pickup", "line_id": "pickup-1", "amount": 0, "title": "Pick up", "operator": ""},
)
_PLURALS = {"authorization": "authorizations", "capture": "captures", "refund": "refunds", "void": "cancellations"}


# -- paying without a card


async def pay_at_the_wallet(shop: Merchant, session: str) -> bool:
    """The payer is sent to his wallet, and says yes or no there, or never comes back."""
    body = {"payment_product_type": WALLET}
    answer = await shop.ask("payer", "POST", shop.pay_path(session), body)
    if answer is None or answer.status != 200 or not answer.json()["action_url"]:
        return False
    await shop.confirm(answer.json()["action_url"])
    return True


async def pay_nothing(shop: Merchant, session: str) -> bool:
    """What costs nothing is paid by saying so."""
    answer = await shop.ask("payer", "POST", shop.pay_path(session), {"payment_product_type": NOTHING})
    return answer is not None and answer.status == 200


async def pay_elsewhere(shop: Merchant, session: str) -> bool:
    """The payer chooses to pay by invoice, and leaves."""
    body = {"payment_product_type": EXTERNAL}
    answer = await shop.ask("payer", "POST", shop.pay_path(session), body)
    return answer is not None and answer.status == 200


async def decide_held(shop: Merchant, session: str, transaction: str) -> None:
    """Several people say whether it was paid: the same, or not, at once, or twice."""
    chance = shop.world.chance
    await asyncio.gather(*(_decide(shop, session, transaction) for _ in range(chance.choice((1, 1, 2, 3)))))


async def _decide(shop: Merchant, session: str, transaction: str) -> None:
    chance = shop.world.chance
    await shop.world.wait(30)
    kind = chance.choice(("confirm", "confirm", "call off", "cancel"))
    if kind == "cancel":
        await shop.ask("clerk", "POST", f"/v1/sessions/{session}/cancel", {}, key=f"cancel {chance.random()}")
        return
    path = "authorization" if kind == "confirm" else "void"
    for _ in range(chance.choice((1, 1, 2))):
        await shop.do(kind, transaction, "POST", f"/v1/transactions/{transaction}/{path}", {})


# -- a session is changed before it is paid


async def amend(shop: Merchant, session: str, direct: bool) -> None:
    """The shop changes a session, under a lock or without, and may forget to take the lock off."""
    chance = shop.world.chance
    await shop.world.wait(25)
    locked = chance.random() < 0.6
    if locked:
        taken = await shop.visit("POST", f"/v1/view/{session}/session/lock", {})
        if taken is None or taken.status != 200:
            return
        if chance.random() < 0.2:
            lock = taken.json()["pay_lock"]["pay_lock_id"]
            await shop.visit("DELETE", f"/v1/view/{session}/session/lock?pay_lock_id={lock}")
            return
    order: Json = {"merchant_reference_2": f"changed {chance.random()}"}
    if direct and chance.random() < 0.6:
        order["amount"] = chance.randrange(100, 90_000)
    body: Json = {"order": order}
    if locked and chance.random() < 0.2:
        body["remove_lock"] = False
    query = "" if locked else "?update_without_lock=true"
    await shop.do("amend", session, "PUT", f"/v1/sessions/{session}{query}", body, with_name=False)


# -- express


def express_order(amount: int, reference: str, asks: bool) -> Json:
    """An express session's order with its options; with ``asks`` the shop's server says what the shipping may be."""
    order = {
        **{"amount": amount, "currency": "NOK", "merchant_reference": reference},
        "items": [{"line_id": "1", "id": "tea", "amount": amount}],
    }
    express: Json = {"shipping_options": list(OPTIONS), "discount_codes": {"max_count": 2, "callback_url": DISCOUNTS}}
    if asks:
        express["shipping_address_callback_url"] = SHIPPING
    return {"order": order, "express": express}


async def choose_shipping(shop: Merchant, session: str) -> None:
    """The payer says where he lives and how it shall come, perhaps in two windows at once."""
    chance = shop.world.chance
    for _ in range(chance.choice((1, 1, 2))):
        address = {"country": "NO", "postal_code": chance.choice(("0155", "9990"))}
        place = f"/v1/view/{session}/session/order"
        # Somebody else may have the same page open.
        windows = [shop.visit("PUT", f"{place}/addresses", {"shipping_address": address})]
        if chance.random() < 0.3:
            windows.append(shop.visit("PUT", f"{place}/shipping_option", chance.choice(OPTIONS)))
        if chance.random() < 0.3:
            codes = chance.choice((["TEA"], ["TEA", "OLD"], []))
            windows.append(shop.visit("PUT", f"{place}/discount_codes", {"discount_codes": codes}))
        await asyncio.gather(*windows)
        await shop.visit("PUT", f"{place}/shipping_option", chance.choice(OPTIONS))


# -- an order's own life


async def look_after(shop: Merchant, order: str, amounts: Sequence[int]) -> None:
    """The order is changed, closed, opened and cancelled while people pay it, and money moves elsewhere."""
    chance = shop.world.chance
    for _ in range(chance.choice((0, 0, 1, 2, 3))):
        await shop.world.wait(60)
        kind = chance.choice(("update", "update", "elsewhere", "elsewhere", "close", "open", "open", "cancel"))
        if kind == "update":
            await shop.do("update", order, "PUT", f"orders/{order}", {})
        elif kind == "elsewhere":
            await move_elsewhere(shop, order, amounts)
        else:
            await shop.do(kind, order, "POST", f"orders/{order}/{kind}", {}, with_name=False)


async def move_elsewhere(shop: Merchant, order: str, amounts: Sequence[int]) -> None:
    """What was paid in cash is noted on the order, and captured and given back there."""
    chance = shop.world.chance
    line = chance.randrange(1, len(amounts) + 1)
    for kind in ("authorization", "capture", "refund")[: chance.randrange(1, 4)]:
        items = [{"line_id": line, "amount": shop.part(amounts[line - 1])}]
        answer = await shop.do(kind, order, "POST", f"orders/{order}/{_PLURALS[kind]}", {"items": items})
        if answer is None or answer.status != 200:
            return


async def take_by_both_doors(shop: Merchant, order: str, transaction: str, amounts: Sequence[int]) -> None:
    """The shop captures at the checkout, and its accounting records the same on the order: it is one capture."""
    chance = shop.world.chance
    line = chance.randrange(1, len(amounts) + 1)
    amount = shop.part(amounts[line - 1])
    items = [{"line_id": line, "amount": amount}]
    one = shop.do(
        "capture",
        transaction,
        "POST",
        f"/v1/transactions/{transaction}/capture",
        {
            "amount": amount,
            "items": [{"line_id": str(line), "amount": amount}],
        },
    )
    recorded = {"items": items, "payment_details": {"payment_id": transaction}}
    other = shop.do("record", order, "POST", f"orders/{order}/captures", recorded)
    if chance.random() < 0.3:
        await asyncio.gather(one, other)
        return
    answer = await one
    if answer is not None and answer.status == 200:
        shop.matched.append((transaction, answer, await other))
    else:
        other.close()


# -- the account's clock


async def play_with_the_clock(shop: Merchant) -> None:
    """The clock of the test account is stopped, moved and started while people shop."""
    chance = shop.world.chance
    path = f"{shop.account_path}/sandbox/clock"
    while not shop.world.ended:
        await shop.world.wait(60)
        step = chance.choice(("stop", "start", "move", "move"))
        body: Json = {}
        if step == "move":
            body["by"] = chance.choice((-3600, -30, 30, 600, 86_400))
        await shop.ask("tester", "POST", f"{path}/{step}", body)


async def start_the_clock(shop: Merchant) -> Answer | None:
    """Time goes on again, as far ahead as it is."""
    return await shop.ask("tester", "POST", f"{shop.account_path}/sandbox/clock/start", {})
