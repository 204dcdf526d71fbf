"""Who may do what: account ids, scopes, audiences, secrets."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasse.domain import access
from kasse.domain.access import Account, Caller
from kasse.domain.refusals import Refusal

ACTIONS = ("admin", "write", "read", "create", "public", "user")
RANK = {"admin": 3, "write": 2, "read": 1}

actions = st.sampled_from(ACTIONS)
resources = st.sampled_from(("checkout", "shopping", "accounts", "shopping:/orders/ANY/events"))


def caller(*scopes: str) -> Caller:
    return Caller("T12345678", "someone", frozenset(scopes), "request-1")


# -- account ids


@pytest.mark.parametrize("text", ["T12345678", "P00000000"])
def test_an_account_id_is_p_or_t_and_eight_digits(text: str) -> None:
    assert access.account_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "T1234567",
        "T123456789",
        "t12345678",
        "X12345678",
        "112",
        "T12345678\n",
        " T12345678",
        "T1234567٨",
        "T１２３４５６７８",  # noqa: RUF001 (wide digits on purpose)
        "T1234567²",
        "Т12345678",  # noqa: RUF001 (a Cyrillic letter on purpose)
    ],
)
def test_anything_else_is_no_account_id(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        access.account_id(text)
    assert refused.value.status == 400
    assert "T12345678" in refused.value.message


def test_an_account_id_that_begins_with_t_is_for_testing() -> None:
    now = datetime(2026, 2, 3, tzinfo=UTC)
    assert Account("T12345678", "A shop", now).is_test
    assert not Account("P12345678", "A shop", now).is_test


# -- scopes


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("admin:checkout", "admin:checkout"),
        ("checkout:admin", "admin:checkout"),
        ("receipts:write", "write:receipts"),
        ("admin:account", "admin:accounts"),
        ("account:admin", "admin:accounts"),
        ("accounts:admin", "admin:accounts"),
        ("write:accounts:/auth/users/no-mfa", "write:accounts:/auth/users/no-mfa"),
        ("write:shopping:/orders/ANY/events", "write:shopping:/orders/ANY/events"),
        ("create:accounts:auth:refresh_token", "create:accounts:auth:refresh_token"),
        ("write:discounts:/available_for_receipt", "write:discounts:/available_for_receipt"),
        ("public:customers", "public:customers"),
    ],
)
def test_a_scope_may_be_written_both_ways_and_is_kept_in_one(text: str, kept: str) -> None:
    assert access.scope(text) == kept
    assert access.scope(kept) == kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "admin",
        ":",
        "admin:",
        ":checkout",
        "*",
        "*:checkout",
        "admin:*",
        "admin:checkout:*",
        "admin:check*",
        "ADMIN:checkout",
        "delete:checkout",
        "admin:checkout ",
        "admin:checkout\n",
        "admin:checkout admin:accounts",
        "admin:chéckout",
        "admin::checkout",
    ],
)
def test_what_is_no_scope_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        access.scope(text)
    assert refused.value.path == "/scope"
    assert "admin:checkout" in refused.value.message


@given(actions, actions, resources, resources)
def test_admin_covers_write_covers_read_of_the_same_resource_and_nothing_else(
    held: str, wanted: str, mine: str, theirs: str
) -> None:
    expected = mine == theirs and (held == wanted or (held in RANK and wanted in RANK and RANK[held] >= RANK[wanted]))
    assert access.allows({f"{held}:{mine}"}, {f"{wanted}:{theirs}"}) is expected


def test_any_one_of_the_wanted_scopes_is_enough() -> None:
    assert access.allows(["read:hooks", "write:shopping"], ("admin:shopping", "write:shopping"))
    assert not access.allows(["read:hooks", "read:shopping"], ("admin:shopping", "write:shopping"))
    assert not access.allows([], ("read:shopping",))
    assert not access.allows(["admin:shopping"], ())


def test_a_missing_scope_is_refused_with_what_is_needed_and_what_is_held() -> None:
    access.require_scope(caller("admin:shopping"), ("write:shopping",))
    with pytest.raises(Refusal) as refused:
        access.require_scope(caller("read:shopping"), ("write:shopping", "admin:shopping"))
    assert refused.value.status == 403
    assert refused.value.message.startswith("this call needs the scope admin:shopping or write:shopping")
    assert "read:shopping" in refused.value.message


@pytest.mark.parametrize(
    ("held", "passed_on"),
    [
        ("admin:checkout", "admin:checkout"),
        ("admin:checkout", "read:checkout"),
        ("write:shopping", "write:shopping:/orders/ANY/events"),
        ("admin:shopping", "read:shopping:/orders/ANY/events"),
    ],
)
def test_rights_can_be_passed_on_by_those_who_have_them(held: str, passed_on: str) -> None:
    access.require_all(caller(held, "write:accounts"), [passed_on, "write:accounts"])


@pytest.mark.parametrize(
    ("held", "passed_on"),
    [
        ("write:checkout", "admin:checkout"),
        ("admin:accounts", "admin:checkout"),
        ("read:shopping", "write:shopping:/orders/ANY/events"),
        ("write:shopping:/orders/ANY/events", "write:shopping"),
        ("admin:accounts", "create:accounts:auth:refresh_token"),
    ],
)
def test_rights_cannot_be_passed_on_by_those_who_have_less(held: str, passed_on: str) -> None:
    with pytest.raises(Refusal) as refused:
        access.require_all(caller(held, "write:accounts"), ["write:accounts", passed_on], path="/scope")
    assert refused.value.status == 403
    assert passed_on in refused.value.message
    assert refused.value.path == "/scope"


# -- audiences


@pytest.mark.parametrize(
    "audience",
    [
        "https://api.dintero.com/v1/accounts/T12345678",
        "https://checkout.dintero.com/v1/accounts/T12345678/",
        "http://127.0.0.1:8080/v1/accounts/T12345678",
        "http://[::1]:8080/v1/accounts/T12345678",
        "http://localhost/v1/accounts/T12345678",
    ],
)
def test_an_audience_names_an_account_on_any_host(audience: str) -> None:
    assert access.audience_account(audience) == "T12345678"


@pytest.mark.parametrize(
    "audience",
    [
        "",
        "T12345678",
        "/v1/accounts/T12345678",
        "https:///v1/accounts/T12345678",
        "ftp://api.dintero.com/v1/accounts/T12345678",
        "https://api.dintero.com/v1/accounts/T1234567",
        "https://api.dintero.com/v1/accounts/T1234567٨",
        "https://api.dintero.com/v1/accounts/T12345678\n",
        "https://api.dintero.com/v1/accounts/T1234\n5678",
        "https://api.dintero.com/v1/accounts/T12345678//",
        "https://api.dintero.com/v1/accounts/T12345678/auth",
        "https://api.dintero.com/v1/accounts/T12345678?x=1",
        "https://api.dintero.com/v1/accounts/T12345678#x",
        "https://api.dintero.com/?/v1/accounts/T12345678",
        "http://[",
        "https://x／y/v2/accounts/T12345678",  # noqa: RUF001 (urlsplit falls over the wide slash)
    ],
)
def test_any_other_audience_names_none(audience: str) -> None:
    assert access.audience_account(audience) is None


@given(st.text())
def test_no_text_makes_the_readers_fall_over(text: str) -> None:
    access.audience_account(text)
    for read in (access.scope, access.account_id):
        with suppress(Refusal):
            read(text)


# -- secrets


def test_a_secret_fits_its_hash_under_the_same_pepper_only() -> None:
    kept = access.hash_secret("s3cret", b"pepper")
    assert "s3cret" not in kept
    assert access.secret_matches("s3cret", kept, b"pepper")
    assert not access.secret_matches("s3cret ", kept, b"pepper")
    assert not access.secret_matches("s3cret", kept, b"salt")
    assert not access.secret_matches("", kept, b"pepper")
