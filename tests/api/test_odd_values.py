"""What a merchant or his server says where he may say anything: refused, or kept, and nothing fails of it later."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.asking import MerchantServer
from tests.running import PATIENCE_S, Json, Shop

ODD: list[Any] = ["x", {}, [], True, 7, 1e300, None, [{}], {"enabled": True}, {"id": []}, {"allow_countries": 7}]
OPTION: Json = {"id": "post", "line_id": "ship-1", "amount": 100, "title": "Post", "operator": ""}
ITEM: Json = {"line_id": "1", "amount": 1000, "description": "Tea"}
HOME: Json = {"shipping_address": {"country": "NO", "postal_code": "0150"}}
CARD = {"number": "4000000000000002", "expiry": "12/39", "cvc": "123"}


def request(**more: object) -> Json:
    order = {"amount": 1000, "currency": "NOK", "merchant_reference": "odd-1", "items": [ITEM]}
    return {"profile_id": "default", "url": {"return_url": "https://shop.example/done"}, "order": order, **more}


def use(shop: Shop, session_id: str) -> list[requests.Response]:
    """The page is shown, the session is paid, and all are read. A failure of the merchant's server is none of ours."""
    view = f"{shop.base_url}/v1/view/{session_id}"
    answers = [requests.get(view, timeout=PATIENCE_S)]
    asked = requests.put(f"{view}/session/order/addresses", json=HOME, timeout=PATIENCE_S)
    if "callback_failed" in asked.text:
        return answers
    answers += [asked, requests.get(view, timeout=PATIENCE_S)]
    option = f"{view}/session/order/shipping_option"
    answers.append(requests.put(option, json={"id": OPTION["id"]}, timeout=PATIENCE_S))
    body: Json = {"payment_product_type": "dintero_psp.creditcard", "card": CARD}
    answers.append(requests.post(f"{shop.base_url}/v1/sessions/{session_id}/pay", json=body, timeout=PATIENCE_S))
    read = shop.call("GET", f"/v1/sessions/{session_id}")
    if read.ok and "transaction_id" in read.json():
        answers.append(shop.call("GET", f"/v1/transactions/{read.json()['transaction_id']}"))
    return [*answers, read, requests.get(view, timeout=PATIENCE_S)]


def failed(name: str, value: object, answers: list[requests.Response]) -> list[tuple[str, object, str]]:
    return [(name, value, f"{each.request.method} {each.url}") for each in answers if each.status_code >= 500]


@pytest.mark.parametrize(
    "names",
    [
        ("auto_capture", "channel", "theme", "publish", "merchant", "frame_ancestors", "other"),
        ("countries", "dintero_psp", "dintero", "vipps", "discounts", "active_payment_types", "default_customer_type"),
    ],
)
def test_configurations(shop: Shop, names: tuple[str, ...]) -> None:
    express, found = {"shipping_options": [OPTION]}, []
    for name in names:
        for value in ODD:
            made = shop.call("POST", "/v1/sessions-profile", request(express=express, configuration={name: value}))
            found += failed(name, value, [made])
            if made.status_code == 200:
                found += failed(name, value, use(shop, made.json()["id"]))
    assert found == []


@pytest.mark.parametrize("part", ["option", "item", "order"])
def test_answers_of_the_merchants_server(shop: Shop, merchant: MerchantServer, part: str) -> None:
    names = {
        "option": ("title", "operator", "countries", "eta", "pick_up_address", "time_slot", "environmental_data", "x"),
        "item": ("id", "line_id", "quantity", "description", "vat_amount", "discount_lines", "groups", "x"),
        "order": ("store", "discount_codes", "discount_lines", "vat_amount", "merchant_reference_2", "gift_cards", "x"),
    }
    express = {"shipping_options": [], "shipping_address_callback_url": merchant.url}
    found = []
    for name in names[part]:
        for value in ODD[:7]:
            told = {"option": OPTION, "item": ITEM, "order": {}, part: {name: value}}
            said = {
                each: {**known, **told[each]} for each, known in (("option", OPTION), ("item", ITEM), ("order", {}))
            }
            reply = {"shipping_options": [said["option"]], "order": {"items": [said["item"]], **said["order"]}}
            merchant.say = lambda asked, reply=reply: reply  # type: ignore[misc]
            session = shop.ok("POST", "/v1/sessions-profile", request(express=express))
            found += failed(name, value, use(shop, session["id"]))
    assert found == []
