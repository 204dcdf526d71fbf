"""An item is replaced after it was captured: a line of the opposite sign, a new line, and the difference settled.

Source: orders reference, sections 5 and 6 (guide rules) and O-27.
"""

from __future__ import annotations

from tests.running import Json, Shop, line


def captured(shop: Shop) -> tuple[Json, str]:
    """A blanket and a coffee, paid in Kasse and captured in full."""
    order = shop.order(89_820, 11_500)
    transaction = shop.pay(shop.session(order))["transaction_id"]
    shop.ok("POST", f"orders/{order['id']}/captures", of_lines({1: 89_820, 2: 11_500}))
    assert shop.read_order(order)["payment_status"] == "paid"
    return order, str(transaction)


def of_lines(amounts: dict[int, int]) -> Json:
    return {"items": [{"line_id": line_id, "amount": amount} for line_id, amount in amounts.items()]}


def reverse(shop: Shop, order: Json, line_id: int, amount: int, new_line: int, new_amount: int) -> Json:
    """Put a line that takes ``line_id`` back and a new one in its place, through a linked draft."""
    back = line(
        new_line, -amount, reversed_reason="changed his mind", related_item={"line_id": line_id, "type": "reversed"}
    )
    body = {
        "order": {"currency": "NOK", "items": [{**back, "quantity": 1}, line(new_line + 1, new_amount)]},
        "options": {"order_id": order["order_id"]},
    }
    draft = shop.ok("POST", "draft_orders", body)
    assert draft["order"]["net_amount"] == new_amount - amount
    [changed] = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"]
    assert changed["id"] == order["id"]
    found: Json = changed
    return found


def totals(order: Json) -> tuple[int, ...]:
    """What an order costs, and what was authorized, captured, refunded and cancelled of it."""
    kinds = ("authorizations", "captures", "refunds", "cancellations")
    return (order["net_amount"], *(sum(entry["amount"] for entry in order[kind]) for kind in kinds))


def test_a_dearer_item_takes_the_place_of_a_captured_one_and_the_rest_is_paid(shop: Shop) -> None:
    order, first = captured(shop)
    changed = reverse(shop, order, 1, 89_820, 3, 99_900)
    assert totals(changed) == (111_400, 101_320, 101_320, 0, 0)
    assert changed["payment_status"] == "partially_paid"
    assert [(item["line_id"], item["net_amount"], item["version"]) for item in changed["items"]] == [
        *((1, 89_820, 1), (2, 11_500, 1)),
        *((3, -89_820, 6), (4, 99_900, 6)),
    ]
    assert changed["items"][2]["related_item"] == {"line_id": 1, "type": "reversed"}
    # The customer pays the difference: the new line less what comes back for the old one.
    session = shop.session(changed, 3, 4)
    assert session["amount"] == 10_080
    assert session["items"] == [{"line_id": "3", "amount": -89_820}, {"line_id": "4", "amount": 99_900}]
    second = shop.pay(session)["transaction_id"]
    assert shop.transaction(second)["amount"] == 10_080
    shop.ok("POST", f"orders/{order['id']}/captures", of_lines({3: -89_820, 4: 99_900}))
    done = shop.read_order(order)
    assert totals(done) == (111_400, 111_400, 111_400, 0, 0)
    assert done["payment_status"] == "paid"
    assert {shop.transaction(id)["status"] for id in (first, second)} == {"CAPTURED"}
    shop.refused(409, "nothing_left_to_pay", "POST", f"orders/{order['id']}/sessions", session_body(3, 4))


def session_body(*lines: int) -> Json:
    url = {name: "https://shop.example/x" for name in ("return_url", "callback_url", "merchant_terms_url")}
    return {"items": [{"line_id": line_id} for line_id in lines], "profile_id": "default", "url": url}


