"""Tokens, API clients and grants over HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kasse.domain.access import Client
from kasse.domain.refusals import Refusal
from kasse.operations import accounts
from tests.running import Running, running

ACCOUNT = "T12345678"
OTHER = "T87654321"
AUDIENCE = f"https://api.dintero.com/v1/accounts/{ACCOUNT}"
BODY = {"grant_type": "client_credentials", "audience": AUDIENCE}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = datetime(2026, 2, 3, 9, tzinfo=UTC)

    def now(self, account_id: str | None = None) -> datetime:
        return self.time


def new_account(server: Running, account_id: str = ACCOUNT) -> str:
    """Make an account; answers its address."""
    server.run(accounts.create_account(server.house, account_id, "A shop"))
    return f"{server.base_url}/v1/accounts/{account_id}"


def new_client(server: Running, *scopes: str, account_id: str = ACCOUNT, **more: Any) -> tuple[Client, str]:
    """Make a client with these scopes; answers it with its secret."""
    return server.run(accounts.create_client(server.house, "operator", account_id, scopes=scopes, **more))


def bearer(server: Running, *scopes: str, account_id: str = ACCOUNT) -> dict[str, str]:
    """The headers of a new client with these scopes."""
    client, _ = new_client(server, *scopes, account_id=account_id)
    audience = f"{server.base_url}/v1/accounts/{account_id}"
    token, _ = server.run(server.house.tokens.issue(client, audience, scopes))
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as server:
        new_account(server)
        new_account(server, OTHER)
        yield server


@pytest.fixture(scope="module")
def home(server: Running) -> str:
    """The address of the account."""
    return f"{server.base_url}/v1/accounts/{ACCOUNT}"


@pytest.fixture(scope="module")
def owner(server: Running) -> dict[str, str]:
    """The headers of a client that may do everything in the account."""
    return bearer(server, "admin:accounts", "admin:checkout", "admin:shopping")


def ask(url: str, auth: Any, **body: Any) -> requests.Response:
    return requests.post(f"{url}/auth/token", auth=auth, json={**BODY, **body}, timeout=10)


def token_of(url: str, client: Client, secret: str) -> dict[str, str]:
    reply = ask(url, (client.client_id, secret))
    assert reply.status_code == 200, reply.text
    return {"Authorization": f"Bearer {reply.json()['access_token']}"}


def get(url: str, headers: dict[str, str]) -> requests.Response:
    return requests.get(url, headers=headers, timeout=10)


def post(url: str, headers: dict[str, str], body: Any = None) -> requests.Response:
    return requests.post(url, headers=headers, json=body, timeout=10)


def delete(url: str, headers: dict[str, str]) -> requests.Response:
    return requests.delete(url, headers=headers, timeout=10)


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def refused(reply: requests.Response, status: int, code: str) -> str:
    """The message of a refusal, checked."""
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert error["code"] == code
    assert error["message"]
    return str(error["message"])


def ended(reply: requests.Response) -> bool:
    """Whether the token of this call no longer counts."""
    return reply.status_code == 401 and reply.headers["WWW-Authenticate"].startswith("Bearer")


# -- getting a token


def test_a_client_gets_a_token_with_its_id_and_secret(server: Running, home: str) -> None:
    client, secret = new_client(server, "admin:checkout", "write:shopping")
    reply = ask(home, (client.client_id, secret))
    assert reply.status_code == 200
    assert reply.headers["Cache-Control"] == "no-store"
    body = reply.json()
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 86400
    said = claims(body["access_token"])
    assert said["iss"] == server.base_url
    assert said["sub"] == client.id
    assert said["aud"] == home
    assert said["aid"] == ACCOUNT
    assert said["scope"] == "admin:checkout write:shopping"
    assert said["exp"] - said["iat"] == 86400
    assert UUID.fullmatch(said["jti"])
    assert jwt.get_unverified_header(body["access_token"])["kid"]


def test_two_tokens_differ(server: Running, home: str) -> None:
    client, secret = new_client(server, "admin:checkout")
    tokens = {ask(home, (client.client_id, secret)).json()["access_token"] for _ in range(2)}
    assert len(tokens) == 2


@pytest.mark.parametrize("client_id", ["my shop/+%20&=?", 'it\'s "quoted" \\', "kiosk-é", "夜の店", "x" * 255])
def test_a_client_id_may_hold_anything_printable(
    server: Running, home: str, owner: dict[str, str], client_id: str
) -> None:
    made = post(f"{home}/auth/clients", owner, {"client_id": client_id}).json()
    assert made["client_id"] == client_id
    grant = {"client_id": made["id"], "audience": AUDIENCE, "scope": ["read:checkout"]}
    assert post(f"{home}/auth/client-grants", owner, grant).status_code == 200
    reply = ask(home, (client_id.encode(), made["client_secret"].encode()))
    assert reply.status_code == 200


def test_a_client_that_sends_its_id_in_latin_1_is_understood(server: Running, home: str) -> None:
    _, secret = new_client(server, "read:checkout", client_id="café")
    assert ask(home, ("café".encode("latin-1"), secret.encode())).status_code == 200


def test_a_body_sent_in_chunks_is_read(server: Running, home: str) -> None:
    client, secret = new_client(server, "admin:checkout")
    body = json.dumps(BODY).encode()
    reply = requests.post(
        f"{home}/auth/token",
        data=(body[at : at + 20] for at in range(0, len(body), 20)),
        headers={"Content-Type": "application/json; charset=utf-8"},
        auth=(client.client_id, secret),
        timeout=10,
    )
    assert "Content-Length" not in reply.request.headers
    assert reply.status_code == 200


@pytest.mark.parametrize(
    "audience",
    [
        f"https://checkout.dintero.com/v1/accounts/{ACCOUNT}",
        f"https://api.dintero.com/v1/accounts/{ACCOUNT}/",
        f"http://localhost:1/v1/accounts/{ACCOUNT}",
    ],
)
def test_the_audience_may_name_any_host(server: Running, home: str, audience: str) -> None:
    client, secret = new_client(server, "admin:checkout")
    reply = ask(home, (client.client_id, secret), audience=audience)
    assert reply.status_code == 200
    assert claims(reply.json()["access_token"])["aud"] == home


def test_wrong_secret_unknown_client_and_another_account_get_one_and_the_same_answer(
    server: Running, home: str
) -> None:
    client, secret = new_client(server, "admin:checkout")
    stranger, their_secret = new_client(server, "admin:checkout", account_id=OTHER)
    nowhere = f"{server.base_url}/v1/accounts/T00000001"
    replies = [
        ask(home, (client.client_id, secret[:-1])),
        ask(home, (client.client_id, "")),
        ask(home, (client.client_id, their_secret)),
        ask(home, ("nobody", secret)),
        ask(home, ("' OR 1=1 --", secret)),
        ask(home, (client.id, secret)),
        ask(home, (stranger.client_id, their_secret)),
        ask(nowhere, (client.client_id, secret)),
        ask(home, None),
    ]
    assert {reply.status_code for reply in replies} == {401}
    assert {reply.headers["WWW-Authenticate"].split()[0] for reply in replies} == {"Basic"}
    assert len({reply.text for reply in replies}) == 1
    refused(replies[0], 401, "unauthorized")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !!!",
        "Basic YWJj",  # abc, without a colon
        "Basic YWI",  # cut short
        "Basic OnNlY3JldA==",  # no user name
        "Basic YQBiOmM=",  # a NUL in the name
        "Bearer e30.e30.e30",
        "Basic " + base64.b64encode(b"\xff\xfe:\x00").decode(),
    ],
)
def test_a_malformed_authorization_header_gets_a_401(home: str, header: str) -> None:
    reply = requests.post(f"{home}/auth/token", json=BODY, headers={"Authorization": header}, timeout=10)
    refused(reply, 401, "unauthorized")
    assert reply.headers["WWW-Authenticate"].split()[0] == "Basic"


def test_a_bearer_token_gets_no_token(home: str, owner: dict[str, str]) -> None:
    refused(post(f"{home}/auth/token", owner, BODY), 401, "unauthorized")


def test_credentials_in_the_body_are_ignored(server: Running, home: str) -> None:
    client, secret = new_client(server, "admin:checkout")
    inside = {"client_id": client.client_id, "client_secret": secret}
    refused(ask(home, None, **inside), 401, "unauthorized")
    assert ask(home, (client.client_id, secret), client_id="x", client_secret="y").status_code == 200


@pytest.mark.parametrize(
    "grant_type", ["password", "authorization_code", "refresh_token", "account_user_token", "mfa-oob", "nonsense"]
)
def test_another_grant_type_is_refused_with_the_one_that_is_supported(
    server: Running, home: str, grant_type: str
) -> None:
    client, secret = new_client(server, "admin:checkout")
    message = refused(ask(home, (client.client_id, secret), grant_type=grant_type), 400, "validation_error")
    assert "client_credentials" in message
    assert grant_type in message


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"grant_type": "client_credentials"}, "/audience"),
        ({"grant_type": "client_credentials", "audience": None}, "/audience"),
        ({"grant_type": "client_credentials", "audience": [AUDIENCE]}, "/audience"),
        ({"grant_type": "client_credentials", "audience": 1}, "/audience"),
        ({"audience": AUDIENCE}, "/grant_type"),
        ({"grant_type": 1, "audience": AUDIENCE}, "/grant_type"),
    ],
)
def test_what_is_missing_in_the_body_is_named(server: Running, home: str, body: Any, path: str) -> None:
    client, secret = new_client(server, "admin:checkout")
    reply = requests.post(f"{home}/auth/token", json=body, auth=(client.client_id, secret), timeout=10)
    refused(reply, 400, "validation_error")
    assert reply.json()["error"]["errors"][0]["path"] == path


@pytest.mark.parametrize("raw", [b"", b"grant_type=client_credentials", b"[]", b"null", b'{"audience":'])
def test_a_body_that_is_no_json_object_is_refused(server: Running, home: str, raw: bytes) -> None:
    client, secret = new_client(server, "admin:checkout")
    reply = requests.post(f"{home}/auth/token", data=raw, auth=(client.client_id, secret), timeout=10)
    assert reply.status_code == 400


@pytest.mark.parametrize(
    "audience", [f"https://api.dintero.com/v1/accounts/{OTHER}", "https://api.dintero.com", "http://[", ""]
)
def test_an_audience_that_is_not_this_account_is_forbidden(server: Running, home: str, audience: str) -> None:
    client, secret = new_client(server, "admin:checkout")
    refused(ask(home, (client.client_id, secret), audience=audience), 403, "forbidden")


def test_a_client_without_a_grant_gets_no_token(server: Running, home: str) -> None:
    client, secret = new_client(server)
    refused(ask(home, (client.client_id, secret)), 403, "forbidden")


@pytest.mark.parametrize("account_id", ["T1234567", "112", "X12345678", "T1234567٨", "T12345678%0A"])
def test_an_account_id_in_the_path_must_be_one(server: Running, account_id: str) -> None:
    refused(ask(f"{server.base_url}/v1/accounts/{account_id}", ("a", "b")), 400, "validation_error")


# -- using a token


def test_a_token_of_another_account_is_forbidden(server: Running, home: str) -> None:
    refused(get(f"{home}/auth/clients", bearer(server, "admin:accounts", account_id=OTHER)), 403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path", "enough", "not_enough"),
    [
        ("GET", "/auth/clients", "read:accounts", "admin:checkout"),
        ("GET", "/auth/client-grants", "read:accounts", "read:checkout"),
        ("GET", "/auth/clients/x", "read:accounts", "write:shopping"),
        ("POST", "/auth/clients", "write:accounts", "read:accounts"),
        ("PUT", "/auth/clients/x", "write:accounts", "read:accounts"),
        ("DELETE", "/auth/clients/x", "admin:accounts", "read:accounts"),
        ("POST", "/auth/clients/x/rotate-secret", "write:accounts", "read:accounts"),
        ("POST", "/auth/clients/x/secret", "write:accounts", "read:accounts"),
        ("POST", "/auth/client-grants", "write:accounts", "read:accounts"),
        ("DELETE", "/auth/client-grants/x", "write:accounts", "read:accounts"),
        ("POST", "/auth/revoke", "write:accounts", "read:accounts"),
    ],
)
def test_each_call_needs_its_scope(
    server: Running, home: str, method: str, path: str, enough: str, not_enough: str
) -> None:
    def call(headers: dict[str, str] | None) -> requests.Response:
        return requests.request(method, home + path, headers=headers, json={}, timeout=10)

    message = refused(call(bearer(server, not_enough)), 403, "forbidden")
    assert "accounts" in message
    assert not_enough in message
    assert call(bearer(server, enough)).status_code in (200, 400, 404)
    refused(call(None), 401, "unauthorized")


def test_a_token_ends_when_its_time_is_over() -> None:
    clock = Clock()
    with running(clock=clock, token_lifetime=60) as server:
        home = new_account(server)
        client, secret = new_client(server, "read:accounts")
        headers = token_of(home, client, secret)
        assert ask(home, (client.client_id, secret)).json()["expires_in"] == 60
        clock.time += timedelta(seconds=59)
        assert get(f"{home}/auth/clients", headers).status_code == 200
        clock.time += timedelta(seconds=1)
        assert ended(get(f"{home}/auth/clients", headers))
        assert "expired" in get(f"{home}/auth/clients", headers).text


def test_forged_tokens_are_refused(server: Running, home: str) -> None:
    client, secret = new_client(server, "admin:accounts")
    good = token_of(home, client, secret)["Authorization"].removeprefix("Bearer ")
    header, payload, signature = good.split(".")
    key = requests.get(f"{server.base_url}/.well-known/jwks.json", timeout=10).json()["keys"][0]
    public = jwt.PyJWK(key).key
    said = claims(good)
    kid = {"kid": key["kid"]}

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    def hs256(secret: bytes) -> str:
        signed = f"{part({'alg': 'HS256', 'typ': 'JWT', **kid})}.{payload}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    stranger = Ed25519PrivateKey.generate()
    more = part({**said, "scope": "admin:accounts admin:checkout"})
    forged = {
        "alg none": f"{part({'alg': 'none', 'typ': 'JWT', **kid})}.{payload}.",
        "alg None with the old signature": f"{part({'alg': 'None', **kid})}.{payload}.{signature}",
        "HS256 with the raw public key": hs256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)),
        "HS256 with the public key in PEM": hs256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)),
        "HS256 with x as it is published": hs256(key["x"].encode()),
        "another key under our kid": jwt.encode(said, stranger, algorithm="EdDSA", headers=kid),
        "another key under its own kid": jwt.encode(said, stranger, algorithm="EdDSA", headers={"kid": "mine"}),
        "no kid": jwt.encode(said, stranger, algorithm="EdDSA"),
        "its key inside": jwt.encode(said, stranger, algorithm="EdDSA", headers={**kid, "jwk": {"kty": "OKP"}}),
        "other claims": f"{header}.{more}.{signature}",
        "no signature": f"{header}.{payload}.",
        "a broken signature": f"{header}.{payload}.{'A' * 86}",
        "half of it": good[: len(good) // 2],
        "nesting without end": f"{base64.urlsafe_b64encode(b'[' * 9000).decode()}.{payload}.{signature}",
        "not a token": "x",
    }
    accepted = [
        what
        for what, token in forged.items()
        if not ended(get(f"{home}/auth/clients", {"Authorization": f"Bearer {token}"}))
    ]
    assert accepted == []
    assert get(f"{home}/auth/clients", {"Authorization": f"Bearer {good}"}).status_code == 200


def test_others_can_check_a_token_with_the_published_keys(server: Running, home: str) -> None:
    client, secret = new_client(server, "admin:checkout")
    token = ask(home, (client.client_id, secret)).json()["access_token"]
    for path in ("/.well-known/jwks.json", "/v1/.well-known/jwks.json"):
        published = requests.get(server.base_url + path, timeout=10)
        assert published.status_code == 200
        assert "max-age" in published.headers["Cache-Control"]
        assert all("d" not in key for key in published.json()["keys"])
        key = jwt.PyJWKClient(server.base_url + path).get_signing_key_from_jwt(token)
        said = jwt.decode(token, key, algorithms=["EdDSA"], audience=home, issuer=server.base_url)
        assert said["sub"] == client.id


def test_two_servers_on_one_database_accept_each_others_tokens(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/kasse.db"
    with running(database=database) as one, running(database=database) as two:
        home, same = new_account(one), f"{two.base_url}/v1/accounts/{ACCOUNT}"
        client, secret = new_client(one, "admin:accounts")
        first, second = token_of(home, client, secret), token_of(same, client, secret)
        for headers in (first, second):
            for address in (home, same):
                assert get(f"{address}/auth/clients", headers).status_code == 200
        assert delete(f"{home}/auth/clients/{client.id}", first).status_code == 200
        assert ended(get(f"{same}/auth/clients", first))
        assert ended(get(f"{same}/auth/clients", second))


def test_a_new_key_signs_after_a_while_and_the_old_one_still_counts() -> None:
    clock = Clock()
    with running(clock=clock, key_rotation=3600, token_lifetime=7200) as server:
        home = new_account(server)
        client, secret = new_client(server, "read:accounts")
        old = token_of(home, client, secret)
        clock.time += timedelta(seconds=3600)
        new: list[dict[str, str]] = []
        threads = [threading.Thread(target=lambda: new.append(token_of(home, client, secret))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kids = {jwt.get_unverified_header(headers["Authorization"].split()[1])["kid"] for headers in (old, *new)}
        keys = requests.get(f"{server.base_url}/.well-known/jwks.json", timeout=10).json()["keys"]
        assert len(new) == 8
        assert {key["kid"] for key in keys} == kids
        assert len(kids) == 2
        assert get(f"{home}/auth/clients", old).status_code == 200
        assert get(f"{home}/auth/clients", new[0]).status_code == 200


def test_many_first_calls_at_once_make_one_key() -> None:
    with running() as server:
        new_account(server)
        client, _ = new_client(server, "read:accounts")

        async def rush() -> int:
            tokens = server.house.tokens
            await asyncio.gather(*(tokens.issue(client, AUDIENCE, ["read:accounts"]) for _ in range(20)))
            return len(await tokens.public_keys())

        assert server.run(rush()) == 1


# -- clients


def test_a_client_can_be_made_read_changed_and_deleted(server: Running, home: str, owner: dict[str, str]) -> None:
    url = f"{home}/auth/clients"
    wanted = {"name": "Web shop", "description": "The one in Oslo", "callbacks": ["https://shop.test/back"]}
    made = post(url, owner, wanted)
    assert made.status_code == 200
    assert made.headers["Cache-Control"] == "no-store"
    body = made.json()
    assert re.fullmatch(r"[A-Za-z0-9+/]{43}", body.pop("client_secret"))
    by = claims(owner["Authorization"].split()[1])["sub"]
    assert body == {
        **wanted,
        "id": body["id"],
        "client_id": body["client_id"],
        "created_at": body["created_at"],
        "updated_at": body["created_at"],
        "created_by": by,
    }
    assert UUID.fullmatch(body["id"])
    assert UUID.fullmatch(body["client_id"])
    assert body["id"] != body["client_id"]
    assert datetime.fromisoformat(body["created_at"]).tzinfo is not None

    one = f"{url}/{body['id']}"
    assert get(one, owner).json() == body
    assert get(url, owner).json()[0] == body

    changed = requests.put(one, headers=owner, json={"name": "Kiosk", "callbacks": None}, timeout=10)
    assert changed.status_code == 200
    body |= {"name": "Kiosk", "callbacks": [], "updated_by": by, "updated_at": changed.json()["updated_at"]}
    assert changed.json() == body
    cleared = requests.put(one, headers=owner, json={"description": None}, timeout=10).json()
    assert "description" not in cleared
    assert cleared["name"] == "Kiosk"

    gone = delete(one, owner)
    assert gone.status_code == 200
    assert gone.json()["deleted_by"] == by
    assert gone.json()["deleted_at"] == gone.json()["updated_at"]
    refused(get(one, owner), 404, "not_found")
    refused(delete(one, owner), 404, "not_found")
    refused(requests.put(one, headers=owner, json={}, timeout=10), 404, "not_found")
    assert body["id"] not in [each["id"] for each in get(url, owner).json()]


def test_a_client_can_be_made_without_a_body(home: str, owner: dict[str, str]) -> None:
    for raw in (b"", b"{}", b"null", b"[]"):
        reply = requests.post(f"{home}/auth/clients", data=raw, headers=owner, timeout=10)
        assert reply.status_code == 200
        assert reply.json()["callbacks"] == []


def test_a_client_id_is_taken_until_its_client_is_deleted(home: str, owner: dict[str, str]) -> None:
    url = f"{home}/auth/clients"
    made = post(url, owner, {"client_id": "kiosk-1"}).json()
    refused(post(url, owner, {"client_id": "kiosk-1"}), 409, "conflict")
    assert delete(f"{url}/{made['id']}", owner).status_code == 200
    assert post(url, owner, {"client_id": "kiosk-1"}).status_code == 200


def test_two_accounts_may_use_one_client_id(server: Running, home: str, owner: dict[str, str]) -> None:
    elsewhere = f"{server.base_url}/v1/accounts/{OTHER}/auth/clients"
    assert post(f"{home}/auth/clients", owner, {"client_id": "twin"}).status_code == 200
    reply = post(elsewhere, bearer(server, "admin:accounts", account_id=OTHER), {"client_id": "twin"})
    assert reply.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"client_id": ""},
        {"client_id": "a:b"},
        {"client_id": "a\nb"},
        {"client_id": "x" * 256},
        {"client_id": 1},
        {"name": ["x"]},
        {"name": "x" * 1001},
        {"callbacks": "https://shop.test"},
        {"callbacks": [1]},
        {"callbacks": ["x"] * 101},
    ],
)
def test_a_client_with_an_unusable_field_is_refused(home: str, owner: dict[str, str], body: Any) -> None:
    reply = post(f"{home}/auth/clients", owner, body)
    refused(reply, 400, "validation_error")
    assert reply.json()["error"]["errors"][0]["path"].startswith(f"/{next(iter(body))}")


def test_the_secret_of_a_client_is_nowhere_in_the_database(server: Running, home: str, owner: dict[str, str]) -> None:
    secret = post(f"{home}/auth/clients", owner).json()["client_secret"]
    path = server.house.settings.database.removeprefix("sqlite:///")
    for suffix in ("", "-wal"):
        with open(path + suffix, "rb") as file:
            assert secret.encode() not in file.read()


def test_a_token_of_a_deleted_client_ends_at_once(server: Running, home: str, owner: dict[str, str]) -> None:
    client, secret = new_client(server, "read:accounts")
    headers = token_of(home, client, secret)
    assert get(f"{home}/auth/clients", headers).status_code == 200
    assert delete(f"{home}/auth/clients/{client.id}", owner).status_code == 200
    assert ended(get(f"{home}/auth/clients", headers))
    refused(ask(home, (client.client_id, secret)), 401, "unauthorized")
    assert get(f"{home}/auth/client-grants?client_id={client.id}", owner).json() == []


def test_a_client_may_delete_itself(server: Running, home: str) -> None:
    client, secret = new_client(server, "write:accounts")
    headers = token_of(home, client, secret)
    assert delete(f"{home}/auth/clients/{client.id}", headers).json()["deleted_by"] == client.id
    assert ended(get(f"{home}/auth/clients", headers))


@pytest.mark.parametrize("path", ["rotate-secret", "secret"])
def test_a_new_secret_ends_the_old_one_and_its_tokens(
    server: Running, home: str, owner: dict[str, str], path: str
) -> None:
    client, old = new_client(server, "read:accounts")
    headers = token_of(home, client, old)
    reply = post(f"{home}/auth/clients/{client.id}/{path}", owner)
    assert reply.status_code == 200
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.json()["id"] == client.id
    new = reply.json()["client_secret"]
    assert new != old
    assert ended(get(f"{home}/auth/clients", headers))
    refused(ask(home, (client.client_id, old)), 401, "unauthorized")
    assert get(f"{home}/auth/clients", token_of(home, client, new)).status_code == 200


def test_nobody_gets_the_secret_of_a_client_that_may_do_more(server: Running, home: str) -> None:
    client, secret = new_client(server, "admin:checkout")
    message = refused(
        post(f"{home}/auth/clients/{client.id}/rotate-secret", bearer(server, "admin:accounts")), 403, "forbidden"
    )
    assert "admin:checkout" in message
    assert ask(home, (client.client_id, secret)).status_code == 200


def test_another_accounts_client_is_not_there(server: Running, home: str, owner: dict[str, str]) -> None:
    stranger, secret = new_client(server, "admin:checkout", account_id=OTHER)
    one = f"{home}/auth/clients/{stranger.id}"
    refused(get(one, owner), 404, "not_found")
    refused(delete(one, owner), 404, "not_found")
    refused(post(f"{one}/rotate-secret", owner), 404, "not_found")
    grant = {"client_id": stranger.id, "audience": AUDIENCE, "scope": ["read:checkout"]}
    refused(post(f"{home}/auth/client-grants", owner, grant), 404, "not_found")
    reply = requests.post(
        f"{server.base_url}/v1/accounts/{OTHER}/auth/token",
        auth=(stranger.client_id, secret),
        json={**BODY, "audience": f"{server.base_url}/v1/accounts/{OTHER}"},
        timeout=10,
    )
    assert reply.status_code == 200


# -- grants


def test_a_grant_gives_rights_and_taking_it_back_ends_the_tokens(
    server: Running, home: str, owner: dict[str, str]
) -> None:
    client, secret = new_client(server, "read:accounts")
    wanted = {
        "client_id": client.id,
        "audience": AUDIENCE,
        "scope": ["checkout:write", "write:checkout", "account:read"],
        "type": "client_credentials",
    }
    reply = post(f"{home}/auth/client-grants", owner, wanted)
    assert reply.status_code == 200
    made = reply.json()
    by = claims(owner["Authorization"].split()[1])["sub"]
    assert made == {
        **wanted,
        "scope": ["write:checkout", "read:accounts"],
        "id": made["id"],
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "created_by": by,
    }
    headers = token_of(home, client, secret)
    said = claims(headers["Authorization"].split()[1])
    assert said["scope"] == "read:accounts write:checkout"
    assert said["aud"] == AUDIENCE

    gone = delete(f"{home}/auth/client-grants/{made['id']}", owner)
    assert gone.status_code == 200
    assert gone.json() == {
        **made,
        "updated_at": gone.json()["deleted_at"],
        "deleted_at": gone.json()["deleted_at"],
        "deleted_by": by,
    }
    assert ended(get(f"{home}/auth/clients", headers))
    again = token_of(home, client, secret)
    assert claims(again["Authorization"].split()[1])["scope"] == "read:accounts"
    refused(delete(f"{home}/auth/client-grants/{made['id']}", owner), 404, "not_found")


def test_grants_are_listed_and_filtered(server: Running, home: str, owner: dict[str, str]) -> None:
    url = f"{home}/auth/client-grants"
    client, _ = new_client(server, "read:checkout")
    made = post(url, owner, {"client_id": client.id, "audience": AUDIENCE, "scope": ["read:shopping"]}).json()
    assert made["type"] == "any"

    def ids(query: dict[str, str]) -> list[str]:
        reply = requests.get(url, params=query, headers=owner, timeout=10)
        return [each["id"] for each in reply.json()]

    assert len(ids({"client_id": client.id})) == 2
    assert ids({"client_id": client.id})[0] == made["id"]
    assert ids({"client_id": client.id, "audience": AUDIENCE}) == [made["id"]]
    assert ids({"client_id": client.id, "audience": "https://elsewhere.test"}) == []
    assert ids({"client_id": "nobody"}) == []
    assert made["id"] in ids({})


@pytest.mark.parametrize("scope", ["admin:checkout", "checkout:admin", "write:hooks", "admin:accounts"])
def test_nobody_grants_what_he_does_not_have(server: Running, home: str, scope: str) -> None:
    helper = bearer(server, "write:accounts", "write:checkout")
    client, secret = new_client(server)
    grant = {"client_id": client.id, "audience": AUDIENCE, "scope": ["read:checkout", scope]}
    reply = post(f"{home}/auth/client-grants", helper, grant)
    message = refused(reply, 403, "forbidden")
    assert scope.split(":")[0] in message
    assert scope.split(":")[1] in message
    refused(ask(home, (client.client_id, secret)), 403, "forbidden")
    grant["scope"] = ["read:checkout", "write:checkout", "read:accounts"]
    assert post(f"{home}/auth/client-grants", helper, grant).status_code == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"client_id": "nobody"}, 404),
        ({"client_id": None}, 400),
        ({"audience": f"https://api.dintero.com/v1/accounts/{OTHER}"}, 403),
        ({"audience": "https://shop.test"}, 403),
        ({"audience": 1}, 400),
        ({"scope": []}, 400),
        ({"scope": "read:checkout"}, 400),
        ({"scope": ["checkout"]}, 400),
        ({"scope": ["admin:*"]}, 400),
        ({"scope": ["read:checkout"] * 101}, 400),
        ({"type": "password"}, 400),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(
    server: Running, home: str, owner: dict[str, str], change: Any, status: int
) -> None:
    client, secret = new_client(server)
    grant = {"client_id": client.id, "audience": AUDIENCE, "scope": ["read:checkout"], **change}
    reply = post(f"{home}/auth/client-grants", owner, grant)
    assert reply.status_code == status, reply.text
    assert reply.json()["error"]["errors"][0]["path"].startswith(f"/{next(iter(change))}")
    refused(ask(home, (client.client_id, secret)), 403, "forbidden")


def test_another_accounts_grant_is_not_there(server: Running, home: str, owner: dict[str, str]) -> None:
    new_client(server, "read:checkout", account_id=OTHER)
    elsewhere = f"{server.base_url}/v1/accounts/{OTHER}/auth/client-grants"
    theirs = get(elsewhere, bearer(server, "read:accounts", account_id=OTHER)).json()
    assert theirs
    refused(delete(f"{home}/auth/client-grants/{theirs[0]['id']}", owner), 404, "not_found")
    mine = [each["id"] for each in get(f"{home}/auth/client-grants", owner).json()]
    assert not {each["id"] for each in theirs} & set(mine)


# -- revoking


def test_revoking_a_token_ends_all_tokens_of_its_client(server: Running, home: str, owner: dict[str, str]) -> None:
    client, secret = new_client(server, "read:accounts")
    first, second = token_of(home, client, secret), token_of(home, client, secret)
    reply = post(f"{home}/auth/revoke", owner, {"token": first["Authorization"].split()[1]})
    assert reply.status_code == 200
    assert reply.json() == {}
    assert ended(get(f"{home}/auth/clients", first))
    assert ended(get(f"{home}/auth/clients", second))
    again = token_of(home, client, secret)
    assert get(f"{home}/auth/clients", again).status_code == 200
    assert post(f"{home}/auth/revoke", owner, {"token": first["Authorization"].split()[1]}).status_code == 200
    assert get(f"{home}/auth/clients", again).status_code == 200


def test_revoking_what_is_no_token_changes_nothing(home: str, owner: dict[str, str]) -> None:
    assert post(f"{home}/auth/revoke", owner, {"token": "a refresh token"}).json() == {}
    refused(post(f"{home}/auth/revoke", owner, {}), 400, "validation_error")
    refused(post(f"{home}/auth/revoke", owner, {"token": 1}), 400, "validation_error")


def test_nobody_revokes_a_token_of_another_account(server: Running, home: str, owner: dict[str, str]) -> None:
    theirs = bearer(server, "read:accounts", account_id=OTHER)
    reply = post(f"{home}/auth/revoke", owner, {"token": theirs["Authorization"].split()[1]})
    refused(reply, 403, "forbidden")
    assert get(f"{server.base_url}/v1/accounts/{OTHER}/auth/clients", theirs).status_code == 200


# -- accounts


def test_an_account_comes_with_a_profile_and_is_made_once(server: Running) -> None:
    new_account(server, "P00000009")
    profile = server.run(server.house.store.read(lambda loads: loads.profile("P00000009", "default")))
    assert profile is not None
    with pytest.raises(Refusal) as taken:
        new_account(server, "P00000009")
    assert taken.value.status == 409
    with pytest.raises(Refusal) as wrong:
        new_account(server, "P0000000٩")
    assert wrong.value.status == 400


def test_a_client_needs_an_account(server: Running) -> None:
    with pytest.raises(Refusal) as refusal:
        new_client(server, "read:checkout", account_id="T00000001")
    assert refusal.value.reason == "account_not_found"
