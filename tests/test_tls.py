"""``kasse serve --tls local``: certificates of one's own, real HTTPS that trusts nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from dintero import Dintero

from kasse.settings import SettingsError, read_settings
from kasse.tls import LocalTls, TlsNotUsable, local_tls
from tests.test_cli import KASSE, PATIENCE_S, free_port, printed

NAMES = ("localhost", "127.0.0.1", "::1", "checkout.dintero.com", "*.shop.example")
ITEMS = [{"id": "a", "line_id": "1", "description": "Tea", "quantity": 1, "amount": 1000}]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def content(tls: LocalTls) -> tuple[bytes, bytes]:
    return tls.authority.read_bytes(), tls.server.read_bytes()


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "tls"
    local_tls(folder, NAMES)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca-key.pem": 0o600, "server.pem": 0o600}
    assert b"PRIVATE" not in (folder / "ca.pem").read_bytes()


def test_what_was_made_is_used_again(tmp_path: Path) -> None:
    before = content(local_tls(tmp_path, NAMES, NOW))
    assert content(local_tls(tmp_path, NAMES, NOW + timedelta(days=300))) == before
    assert content(local_tls(tmp_path, NAMES[:2], NOW)) == before


@pytest.mark.parametrize(
    ("names", "later"), [(NAMES, timedelta(days=368)), (NAMES, timedelta(days=500)), (("other",), timedelta())]
)
def test_a_certificate_is_renewed_when_it_ends_or_lacks_a_name_and_the_authority_stays(
    tmp_path: Path, names: tuple[str, ...], later: timedelta
) -> None:
    authority, server = content(local_tls(tmp_path, NAMES, NOW))
    renewed = local_tls(tmp_path, names, NOW + later)
    assert renewed.authority.read_bytes() == authority
    assert renewed.server.read_bytes() != server
    assert certificate(renewed.server).not_valid_after_utc > NOW + later + timedelta(days=390)


def test_a_certificate_of_another_authority_is_made_anew(tmp_path: Path) -> None:
    local_tls(tmp_path / "one", NAMES)
    other = local_tls(tmp_path / "other", NAMES)
    (tmp_path / "one" / "server.pem").write_bytes(other.server.read_bytes())
    found = local_tls(tmp_path / "one", NAMES)
    certificate(found.server).verify_directly_issued_by(certificate(found.authority))


def test_many_who_start_at_once_share_one_authority(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: local_tls(tmp_path, NAMES).authority.read_bytes(), range(16)))
    assert set(made) == {(tmp_path / "ca.pem").read_bytes()}
    certificate(tmp_path / "server.pem").verify_directly_issued_by(certificate(tmp_path / "ca.pem"))
    assert {file.name for file in tmp_path.iterdir()} == {"ca.pem", "ca-key.pem", "server.pem"}


def test_what_cannot_be_used_is_told_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ca-key.pem").write_text("nonsense")
    with pytest.raises(TlsNotUsable, match=re.escape(str(tmp_path))):
        local_tls(tmp_path, NAMES)
    assert (tmp_path / "ca-key.pem").read_text() == "nonsense"
    (tmp_path / "file").write_text("")
    with pytest.raises(TlsNotUsable):
        local_tls(tmp_path / "file", NAMES)


def test_an_authority_near_its_end_is_told(tmp_path: Path) -> None:
    local_tls(tmp_path, NAMES, NOW)
    with pytest.raises(TlsNotUsable, match="expired; remove it"):
        local_tls(tmp_path, NAMES, NOW + timedelta(days=3625))


@pytest.mark.parametrize("names", ["a b", "https://a.example", "a..b", "-a", "a_b", "x" * 64, "*", "a.*.b"])
def test_names_that_no_certificate_can_have_are_told(names: str) -> None:
    with pytest.raises(SettingsError, match="tls_names: expected names such as"):
        read_settings({"tls": "local", "tls_names": names}, environment={})


def test_the_settings_know_what_they_serve() -> None:
    settings = read_settings({"tls": "local", "tls_names": " A.example. ,10.0.0.7,localhost", "port": 443}, {})
    assert settings.base_url == "https://127.0.0.1"
    assert settings.certified == ["localhost", "127.0.0.1", "::1", "a.example", "10.0.0.7"]
    assert read_settings({"tls": "local"}, {}).base_url == "https://127.0.0.1:8080"
    with pytest.raises(SettingsError):
        read_settings({"tls": "remote"}, {})


# -- a real server


@dataclass(frozen=True)
class Served:
    port: int
    authority: str
    told: str
    account: dict[str, str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("tls-server")
    database, port = f"sqlite:///{folder}/kasse.db", free_port()
    printed("account", "create", "T12345678", "--database", database)
    scopes = ("--scope", "admin:checkout", "--scope", "admin:accounts")
    account = json.loads(printed("client", "create", "T12345678", *scopes, "--database", database, "--json"))
    names = ("--tls-name", "checkout.dintero.com", "--tls-name", "api.dintero.com")
    process = subprocess.Popen(
        [KASSE, "serve", "--port", str(port), "--database", database, "--tls", "local", *names],
        cwd=folder,
        env={**os.environ, "KASSE_TLS_FOLDER": "certificates"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if line.strip().startswith("PHP"):
            break
    try:
        yield Served(port, str(folder / "certificates" / "ca.pem"), told, account)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0


def connected(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", served.port), PATIENCE_S)


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch, served: Served) -> None:
    """The names of the remote service lead to this server, as a line in the hosts file would have it."""
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **others: Any) -> Any:
        if str(host).endswith(".dintero.com"):
            return real("127.0.0.1", served.port, *more, **others)
        return real(host, port, *more, **others)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_starting_server_tells_what_to_trust_and_how(served: Served) -> None:
    assert served.authority in served.told
    assert f"https://127.0.0.1:{served.port}" in served.told
    assert "checkout.dintero.com" in served.told
    for program in ("curl", "Python", "Node", "PHP"):
        assert program in served.told


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_who_trusts_the_authority_is_served_and_nobody_else(served: Served, host: str) -> None:
    url = f"https://{host}:{served.port}/health/live"
    assert requests.get(url, verify=served.authority, timeout=PATIENCE_S).status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(url, timeout=PATIENCE_S)


def test_a_name_that_was_not_chosen_is_refused_by_its_client(served: Served) -> None:
    context = ssl.create_default_context(cafile=served.authority)
    with connected(served) as plain, pytest.raises(ssl.SSLCertVerificationError, match=r"bank\.example"):
        context.wrap_socket(plain, server_hostname="bank.example")


def test_the_certificate_passes_strict_checks_and_old_protocols_do_not(served: Served) -> None:
    context = ssl.create_default_context(cafile=served.authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with connected(served) as plain, context.wrap_socket(plain, server_hostname="api.dintero.com") as secure:
        assert secure.version() in ("TLSv1.2", "TLSv1.3")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with connected(served) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname="api.dintero.com")


@pytest.mark.usefixtures("resolved")
def test_the_official_client_works_against_its_own_host_names(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", served.authority)
    checkout: Any = Dintero(
        account_id=served.account["account_id"],
        client_id=served.account["client_id"],
        client_secret=served.account["client_secret"],
        application_name="kasse-tests",
        application_version="1.0.0",
    ).checkout()
    made = checkout.create_session(
        {
            "url": {"return_url": "https://shop.example/done"},
            "order": {"amount": 1000, "currency": "NOK", "merchant_reference": "web-1", "items": ITEMS},
            "profile_id": "default",
        }
    )
    assert checkout.get_session(made["id"])["order"]["amount"] == 1000
    page = requests.get(f"https://checkout.dintero.com/v1/view/{made['id']}", timeout=PATIENCE_S)
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]


@pytest.mark.usefixtures("resolved")
@pytest.mark.parametrize("host", ["checkout.dintero.com", "api.dintero.com"])
def test_a_token_is_given_at_either_name(served: Served, host: str) -> None:
    account = served.account
    answer = requests.post(
        f"https://{host}/v1/accounts/{account['account_id']}/auth/token",
        auth=(account["client_id"], account["client_secret"]),
        json={
            "grant_type": "client_credentials",
            "audience": f"https://api.dintero.com/v1/accounts/{account['account_id']}",
        },
        verify=served.authority,
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 200
    assert answer.json()["token_type"] == "Bearer"
