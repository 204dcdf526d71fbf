"""Section 13 of the orders reference, sums included: from a draft to a refund."""

from __future__ import annotations

from tests.running import Json, Shop, session_request

ITEMS: list[Json] = [
    {
        "id": "BL-9",
        "line_id": 1,
        "quantity": 2,
        "description": "Blanket",
        "gross_amount": 99800,
        "net_amount": 89820,
        "discount_lines": [{"line_id": 1, "amount": 9980, "percentage": 10, "discount_type": "periodic"}],
        "tax_lines": [{"amount": 17964, "percentage": 25, "included_in_price": True, "tax_basis": 89820}],
    },
    {
        "id": "CF-1",
        "line_id": 2,
        "quantity": 1,
        "gross_amount": 11500,
        "tax_lines": [{"amount": 1500, "percentage": 15}],
    },
    {"id": "FR", "line_id": 3, "quantity": 1, "gross_amount": 7500, "tax_lines": [{"amount": 1500, "percentage": 25}]},
]


def _order(shop: Shop) -> Json:
    draft = shop.ok(
        "POST",
        "draft_orders",
        {
            "options": {"generate_order_id": "ALPHANUMERIC_9", "split_draft": False},
            "order": {"currency": "NOK", "merchant_reference": "web-7001", "items": ITEMS},
        },
    )
    assert draft["status"] == "open"
    assert {name: draft["order"][name] for name in ("gross_amount", "net_amount", "total_discount")} == {
        "gross_amount": 118800,
        "net_amount": 108820,
        "total_discount": 9980,
    }
    assert "order_id" not in draft["order"]
    assert [event["event_type"] for event in draft["events"]] == ["api-event"]
    completed: Json = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"][0]
    assert len(completed["order_id"]) == 9
    assert (completed["status"], completed["payment_status"]) == ("open", "pending")
    assert (completed["gross_amount"], completed["net_amount"]) == (118800, 108820)
    assert any(link["rel"] == "draft" and draft["id"] in link["href"] for link in completed["_links"])
    return completed


def _sums(order: Json) -> tuple[int, int, int, str]:
    def total(name: str) -> int:
        return sum(int(entry["amount"]) for entry in order[name] if entry["success"])

    return total("authorizations"), total("captures"), total("refunds"), str(order["payment_status"])


def test_the_worked_example_with_a_session_and_captures_on_the_order(shop: Shop) -> None:
    order = _order(shop)
    path = f"orders/{order['order_id']}"
    session = shop.ok("POST", f"{path}/sessions", session_request(["1", "2", "3"]))  # type: ignore[list-item]
    assert session["amount"] == 108820
    assert session["items"] == [
        {"line_id": "1", "amount": 89820},
        {"line_id": "2", "amount": 11500},
        {"line_id": "3", "amount": 7500},
    ]
    assert session["url"].endswith(f"/v1/view/{session['id']}")
    assert session["created_by"]
    assert {link["rel"] for link in session["_links"]} >= {"session_link", "order"}

    paid = shop.pay(session)
    assert paid["status"] == "AUTHORIZED"
    assert _sums(shop.read_order(order)) == (108820, 0, 0, "pending")

    capture = shop.ok(
        "POST",
        f"{path}/captures",
        {"items": [{"line_id": 1, "amount": 89820}, {"line_id": 3, "amount": 7500}], "success": True},
    )
    assert capture["amount"] == 97320
    assert _sums(shop.read_order(order)) == (108820, 97320, 0, "partially_paid")
    assert shop.transaction(paid["transaction_id"])["status"] == "PARTIALLY_CAPTURED"

    shop.ok("POST", f"{path}/captures", {"items": [{"line_id": 2, "amount": 11500}]})
    assert _sums(shop.read_order(order)) == (108820, 108820, 0, "paid")
    assert shop.transaction(paid["transaction_id"])["status"] == "CAPTURED"

    refund = shop.ok("POST", f"{path}/refunds", {"items": [{"line_id": 1, "amount": 44910}], "success": True})
    assert refund["amount"] == 44910
    assert _sums(shop.read_order(order)) == (108820, 108820, 44910, "partially_refunded")
    assert shop.transaction(paid["transaction_id"])["status"] == "PARTIALLY_REFUNDED"

    problem = shop.refused(
        400, "amount_above_left", "POST", f"{path}/refunds", {"items": [{"line_id": 1, "amount": 45000}]}
    )
    assert problem["path"] == "/items/0/amount"
    assert "44910" in problem["message"]
    assert "45000" in problem["message"]
    assert _sums(shop.read_order(order)) == (108820, 108820, 44910, "partially_refunded")


def test_the_variant_where_the_coffee_is_cancelled_instead(shop: Shop) -> None:
    order = _order(shop)
    path = f"orders/{order['order_id']}"
    paid = shop.pay(shop.session(order))
    shop.ok("POST", f"{path}/captures", {"items": [{"line_id": 1, "amount": 89820}, {"line_id": 3, "amount": 7500}]})
    cancellation = shop.ok("POST", f"{path}/cancellations", {"items": [{"line_id": 2, "amount": 11500}]})
    assert cancellation["amount"] == 11500
    assert _sums(shop.read_order(order)) == (108820, 97320, 0, "paid")
    transaction = shop.transaction(paid["transaction_id"])
    assert transaction["status"] == "CAPTURED"
    assert [(event["event"], event["amount"]) for event in transaction["events"]] == [
        ("AUTHORIZE", 108820),
        ("CAPTURE", 97320),
        ("VOID", 11500),
    ]


def test_the_worked_example_recorded_by_hand_without_a_session(shop: Shop) -> None:
    order = _order(shop)
    path = f"orders/{order['order_id']}"
    everything = [{"line_id": 1, "amount": 89820}, {"line_id": 2, "amount": 11500}, {"line_id": 3, "amount": 7500}]
    recorded = shop.ok(
        "POST",
        f"{path}/authorizations",
        {"items": everything, "payment_details": {"payment_id": "PID_123"}, "success": True},
    )
    assert recorded["amount"] == 108820
    assert recorded["payment_details"] == {"payment_id": "PID_123"}
    shop.ok("POST", f"{path}/captures", {"items": everything})
    shop.ok("POST", f"{path}/refunds", {"items": [{"line_id": 1, "amount": 44910}]})
    assert _sums(shop.read_order(order)) == (108820, 108820, 44910, "partially_refunded")
