"""Every refusal over real HTTP: its status, code, keyword, path and words, and that nothing is stored.

All cases of a module share one merchant with a draft, an order and a payment. They can, because none of them may
change anything: whatever one of them stored would show in the next one's database.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import apsw
import pytest
import requests

from tests.running import Json, Running, Shop, line, session_request

GONE = object()
BIG = 2**53
ARABIC_ONE = "\u0661"
CODES = {400: "validation_error", 401: "unauthorized", 403: "forbidden", 404: "not_found", 409: "conflict"}


@dataclass(frozen=True)
class Place:
    """A merchant with one of everything. Lines 1 and 2 of the order are unpaid, 3 is paid, 4 is a reversal.

    The transaction has 1500 left to capture and 500 left to refund.
    """

    server: Running
    shop: Shop
    ids: Mapping[str, str]

    def url(self, path: str) -> str:
        path = path.format(**self.ids)
        return self.server.base_url + path if path.startswith("/") else f"{self.shop.shopping}/{path}"

    def rows(self) -> dict[str, list[Any]]:
        """All that is stored of this account. Of callbacks only how many: they are tried again in the meantime."""
        path = self.server.house.settings.database.removeprefix("sqlite:///")
        # With the store's own SQLite: a second one in the same process would take away the locks of the first.
        with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            found: dict[str, list[Any]] = {}
            for table in tables:
                columns = [column[1] for column in database.execute(f"PRAGMA table_info({table})")]
                if "account_id" in columns and table != "delivery_attempts":
                    what = "count(*)" if table == "deliveries" else "*"
                    sql = f"SELECT {what} FROM {table} WHERE account_id = ?"  # noqa: S608
                    found[table] = list(database.execute(sql, (self.shop.account_id,)))
        return found


@pytest.fixture(scope="module")
def place(server: Running) -> Place:
    shop = server.shop()
    draft = shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": [line(1, 1000)]}})
    order = shop.order(items=[line(1, 10_000), line(2, 5000), line(3, 2000), line(4, -1000)])
    transaction = shop.pay(shop.session(order, 3))["transaction_id"]
    shop.ok("POST", f"/v1/transactions/{transaction}/capture", {"amount": 500})
    ids = {
        "aid": shop.account_id,
        "draft": draft["id"],
        "order": order["order_id"],
        "session": shop.session(order, 1)["id"],
        "paid": shop.read_session({"id": shop.transaction(transaction)["session_id"]})["id"],
        "transaction": transaction,
    }
    return Place(server, shop, ids)


@dataclass(frozen=True)
class Target:
    """A route with a body that it would take."""

    method: str
    path: str
    body: Json
    needs_body: bool = True


DIRECT: Json = {
    "url": {"return_url": "https://shop.example/done"},
    "order": {
        "amount": 1200,
        "currency": "NOK",
        "merchant_reference": "cart-7",
        "items": [{"line_id": "1", "amount": 1000}],
        "shipping_option": {"id": "post", "line_id": "post-1", "amount": 200, "title": "Post", "operator": "Post"},
    },
    "profile_id": "default",
}
EXPRESS: Json = {"shipping_options": [{"id": "post", "line_id": "s1", "amount": 900, "title": "Post", "operator": ""}]}
TARGETS: dict[str, Target] = {
    "create draft": Target("POST", "draft_orders", {"order": {"currency": "NOK", "items": [line(1, 500)]}}),
    "add item": Target("POST", "draft_orders/{draft}/items", line(9, 500)),
    "update item": Target("PUT", "draft_orders/{draft}/items/1", line(1, 500)),
    "complete": Target("PUT", "draft_orders/{draft}/complete", {}, needs_body=False),
    "open session": Target(
        "POST",
        "orders/{order}/sessions",
        {
            **session_request([1, 2], shipping_option=EXPRESS["shipping_options"][0], express=EXPRESS),
            "items": [{"line_id": 1, "amount": 100}, {"line_id": "2"}],
        },
    ),
    "authorize": Target("POST", "orders/{order}/authorizations", {"items": [{"line_id": 1, "amount": 100}]}),
    "capture lines": Target("POST", "orders/{order}/captures", {"items": [{"line_id": 3, "amount": 100}]}),
    "refund lines": Target("POST", "orders/{order}/refunds", {"items": [{"line_id": 3, "amount": 100}]}),
    "cancel lines": Target("POST", "orders/{order}/cancellations", {"items": [{"line_id": 3, "amount": 100}]}),
    "direct session": Target("POST", "/v1/sessions-profile", DIRECT),
    "cancel session": Target("POST", "/v1/sessions/{session}/cancel", {}, needs_body=False),
    "capture": Target(
        "POST", "/v1/transactions/{transaction}/capture", {"amount": 100, "items": [{"line_id": "3", "amount": 100}]}
    ),
    "refund": Target(
        "POST", "/v1/transactions/{transaction}/refund", {"amount": 100, "items": [{"line_id": "3", "amount": 100}]}
    ),
    "void": Target("POST", "/v1/transactions/{transaction}/void", {}, needs_body=False),
    "pay": Target(
        "POST", "/v1/accounts/{aid}/sandbox/sessions/{session}/pay", {"card": "4000000000000002"}, needs_body=False
    ),
}


def changed(body: Any, pointer: str, value: Any) -> Any:
    """The body with the value at a JSON Pointer replaced, added, or taken away (``GONE``)."""
    body = deepcopy(body)
    *way, last = pointer.removeprefix("/").split("/")
    inside = body
    for step in way:
        inside = inside[int(step)] if isinstance(inside, list) else inside.setdefault(step, {})
    key = int(last) if isinstance(inside, list) else last
    if value is GONE:
        del inside[key]
    else:
        inside[key] = value
    return body


def problem(answer: requests.Response, status: int, keyword: str, path: str | None = "", code: str = "") -> str:
    """Check the form of a refusal and answer its message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["request-id"])
    body = answer.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert set(error) == {"code", "message", "errors"}
    assert error["code"] == (code or CODES.get(status, "bad_request"))
    assert error["errors"]
    for each in error["errors"]:
        assert set(each) == {"path", "keyword", "message"}
    assert error["errors"][0]["keyword"] == keyword
    if path is not None:
        assert error["errors"][0]["path"] == path
    assert error["errors"][0]["message"] == error["message"]
    return str(error["message"])


