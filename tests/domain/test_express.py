"""Express: what the payer may choose, and that the amount always is what the items and the shipping add up to."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.domain import checkout
from kasse.domain.express import (
    CORRECTION,
    Reply,
    chosen,
    grouped,
    offered,
    read_reply,
    with_addresses,
    with_discount_codes,
    with_reply,
)
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession, require_shipping, with_order
from tests.domain.plain import items as lines
from tests.domain.plain import session as plain_session

Json = dict[str, Any]
POST: Json = {"id": "post", "line_id": "post-1", "amount": 490, "title": "Post", "operator": "Posten"}
PICK_UP: Json = {"id": "pickup", "line_id": "pickup-1", "amount": 0, "title": "Pick up", "operator": ""}
ELSEWHERE: Json = {**PICK_UP, "line_id": "pickup-2"}
HOME: Json = {"country": "NO", "postal_code": "0155"}


def item(line_id: str, amount: int) -> Json:
    return {"line_id": line_id, "id": line_id, "amount": amount, "quantity": 1}


def express(*options: Json, amount: int | None = None, option: Json | None = None, **more: Any) -> PaymentSession:
    """A session with an order of its own over 1000 and these options."""
    order: Json = {"currency": "NOK", "merchant_reference": "ref-1", "items": [item("1", 700), item("2", 300)]}
    if option is not None:
        order["shipping_option"] = option
    order["amount"] = checkout.total(order) if amount is None else amount
    given = {"express": {"shipping_options": list(options), **more.pop("express", {})}}
    return with_order(plain_session(given=given, **more), order)


def answer(*options: Json, **order: Any) -> Reply:
    return read_reply({"shipping_options": list(options), **({"order": order} if order else {})})


def replied(session: PaymentSession, *options: Json, **order: Any) -> PaymentSession:
    return with_reply(session, answer(*options, **order), "x")


def corrections(session: PaymentSession) -> list[int]:
    return [each["amount"] for each in session.checkout_order["items"] if each["id"].startswith(CORRECTION)]


def failed(session: PaymentSession, *options: Json, **order: Any) -> str:
    with pytest.raises(Refusal) as refused:
        replied(session, *options, **order)
    assert refused.value.reason == "callback_failed"
    return refused.value.message


# -- choosing


def test_options_of_one_id_are_shown_together_in_the_order_they_came() -> None:
    assert grouped([PICK_UP, POST, ELSEWHERE]) == [(PICK_UP, ELSEWHERE), (POST,)]


def test_an_option_is_named_by_its_id_and_where_several_have_that_by_its_line_too() -> None:
    session = express(POST, PICK_UP, ELSEWHERE)
    assert chosen(session, "post") == POST
    assert chosen(session, "pickup", "pickup-2") == ELSEWHERE
    for wrong in (("pickup", None), ("boat", None), ("post", "pickup-1")):
        with pytest.raises(Refusal) as refused:
            chosen(session, *wrong)
        assert refused.value.reason == "wrong_value"
        assert "post/post-1" in refused.value.message


def test_an_option_for_other_countries_is_not_on_offer() -> None:
    to_sweden = {**POST, "countries": ["SE", "DK"]}
    assert offered(express(to_sweden, PICK_UP)) == (to_sweden, PICK_UP)
    assert offered(with_addresses(express(to_sweden, PICK_UP), HOME, None)) == (PICK_UP,)


def test_choosing_an_option_changes_the_amount_by_its_price() -> None:
    order = express(POST).checkout_order
    with_post = checkout.with_shipping(order, POST)
    assert with_post["amount"] == 1490
    assert checkout.with_shipping(with_post, PICK_UP)["amount"] == 1000
    without = checkout.with_shipping(with_post, None)
    assert without["amount"] == 1000
    assert "shipping_option" not in without


def test_what_is_charged_beside_the_items_stays_when_an_option_is_chosen() -> None:
    assert checkout.with_shipping({"amount": 5000, "items": []}, POST)["amount"] == 5490


# -- addresses


def test_an_option_that_does_not_go_to_the_new_address_is_given_up() -> None:
    domestic = {**POST, "countries": ["NO"]}
    session = express(domestic, option=domestic)
    assert with_addresses(session, HOME, None).amount == 1490
    abroad = with_addresses(session, {"country": "SE"}, None)
    assert abroad.amount == 1000
    assert "shipping_option" not in abroad.checkout_order


@pytest.mark.parametrize(
    ("countries", "country"),
    [({"allow_countries": ["NO"]}, "SE"), ({"deny_countries": ["SE"]}, "SE")],
)
def test_a_country_that_the_merchant_does_not_sell_to_is_refused(countries: Json, country: str) -> None:
    session = express(configuration={"countries": countries})
    with pytest.raises(Refusal) as refused:
        with_addresses(session, {"country": country}, None)
    assert (refused.value.reason, refused.value.path) == ("wrong_value", "/shipping_address/country")
    assert with_addresses(session, HOME, None).checkout_order["shipping_address"] == HOME


def test_companies_and_persons_are_sold_to_as_the_merchant_says() -> None:
    company = {**HOME, "business_name": "Fjord AS", "organization_number": "999888777"}
    for types, fits, wrong in ((["b2c"], HOME, company), (["b2b"], company, HOME)):
        session = express(express={"customer_types": types})
        assert with_addresses(session, fits, None).checkout_order["shipping_address"] == fits
        with pytest.raises(Refusal):
            with_addresses(session, wrong, None)
    for address in (HOME, company):
        with_addresses(express(), address, None)


def test_the_bill_may_go_elsewhere_where_that_is_allowed() -> None:
    other = {**HOME, "postal_code": "5003"}
    assert with_addresses(express(), HOME, HOME).checkout_order["billing_address"] == HOME
    with pytest.raises(Refusal) as refused:
        with_addresses(express(), HOME, other)
    assert refused.value.path == "/billing_address"
    allowed = express(configuration={"allow_different_billing_shipping_address": ["b2c"]})
    assert with_addresses(allowed, HOME, other).checkout_order["billing_address"] == other


# -- discount codes


def test_no_more_codes_than_the_merchant_takes() -> None:
    session = express(express={"discount_codes": {"max_count": 2}})
    assert with_discount_codes(session, ["A", "B"]).checkout_order["discount_codes"] == ["A", "B"]
    assert with_discount_codes(session, []).checkout_order["discount_codes"] == []
    for wrong in (["A", "B", "C"], ["A", "A"]):
        with pytest.raises(Refusal) as refused:
            with_discount_codes(session, wrong)
        assert (refused.value.reason, refused.value.path) == ("wrong_value", "/discount_codes")
    with pytest.raises(Refusal) as refused:
        with_discount_codes(express(), ["A"])
    assert refused.value.reason == "wrong_state"


# -- the merchant's answer


def test_without_an_order_the_answer_only_says_what_the_shipping_may_be() -> None:
    session = replied(express(POST), POST, PICK_UP)
    assert offered(session) == (POST, PICK_UP)
    assert session.amount == 1000


def test_an_amount_that_adds_up_needs_no_correction() -> None:
    session = replied(express(POST, option=POST), POST, amount=1490)
    assert (session.amount, corrections(session)) == (1490, [])
    new = replied(express(POST, option=POST), POST, amount=690, items=[item("1", 200)])
    assert (new.amount, corrections(new)) == (690, [])


def test_what_the_amount_is_off_becomes_an_item() -> None:
    session = replied(express(POST, option=POST), POST, amount=1500)
    assert session.amount == 1500
    assert session.checkout_order["items"][-1] == {
        **{"id": "correction-x", "line_id": "correction-x", "amount": 10, "quantity": 1},
        **{"description": "Correction", "version": session.version + 1},
    }
    less = replied(express(POST), POST, amount=900)
    assert (less.amount, corrections(less)) == (900, [-100])


def test_an_amount_without_the_chosen_shipping_is_corrected_by_it() -> None:
    session = replied(express(POST, option=POST), POST, amount=1000)
    assert (session.amount, corrections(session)) == (1000, [-490])


def test_an_earlier_correction_goes_when_the_next_answer_comes() -> None:
    first = replied(express(POST), POST, amount=1010)
    second = replied(first, POST, amount=1000)
    assert (second.amount, corrections(second)) == (1000, [])


def test_a_chosen_option_that_is_not_offered_any_more_is_given_up() -> None:
    for order in ({}, {"amount": 1490}, {"amount": 1000}):
        session = replied(express(POST, option=POST), PICK_UP, **order)
        assert session.amount == 1000
        assert "shipping_option" not in session.checkout_order
        assert corrections(session) == []


def test_a_chosen_option_with_another_price_costs_that_from_now_on() -> None:
    dearer = {**POST, "amount": 600}
    for order in ({}, {"amount": 1490}, {"amount": 1600}):
        session = replied(express(POST, option=POST), dearer, **order)
        assert (session.amount, corrections(session)) == (1600, [])
        assert session.checkout_order["shipping_option"] == dearer


def test_an_answer_to_a_discount_code_may_leave_the_shipping_out() -> None:
    cheaper = [item("1", 600), item("2", 300)]
    for amount in (900, 1390):
        session = with_reply(express(POST, option=POST), answer(POST, amount=amount, items=cheaper), "x", discount=True)
        assert (session.amount, corrections(session)) == (1390, [])


def test_the_lines_of_an_order_stay_what_they_are() -> None:
    session = express(POST, option=POST, order="order-1", items=lines({1: 700, 2: 300}))
    for order in ({}, {"amount": 1490}, {"amount": 1000}, {"items": session.checkout_order["items"]}):
        found = replied(session, POST, PICK_UP, **order)
        assert found.amount == 1490
        assert checkout.items_sum(found.checkout_order) == 1000
    assert "lines of the order" in failed(session, POST, amount=900)
    assert "lines of the order" in failed(session, POST, amount=1000, items=[item("1", 1000)])


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {"shipping_options": None},
        {"shipping_options": [1]},
        {"shipping_options": [{"id": "post", "amount": 1}]},
        {"shipping_options": [{**POST, "amount": -1}]},
        {"shipping_options": [{**POST, "amount": 4.5}]},
        {"shipping_options": [{**POST, "amount": True}]},
        {"shipping_options": [{**POST, "line_id": ""}]},
        {"shipping_options": [], "order": []},
        {"shipping_options": [], "order": {"amount": "1000"}},
        {"shipping_options": [], "order": {"amount": 2**60}},
        {"shipping_options": [], "order": {"items": {}}},
        {"shipping_options": [], "order": {"items": [{"line_id": "1"}]}},
        {"shipping_options": [], "order": {"items": [item("1", 1), item("1", 1)]}},
    ],
)
def test_an_answer_that_cannot_be_used_is_a_failure(wrong: Any) -> None:
    with pytest.raises(Refusal) as refused:
        read_reply(wrong)
    assert refused.value.reason == "callback_failed"


def test_an_answer_that_contradicts_itself_is_a_failure() -> None:
    assert "line_id of an item" in failed(express(), {**POST, "line_id": "1"})
    assert "same line_id" in failed(express(), POST, {**PICK_UP, "line_id": "post-1"})
    assert "amount would be -1" in failed(express(), POST, amount=-1)


def test_more_than_the_amounts_may_be_said() -> None:
    session = replied(express(), POST, amount=1000, vat_amount=200, discount_codes=["A"], currency="EUR")
    order = session.checkout_order
    assert (order["vat_amount"], order["discount_codes"], order["currency"]) == (200, ["A"], "NOK")


# -- when it can be paid


def test_an_express_session_can_be_paid_once_it_has_an_address_and_its_shipping() -> None:
    with_address = with_addresses(express(POST), HOME, None)
    for unready in (express(POST), with_address, express(POST, option=POST)):
        with pytest.raises(Refusal) as refused:
            require_shipping(unready)
        assert refused.value.reason == "not_payable"
    require_shipping(with_addresses(express(POST, option=POST), HOME, None))
    require_shipping(with_addresses(express(), HOME, None))
    require_shipping(express(POST, express={"shipping_mode": "shipping_not_required"}))


# -- always

AMOUNTS = st.integers(0, 5000)
OPTIONS = st.lists(
    st.builds(
        lambda n, amount: {**POST, "id": f"o{n}", "line_id": f"s{n}", "amount": amount}, st.integers(1, 3), AMOUNTS
    ),
    unique_by=lambda option: option["line_id"],
    max_size=3,
)
ITEMS = st.lists(
    st.builds(item, st.sampled_from(["1", "2", "3"]), st.integers(-500, 5000)), unique_by=lambda one: one["line_id"]
)


@given(
    OPTIONS,
    st.none() | st.integers(0, 2),
    st.lists(st.tuples(OPTIONS, st.none() | AMOUNTS, st.none() | ITEMS, st.booleans()), max_size=4),
)
def test_the_amount_always_is_the_items_and_the_shipping(
    options: list[Json], choice: int | None, answers: list[tuple[list[Json], int | None, list[Json] | None, bool]]
) -> None:
    option = options[choice] if choice is not None and choice < len(options) else None
    session, offered_last = express(*options, option=option), options
    for n, (offer, amount, new_items, discount) in enumerate(answers):
        reply = read_reply({"shipping_options": offer, "order": {"amount": amount, "items": new_items}})
        with suppress(Refusal):
            session = with_reply(session, reply, str(n), discount=discount)
            offered_last = offer
        assert session.amount == checkout.total(session.checkout_order) == session.checkout_order["amount"] >= 0
        assert len(corrections(session)) <= 1
        assert all(each != 0 for each in corrections(session))
        chosen_now = session.checkout_order.get("shipping_option")
        assert chosen_now is None or chosen_now in offered_last
