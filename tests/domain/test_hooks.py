"""Masks, pauses, failures and signatures of webhooks."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from kasse.domain import hooks
from kasse.domain.hooks import FAILURES_TO_SWITCH_OFF, after_delivery, masked
from tests.store.records import LATER, delivery, subscription

BODY: dict[str, Any] = {
    "account_id": "T1",
    "event": "e",
    "event_delivery": "d",
    "order": {"id": "o", "items": [{"id": "a", "tax": {"n": 1}}, {"id": "b"}], "note": None},
}
HEAD = {name: BODY[name] for name in ("account_id", "event", "event_delivery")}


@pytest.mark.parametrize(
    ("fields", "exclude", "expected"),
    [
        ([], [], BODY),
        (["order.id"], [], {**HEAD, "order": {"id": "o"}}),
        (["order.items.id"], [], {**HEAD, "order": {"items": [{"id": "a"}, {"id": "b"}]}}),
        (
            ["order.items.tax", "order.items.id"],
            [],
            {**HEAD, "order": {"items": [{"tax": {"n": 1}, "id": "a"}, {"id": "b"}]}},
        ),
        (["order", "order.id"], [], BODY),
        (["order.note", "nothing", "order.id.more"], [], {**HEAD, "order": {"note": None}}),
        ([], ["order.items", "order.note"], {**HEAD, "order": {"id": "o"}}),
        (["order.items"], ["order.items.tax.n"], {**HEAD, "order": {"items": [{"id": "a", "tax": {}}, {"id": "b"}]}}),
        ([], ["event", "order", "nothing.there"], HEAD),
        (["."], [".", ""], HEAD),
    ],
)
def test_a_mask_leaves_what_was_asked_for(fields: list[str], exclude: list[str], expected: Any) -> None:
    before = repr(BODY)
    assert masked(BODY, fields, exclude) == expected
    assert repr(BODY) == before


def test_failures_in_a_row_switch_off_and_one_success_begins_anew() -> None:
    one = replace(subscription(), failures=0)
    for number in range(1, FAILURES_TO_SWITCH_OFF):
        one = after_delivery(one, delivery(status="failed"), LATER)
        assert (one.failures, one.active, one.disabled_at) == (number, True, None)
    assert after_delivery(one, delivery(status="waiting"), LATER) is one
    assert after_delivery(one, delivery(status="delivered"), LATER).failures == 0
    off = after_delivery(one, delivery(status="failed"), LATER)
    assert (off.active, off.disabled_at, off.failures) == (False, LATER, FAILURES_TO_SWITCH_OFF)
    assert after_delivery(off, delivery(status="failed"), LATER) is off


def test_the_pauses_between_five_tries() -> None:
    pauses = [hooks.pause(tries) for tries in range(1, hooks.TRIES)]
    assert pauses == [timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)]


def test_a_secret_in_the_form_of_standard_webhooks_stays_and_others_are_put_into_it() -> None:
    own = "whsec_" + base64.b64encode(b"0123456789").decode()
    assert hooks.webhook_secret(own) == own
    for secret in ("abc", "whsec_not base64!", "whsec_", "æøå"):
        assert base64.b64decode(hooks.webhook_secret(secret).removeprefix("whsec_")) == secret.encode()


def test_the_example_of_the_specification() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signature = hooks.webhook_signature([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