@pytest.fixture
def unchanged(place: Place) -> Iterator[Place]:
    """The place, with a check that the test has stored nothing."""
    before = place.rows()
    yield place
    assert place.rows() == before


def ask(place: Place, target: Target, body: Any, **headers: str) -> requests.Response:
    return place.shop.http.request(target.method, place.url(target.path), json=body, headers=headers, timeout=20)


# -- fields


WRONG_AMOUNTS: list[tuple[Any, str, str, str]] = [
    (GONE, "missing_field", "expected", "got nothing"),
    (None, "wrong_type", "an integer", "got null"),
    ("100", "wrong_type", "an integer", 'got "100"'),
    (100.5, "wrong_type", "an integer", "got 100.5"),
    (1e300, "wrong_type", "an integer", "got 1e+300"),
    (True, "wrong_type", "an integer", "got true"),
    ([100], "wrong_type", "an integer", "got an array of 1"),
    ({"amount": 100}, "wrong_type", "an integer", "got an object"),
    (BIG + 1, "wrong_value", f"an integer <= {BIG}", f"got {BIG + 1}"),
    (BIG * 2, "wrong_value", f"an integer <= {BIG}", f"got {BIG * 2}"),
    (2**64, "wrong_value", "a number within 64 bits", f"got {2**64}"),
]
WRONG_TEXTS: list[tuple[Any, str, str, str]] = [
    (GONE, "missing_field", "expected", "got nothing"),
    (7, "wrong_type", "a string", "got 7"),
    (["x"], "wrong_type", "a string", "got an array of 1"),
    ("", "wrong_value", "a string of length >= 1", 'got ""'),
    ("x" * 256, "wrong_value", "a string of length <= 255", 'got "xxx'),
]
WRONG_OBJECTS: list[tuple[Any, str, str, str]] = [
    (GONE, "missing_field", "expected", "got nothing"),
    ([], "wrong_type", "an object", "got an array of 0"),
    ("x", "wrong_type", "an object", 'got "x"'),
    (None, "wrong_type", "an object", "got null"),
]
WRONG_LISTS: list[tuple[Any, str, str, str]] = [
    (GONE, "missing_field", "expected", "got nothing"),
    ({}, "wrong_type", "an array", "got an object"),
    (None, "wrong_type", "an array", "got null"),
    (1, "wrong_type", "an array", "got 1"),
]
WRONG_URLS: list[tuple[Any, str, str, str]] = [
    (GONE, "missing_field", "expected", "got nothing"),
    (1, "wrong_type", "a string", "got 1"),
    *(
        (url, "bad_url", "an http or https URL", f"got {url[:60]!r}"[:60])
        for url in (
            "",
            "shop.example/done",
            "/done",
            "ftp://shop.example/done",
            "javascript:alert(1)",
            "https://",
            "https:///done",
            "https://shop.example:99999/done",
            "https://[::1/done",
            "https://shop.example/a b",
            "https://shop.example/\ndone",
            "https://shop.example\\@evil.example/",
            "https://shop.example/" + "x" * 2000,
        )
    ),
]
WRONG_LINE_IDS: list[tuple[Any, str, str, str]] = [
    (GONE, "missing_field", "expected", "got nothing"),
    (None, "wrong_type", "an integer or a string", "got null"),
    (1.5, "wrong_type", "an integer or a string", "got 1.5"),
    (True, "wrong_type", "an integer or a string", "got true"),
    *(
        (text, "wrong_type", "an integer or the same as a string", f"got {text[:20]!r}"[:20])
        for text in ("", "one", "1.0", " 1", "1e2", "0x1", ARABIC_ONE, "9" * 30, "x" * 100_000)
    ),
]
WRONG_TIMES: list[tuple[Any, str, str, str]] = [
    (1764000000, "wrong_type", "a time such as", "got 1764000000"),
    ("tomorrow", "wrong_value", "RFC3339", 'got "tomorrow"'),
    ("2036-13-01T00:00:00Z", "wrong_value", "RFC3339", "got"),
    ("2036-01-01T00:00:00", "wrong_value", "timezone", 'got "2036-01-01T00:00:00"'),
]
WRONG_CURRENCIES: list[tuple[Any, str, str, str]] = [
    (GONE, "missing_field", "expected currency", "got nothing"),
    (578, "wrong_type", "a string", "got 578"),
    *((text, "unknown_currency", "an ISO 4217 currency code", f"got {text!r}") for text in ("XYZ", "nok", "", "NOKK")),
]


def optional(table: list[tuple[Any, str, str, str]]) -> list[tuple[Any, str, str, str]]:
    """The rows that are wrong for a field that may be left out or null, too."""
    return [row for row in table if row[0] is not GONE and row[0] is not None]