def test_a_cheaper_item_takes_the_place_of_a_captured_one_and_what_is_over_goes_back(shop: Shop) -> None:
    order, transaction = captured(shop)
    path = f"orders/{order['id']}"
    changed = reverse(shop, order, 1, 89_820, 3, 59_900)
    assert totals(changed) == (71_400, 101_320, 101_320, 0, 0)
    assert changed["payment_status"] == "paid"
    # There is nothing to pay for the two together: a session would have to pay the customer.
    problem = shop.refused(400, "amount_not_positive", "POST", f"{path}/sessions", session_body(3, 4))
    assert "-29920" in problem["message"]
    # The bookkeeping of the exchange, which moves no money.
    for kind in ("authorizations", "captures"):
        shop.ok("POST", f"{path}/{kind}", of_lines({3: -89_820, 4: 59_900}))
    exchanged = shop.read_order(order)
    assert totals(exchanged) == (71_400, 71_400, 71_400, 0, 0)
    assert exchanged["payment_status"] == "paid"
    # The money that is over goes back to the card that paid the reversed line.
    refund = shop.ok("POST", f"{path}/refunds", of_lines({1: 29_920}))
    assert refund["amount"] == 29_920
    assert shop.transaction(transaction)["status"] == "PARTIALLY_REFUNDED"
    assert shop.transaction(transaction)["amount"] == 101_320
    done = shop.read_order(order)
    assert totals(done) == (71_400, 71_400, 71_400, 29_920, 0)
    assert done["payment_status"] == "partially_refunded"


def test_what_is_over_is_refunded_on_a_line_of_its_own(shop: Shop) -> None:
    """As the guide says: a line for what is over, authorized, captured and then refunded."""
    order = shop.order(89_820)
    path = f"orders/{order['id']}"
    for kind in ("authorizations", "captures"):
        shop.ok("POST", f"{path}/{kind}", of_lines({1: 89_820}))
    reverse(shop, order, 1, 89_820, 2, 59_900)
    body = {"order": {"currency": "NOK", "items": [line(9, 29_920)]}, "options": {"order_id": order["order_id"]}}
    draft = shop.ok("POST", "draft_orders", body)
    [changed] = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"]
    # What the customer has paid is what the order costs, the money to give back included.
    assert changed["net_amount"] == 89_820
    for kind in ("authorizations", "captures"):
        made = shop.ok("POST", f"{path}/{kind}", of_lines({2: -89_820, 3: 59_900, 9: 29_920}))
        assert made["amount"] == 0
    shop.ok("POST", f"{path}/refunds", of_lines({9: 29_920}))
    done = shop.read_order(order)
    assert totals(done) == (89_820, 89_820, 89_820, 29_920, 0)
    assert done["payment_status"] == "partially_refunded"


def test_the_same_price_needs_no_payment(shop: Shop) -> None:
    order, transaction = captured(shop)
    path = f"orders/{order['id']}"
    reverse(shop, order, 2, 11_500, 3, 11_500)
    shop.refused(400, "amount_not_positive", "POST", f"{path}/sessions", session_body(3, 4))
    for kind in ("authorizations", "captures"):
        assert shop.ok("POST", f"{path}/{kind}", of_lines({3: -11_500, 4: 11_500}))["amount"] == 0
    done = shop.read_order(order)
    assert totals(done) == (101_320, 101_320, 101_320, 0, 0)
    assert done["payment_status"] == "paid"
    assert shop.transaction(transaction)["status"] == "CAPTURED"


def test_a_reversal_takes_back_no_more_than_it_says(shop: Shop) -> None:
    order, _ = captured(shop)
    path = f"orders/{order['id']}"
    reverse(shop, order, 1, 89_820, 3, 59_900)
    shop.refused(400, "amount_above_left", "POST", f"{path}/authorizations", of_lines({3: -89_821}))
    shop.refused(400, "amount_sign", "POST", f"{path}/authorizations", of_lines({3: 89_820}))
    shop.refused(400, "amount_sign", "POST", f"{path}/authorizations", of_lines({4: -1}))
    shop.refused(400, "amount_above_left", "POST", f"{path}/captures", of_lines({3: -1}))
    assert totals(shop.read_order(order)) == (71_400, 101_320, 101_320, 0, 0)
