"""Which calls are owed, how they are signed, and when they are tried again.

The expected values were made once by hand with Node, by the code that the vendor publishes for receivers:
``new URL(url)``, ``hostname``, ``pathname``, ``searchParams.sort()``, ``searchParams.toString()``.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.domain import callbacks
from kasse.domain.callbacks import Attempt, Delivery, Occasion

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
PAID = Occasion("T1.s", "ref 1", NOW, transaction_id="T1.t")


def failed(error: str) -> Occasion:
    return Occasion("T1.s", "ref 1", NOW, error=error)


def later(event: str) -> Occasion:
    return Occasion("T1.s", "ref 1", NOW, transaction_id="T1.t", event=event, event_id="e1")


def deliver(url: str, occasion: Occasion = PAID) -> Delivery:
    delivery = callbacks.delivery("T1", "d1", url, occasion, NOW)
    assert delivery is not None
    return delivery


def query_of(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


# -- signatures


def test_the_published_vector_is_signed_as_published() -> None:
    url = "https://example.com/callback?B=123&A=992"
    signed = callbacks.signature("123", 1582236537, "P00000000", "GET", url)
    assert signed == ("t=1582236537,v0-hmac-sha256=6bed2ab1b919d460ef7465a20dc6c97260dca73fab6647106ca525f0908df64a")


def test_the_vector_would_differ_if_the_query_were_not_sorted() -> None:
    unsorted = b"1582236537\nP00000000\nGET\nexample.com\n/callback\nB=123&A=992"
    digest = hmac.new(b"123", unsorted, hashlib.sha256).hexdigest()
    assert digest == "14751103071159adc7aafc1c83d88e87665953dd149f9d3b58433f5f2d20f85e"
    assert digest not in callbacks.signature(
        "123", 1582236537, "P00000000", "GET", "https://example.com/callback?B=123&A=992"
    )


@pytest.mark.parametrize(
    ("method", "url", "digest"),
    [
        (
            "GET",
            "http://[::1]:8080/cb?a=1",
            "ff2fd97e451142c114ecfb6020f4046f1853d36dcaf6d7d263a92b7c7f54524f",
        ),
        (
            "POST",
            "https://example.com?b=x%20y&a=~*&a=%C3%B8",
            "e45841574124564d4bf486a0e104d6d5afdf791c93624aeed97f665923cebcef",
        ),
        (
            "GET",
            "https://xn--blbr-roah.no/k%C3%B8/%7Bid%7D?navn=Bj%C3%B8rn",
            "1309b43c635040a111c310db918f13941af34cd93b8fc47965b427b67e0ee34d",
        ),
        (
            "GET",
            "http://Shop.Example:8443/a%20b/~c?z=1&y=",
            "10ac25629075363328cf0af7c8e50b45394ed7a5523cd0b674393219555ff7d8",
        ),
    ],
)
def test_signatures_are_those_that_node_computes_from_the_url(method: str, url: str, digest: str) -> None:
    signed = callbacks.signature("123", 1582236537, "P00000000", method, url)
    assert signed == f"t=1582236537,v0-hmac-sha256={digest}"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("B=123&A=992", "A=992&B=123", id="sorted"),
        pytest.param("a=x y&b=x%20y&c=x+y", "a=x+y&b=x+y&c=x+y", id="space"),
        pytest.param("a=~&b=%7E&c=*&d=%2A&e=-._", "a=%7E&b=%7E&c=*&d=*&e=-._", id="tilde and star"),
        pytest.param(
            "navn=Bj%C3%B8rn&by=%E6%9D%B1%E4%BA%AC&%F0%9F%98%80=1&%EF%BF%BD=2",
            "by=%E6%9D%B1%E4%BA%AC&navn=Bj%C3%B8rn&%F0%9F%98%80=1&%EF%BF%BD=2",
            id="unicode, sorted by UTF-16 units",
        ),
        pytest.param(
            "report_event=CAPTURE&a=1&report_event=REFUND&report_event=VOID",
            "a=1&report_event=CAPTURE&report_event=REFUND&report_event=VOID",
            id="repeated names keep their order",
        ),
        pytest.param("b=&a&=x&&c==", "=x&a=&b=&c=%3D", id="empty names, values and parts"),
        pytest.param("x=%zz%&y=%E2%82&z=%ff", "x=%25zz%25&y=%EF%BF%BD&z=%EF%BF%BD", id="broken escapes"),
        pytest.param("a=1&B=2&%41=3&aa=4", "A=3&B=2&a=1&aa=4", id="capitals first"),
        pytest.param(
            "q=!'()/;:@,$[]{}|\\\"<>^`",
            "q=%21%27%28%29%2F%3B%3A%40%2C%24%5B%5D%7B%7D%7C%5C%22%3C%3E%5E%60",
            id="signs",
        ),
        pytest.param("", "", id="nothing"),
    ],
)
def test_the_query_is_encoded_like_url_search_params(query: str, expected: str) -> None:
    assert callbacks._sorted_query(query) == expected


# -- what the merchant asks for


def test_without_switches_a_get_on_success_is_asked_for() -> None:
    asked = callbacks.switches("https://shop.example/cb?order=7")
    assert asked == callbacks.Switches(
        method="GET",
        includes_session=False,
        report_error=False,
        delay=timedelta(0),
        report_events=frozenset(),
        session_parameter="session_id",
    )


def test_the_switches_of_the_woocommerce_plugin() -> None:
    asked = callbacks.switches(
        "https://shop.example/?delay_callback=120&report_error=true&sid_parameter_name=sid"
        "&report_event=CAPTURE&report_event=REFUND&report_event=VOID"
    )
    assert asked.delay == timedelta(seconds=60)
    assert asked.report_error
    assert asked.session_parameter == "sid"
    assert asked.report_events == {"CAPTURE", "REFUND", "VOID"}


def test_the_switches_of_the_magento_plugin() -> None:
    asked = callbacks.switches(
        "https://shop.example/cb?method=POST&delay_callback=30&report_error=true&includes=session"
    )
    assert (asked.method, asked.delay, asked.includes_session) == ("POST", timedelta(seconds=30), True)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        ("60", 60),
        ("61", 60),
        ("120", 60),
        ("999999999", 60),
        ("-5", 0),
        ("1.5", 0),
        ("1e3", 0),
        ("", 0),
        ("soon", 0),
        ("%D9%A3", 0),
        ("9" * 5000, 0),
    ],
)
def test_a_delay_is_cut_to_a_minute_and_junk_is_none(asked: str, seconds: int) -> None:
    delivery = deliver(f"https://shop.example/cb?delay_callback={asked}")
    assert delivery.due_at == NOW + timedelta(seconds=seconds)


def test_unknown_switch_values_change_nothing() -> None:
    plain = callbacks.switches("https://shop.example/cb")
    odd = "method=DELETE&includes=order&report_error=yes&sid_parameter_name=transaction_id&report_eventual=VOID"
    assert callbacks.switches(f"https://shop.example/cb?{odd}") == plain


# -- which calls are owed


@pytest.mark.parametrize(
    ("query", "occasion", "is_owed"),
    [
        ("", PAID, True),
        ("report_event=CAPTURE", PAID, True),
        ("", failed("cancelled"), False),
        ("report_error=true", failed("cancelled"), True),
        ("report_error=true", failed("failed"), True),
        ("", later("CAPTURE"), False),
        ("report_error=true", later("CAPTURE"), False),
        ("report_event=CAPTURE", later("CAPTURE"), True),
        ("report_event=capture", later("CAPTURE"), True),
        ("report_event=CAPTURE", later("REFUND"), False),
        ("report_event=CAPTURE&report_event=REFUND", later("REFUND"), True),
    ],
)
def test_a_call_is_owed_when_it_was_asked_for(query: str, occasion: Occasion, is_owed: bool) -> None:
    delivery = callbacks.delivery("T1", "d1", f"https://shop.example/cb?{query}", occasion, NOW)
    assert (delivery is not None) is is_owed


def test_a_delivery_tells_of_the_payment_and_keeps_the_merchants_own_query() -> None:
    delivery = deliver("https://shop.example/cb?order=7&x=a%20b")
    assert delivery.url.startswith("https://shop.example/cb?order=7&x=a%20b&")
    assert query_of(delivery.url)[2:] == [
        ("transaction_id", "T1.t"),
        ("session_id", "T1.s"),
        ("merchant_reference", "ref 1"),
        ("time", "2026-01-02T03:04:05.678Z"),
    ]
    assert (delivery.method, delivery.status, delivery.event, delivery.version) == (
        "GET",
        "waiting",
        "authorized",
        1,
    )


def test_a_failure_is_told_without_a_transaction() -> None:
    told = dict(query_of(deliver("https://shop.example/cb?report_error=true", failed("cancelled")).url))
    assert told["error"] == "cancelled"
    assert "transaction_id" not in told


def test_an_event_is_told_with_its_id_under_the_session_parameter_asked_for() -> None:
    url = "https://shop.example/cb?report_event=CAPTURE&sid_parameter_name=sid"
    told = dict(query_of(deliver(url, later("CAPTURE")).url))
    assert (told["event"], told["event_id"], told["sid"]) == ("CAPTURE", "e1", "T1.s")
    assert "session_id" not in told


def test_the_receiver_is_scheme_host_and_port_whatever_the_login_and_the_case() -> None:
    assert deliver("https://user:secret@Shop.Example:8443/cb").receiver == "https://shop.example:8443"


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://a.no/%7e/~/;p=1?x=%zz&&y", "https://a.no/%7e/~/;p=1?x=%zz&&y&"),
        ("https://a.no/kø/{id}/a b?navn=Bjørn", "https://a.no/k%C3%B8/%7Bid%7D/a%20b?navn=Bj%C3%B8rn&"),
        ("http://ø:æ@blåbær:8080/cb", "http://%C3%B8:%C3%A6@xn--blbr-roah:8080/cb?"),
        ("http://[::1]:8080", "http://[::1]:8080?"),
        ("http://\uff08ø\uff09/", "http://%EF%BC%88%C3%B8%EF%BC%89/?"),
        ("http://ø" + "x" * 70, "http://%C3%B8" + "x" * 70 + "?"),
    ],
)
def test_a_url_is_stored_as_it_travels(url: str, stored: str) -> None:
    assert deliver(url).url.startswith(stored + "transaction_id=")


@given(st.text(st.characters(exclude_characters="#", exclude_categories=["Cs"]), max_size=40))
def test_whatever_the_merchants_query_holds_the_url_is_ascii_and_keeps_it(query: str) -> None:
    url = deliver(f"https://shop.example/cb?{query}").url
    assert all("!" <= character <= "~" for character in url)
    kept = urlsplit(f"https://shop.example/cb?{query}").query  # which drops tabs and line ends
    before = parse_qsl(kept, keep_blank_values=True)
    assert query_of(url)[: len(before)] == before


# -- back to the shop


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.example/done", "https://shop.example/done?merchant_reference=r1&transaction_id=t1"),
        ("https://shop.example", "https://shop.example?merchant_reference=r1&transaction_id=t1"),
        (
            "https://shop.example/done?a=%20b&a=+&c",
            "https://shop.example/done?a=%20b&a=+&c&merchant_reference=r1&transaction_id=t1",
        ),
        ("https://shop.example/done?", "https://shop.example/done?merchant_reference=r1&transaction_id=t1"),
        (
            "https://shop.example/#/done?x=1",
            "https://shop.example/?merchant_reference=r1&transaction_id=t1#/done?x=1",
        ),
        ("myapp://pay/done", "myapp://pay/done?merchant_reference=r1&transaction_id=t1"),
        ("myapp:///done", "myapp:///done?merchant_reference=r1&transaction_id=t1"),
    ],
)
def test_the_payer_goes_back_with_the_merchants_query_and_ours(url: str, expected: str) -> None:
    assert callbacks.return_href(url, "r1", "t1", None) == expected


@pytest.mark.parametrize(
    ("error", "transaction_id"),
    [("cancelled", None), ("authorization", None), ("failed", None), ("capture", "t1")],
)
def test_after_an_error_the_transaction_is_told_only_for_a_failed_capture(
    error: str, transaction_id: str | None
) -> None:
    told = dict(query_of(callbacks.return_href("https://shop.example/done?a=1", "r 1&", "t1", error)))
    assert (told["a"], told["merchant_reference"], told["error"]) == ("1", "r 1&", error)
    assert told.get("transaction_id") == transaction_id


# -- again, and how often


def attempt(number: int, status_code: int | None) -> Attempt:
    return Attempt("T1", "d1", number, NOW, 12, status_code)


@pytest.mark.parametrize(
    ("status_code", "result"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (299, "delivered"),
        (302, "again"),
        (101, "again"),
        (400, "refused"),
        (404, "refused"),
        (499, "refused"),
        (500, "again"),
        (599, "again"),
        (999, "again"),
        (None, "again"),
    ],
)
def test_what_an_answer_means(status_code: int | None, result: str) -> None:
    assert callbacks.outcome(status_code) == result


def test_pauses_double_from_five_seconds_to_four_hours() -> None:
    pauses = [callbacks.pause(number).total_seconds() for number in range(1, 22)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert all(earlier <= later for earlier, later in pairwise(pauses))
    assert pauses[-1] == 4 * 3600


def test_twenty_retries_and_then_it_has_failed() -> None:
    delivery = deliver("https://shop.example/cb")
    for number in range(1, 21):
        delivery = callbacks.after_attempt(delivery, attempt(number, 503), delivery.due_at)
        assert (delivery.status, delivery.attempts, delivery.version) == ("waiting", number, number + 1)
    assert callbacks.after_attempt(delivery, attempt(21, None), NOW).status == "failed"
    assert callbacks.after_attempt(delivery, attempt(21, 200), NOW).status == "delivered"


def test_a_refusal_is_final_at_once() -> None:
    assert callbacks.after_attempt(deliver("https://shop.example/cb"), attempt(1, 404), NOW).status == "failed"


def test_a_try_changes_nothing_else_of_a_delivery() -> None:
    before = deliver("https://shop.example/cb?method=POST&includes=session")
    after = callbacks.after_attempt(before, attempt(1, 500), NOW)
    assert after.due_at == NOW + timedelta(seconds=5)
    assert msgspec.structs.replace(after, due_at=before.due_at, attempts=0, version=1) == before