FIELDS: list[tuple[str, str, list[tuple[Any, str, str, str]]]] = [
    ("create draft", "/order", WRONG_OBJECTS),
    ("create draft", "/order/currency", WRONG_CURRENCIES),
    ("create draft", "/order/items", WRONG_LISTS[1:]),
    ("create draft", "/order/items/0", WRONG_OBJECTS[1:]),
    ("create draft", "/order/items/0/id", WRONG_TEXTS),
    ("create draft", "/order/items/0/line_id", WRONG_LINE_IDS),
    ("create draft", "/order/items/0/gross_amount", WRONG_AMOUNTS),
    ("create draft", "/order/items/0/net_amount", optional(WRONG_AMOUNTS)),
    ("create draft", "/order/items/0/tax_lines", WRONG_LISTS),
    ("create draft", "/order/items/0/tax_lines/0/amount", WRONG_AMOUNTS),
    ("create draft", "/order/merchant_reference", optional(WRONG_TEXTS)),
    ("create draft", "/order/customer", optional(WRONG_OBJECTS)),
    ("create draft", "/options", WRONG_OBJECTS[1:]),
    ("add item", "/id", WRONG_TEXTS),
    ("add item", "/line_id", WRONG_LINE_IDS),
    ("add item", "/gross_amount", WRONG_AMOUNTS),
    ("add item", "/tax_lines", WRONG_LISTS),
    ("update item", "/id", WRONG_TEXTS),
    ("update item", "/line_id", WRONG_LINE_IDS),
    ("update item", "/gross_amount", WRONG_AMOUNTS),
    ("update item", "/tax_lines", WRONG_LISTS),
    ("open session", "/items", WRONG_LISTS),
    ("open session", "/items/0", WRONG_OBJECTS[1:]),
    ("open session", "/items/0/line_id", WRONG_LINE_IDS),
    ("open session", "/items/0/amount", optional(WRONG_AMOUNTS)),
    ("open session", "/profile_id", WRONG_TEXTS),
    ("open session", "/merchant_reference", optional(WRONG_TEXTS)),
    ("open session", "/metadata", optional(WRONG_OBJECTS)),
    ("open session", "/processed_at", WRONG_TIMES),
    ("open session", "/url", WRONG_OBJECTS),
    ("open session", "/url/return_url", WRONG_URLS),
    ("open session", "/url/callback_url", WRONG_URLS),
    ("open session", "/url/merchant_terms_url", WRONG_URLS),
    ("open session", "/express", optional(WRONG_OBJECTS)),
    ("open session", "/express/shipping_options", WRONG_LISTS[1:]),
    ("open session", "/express/shipping_address_callback_url", optional(WRONG_URLS)),
    ("open session", "/shipping_option", optional(WRONG_OBJECTS)),
    ("open session", "/shipping_option/amount", WRONG_AMOUNTS),
    ("open session", "/shipping_option/id", WRONG_TEXTS),
    ("direct session", "/order", WRONG_OBJECTS),
    ("direct session", "/order/amount", WRONG_AMOUNTS),
    ("direct session", "/order/currency", WRONG_CURRENCIES),
    ("direct session", "/order/merchant_reference", WRONG_TEXTS),
    ("direct session", "/order/items", optional(WRONG_LISTS)),
    ("direct session", "/order/items/0/amount", WRONG_AMOUNTS),
    ("direct session", "/order/shipping_option/amount", WRONG_AMOUNTS),
    ("direct session", "/order/event_reference", [row for row in WRONG_TEXTS if row[1] == "wrong_type"]),
    ("direct session", "/order/merchant_reference_2", [row for row in WRONG_TEXTS if row[1] == "wrong_type"]),
    ("direct session", "/order/store", optional(WRONG_OBJECTS)),
    ("direct session", "/customer", optional(WRONG_OBJECTS)),
    ("direct session", "/merchant", optional(WRONG_OBJECTS)),
    ("direct session", "/configuration", optional(WRONG_OBJECTS)),
    ("direct session", "/express", optional(WRONG_OBJECTS)),
    ("direct session", "/express/shipping_options", WRONG_LISTS[1:]),
    ("direct session", "/express/shipping_address_callback_url", optional(WRONG_URLS)),
    ("direct session", "/profile_id", WRONG_TEXTS),
    ("direct session", "/url", WRONG_OBJECTS),
    ("direct session", "/url/return_url", WRONG_URLS),
    ("direct session", "/url/callback_url", optional(WRONG_URLS)),
    ("direct session", "/expires_at", WRONG_TIMES),
    *(
        row
        for name in ("authorize", "capture lines", "refund lines", "cancel lines")
        for row in (
            (name, "/items", WRONG_LISTS),
            (name, "/items/0", WRONG_OBJECTS[1:]),
            (name, "/items/0/line_id", WRONG_LINE_IDS),
            (name, "/items/0/amount", WRONG_AMOUNTS),
            (name, "/metadata", optional(WRONG_OBJECTS)),
            (name, "/processed_at", WRONG_TIMES),
            (name, "/payment_details", optional(WRONG_OBJECTS)),
        )
    ),
    ("capture", "/amount", WRONG_AMOUNTS),
    ("capture", "/items", optional(WRONG_LISTS)),
    ("capture", "/items/0/amount", WRONG_AMOUNTS),
    ("capture", "/metadata", optional(WRONG_OBJECTS)),
    ("refund", "/amount", WRONG_AMOUNTS),
    ("refund", "/items", optional(WRONG_LISTS)),
    ("refund", "/items/0/amount", WRONG_AMOUNTS),
    ("pay", "/card", [(5, "wrong_type", "a string", "got 5"), (None, "wrong_type", "a string", "got null")]),
]


