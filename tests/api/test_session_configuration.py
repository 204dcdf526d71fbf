"""A session's configuration over real HTTP: the profile's, with the request's over it, as it was then."""

from __future__ import annotations

import pytest

from kasse.domain.profile import CARD
from tests.running import Json, Shop, session_request


def direct(**more: Json) -> Json:
    return {
        "url": {"return_url": "https://shop.example/done"},
        "order": {"amount": 1000, "currency": "NOK", "merchant_reference": "web-1"},
        "profile_id": "default",
        **more,
    }


def opened(shop: Shop, kind: str, **more: Json) -> Json:
    if kind == "direct":
        return shop.read_session(shop.ok("POST", "/v1/sessions-profile", direct(**more)))
    return shop.read_session(shop.session(shop.order(1000), **more))


@pytest.mark.parametrize("kind", ["direct", "of an order"])
def test_a_session_shows_the_profiles_configuration_and_who_the_merchant_is(shop: Shop, kind: str) -> None:
    configuration = opened(shop, kind)["configuration"]
    assert configuration["default_payment_type"] == CARD
    assert configuration["dintero_psp"]["creditcard"]["enabled"] is True
    assert configuration["merchant"] == {"id": shop.account_id, "name": "Fjord & Fjell"}


@pytest.mark.parametrize("kind", ["direct", "of an order"])
def test_what_the_request_says_is_put_over_it(shop: Shop, kind: str) -> None:
    session = opened(shop, kind, configuration={"auto_capture": True, "theme": {"primary": "#ff0000"}})
    configuration = session["configuration"]
    assert (configuration["auto_capture"], configuration["theme"]) == (True, {"primary": "#ff0000"})
    assert configuration["dintero_psp"]["creditcard"]["enabled"] is True


def test_the_merchant_is_who_the_session_says(shop: Shop) -> None:
    merchant = {"name": "Tea & Co", "logo_url": "https://shop.example/logo.svg", "email": "tea@shop.example"}
    session = opened(shop, "direct", merchant=merchant)
    expected = {"id": shop.account_id, "name": "Tea & Co", "logo_url": "https://shop.example/logo.svg"}
    assert session["configuration"]["merchant"] == expected
    assert session["merchant"] == merchant


def test_whoever_asks_for_the_link_to_be_sent_hears_that_it_is_not(shop: Shop) -> None:
    ways = [{"channel": "sms", "type": "checkout-link", "status": "sent"}, {"channel": "push", "type": "app"}]
    told = [
        {"channel": "sms", "type": "checkout-link", "id": "1", "status": "skipped"},
        {"channel": "push", "type": "app", "id": "2", "status": "skipped"},
    ]
    made = shop.ok("POST", "/v1/sessions-profile?include_session=true", direct(configuration={"publish": ways}))
    assert made["publish"] == told
    assert made["session"]["configuration"]["publish"] == told
    assert "publish" not in shop.ok("POST", "/v1/sessions-profile", direct())


@pytest.mark.parametrize("kind", ["direct", "of an order"])
def test_a_configuration_that_contradicts_itself_is_refused(shop: Shop, kind: str) -> None:
    configuration = {"default_payment_type": "swish.swish"}
    if kind == "direct":
        path, body = "/v1/sessions-profile", direct(configuration=configuration)
    else:
        path = f"orders/{shop.order(1000)['order_id']}/sessions"
        body = session_request([1], configuration=configuration)
    problem = shop.refused(400, "wrong_value", "POST", path, body)
    assert problem["path"] == "/configuration/default_payment_type"
    assert CARD in problem["message"]
    assert "swish.swish" in problem["message"]


def test_the_profiles_default_ends_where_the_request_turns_that_method_off(shop: Shop) -> None:
    off: Json = {"dintero_psp": {"creditcard": {"enabled": False}}, "dintero": {"external": {"enabled": True}}}
    configuration = opened(shop, "direct", configuration=off)["configuration"]
    assert "default_payment_type" not in configuration
    assert configuration["dintero_psp"]["creditcard"]["enabled"] is False
    both = {**off, "default_payment_type": CARD}
    problem = shop.refused(400, "wrong_value", "POST", "/v1/sessions-profile", direct(configuration=both))
    assert problem["path"] == "/configuration/default_payment_type"
