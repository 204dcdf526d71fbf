"""What a session's configuration is made of."""

from __future__ import annotations

from typing import Any

import pytest

from kasse.domain.profile import CARD, check_configuration, default_profile, merged, payment_methods
from kasse.domain.refusals import Refusal
from tests.domain.plain import NOW

SMS = {"channel": "sms", "type": "checkout-link"}
PROFILE = default_profile("T12345678", NOW).configuration


def test_what_the_request_says_is_put_over_the_profile_key_by_key() -> None:
    found = merged(PROFILE, {"auto_capture": True, "theme": {"primary": "#123456"}})
    assert found == {**PROFILE, "auto_capture": True, "theme": {"primary": "#123456"}}
    deep = merged(found, {"theme": {"backdrop": "white"}})
    assert deep["theme"] == {"primary": "#123456", "backdrop": "white"}
    assert PROFILE["auto_capture"] is False


def test_a_list_takes_the_place_of_a_list_and_null_leaves_what_was_there() -> None:
    before = {"allow_different_billing_shipping_address": ["b2c", "b2b"], "channel": "ecommerce"}
    found = merged(before, {"allow_different_billing_shipping_address": ["b2b"], "channel": None})
    assert found == {"allow_different_billing_shipping_address": ["b2b"], "channel": "ecommerce"}


def test_a_method_may_be_turned_off_for_one_session() -> None:
    assert list(payment_methods(PROFILE)) == [CARD]
    assert list(payment_methods(merged(PROFILE, {"dintero_psp": {"creditcard": {"enabled": False}}}))) == []


@pytest.mark.parametrize("typed", [True, False])
def test_a_method_may_be_turned_on_with_and_without_its_types(typed: bool) -> None:
    product = {"type": "payment_product_type", "enabled": True} if typed else {"enabled": True}
    provider = {"type": "payment_type", "zero": product} if typed else {"zero": product}
    assert list(payment_methods(merged(PROFILE, {"dintero": provider}))) == [CARD, "dintero.zero"]


@pytest.mark.parametrize(
    ("configuration", "path"),
    [
        ({"default_payment_type": "swish.swish"}, "/configuration/default_payment_type"),
        ({"auto_capture": "yes"}, "/configuration/auto_capture"),
        ({"auto_capture": 1}, "/configuration/auto_capture"),
        ({"channel": "moon"}, "/configuration/channel"),
        ({"channel": ["in_app"]}, "/configuration/channel"),
        ({"default_customer_type": "b2x"}, "/configuration/default_customer_type"),
        (
            {"dintero_psp": {"creditcard": {"enabled": False}}, "default_payment_type": CARD},
            "/configuration/default_payment_type",
        ),
        (
            {"countries": {"allow_countries": ["NO", "SE"], "deny_countries": ["SE"]}},
            "/configuration/countries/deny_countries",
        ),
        ({"publish": [{"channel": "pigeon", "type": "app"}]}, "/configuration/publish/0/channel"),
        ({"publish": [SMS, {"channel": "push"}]}, "/configuration/publish/1/type"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(configuration: dict[str, Any], path: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_configuration(merged(PROFILE, configuration))
    assert (refused.value.reason, refused.value.path) == ("wrong_value", path)


@pytest.mark.parametrize("publish", [{"channel": "sms"}, ["sms"], "sms"])
def test_ways_to_publish_are_a_list_of_objects(publish: Any) -> None:
    with pytest.raises(Refusal) as refused:
        check_configuration(merged(PROFILE, {"publish": publish}))
    assert (refused.value.reason, refused.value.path) == ("wrong_type", "/configuration/publish")


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"default_payment_type": CARD},
        {"dintero_psp": {"creditcard": {"enabled": False}}},
        {"auto_capture": True, "channel": "in_store", "default_customer_type": "b2b"},
        {"auto_capture": False, "channel": None},
        {"default_payment_type": "swish.swish", "active_payment_types": {"enabled": True}},
        {"countries": {"allow_countries": ["NO"], "deny_countries": ["SE"]}},
        {"countries": {"allow_countries": [], "deny_countries": ["SE"]}},
        {"countries": {"deny_countries": ["SE"]}},
    ],
)
def test_one_that_does_not_is_taken(configuration: dict[str, Any]) -> None:
    check_configuration(merged(PROFILE, configuration))