@pytest.mark.parametrize(("name", "pointer", "table"), FIELDS, ids=[f"{name} {pointer}" for name, pointer, _ in FIELDS])
def test_a_wrong_field_is_named_with_what_was_expected_and_what_came(
    unchanged: Place, name: str, pointer: str, table: list[tuple[Any, str, str, str]]
) -> None:
    target = TARGETS[name]
    for value, keyword, expected, got in table:
        answer = ask(unchanged, target, changed(target.body, pointer, value))
        message = problem(answer, 400, keyword, pointer)
        assert expected in message
        assert got in message
        assert "`" not in message
        assert len(answer.content) < 10_000


NOT_ON_OFFER = {**EXPRESS["shipping_options"][0], "line_id": "s2"}
# What to change in the body of which route, and how it is refused: status, keyword, path, words.
RULES: list[tuple[str, dict[str, Any], int, str, str, list[str]]] = [
    ("create draft", {"/options": {"generate_order_id": "NUMERIC"}}, 400, "wrong_value", "/options/generate_order_id",
     ["'ALPHANUMERIC_9' or 'ALPHANUMERIC_9_RESERVE'", '"NUMERIC"']),
    ("create draft", {"/options": {"split_draft": "no"}}, 400, "wrong_type", "/options/split_draft",
     ["true or false", '"no"']),
    ("create draft", {"/options": {"replace": "order"}}, 400, "wrong_value", "/options", ["options.order_id"]),
    *(
        ("create draft", {"/order/order_id": order_id}, 400, "wrong_value", "/order/order_id", ["a string", shown])
        for order_id, shown in (
            ("a b", '"a b"'), ("a/b", '"a/b"'), ("..", '".."'), (".", '"."'), ("abc\n", '"abc'), ("", '""'),
            ("x" * 41, "xxx"), ("å", '"å"'),
        )
    ),
    ("create draft", {"/order/items/0/net_amount": 499}, 400, "amount_mismatch", "/order/items/0/net_amount",
     ["500", "499"]),
    ("create draft", {"/order/items/0/quantity": 0}, 400, "wrong_value", "/order/items/0/quantity", ["> 0", "got 0"]),
    ("create draft", {"/order/items/0/quantity": 1e10}, 400, "wrong_value", "/order/items/0/quantity",
     ["<= 1000000000", "got 10000000000"]),
    ("create draft", {"/order/items/0/tax_lines/0/included_in_price": False}, 400, "wrong_value",
     "/order/items/0/tax_lines/0/included_in_price", ["true", "got false"]),
    ("create draft", {"/order/items": [line(1, 1), line(2, 1), {**line(1, 1), "line_id": "1"}]}, 400, "duplicate_line",
     "/order/items/2/line_id", ["each line_id once", "got 1"]),
    ("create draft", {"/order/metadata": {"a/b": {"~": "x\0"}}}, 400, "wrong_value", "/order/metadata/a~1b/~0",
     ["without NUL"]),
    ("add item", {"/line_id": 1}, 400, "duplicate_line", "/line_id", ["does not have", "got 1"]),
    ("add item", {"/net_amount": 1}, 400, "amount_mismatch", "/net_amount", ["500", "got 1"]),
    ("update item", {"/line_id": 2}, 400, "wrong_value", "/line_id", ["line_id 1", "got 2"]),
    ("open session", {"/items": []}, 400, "wrong_value", "/items", ["length >= 1", "an array of 0"]),
    ("open session", {"/items/0/line_id": 99}, 404, "line_not_found", "/items/0/line_id", ["no line 99"]),
    ("open session", {"/items/0/line_id": 2**62}, 404, "line_not_found", "/items/0/line_id", ["no line 46"]),
    ("open session", {"/items/1/line_id": "1"}, 400, "duplicate_line", "/items/1/line_id", ["once", "line 1"]),
    ("open session", {"/items/0": {"line_id": 3}}, 409, "nothing_left_to_pay", "/items/0", ["line 3", "2000"]),
    ("open session", {"/items/0/amount": 10_001}, 400, "amount_above_left", "/items/0/amount", ["10000", "10001"]),
    ("open session", {"/items/0/amount": 0}, 400, "amount_sign", "/items/0/amount", ["positive", "got 0"]),
    ("open session", {"/items/0/amount": -1}, 400, "amount_sign", "/items/0/amount", ["positive", "got -1"]),
    ("open session", {"/items/0": {"line_id": 4, "amount": 5}}, 400, "amount_sign", "/items/0/amount",
     ["line 4", "negative", "got 5"]),
    ("open session", {"/items": [{"line_id": 4}], "/shipping_option": None}, 400, "amount_not_positive", "/items",
     ["more than 0", "got -1000"]),
    ("open session", {"/profile_id": "summer"}, 400, "unknown_profile", "/profile_id", ["default", "'summer'"]),
    ("open session", {"/shipping_option": NOT_ON_OFFER}, 400, "wrong_value", "/shipping_option",
     ["express.shipping_options", "'s2'"]),
    ("open session", {"/shipping_option/line_id": 1}, 400, "duplicate_line", "/shipping_option/line_id",
     ["none of the items", "got 1"]),
    ("open session", {"/shipping_option/amount": -1}, 400, "wrong_value", "/shipping_option/amount",
     [">= 0", "got -1"]),
    ("open session", {"/express/shipping_mode": "by_air"}, 400, "wrong_value", "/express/shipping_mode",
     ["'shipping_not_required' or 'shipping_required'", '"by_air"']),
    ("authorize", {"/items": []}, 400, "wrong_value", "/items", ["length >= 1"]),
    ("authorize", {"/items/0/amount": 10_001}, 400, "amount_above_left", "/items/0/amount", ["10000", "10001"]),
    ("authorize", {"/items/0": {"line_id": 3, "amount": 1}}, 400, "amount_above_left", "/items/0/amount",
     ["has 0 left to pay", "1 was asked"]),
    ("capture lines", {"/items/0/amount": 1501}, 400, "amount_above_left", "/items/0/amount",
     ["1500 left to capture", "1501"]),
    ("capture lines", {"/items/0/line_id": 1}, 400, "amount_above_left", "/items/0/amount", ["0 left to capture"]),
    ("refund lines", {"/items/0/amount": 501}, 400, "amount_above_left", "/items/0/amount",
     ["500 left to refund", "501"]),
    ("cancel lines", {"/items/0/amount": 1501}, 400, "amount_above_left", "/items/0/amount",
     ["1500 left to cancel", "1501"]),
    *(
        (name, change, status, keyword, path, words)
        for name in ("authorize", "capture lines", "refund lines", "cancel lines")
        for change, status, keyword, path, words in (
            ({"/items/0/line_id": 99}, 404, "line_not_found", "/items/0/line_id", ["no line 99"]),
            ({"/items/0/amount": 0}, 400, "amount_sign", "/items/0/amount", ["positive", "got 0"]),
            ({"/items/0/amount": -100}, 400, "amount_sign", "/items/0/amount", ["positive", "got -100"]),
            ({"/items/0": {"line_id": 4, "amount": 100}}, 400, "amount_sign", "/items/0/amount", ["negative", "100"]),
            ({"/items": [{"line_id": 3, "amount": 1}, {"line_id": "3", "amount": 1}]}, 400, "duplicate_line",
             "/items/1/line_id", ["once", "line 3"]),
            ({"/success": "yes"}, 400, "wrong_type", "/success", ["true or false", '"yes"']),
        )
    ),
    *(
        (name, {"/authorization_id": "nope"}, 404, "authorization_not_found", "/authorization_id", ["'nope'"])
        for name in ("capture lines", "refund lines", "cancel lines")
    ),
    ("direct session", {"/order/amount": -5}, 400, "amount_not_positive", "/order/amount", ["least 0", "got -5"]),
    ("direct session", {"/order/items": [{"line_id": 1, "amount": 1}, {"line_id": "1", "amount": 1}]}, 400,
     "duplicate_line", "/order/items/1/line_id", ["once", "'1'"]),
    ("direct session", {"/order/shipping_option/line_id": 1}, 400, "duplicate_line", "/order/shipping_option/line_id",
     ["once", "'1'"]),
    ("direct session", {"/profile_id": "summer"}, 400, "unknown_profile", "/profile_id", ["default", "'summer'"]),
    ("direct session", {"/expires_at": "2020-01-01T00:00:00Z"}, 400, "wrong_value", "/expires_at",
     ["a time to come", "2020-01-01"]),
    ("direct session", {"/metadata": {"fine": 1, "ext/x": [1]}}, 400, "wrong_type", "/metadata/ext~1x",
     ["an integer, a number or a string", "an array of 1"]),
    ("capture", {"/amount": 1501}, 400, "amount_above_left", "/amount", ["1500 left to capture", "1501"]),
    ("refund", {"/amount": 501}, 400, "amount_above_left", "/amount", ["500 left to refund", "501"]),
    *(
        (name, {pointer: value}, 400, keyword, path, words)
        for name in ("capture", "refund")
        for pointer, value, keyword, path, words in (
            ("/amount", 0, "amount_not_positive", "/amount", ["above 0", "got 0"]),
            ("/amount", -1, "amount_not_positive", "/amount", ["above 0", "got -1"]),
            ("/metadata", {"note": "x"}, "wrong_value", "/metadata/note", ["ext_", "'note'"]),
            ("/metadata", {"ext_" + "x" * 125: "x"}, "wrong_value", "/metadata/ext_" + "x" * 125, ["128"]),
            ("/metadata", {"ext_a": "x" * 257}, "wrong_value", "/metadata/ext_a", ["256", "257"]),
            ("/metadata", {"ext_a": "x", "ext_b": 1}, "wrong_type", "/metadata/ext_b", ["a string", "got 1"]),
        )
    ),
    ("pay", {"/card": "4000000000000003"}, 400, "card_refused", "/card", ["check digit"]),
    ("pay", {"/card": "4111111111111111"}, 400, "card_refused", "/card", ["test cards only"]),
    ("pay", {"/card": "4000"}, 400, "card_refused", "/card", ["12 to 19 digits"]),
    ("pay", {"/card": ""}, 400, "card_refused", "/card", ["12 to 19 digits"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes", "status", "keyword", "path", "words"),
    [pytest.param(*row, id=f"{row[0]}-{json.dumps(row[1])[:60]}-{n}") for n, row in enumerate(RULES)],
)
def test_what_the_rules_forbid_is_refused_with_the_sum_in_hand(
    unchanged: Place, name: str, changes: dict[str, Any], status: int, keyword: str, path: str, words: list[str]
) -> None:
    target = TARGETS[name]
    body = target.body
    for pointer, value in changes.items():
        body = changed(body, pointer, value)
    message = problem(ask(unchanged, target, body), status, keyword, path)
    for word in words:
        assert word in message


def test_amounts_that_do_not_add_up_are_refused_where_the_client_asks_for_it(unchanged: Place) -> None:
    target = TARGETS["direct session"]
    body = changed(target.body, "/order/amount", 1300)
    toggles = "unknown-toggle, strict-session-amounts"
    message = problem(
        ask(unchanged, target, body, **{"Dintero-Feature-Toggles": toggles}), 400, "amount_mismatch", "/order/amount"
    )
    assert "1200" in message
    assert "1300" in message


def test_a_session_that_is_paid_is_not_paid_again(unchanged: Place) -> None:
    path = "/v1/accounts/{aid}/sandbox/sessions/{paid}/pay"
    problem(ask(unchanged, Target("POST", path, {}), {}), 409, "session_paid")


def test_the_page_of_a_list_is_checked(unchanged: Place) -> None:
    for path in ("orders", "orders/{order}/sessions"):
        for limit in ("0", "101", "-1", "1.5", "ten", "", "9" * 5000, ARABIC_ONE):
            answer = unchanged.shop.http.get(unchanged.url(path), params={"limit": limit}, timeout=20)
            assert "from 1 to 100" in problem(answer, 400, "wrong_value", "/limit")
    answer = unchanged.shop.http.get(unchanged.url("orders"), params={"starting_after": "nope"}, timeout=20)
    assert "'nope'" in problem(answer, 400, "wrong_value", "/starting_after")


# -- bodies as such


DEEP = 10_000
NO_JSON: dict[str, tuple[bytes, int, str, str]] = {
    "no JSON": (b"{not json}", 400, "bad_json", "expected JSON"),
    "cut off": (b'{"a": 1', 400, "bad_json", "expected JSON"),
    "more after the end": (b"{} {}", 400, "bad_json", "expected JSON"),
    "a form": (b"amount=100&currency=NOK", 400, "bad_json", "expected JSON"),
    "single quotes": (b"{'a': 1}", 400, "bad_json", "expected JSON"),
    "NaN": (b'{"a": NaN}', 400, "bad_json", "NaN"),
    "Infinity": (b'{"a": [Infinity]}', 400, "bad_json", "Infinity"),
    "-Infinity": (b'{"a": -Infinity}', 400, "bad_json", "-Infinity"),
    "1e400": (b'{"a": 1e400}', 400, "wrong_value", "1e400"),
    "5000 digits": (b'{"a": ' + b"9" * 5000 + b"}", 400, "bad_json", "too many digits"),
    "4000 digits": (b'{"a": ' + b"9" * 4000 + b"}", 400, "wrong_value", "64 bits"),
    "a key twice": (b'{"a": 1, "b": {"c": 1, "c": 2}}', 400, "duplicate_key", "'c' twice"),
    "a key twice, escaped": (b'{"\\u0061": 1, "a": 1}', 400, "duplicate_key", "'a' twice"),
    "10,000 arrays": (b"[" * DEEP, 400, "bad_json", "64 levels"),
    "10,000 objects": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, 400, "bad_json", "64 levels"),
    "100 arrays": (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", 400, "bad_json", "64 levels"),
    "half a surrogate pair": (b'{"a": "\\ud800"}', 400, "wrong_value", "surrogate"),
    "half a surrogate pair as key": (b'{"\\udc00": 1}', 400, "wrong_value", "surrogate"),
    "a surrogate in bytes": (b'{"a": "\xed\xa0\x80"}', 400, "bad_json", "UTF-8"),
    "NUL": (b'{"a": "\\u0000"}', 400, "wrong_value", "NUL"),
    "NUL as key": (b'{"a\\u0000": 1}', 400, "wrong_value", "NUL"),
    "NUL in bytes": (b'{"a": "\0"}', 400, "bad_json", "expected JSON"),
    "wrong UTF-8": (b'{"a": "\xff"}', 400, "bad_json", "UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), 400, "bad_json", "UTF-8"),
    "2 MiB": (b" " * (2 << 20), 413, "body_too_large", "1048576 bytes"),
}
NO_OBJECT: dict[str, tuple[bytes, int, str, str]] = {
    "an array": (b'[{"amount": 1}]', 400, "wrong_type", "an array"),
    "a string": (b'"amount"', 400, "wrong_type", "a JSON object"),
    "a number": (b"12", 400, "wrong_type", "a JSON object"),
    "true": (b"true", 400, "wrong_type", "a JSON object"),
}
NOTHING: dict[str, tuple[bytes, int, str, str]] = {
    "null": (b"null", 400, "wrong_type", "a JSON object"),
    "nothing": (b"", 400, "bad_json", "got none"),
    "white space": (b" \r\n\t", 400, "bad_json", "got none"),
}


def takes(target: Target, what: str) -> bool:
    """Whether a route takes such a body: those that need none take anything that is JSON."""
    if what in NOTHING:
        return not target.needs_body
    return what in NO_OBJECT and not target.body


@pytest.mark.parametrize("what", [*NO_JSON, *NO_OBJECT, *NOTHING])
def test_a_body_that_is_no_use_is_refused(unchanged: Place, what: str) -> None:
    body, status, keyword, words = {**NO_JSON, **NO_OBJECT, **NOTHING}[what]
    code = "" if keyword in ("wrong_type", "wrong_value", "duplicate_key") else "bad_request"
    for target in TARGETS.values():
        if not takes(target, what):
            url, headers = unchanged.url(target.path), {"Content-Type": "application/json"}
            answer = unchanged.shop.http.request(target.method, url, data=body, headers=headers, timeout=20)
            assert words in problem(answer, status, keyword, None, code)


@pytest.mark.parametrize("name", TARGETS)
def test_two_mebibytes_in_chunks_are_refused_too(unchanged: Place, name: str) -> None:
    target = TARGETS[name]
    chunks = (b" " * 65536 for _ in range(32))
    answer = unchanged.shop.http.request(target.method, unchanged.url(target.path), data=chunks, timeout=20)
    problem(answer, 413, "body_too_large", code="bad_request")


def test_many_keys_with_one_twice_are_refused_at_once(unchanged: Place) -> None:
    keys = ",".join(f'"k{n}":1' for n in range(70_000))
    started = time.monotonic()
    answer = unchanged.shop.http.post(unchanged.url("draft_orders"), data=f'{{{keys},"k69999":1}}', timeout=60)
    problem(answer, 400, "duplicate_key")
    assert time.monotonic() - started < 5


def test_as_deep_as_allowed_is_no_reason_to_refuse(place: Place) -> None:
    deep: Any = "here"
    for _ in range(50):
        deep = [deep]
    body = changed(TARGETS["create draft"].body, "/order/metadata", {"deep": deep})
    assert place.shop.ok("POST", "draft_orders", body)["order"]["metadata"] == {"deep": deep}


# -- addresses


UNKNOWN: list[tuple[str, dict[str, str], str]] = [
    ("add item", {"draft": "nope"}, "draft_not_found"),
    ("update item", {"draft": "nope"}, "draft_not_found"),
    ("complete", {"draft": "nope"}, "draft_not_found"),
    *((name, {"order": "nope"}, "order_not_found") for name in TARGETS if "{order}" in TARGETS[name].path),
    *((name, {"session": "{aid}.nope"}, "session_not_found") for name in ("cancel session", "pay")),
    *(
        (name, {"transaction": "{aid}.nope"}, "transaction_not_found")
        for name in TARGETS
        if "{transaction}" in TARGETS[name].path
    ),
]
READS: list[tuple[str, str]] = [
    ("draft_orders/nope", "draft_not_found"),
    ("orders/nope", "order_not_found"),
    ("orders/nope/events", "order_not_found"),
    ("orders/nope/sessions", "order_not_found"),
    ("orders/{order}/sessions/nope", "session_not_found"),
    ("orders/nope/sessions/{session}", "order_not_found"),
    *(
        (f"orders/{order}/{plural}", keyword)
        for plural in ("authorizations", "captures", "refunds", "cancellations")
        for order, keyword in (("nope", "order_not_found"),)
    ),
    *(
        (f"orders/{{order}}/{plural}/nope", "entry_not_found")
        for plural in ("authorizations", "captures", "refunds", "cancellations")
    ),
    ("/v1/sessions/nope", "session_not_found"),
    ("/v1/sessions/{aid}.nope/callbacks", "session_not_found"),
    ("/v1/transactions/{aid}.nope", "transaction_not_found"),
    ("/v1/transactions/{session}", "transaction_not_found"),
    ("/v1/sessions/{transaction}", "session_not_found"),
]


@pytest.mark.parametrize(("name", "ids", "keyword"), UNKNOWN)
def test_what_is_not_there_is_not_found(unchanged: Place, name: str, ids: dict[str, str], keyword: str) -> None:
    target = TARGETS[name]
    path = target.path.format(**{**{key: f"{{{key}}}" for key in unchanged.ids}, **ids})
    problem(ask(unchanged, Target(target.method, path, target.body), target.body), 404, keyword)


@pytest.mark.parametrize(("path", "keyword"), READS)
def test_reading_what_is_not_there_says_so(unchanged: Place, path: str, keyword: str) -> None:
    message = problem(ask(unchanged, Target("GET", path, {}), None), 404, keyword)
    assert "nope" in message or path.endswith("}")


@pytest.mark.parametrize("line_id", ["99", "-1", "9" * 18])
def test_a_line_that_the_draft_does_not_have_is_not_found(unchanged: Place, line_id: str) -> None:
    path = f"draft_orders/{{draft}}/items/{line_id}"
    assert line_id in problem(ask(unchanged, Target("DELETE", path, {}), None), 404, "line_not_found")
    body = line(int(line_id), 100)
    assert line_id in problem(ask(unchanged, Target("PUT", path, {}), body), 404, "line_not_found")


@pytest.mark.parametrize("line_id", ["one", "1.0", "%20", "9" * 30, "%00", ARABIC_ONE])
def test_a_line_id_in_the_address_is_a_whole_number(unchanged: Place, line_id: str) -> None:
    for method in ("DELETE", "PUT"):
        path = f"draft_orders/{{draft}}/items/{line_id}"
        message = problem(ask(unchanged, Target(method, path, {}), line(1, 100)), 400, "wrong_type", "/line_id")
        assert "an integer" in message


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in ("create draft", "direct session")])
def test_what_is_anothers_is_not_there(unchanged: Place, server: Running, name: str) -> None:
    stranger = server.shop()
    target = TARGETS[name]
    path = target.path.format(**{**unchanged.ids, "aid": stranger.account_id})
    thing = next(thing for thing in ("draft", "order", "session", "transaction") if f"{{{thing}}}" in target.path)
    problem(stranger.call(target.method, path, target.body), 404, f"{thing}_not_found")


def test_reading_what_is_anothers_says_that_it_is_not_there(unchanged: Place, server: Running) -> None:
    stranger = server.shop()
    for path in (
        *("draft_orders/{draft}", "orders/{order}", "orders/{order}/events", "orders/{order}/sessions"),
        *("orders/{order}/captures", "orders/{order}/sessions/{session}", "/v1/sessions/{session}"),
        *("/v1/sessions/{session}/callbacks", "/v1/transactions/{transaction}"),
    ):
        answer = stranger.call("GET", path.format(**unchanged.ids))
        assert answer.status_code == 404, path
    assert stranger.ok("GET", "orders") == {"orders": []}


@pytest.mark.parametrize(
    "account_id", ["X12345678", "T1234567", "T123456789", "t12345678", "T1234567a", "T" + ARABIC_ONE * 8]
)
def test_a_malformed_account_id_is_told(unchanged: Place, account_id: str) -> None:
    answer = unchanged.shop.http.get(
        f"{unchanged.server.base_url}/v1/accounts/{account_id}/shopping/orders", timeout=20
    )
    assert "T12345678" in problem(answer, 400, "wrong_value")


# -- who asks


def operations(shop: Shop) -> list[tuple[str, str, Json]]:
    """Every operation of the OpenAPI document that wants a token, with ids that fit no thing."""
    document = requests.get(f"{shop.base_url}/openapi.json", timeout=20).json()
    return [
        (method.upper(), re.sub(r"{\w+}", "1", path.replace("{aid}", shop.account_id)), operation)
        for path, found in document["paths"].items()
        for method, operation in found.items()
        if operation.get("security")
    ]


def test_without_a_token_nothing_is_answered(unchanged: Place) -> None:
    found = operations(unchanged.shop)
    assert len(found) > 30
    for method, path, _ in found:
        for header in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}, {"Authorization": "Bearer x"}):
            answer = requests.request(method, unchanged.server.base_url + path, headers=header, json={}, timeout=20)
            problem(answer, 401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_without_the_scope_is_told_which_one(unchanged: Place, server: Running) -> None:
    nobody = server.shop("read:receipts")
    for method, path, operation in operations(nobody):
        answer = nobody.call(method, path, {})
        message = problem(answer, 403, "missing_scope")
        needed = operation["description"].removeprefix("Needs the scope ").removesuffix(".")
        assert needed.split(" or ")[0].startswith("admin:")
        assert needed in message
        assert "read:receipts" in message


def test_reading_is_not_writing(unchanged: Place, server: Running) -> None:
    reader = server.shop("read:shopping", "read:checkout")
    for name, target in TARGETS.items():
        path = target.path.format(**{**unchanged.ids, "aid": reader.account_id})
        message = problem(reader.call(target.method, path, target.body), 403, "missing_scope")
        assert "read:shopping" in message, name
    assert reader.ok("GET", "orders") == {"orders": []}


def test_writing_is_reading_too(server: Running) -> None:
    assert server.shop("write:shopping").ok("GET", "orders") == {"orders": []}


def test_a_token_of_another_account_is_not_for_this_one(unchanged: Place, server: Running) -> None:
    stranger = server.shop()
    for method, path, _ in operations(unchanged.shop):
        if unchanged.shop.account_id in path:
            message = problem(stranger.call(method, path, {}), 403, "other_account")
            assert stranger.account_id in message
            assert unchanged.shop.account_id in message


# -- routes


def test_a_wrong_method_is_told_the_right_ones(unchanged: Place) -> None:
    document = requests.get(f"{unchanged.server.base_url}/openapi.json", timeout=20).json()
    for path, found in document["paths"].items():
        right = {method.upper() for method in found}
        allowed = right | ({"HEAD"} if "GET" in right else set())
        url = unchanged.server.base_url + re.sub(r"{\w+}", "1", path)
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - right:
            answer = unchanged.shop.http.request(method, url, timeout=20)
            message = problem(answer, 405, "method_not_allowed", code="bad_request")
            assert method in message
            assert set(answer.headers["Allow"].split(", ")) == allowed, path


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/nope", "/v2/sessions-profile", "/v1/sessions-profile/", "/v1//sessions", "/%00", "/%ff"]
)
def test_an_unknown_route_is_answered_like_any_other_refusal(unchanged: Place, path: str) -> None:
    for method in ("GET", "POST"):
        answer = unchanged.shop.http.request(
            method, unchanged.server.base_url + path, json={}, timeout=20, allow_redirects=False
        )
        assert method in problem(answer, 404, "unknown_route")


