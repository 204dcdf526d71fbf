"""Several sessions pay one order in parts, in currencies of three, two and no decimals: every sum holds."""

from __future__ import annotations

import pytest

from kasse.operations.verification import verify
from tests.running import Json, Running, Shop, line, session_request

# A price in whole units, in the minor units of each currency.
CURRENCIES = {"KWD": 1000, "NOK": 100, "JPY": 1}


def chosen(*items: tuple[int, int | None]) -> list[Json]:
    return [{"line_id": n} if amount is None else {"line_id": n, "amount": amount} for n, amount in items]


def opened(shop: Shop, order: Json, *items: tuple[int, int | None]) -> Json:
    return shop.ok("POST", f"orders/{order['id']}/sessions", {**session_request([1]), "items": chosen(*items)})


def amounts(order: Json, kind: str) -> dict[int, int]:
    """What there is of a kind, by line."""
    found: dict[int, int] = {}
    for entry in order[kind]:
        assert entry["amount"] == sum(item["amount"] for item in entry["items"])
        for item in entry["items"]:
            found[item["line_id"]] = found.get(item["line_id"], 0) + item["amount"]
    return found


@pytest.mark.parametrize("currency", CURRENCIES)
def test_sessions_pay_an_order_in_parts(shop: Shop, server: Running, currency: str) -> None:
    unit = CURRENCIES[currency]
    prices = {1: 900 * unit + (7 if unit > 1 else 0), 2: 115 * unit, 3: 75 * unit}
    order = shop.order(currency=currency, items=[line(n, price) for n, price in prices.items()])
    assert order["net_amount"] == sum(prices.values())
    path = f"orders/{order['id']}"
    part = prices[1] // 3

    first = opened(shop, order, (1, part), (2, None))
    rest = opened(shop, order, (1, None), (3, None))
    everything = opened(shop, order, (1, None), (2, None), (3, None))
    assert (first["amount"], first["currency"]) == (part + prices[2], currency)
    assert rest["amount"] == prices[1] + prices[3]
    assert everything["amount"] == order["net_amount"]
    assert [session["id"] for session in shop.read_order(order)["sessions"]] == [
        *(session["id"] for session in (everything, rest, first)),
    ]

    paid = [shop.pay(first)["transaction_id"]]
    # What was opened before claims more than is left by now.
    for late in (rest, everything):
        assert shop.call("POST", shop.pay_path(late), {}).status_code == 409
    problem = shop.refused(
        *(400, "amount_above_left", "POST", f"{path}/sessions"),
        {**session_request([1]), "items": chosen((1, prices[1] - part + 1))},
    )
    assert f"has {prices[1] - part} left" in problem["message"]
    again = opened(shop, order, (1, None), (3, 25 * unit))
    assert [item["amount"] for item in again["items"]] == [prices[1] - part, 25 * unit]
    paid.append(shop.pay(again)["transaction_id"])
    last = opened(shop, order, (3, None))
    assert last["amount"] == 50 * unit
    paid.append(shop.pay(last)["transaction_id"])
    shop.refused(409, "nothing_left_to_pay", "POST", f"{path}/sessions", session_request([3]))

    read = shop.read_order(order)
    assert amounts(read, "authorizations") == prices
    assert sum(shop.transaction(each)["amount"] for each in paid) == order["net_amount"]
    assert {shop.transaction(each)["currency"] for each in paid} == {currency}
    for n, authorization in enumerate(read["authorizations"]):
        body = {"items": authorization["items"], "authorization_id": authorization["id"]}
        shop.ok("POST", f"{path}/captures", body)
        assert shop.read_order(order)["payment_status"] == ("paid" if n == 2 else "partially_paid")
    shop.ok("POST", f"{path}/refunds", {"items": chosen((2, prices[2] - 1))})
    read = shop.read_order(order)
    assert amounts(read, "captures") == prices
    assert amounts(read, "refunds") == {2: prices[2] - 1}
    assert read["payment_status"] == "partially_refunded"
    refunded = sum(
        event["amount"] for each in paid for event in shop.transaction(each)["events"] if event["event"] == "REFUND"
    )
    assert refunded == prices[2] - 1
    assert server.run(verify(server.house)).difference is None


def test_options_of_a_session_are_kept_and_sent_back(shop: Shop) -> None:
    order = shop.order(1000)
    options = {"multiple_authorizations": True, "anything": [1, {"x": None}]}
    session = shop.session(order, options=options)
    assert session["options"] == options
    assert shop.ok("GET", f"orders/{order['id']}/sessions/{session['id']}")["options"] == options
    assert shop.read_order(order)["sessions"][0]["options"] == options
    shop.refused(
        *(400, "wrong_type", "POST", f"orders/{order['id']}/sessions"), session_request([1], options="everything")
    )
