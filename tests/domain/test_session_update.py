"""What a merchant may change of a session, and what it costs then."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.domain import checkout
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession, SessionEvent, note
from kasse.domain.session_update import WHOLE_UPDATES, Update, details, needs_callback, updated, without_old_copies
from tests.domain.plain import NOW
from tests.domain.plain import items as lines
from tests.domain.plain import session as plain_session
from tests.domain.test_express import HOME, ITEMS, OPTIONS, PICK_UP, POST, express, item

Json = dict[str, Any]


def changed(session: PaymentSession, *, express: Json | None = None, strict: bool = False, **order: Any) -> Json:
    return updated(session, Update(order=order or None, express=express, strict=strict)).checkout_order


def refused(session: PaymentSession, *, express: Json | None = None, strict: bool = False, **order: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        changed(session, express=express, strict=strict, **order)
    return caught.value


def test_what_is_left_out_stays() -> None:
    session = express(POST, option=POST)
    assert updated(session, Update()) == session
    order = changed(session, merchant_reference_2="second")
    assert order == {**session.checkout_order, "merchant_reference_2": "second"}
    assert changed(session, items=None, amount=None)["items"] == session.checkout_order["items"]


def test_new_items_make_a_new_amount() -> None:
    session = express(POST, option=POST)
    assert changed(session, items=[item("1", 200)])["amount"] == 690
    assert changed(session, items=[item("1", 200)], amount=690)["amount"] == 690


def test_an_amount_without_the_shipping_gets_it_added_unless_the_client_wants_it_strict() -> None:
    session = express(POST, option=POST)
    wrong: Json = {"items": [item("1", 200)], "amount": 200, "shipping_option": POST}
    assert changed(session, **wrong)["amount"] == 690
    problem = refused(session, strict=True, **wrong)
    assert (problem.reason, problem.path) == ("amount_mismatch", "/order/amount")
    assert changed(session, strict=True, **{**wrong, "amount": 690})["amount"] == 690


def test_without_items_the_amount_is_what_the_merchant_says() -> None:
    session = plain_session()
    assert changed(session, amount=700)["amount"] == 700
    assert changed(session, shipping_option=POST)["amount"] == 1490


def test_a_partial_payment_is_at_most_what_the_items_cost() -> None:
    session = express()
    assert changed(session, partial_payment=True, amount=400)["amount"] == 400
    assert refused(session, partial_payment=True, amount=1001).reason == "amount_mismatch"


def test_shipping_is_taken_away_by_null() -> None:
    order = changed(express(POST, option=POST), shipping_option=None)
    assert (order["amount"], "shipping_option" in order) == (1000, False)


def test_reference_and_currency_stay() -> None:
    for other in ({"merchant_reference": "other"}, {"currency": "SEK"}):
        with pytest.raises(Refusal) as caught:
            updated(express(), Update(other))
        assert (caught.value.reason, caught.value.path) == ("wrong_value", f"/order/{next(iter(other))}")
    assert changed(express(), merchant_reference="ref-1", currency="NOK")["amount"] == 1000


def test_lines_are_told_apart() -> None:
    assert refused(express(), items=[item("1", 1), item("1", 2)]).reason == "duplicate_line"
    assert [each["line_id"] for each in changed(express(), items=[{"amount": 5}])["items"]] == ["line-1"]


def test_a_chosen_option_is_one_of_those_on_offer() -> None:
    session = express(POST, option=POST)
    offer = {"shipping_options": [PICK_UP]}
    assert changed(session, express=offer)["amount"] == 1000
    assert changed(session, express=offer, shipping_option=PICK_UP)["shipping_option"] == PICK_UP
    problem = refused(session, express=offer, shipping_option=POST)
    assert (problem.reason, problem.path) == ("wrong_value", "/order/shipping_option")
    dearer = {**POST, "amount": 900}
    assert changed(session, express={"shipping_options": [dearer]})["amount"] == 1900


def test_only_an_express_session_gets_options() -> None:
    assert refused(plain_session(), express={"shipping_options": [POST]}).reason == "wrong_state"
    assert updated(plain_session(), Update(express={"customer_types": ["b2c"]})).given == {}


def test_the_lines_of_an_order_stay_what_they_are() -> None:
    session = express(POST, order="order-1", order_id="K7Q2M9XAB", items=lines({1: 700, 2: 300}))
    assert changed(session, shipping_option=POST)["amount"] == 1490
    assert changed(session, shipping_option=POST, amount=1000)["amount"] == 1490
    assert (
        changed(session, items=[item("1", 700), {"line_id": 2, "amount": 300}])["items"]
        == (session.checkout_order["items"])
    )
    assert refused(session, items=[item("1", 1000)]).path == "/order/items"
    assert refused(session, amount=900).path == "/order/amount"


def test_the_merchant_is_asked_unless_he_has_just_said_what_the_shipping_may_be() -> None:
    url = "https://shop.example/ask"
    asking = express(POST, express={"shipping_address_callback_url": url})
    session = updated(asking, Update(order={"shipping_address": HOME}))
    told = Update(express={"shipping_options": [POST]})
    assert needs_callback(session, Update(), force=False) == url
    assert needs_callback(session, told, force=False) is None
    assert needs_callback(session, told, force=True) == url
    assert needs_callback(asking, Update(), force=True) is None
    assert needs_callback(plain_session(), Update(), force=True) is None


def test_the_event_tells_what_was_there_before_and_what_after() -> None:
    session = express(POST)
    after = updated(session, Update(order={"items": [item("1", 5)]}))
    assert details(session, after) == {
        "previous_order": session.checkout_order,
        "updated_order": after.checkout_order,
        "updated_order_result": {"status": "MODIFIED"},
        "updated_express_result": {"status": "NOT_MODIFIED"},
    }
    assert details(plain_session(), plain_session()) == {"updated_order_result": {"status": "NOT_MODIFIED"}}


def test_the_history_does_not_grow_by_two_orders_for_every_update() -> None:
    session = plain_session()
    for n in range(WHOLE_UPDATES + 5):
        about = {"previous_order": {}, "updated_order": {}, "updated_order_result": {"status": "MODIFIED"}}
        event = SessionEvent(f"event-{n}", "UPDATE_SESSION", NOW, "request-1", about)
        session = without_old_copies(note(session, event))
    whole = [event for event in session.events if "updated_order" in event.details]
    assert [event.id for event in whole] == [f"event-{n}" for n in range(5, WHOLE_UPDATES + 5)]
    assert all(event.details["updated_order_result"] for event in session.events)


@given(
    OPTIONS,
    ITEMS,
    st.none() | ITEMS,
    st.none() | st.integers(0, 9000),
    st.none() | OPTIONS,
    st.none() | st.integers(0, 2),
)
def test_the_amount_always_is_the_items_and_the_shipping(
    options: list[Json],
    items: list[Json],
    new_items: list[Json] | None,
    amount: int | None,
    new_options: list[Json] | None,
    choice: int | None,
) -> None:
    before = express(*options, option=options[0] if options else None)
    offer = options if new_options is None else new_options
    order: Json = {"items": new_items or None, "amount": amount if new_items else None}
    if choice is not None and choice < len(offer):
        order["shipping_option"] = offer[choice]
    try:
        after = updated(before, Update(order, None if new_options is None else {"shipping_options": new_options}))
    except Refusal:
        return
    assert after.amount == checkout.total(after.checkout_order)
    assert msgspec.json.decode(msgspec.json.encode(after), type=PaymentSession) == after
