"""Whatever the reference says of a session's fields is kept, and a wrong type is refused where it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.running import Json, Shop, session_request

ADDRESS = {
    **{"first_name": "Kari", "last_name": "Nordmann", "address_line": "Storgata 1", "address_line_2": "3. etasje"},
    **{"co_address": "Ola", "business_name": "Kari AS", "postal_code": "0150", "postal_place": "Oslo", "country": "NO"},
    **{"phone_number": "+4799999999", "email": "kari@shop.example", "comment": "ring twice"},
    **{"organization_number": "999999999", "organization_type": "corporation", "customer_reference": "po-1"},
    **{"cost_center": "17", "latitude": 59.91, "longitude": 10},
}
OPTION: Json = {
    **{"id": "post", "line_id": "ship-1", "amount": 100, "title": "Post", "operator": "", "vat_amount": 20, "vat": 25},
    **{"description": "to the door", "countries": ["NO"], "operator_product_id": "p1"},
    **{"thumbnail_url": "https://shop.example/post.png", "metadata": {"zone": "a", "days": 2}},
    "delivery_method": "pick_up",
    "eta": {
        **{"starts_at": "2030-01-01T08:00:00Z", "ends_at": "2030-01-03T08:00:00Z", "working_days": [1, 3]},
        **{"shipping_day_of_week": 1, "arrival_day_of_week": 3},
    },
    "time_slot": {"starts_at": "2030-01-01T08:00:00Z", "ends_at": "2030-01-01T10:00:00Z"},
    "pick_up_address": {
        **ADDRESS,
        "website_url": "https://shop.example/pick-up",
        "opening_hours": {
            "open_now": True,
            "timezone": "Europe/Oslo",
            "periods": [{"opens_at": "08:00", "closes_at": "16:00", "day_of_week": 1}],
        },
        "distance": 1.5,
    },
    "environmental_data": {"description": "by train", "details": [{"label": "CO2", "value": "1 kg"}]},
    "shipment_id": "s1",
    "shipment_items": [{"line_id": "1", "quantity": 1}],
}
DISCOUNT = {
    **{"amount": 10, "percentage": 1.5, "discount_type": "manual", "discount_id": "d1", "description": "loyal"},
    "line_id": 1,
}
FULL: Json = {
    "profile_id": "default",
    "url": {"return_url": "https://shop.example/done"},
    "customer": {"customer_id": "c1", "email": "kari@shop.example", "phone_number": "+4799999999", "tokens": {}},
    "order": {
        **{"amount": 1000, "currency": "NOK", "merchant_reference": "web-1", "merchant_reference_2": "web-2"},
        **{"event_reference": "event-1", "vat_amount": 200, "partial_payment": False, "discount_codes": ["SUMMER"]},
        "items": [
            {
                **{
                    "line_id": "1",
                    "id": "SKU",
                    "description": "Mug",
                    "quantity": 1.5,
                    "amount": 900,
                    "vat_amount": 180,
                },
                **{"vat": 25, "type": "physical", "thumbnail_url": "https://shop.example/mug.png"},
                **{"groups": [{"id": "g", "name": "Mugs"}], "unit_volume": 0.1, "unit_weight": 1},
                **{"unit_dimensional_weight": 1.5, "eligible_for_discount": True, "is_changed": False},
                **{"discount_lines": [DISCOUNT], "splits": [{"payout_destination_id": "p", "amount": 900}]},
                **{"fee_split": {"type": "proportional", "destinations": ["p"]}},
            }
        ],
        **{"shipping_address": ADDRESS, "billing_address": ADDRESS, "shipping_option": OPTION},
        "store": {
            **{"id": "s", "name": "Oslo", "business_name": "Oslo AS", "chain": "c", "email": "oslo@shop.example"},
            **{"gln": "1", "organization_number": "1", "phone_number": "+4722222222", "mcc": "5411", "bax": "1"},
            **{"terminal_id": "t", "payout_destination_id": "p"},
            "address": {"address_line": "Storgata 1", "postal_code": "0150", "postal_place": "Oslo", "country": "NO"},
        },
        **{"discount_lines": [DISCOUNT], "gift_cards": [{"type": "dintero.wallets", "card_id": "g", "amount": 1}]},
        "payout_destination_id": "p",
    },
    "express": {
        **{"shipping_options": [OPTION], "shipping_mode": "shipping_required", "customer_types": ["b2c"]},
        **{"default_different_billing_shipping_address": ["b2c"], "discount_codes": {"max_count": 2}},
    },
    "checkboxes": [{"id": "c", "label": "Terms", "checked": False, "required": True}],
    "merchant": {
        **{"name": "Fjord", "logo_url": "https://shop.example/logo.png", "website": "https://shop.example"},
        **{"email": "post@shop.example", "phone_number": "+4722222222", "merchant_category_code": "5411"},
        **{"platform_type": "marketplace", "country": "NO", "postal_code": "0150", "postal_place": "Oslo"},
        **{"address_line": "Storgata 1", "address_line_2": "b"},
    },
    "metadata": {"ext_cart": "7", "number_x": 1.5},
    "configuration": {
        **{"auto_capture": False, "channel": "ecommerce", "active_payment_types": {"enabled": False}},
        "dintero_psp": {"type": "payment_type", "creditcard": {"type": "payment_product_type", "enabled": True}},
        "dintero": {
            "type": "payment_type",
            "zero": {"type": "payment_product_type", "enabled": True},
            "external": {
                **{"type": "payment_product_type", "enabled": True},
                "display": {
                    **{"payment_method_label": "Invoice", "button_label": "Order"},
                    "content": {"title": "Pay later", "description": "in 14 days"},
                    "terms": [{"ref": "r", "label": "Terms", "href": "https://shop.example/terms"}],
                },
            },
        },
        "discounts": {"express_discount_codes": {"enabled": True}, "order": {"enabled": False}},
        "countries": {"preferred_country": "NO", "allow_countries": ["NO"], "deny_countries": ["US"]},
        **{"default_customer_type": "b2c", "allow_different_billing_shipping_address": ["b2c"]},
        "allow_express_wallet_payment": True,
    },
}
# What belongs to calls that are not here is kept as it came, whatever its parts are.
LOOSE = ("splits", "fee_split", "gift_cards", "tokens", "metadata")


def places(value: Any, *path: str | int) -> list[tuple[str | int, ...]]:
    """Every place in a body, from the top."""
    inside: list[tuple[str | int, Any]] = []
    if isinstance(value, dict) and (not path or path[-1] not in LOOSE):
        inside = list(value.items())
    elif isinstance(value, list) and path[-1] not in LOOSE:
        inside = list(enumerate(value))
    found = [place for step, each in inside for place in places(each, *path, step)]
    return [path, *found] if path else found


def at(body: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        body = body[step]
    return body


def with_wrong(path: tuple[str | int, ...]) -> Json:
    """The body with something of a wrong type in one place."""
    body: Json = json.loads(json.dumps(FULL))  # no part of it stands in two places
    was = at(body, path)
    at(body, path[:-1])[path[-1]] = 7 if isinstance(was, dict | list) else {"wrong": []}
    return body


def kept(sent: Any, found: Any) -> bool:
    """Whether an answer holds all that was sent."""
    if isinstance(sent, dict):
        return isinstance(found, dict) and all(name in found and kept(sent[name], found[name]) for name in sent)
    if isinstance(sent, list):
        return isinstance(found, list) and len(sent) == len(found) and all(map(kept, sent, found))
    return bool(sent == found)


def test_every_field_is_kept_and_sent_back(shop: Shop) -> None:
    made = shop.ok("POST", "/v1/sessions-profile?include_session=true", FULL)
    assert kept(FULL, made["session"])
    assert kept(FULL, shop.read_session(made))


def test_a_wrong_type_is_refused_where_it_stands(shop: Shop) -> None:
    everywhere = places(FULL)
    assert len(everywhere) > 200
    wrong = []
    for path in everywhere:
        answer = shop.call("POST", "/v1/sessions-profile", with_wrong(path))
        error = answer.json().get("error", {}).get("errors", [{}])[0]
        if answer.status_code != 400 or error["path"] != "/" + "/".join(map(str, path)):
            wrong.append((path, answer.status_code, error))
    assert wrong == []


@pytest.mark.parametrize("part", ["order", "express", "customer"])
def test_an_update_is_as_strict(shop: Shop, part: str) -> None:
    session = shop.ok("POST", "/v1/sessions-profile", FULL)
    path = f"/v1/sessions/{session['id']}?update_without_lock=true"
    wrong = []
    for place in places(FULL[part], part):
        answer = shop.call("PUT", path, {part: with_wrong(place)[part]})
        error = answer.json().get("error", {}).get("errors", [{}])[0]
        if answer.status_code != 400 or error["path"] != "/" + "/".join(map(str, place)):
            wrong.append((place, answer.status_code, error))
    assert wrong == []


def test_a_profile_and_a_session_of_an_order_are_as_strict(shop: Shop) -> None:
    order = shop.order(1000)
    opening: Json = {"items": [{"line_id": 1}], "profile_id": "default"}
    opening["url"] = {name: "https://shop.example/" for name in ("return_url", "callback_url", "merchant_terms_url")}
    wrong = []
    for place in places(FULL["configuration"], "configuration"):
        body = {"configuration": with_wrong(place)["configuration"]}
        for method, path, more in (
            ("PUT", "/v1/admin/session/profiles/strict", {}),
            ("POST", f"orders/{order['order_id']}/sessions", opening),
        ):
            answer = shop.call(method, path, {**more, **body})
            error = answer.json().get("error", {}).get("errors", [{}])[0]
            if answer.status_code != 400 or error["path"] != "/" + "/".join(map(str, place)):
                wrong.append((method, place, answer.status_code, error))
    assert wrong == []


@pytest.mark.parametrize("part", ["customer", "merchant", "checkboxes", "express"])
def test_what_a_session_of_an_order_says_besides_is_as_strict(shop: Shop, part: str) -> None:
    order = shop.order(1000)
    kept_too = {part: FULL[part]}
    if part == "express":
        kept_too = {part: {**FULL[part], "shipping_options": []}}
    assert kept(kept_too, shop.read_session(shop.session(order, **kept_too)))
    for wrong in (7, "x", [7], {"email": 7, "shipping_options": 7}):
        answer = shop.call("POST", f"orders/{order['order_id']}/sessions", session_request([1], **{part: wrong}))
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["errors"][0]["path"].startswith(f"/{part}")


@pytest.mark.parametrize("value", [True, 7, []])
def test_a_method_that_is_neither_on_nor_off_is_refused(shop: Shop, value: object) -> None:
    body = {**FULL, "configuration": {"swish": {"swish": value}}}
    problem = shop.refused(400, "wrong_type", "POST", "/v1/sessions-profile", body)
    assert problem["path"] == "/configuration/swish/swish"


def test_tax_of_shipping_with_a_fraction_is_rounded(shop: Shop) -> None:
    option = {**OPTION, "vat_amount": 19.6}
    body = {**FULL, "order": {**FULL["order"], "shipping_option": option}, "express": {"shipping_options": [option]}}
    session = shop.read_session(shop.ok("POST", "/v1/sessions-profile", body))
    assert session["order"]["shipping_option"]["vat_amount"] == 20
    assert session["express"]["shipping_options"][0]["vat_amount"] == 20
    update = {"order": {"shipping_option": option}, "express": {"shipping_options": [option]}}
    updated = shop.ok("PUT", f"/v1/sessions/{session['id']}?update_without_lock=true", update)
    assert updated["order"]["shipping_option"]["vat_amount"] == 20
    assert updated["express"]["shipping_options"][0]["vat_amount"] == 20
