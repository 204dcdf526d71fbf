"""Items as merchants send them who do not follow the documents, where the operator wants it (O-6, O-7)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.api import relaxed
from tests.running import Json, Running, Shop, running


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(relaxed_items=True) as found:
        yield found


ITEMS: list[Json] = [
    {"id": "4711", "amount": 8000, "description": "Tea", "discount_lines": [{"amount": 2000}]},
    {"id": "MUG", "external_id": "12", "gross_amount": 10000, "net_amount": 8000},
    {"id": "FREIGHT", "amount": 4900, "tax_lines": [{"amount": 980, "percentage": 25}]},
    {"id": "GIFT", "line_id": "1", "amount": 100},
]


def test_the_gaps_of_items_are_filled(shop: Shop) -> None:
    order = shop.ok("POST", "orders", {"currency": "NOK", "items": ITEMS})
    assert [item["line_id"] for item in order["items"]] == [1, 2, 12, 4711]
    by_id = {item["id"]: item for item in order["items"]}
    assert {id: item["line_id"] for id, item in by_id.items()} == {"4711": 4711, "MUG": 12, "FREIGHT": 2, "GIFT": 1}
    assert (by_id["4711"]["gross_amount"], by_id["4711"]["net_amount"]) == (10000, 8000)
    assert (by_id["MUG"]["net_amount"], by_id["MUG"]["tax_lines"]) == (10000, [])
    assert order["net_amount"] == 8000 + 10000 + 4900 + 100


def test_a_draft_of_such_items_can_be_paid_and_captured(shop: Shop) -> None:
    draft = shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": ITEMS[:1]}})
    shop.ok("POST", f"draft_orders/{draft['id']}/items", {"id": "4712", "amount": 500})
    order = shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"][0]
    shop.pay(shop.session(order))
    capture = {"items": [{"line_id": 4711, "amount": 8000}, {"line_id": 4712, "amount": 500}]}
    assert shop.ok("POST", f"orders/{order['order_id']}/captures", capture)["amount"] == 8500


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ({"amount": 1}, "/items/0/id"),
        ({"id": "A"}, "/items/0/gross_amount"),
        ({"id": "A", "amount": "1"}, "/items/0/gross_amount"),
        ({"id": "A", "amount": 1, "discount_lines": [{"amount": "x"}]}, "/items/0/discount_lines/0/amount"),
        ({"id": "A", "amount": 1, "tax_lines": 7}, "/items/0/tax_lines"),
    ],
)
def test_what_cannot_be_meant_is_still_refused(shop: Shop, item: Json, path: str) -> None:
    answer = shop.call("POST", "orders", {"currency": "NOK", "items": [item]})
    assert answer.status_code == 400
    assert answer.json()["error"]["errors"][0]["path"] == path


_IDS = st.one_of(st.none(), st.integers(0, 9), st.sampled_from(["1", "2", "x", "007"]))


@given(st.lists(st.fixed_dictionaries({"id": _IDS, "amount": st.integers(-5, 5)}, optional={"line_id": _IDS})))
def test_no_line_id_is_given_out_twice(items: list[Json]) -> None:
    said = [int(item["line_id"]) for item in items if str(item.get("line_id")).isdigit()]
    found = [item["line_id"] for item in relaxed.order_body({"items": items})["items"]]
    made = [int(line_id) for line_id, item in zip(found, items, strict=True) if item.get("line_id") is None]
    assert len({*made}) == len(made)
    assert not {*made} & {*said}