def test_head_is_get_without_a_body(unchanged: Place) -> None:
    answer = unchanged.shop.http.head(unchanged.url("orders/{order}"), timeout=20)
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize(
    ("given", "kept"), [("order-7/retry:2", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("", False)]
)
def test_a_request_has_an_id_its_own_if_it_is_usable(unchanged: Place, given: str, kept: bool) -> None:
    for path in ("orders/{order}", "orders/nope", "/nope"):
        answer = unchanged.shop.http.get(unchanged.url(path), headers={"X-Request-Id": given}, timeout=20)
        assert (answer.headers["request-id"] == given) is kept
        assert kept or re.fullmatch(r"[0-9a-f-]{36}", answer.headers["request-id"])


# -- sums that are too large


@pytest.mark.parametrize(
    "items",
    [
        [line(n, BIG) for n in (1, 2)],
        [line(n, BIG) for n in range(1, 1100)],
        [{**line(1, 1), "discount_lines": [{"amount": BIG}] * 2000}],
    ],
    ids=["above 2^53", "above 2^63", "discounts"],
)
def test_lines_that_add_up_to_more_than_a_client_can_read_are_refused(unchanged: Place, items: list[Json]) -> None:
    body = {"order": {"currency": "NOK", "items": items}}
    message = problem(ask(unchanged, TARGETS["create draft"], body), 400, "wrong_value", "/order/items")
    assert f"at most {BIG} in all" in message
