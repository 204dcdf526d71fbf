"""Profiles and API keys over real HTTP: each row of the reference, and each way of saying no."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import apsw
import pytest
import requests

from tests.api.conftest import MovableClock
from tests.running import PATIENCE_S, Json, Running, Shop, running, session_request

KEYS = "/v1/admin/api-keys"
PROFILES = "/v1/admin/session/profiles"
CARD = {"type": "payment_product_type", "enabled": True}
CARDS = {"dintero_psp": {"type": "payment_type", "creditcard": CARD}}


@pytest.fixture(scope="module")
def server(server_clock: MovableClock) -> Iterator[Running]:
    with running(clock=server_clock) as found:
        yield found


@pytest.fixture
def shop(server: Running) -> Shop:
    return server.shop()


def with_key(shop: Shop, key: str, method: str, path: str, body: Any = None) -> requests.Response:
    """A call that knows an API key and no token."""
    url = f"{shop.base_url}{path}"
    return requests.request(method, url, headers={"x-api-key": key}, json=body, timeout=PATIENCE_S)


def direct(profile_id: str = "default", **configuration: Any) -> Json:
    order = {"amount": 10_000, "currency": "NOK", "merchant_reference": "web-1"}
    return {
        "url": session_request([1])["url"],
        "order": order,
        "profile_id": profile_id,
        **({"configuration": configuration} if configuration else {}),
    }


# -- profiles


def test_every_account_has_a_default_profile_with_cards(shop: Shop) -> None:
    listed: Any = shop.ok("GET", PROFILES)
    [profile] = listed
    assert profile == shop.ok("GET", f"{PROFILES}/default")
    assert profile["id"] == "default"
    assert profile["created_at"]
    assert profile["configuration"]["dintero_psp"]["creditcard"]["enabled"] is True


def test_a_profile_is_made_replaced_listed_and_deleted(shop: Shop) -> None:
    wanted = {
        "name": "Tills",
        "branding": {"logo": "round"},
        "configuration": {
            **CARDS,
            "auto_capture": True,
            "default_payment_type": "dintero_psp.creditcard",
            "theme": {"primary": "#1d4ed8", "backdrop": "rgba(0, 0, 0, .5)", "cardRadius": 8, "buttonRadius": "4px"},
            "countries": {"preferred_country": "NO", "allow_countries": ["NO", "SE"], "deny_countries": ["DK"]},
            "something_new": {"of": ["theirs", None, 1]},
        },
    }
    made = shop.ok("PUT", f"{PROFILES}/tills", wanted)
    assert {name: made[name] for name in wanted} == wanted
    assert made["id"] == "tills"
    assert shop.ok("GET", f"{PROFILES}/tills") == made
    assert [each["id"] for each in shop.ok("GET", PROFILES)] == ["default", "tills"]  # type: ignore[index]
    replaced = shop.ok("PUT", f"{PROFILES}/tills", {"configuration": CARDS, "id": "other", "created_at": "never"})
    assert replaced["created_at"] == made["created_at"]
    assert (replaced["id"], replaced["configuration"], replaced.get("name")) == ("tills", CARDS, None)
    assert shop.ok("DELETE", f"{PROFILES}/tills")["id"] == "tills"
    assert [each["id"] for each in shop.ok("GET", PROFILES)] == ["default"]  # type: ignore[index]
    shop.refused(404, "profile_not_found", "GET", f"{PROFILES}/tills")
    shop.refused(404, "profile_not_found", "DELETE", f"{PROFILES}/tills")
    shop.refused(400, "unknown_profile", "POST", "/v1/sessions-profile", direct("tills"))
    assert shop.ok("PUT", f"{PROFILES}/tills", {"configuration": CARDS})["id"] == "tills"
    assert shop.ok("POST", "/v1/sessions-profile", direct("tills"))["id"]


def test_what_a_profile_enables_is_what_its_sessions_offer_then_and_later(shop: Shop) -> None:
    shop.ok("PUT", f"{PROFILES}/paying", {"configuration": {"dintero_psp": {"creditcard": {"enabled": True}}}})
    session = shop.ok("POST", "/v1/sessions-profile", direct("paying"))
    shop.ok("PUT", f"{PROFILES}/paying", {"configuration": {"dintero_psp": {"creditcard": {"enabled": False}}}})
    assert shop.pay(session)["transaction_id"]
    shop.refused(
        409, "not_payable", "POST", shop.pay_path(shop.ok("POST", "/v1/sessions-profile", direct("paying"))), {}
    )


def test_the_default_profile_may_be_changed_and_not_deleted(shop: Shop) -> None:
    shop.refused(409, "wrong_state", "DELETE", f"{PROFILES}/default")
    shop.ok("PUT", f"{PROFILES}/default", {"configuration": {**CARDS, "auto_capture": True}})
    assert shop.ok("GET", f"{PROFILES}/default")["configuration"]["auto_capture"] is True


@pytest.mark.parametrize(
    ("configuration", "keyword", "path"),
    [
        ({"default_payment_type": "swish.swish", **CARDS}, "wrong_value", "/configuration/default_payment_type"),
        (
            {"countries": {"allow_countries": ["NO", "SE"], "deny_countries": ["SE"]}},
            "wrong_value",
            "/configuration/countries/deny_countries",
        ),
        ({"theme": {"primary": "red;}"}}, "wrong_value", "/configuration/theme/primary"),
        ({"theme": {"primary": "#12"}}, "wrong_value", "/configuration/theme/primary"),
        ({"theme": {"primary": "#1d4ed8\n"}}, "wrong_value", "/configuration/theme/primary"),
        ({"theme": {"backdrop": "url(https://spy.example)"}}, "wrong_value", "/configuration/theme/backdrop"),
        ({"theme": {"cardRadius": -1}}, "wrong_value", "/configuration/theme/cardRadius"),
        ({"theme": {"buttonRadius": "4px;color:red"}}, "wrong_value", "/configuration/theme/buttonRadius"),
        ({"theme": "dark"}, "wrong_type", "/configuration/theme"),
        ({"auto_capture": "yes"}, "wrong_type", "/configuration/auto_capture"),
        ({"countries": {"allow_countries": "NO"}}, "wrong_type", "/configuration/countries/allow_countries"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(shop: Shop, configuration: Json, keyword: str, path: str) -> None:
    problem = shop.refused(400, keyword, "PUT", f"{PROFILES}/bad", {"configuration": configuration})
    assert problem["path"] == path
    shop.refused(404, "profile_not_found", "GET", f"{PROFILES}/bad")


@pytest.mark.parametrize("id", ["a%20b", "-a", "a" * 101, "%C3%A6", "a%00b"])
def test_a_profile_has_an_id_that_fits_into_an_address(shop: Shop, id: str) -> None:
    shop.refused(400, "wrong_value", "PUT", f"{PROFILES}/{id}", {"configuration": {}})


def test_a_profile_needs_a_configuration(shop: Shop) -> None:
    assert shop.refused(400, "missing_field", "PUT", f"{PROFILES}/x", {})["path"] == "/configuration"
    shop.refused(400, "wrong_type", "PUT", f"{PROFILES}/x", {"configuration": []})


def test_an_account_has_so_many_profiles_at_most(server: Running) -> None:
    shop = server.shop()
    for number in range(99):
        shop.ok("PUT", f"{PROFILES}/p{number}", {"configuration": {}})
    shop.refused(400, "wrong_value", "PUT", f"{PROFILES}/one-more", {"configuration": {}})
    shop.ok("PUT", f"{PROFILES}/p7", {"configuration": CARDS})


def test_who_may_read_profiles_and_who_may_write_them(server: Running) -> None:
    reader = server.shop("read:checkout")
    assert reader.ok("GET", f"{PROFILES}/default")
    for method in ("PUT", "DELETE"):
        reader.refused(403, "missing_scope", method, f"{PROFILES}/x", {"configuration": {}})
    writer = server.shop("write:checkout:/admin/session/profiles")
    assert writer.ok("PUT", f"{PROFILES}/x", {"configuration": {}})
    assert writer.ok("DELETE", f"{PROFILES}/x")
    writer.refused(403, "missing_scope", "POST", "/v1/sessions-profile", direct())
    server.shop("admin:shopping").refused(403, "missing_scope", "GET", PROFILES)


def test_the_profiles_of_another_account_are_not_there(server: Running, shop: Shop) -> None:
    shop.ok("PUT", f"{PROFILES}/ours", {"configuration": {}})
    other = server.shop()
    other.refused(404, "profile_not_found", "GET", f"{PROFILES}/ours")
    other.refused(404, "profile_not_found", "DELETE", f"{PROFILES}/ours")
    other.refused(400, "unknown_profile", "POST", "/v1/sessions-profile", direct("ours"))


# -- API keys


def test_a_key_is_shown_once_and_opens_checkout_and_admin_calls(shop: Shop) -> None:
    made = shop.ok("POST", KEYS, {"name": "Till", "access_token": "of no use"})
    key = made.pop("api_key")
    assert key.startswith(shop.account_id)
    assert len(key) >= 40
    assert shop.ok("GET", f"{KEYS}/{made['id']}") == made
    assert shop.ok("GET", KEYS) == [made]  # type: ignore[comparison-overlap]
    session = with_key(shop, key, "POST", "/v1/sessions-profile", direct())
    assert session.status_code == 200
    paid = shop.pay(session.json())
    for method, path in (
        ("GET", f"/v1/sessions/{session.json()['id']}"),
        ("GET", f"/v1/transactions/{paid['transaction_id']}"),
        ("GET", PROFILES),
        ("POST", "/v1/admin/signature"),
        ("GET", "/v1/admin/signature"),
        ("GET", KEYS),
    ):
        assert with_key(shop, key, method, path).status_code == 200, path


def test_a_key_opens_nothing_else(shop: Shop) -> None:
    key = shop.ok("POST", KEYS, {"name": "Till"})["api_key"]
    account = f"/v1/accounts/{shop.account_id}"
    for path in (f"{account}/shopping/orders", f"{account}/auth/clients", f"{account}/hooks/subscriptions"):
        answer = with_key(shop, key, "GET", path)
        assert (answer.status_code, answer.json()["error"]["errors"][0]["keyword"]) == (403, "missing_scope"), path


def test_a_key_is_good_for_its_own_account_only(server: Running, shop: Shop) -> None:
    other = server.shop()
    session = other.ok("POST", "/v1/sessions-profile", direct())
    key = shop.ok("POST", KEYS, {"name": "Till"})["api_key"]
    assert with_key(shop, key, "GET", f"/v1/sessions/{session['id']}").status_code == 404
    made = other.ok("POST", KEYS, {"name": "Theirs"})
    assert with_key(shop, key, "DELETE", f"{KEYS}/{made['id']}").status_code == 404
    borrowed = other.account_id + key.removeprefix(shop.account_id)
    assert with_key(shop, borrowed, "GET", KEYS).status_code == 401


@pytest.mark.parametrize(
    "key", ["", "x", "T12345678", "P00000000.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "T1234567.abc", "ÆØÅ"]
)
def test_what_is_no_key_opens_nothing(shop: Shop, key: str) -> None:
    answer = requests.get(f"{shop.base_url}{KEYS}", headers={"x-api-key": key.encode("latin-1")}, timeout=PATIENCE_S)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"
    assert len(key) < 2 or key not in answer.text


def test_a_deleted_key_ends_at_once_and_is_listed_only_where_asked_for(shop: Shop) -> None:
    made = shop.ok("POST", KEYS, {"name": "Till"})
    gone = shop.ok("DELETE", f"{KEYS}/{made['id']}")
    assert gone["deleted_at"]
    assert gone["deleted_by"]
    assert with_key(shop, made["api_key"], "GET", KEYS).status_code == 401
    assert shop.ok("GET", KEYS) == []  # type: ignore[comparison-overlap]
    assert shop.ok("GET", f"{KEYS}?include_deleted=true") == [gone]  # type: ignore[comparison-overlap]
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        shop.refused(404, "api_key_not_found", method, f"{KEYS}/{made['id']}{path}")


def test_keys_are_listed_page_by_page_newest_first(shop: Shop, clock: MovableClock) -> None:
    made = []
    for number in range(3):
        clock.ahead += timedelta(seconds=1)
        made.append(shop.ok("POST", KEYS, {"name": f"Key {number}"})["id"])
    first: Any = shop.ok("GET", f"{KEYS}?limit=2")
    assert [each["id"] for each in first] == [made[2], made[1]]
    rest: Any = shop.ok("GET", f"{KEYS}?limit=2&starting_after={made[1]}")
    assert [each["id"] for each in rest] == [made[0]]
    shop.refused(404, "api_key_not_found", "GET", f"{KEYS}?starting_after=nothing")
    shop.refused(400, "wrong_value", "GET", f"{KEYS}?limit=0")


def test_after_a_rotation_both_keys_are_good_for_a_while(shop: Shop, clock: MovableClock) -> None:
    old = shop.ok("POST", KEYS, {"name": "Till"})
    new = shop.ok("POST", f"{KEYS}/{old['id']}/rotate?overlap=3600")
    assert new["id"] != old["id"]
    assert new["name"] == "Till"
    assert [with_key(shop, key["api_key"], "GET", KEYS).status_code for key in (old, new)] == [200, 200]
    clock.ahead = timedelta(seconds=3601)
    assert [with_key(shop, key["api_key"], "GET", KEYS).status_code for key in (old, new)] == [401, 200]
    shop.refused(409, "wrong_state", "POST", f"{KEYS}/{old['id']}/rotate")
    last = shop.ok("POST", f"{KEYS}/{new['id']}/rotate?overlap=0")
    assert [with_key(shop, key["api_key"], "GET", KEYS).status_code for key in (new, last)] == [401, 200]


def test_a_key_may_be_chosen_and_may_expire(shop: Shop, clock: MovableClock) -> None:
    chosen = f"{shop.account_id}-of-our-own-making-0123456789"
    ends = (clock.now() + timedelta(hours=1)).isoformat()
    made = shop.ok("POST", KEYS, {"name": "Ours", "api_key": chosen, "expires_at": ends})
    assert made["api_key"] == chosen
    assert made["expires_at"]
    assert with_key(shop, chosen, "GET", KEYS).status_code == 200
    shop.refused(409, "already_exists", "POST", KEYS, {"name": "Again", "api_key": chosen})
    clock.ahead = timedelta(hours=2)
    assert with_key(shop, chosen, "GET", KEYS).status_code == 401


@pytest.mark.parametrize(
    ("body", "keyword", "path"),
    [
        ({}, "missing_field", "/name"),
        ({"name": 7}, "wrong_type", "/name"),
        ({"name": ""}, "wrong_value", "/name"),
        ({"name": "a", "api_key": "P00000000-another-account-0123456789"}, "wrong_value", "/api_key"),
        ({"name": "a", "api_key": "{account_id}-short"}, "wrong_value", "/api_key"),
        ({"name": "a", "api_key": "{account_id}-with a space 0123456789"}, "wrong_value", "/api_key"),
        ({"name": "a", "expires_at": "2001-01-01T00:00:00Z"}, "wrong_value", "/expires_at"),
        ({"name": "a", "expires_at": "tomorrow"}, "wrong_type", "/expires_at"),
    ],
)
def test_a_key_that_cannot_be_made(shop: Shop, body: Json, keyword: str, path: str) -> None:
    if "api_key" in body:
        body = {**body, "api_key": body["api_key"].format(account_id=shop.account_id)}
    answer = shop.call("POST", KEYS, body)
    assert answer.status_code == 400, answer.text
    problem = answer.json()["error"]["errors"][0]
    assert problem["path"] == path
    assert problem["keyword"] in (keyword, "wrong_value")
    assert "0123456789" not in answer.text
    assert shop.ok("GET", KEYS) == []  # type: ignore[comparison-overlap]


def test_only_who_may_do_everything_may_make_keys(server: Running) -> None:
    for scopes in (("write:checkout",), ("read:checkout",), ("admin:shopping",)):
        shop = server.shop(*scopes)
        for method, path in (("POST", KEYS), ("GET", KEYS), ("DELETE", f"{KEYS}/x"), ("POST", f"{KEYS}/x/rotate")):
            shop.refused(403, "missing_scope", method, path, {"name": "a"} if method == "POST" else None)


def test_a_token_goes_before_a_key(shop: Shop) -> None:
    key = shop.ok("POST", KEYS, {"name": "Till"})["api_key"]
    headers = {"x-api-key": key, "Authorization": "Bearer nonsense"}
    assert requests.get(f"{shop.base_url}{KEYS}", headers=headers, timeout=PATIENCE_S).status_code == 401


def test_no_key_is_kept_anywhere(server: Running, shop: Shop) -> None:
    key = shop.ok("POST", KEYS, {"name": "Till"}, headers={"Idempotency-Key": "once"})["api_key"]
    path = server.house.settings.database.removeprefix("sqlite:///")
    database = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    for (table,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        for row in database.execute(f"SELECT * FROM {table}"):  # noqa: S608
            assert key not in str(row)
            assert key.partition(".")[2] not in str(row)
    database.close()
