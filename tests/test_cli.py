"""The command line as one types it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

KASSE = str(Path(sys.executable).parent / "kasse")
PATIENCE_S = 60


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/kasse.db"


def kasse(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [KASSE, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, **environment},
    )


def printed(*arguments: str) -> str:
    done = kasse(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_an_account_and_a_client_are_made_and_told_as_json(database: str) -> None:
    account = json.loads(printed("account", "create", "T12345678", "--database", database, "--json"))
    assert account == {"account_id": "T12345678", "name": "T12345678"}
    scopes = ("--scope", "admin:shopping", "--scope", "admin:checkout")
    client = json.loads(printed("client", "create", "T12345678", *scopes, "--database", database, "--json"))
    assert client.keys() == {"account_id", "client_id", "client_secret"}
    assert len(client["client_secret"]) == 43


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("account", "create", "X1"), "expected an account id such as T12345678"),
        (("client", "create", "T99999999"), "T99999999"),
        (("pay", "T12345678.nothing"), "there is no session"),
        (("serve", "--port", "0"), "port: expected 1 to 65535, got 0"),
    ],
)
def test_what_goes_wrong_is_told_in_a_sentence_without_a_traceback(
    database: str, arguments: tuple[str, ...], told: str
) -> None:
    done = kasse(*arguments, "--database", database)
    assert done.returncode == 1
    assert done.stderr.startswith("kasse: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_an_account_that_exists_is_not_made_again(database: str) -> None:
    printed("account", "create", "T12345678", "--database", database)
    assert "T12345678" in kasse("account", "create", "T12345678", "--database", database).stderr


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = kasse("migrate", "--database", f"sqlite:///{tmp_path}/file/kasse.db")
    assert done.returncode == 1
    assert "cannot be opened" in done.stderr


def test_the_settings_are_printed_without_secrets(database: str) -> None:
    text = printed("config", "--database", database)
    assert f'database = "{database}"' in text
    assert "secret" not in text


def test_wrong_settings_are_all_told() -> None:
    done = kasse("config", KASSE_PORT="0", KASSE_LOG_LEVEL="loud")
    assert done.returncode == 1
    assert "port: expected 1 to 65535, got 0" in done.stderr
    assert "log_level" in done.stderr


def test_the_openapi_document_is_printed() -> None:
    document = json.loads(printed("openapi"))
    assert "/v1/accounts/{aid}/shopping/orders/{order_id}/sessions" in document["paths"]


def test_profiles_are_put_from_a_file_and_listed(database: str, tmp_path: Path) -> None:
    printed("account", "create", "T12345678", "--database", database)
    file = tmp_path / "profile.json"
    card = {"type": "payment_product_type", "enabled": True}
    configuration = {"dintero_psp": {"type": "payment_type", "creditcard": card}, "theme": {"primary": "#1d4ed8"}}
    file.write_text(json.dumps({"name": "Till", "configuration": configuration}))
    made = json.loads(printed("profile", "put", "T12345678", "till", str(file), "--database", database))
    assert (made["id"], made["name"], made["configuration"]) == ("till", "Till", configuration)
    found = json.loads(printed("profile", "list", "T12345678", "--database", database))
    assert [each["id"] for each in found] == ["default", "till"]
    file.write_text(json.dumps({"configuration": {"theme": {"primary": "red;"}}}))
    for account, words in (("T12345678", "expected a colour"), ("T00000000", "there is no account")):
        refused = kasse("profile", "put", account, "till", str(file), "--database", database)
        assert refused.returncode == 1
        assert words in refused.stderr


def test_api_keys_are_made_listed_and_deleted(database: str) -> None:
    printed("account", "create", "T12345678", "--database", database)
    where = ("T12345678", "--database", database)
    made = json.loads(printed("api-key", "create", *where, "--name", "Till", "--json"))
    assert made.keys() == {"account_id", "id", "api_key"}
    assert made["api_key"].startswith("T12345678.")
    listed = printed("api-key", "list", *where)
    assert [(each["id"], each["name"]) for each in json.loads(listed)] == [(made["id"], "Till")]
    assert made["api_key"] not in listed
    assert made["id"] in printed("api-key", "delete", "T12345678", made["id"], "--database", database)
    assert json.loads(printed("api-key", "list", *where)) == []
    [gone] = json.loads(printed("api-key", "list", *where, "--deleted"))
    assert gone["deleted_by"] == "kasse api-key delete"
    again = kasse("api-key", "delete", "T12345678", made["id"], "--database", database)
    assert again.returncode == 1
    assert "there is no API key" in again.stderr


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """A server that heeds Ctrl-C, even where these tests run in the background and do not."""
    return subprocess.Popen(
        [KASSE, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def stop(process: subprocess.Popen[str], how: signal.Signals = signal.SIGINT) -> str:
    process.send_signal(how)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    return rest


def sample_of(process: subprocess.Popen[str]) -> dict[str, str]:
    """What a starting ``kasse demo`` prints."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.strip().endswith("/auth/token"):
            break
    found = {name.replace(" ", "_"): value for name, value in re.findall(r"^  (\w+ \w+) +(\S+)$", text, re.MULTILINE)}
    [found["link"]] = re.findall(r"http://\S+/v1/view/\S+", text)
    return found


def is_up(url: str) -> requests.Response:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return requests.get(url, timeout=PATIENCE_S)
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_demo_is_found_again_at_the_second_start_and_can_be_paid(tmp_path: Path, workers: str) -> None:
    arguments = ("demo", "--port", str(free_port()), "--workers", workers)
    first = start(*arguments, cwd=tmp_path)
    sample = sample_of(first)
    assert is_up(sample["link"]).status_code == 200
    assert "Kasse has stopped." in stop(first)
    assert first.returncode == 0
    assert (tmp_path / "kasse.db.sample.json").stat().st_mode & 0o777 == 0o600

    second = start(*arguments, cwd=tmp_path)
    assert sample_of(second) == sample
    assert is_up(sample["link"]).status_code == 200
    paid: dict[str, Any] = json.loads(
        printed("pay", sample["link"].rpartition("/")[2], "--database", f"sqlite:///{tmp_path}/kasse.db")
    )
    assert paid["status"] == "AUTHORIZED"
    stop(second, signal.SIGTERM)

    third = start(*arguments, cwd=tmp_path)
    assert sample_of(third)["link"] != sample["link"], "what is paid is replaced by something to pay"
    stop(third)
    assert "sessions agree" in printed("verify", "--database", f"sqlite:///{tmp_path}/kasse.db")


def test_a_port_that_is_taken_is_told(database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = kasse("serve", "--port", str(taken.getsockname()[1]), "--database", database)
    assert done.returncode == 1
    assert "cannot listen on" in done.stderr


@pytest.mark.parametrize(
    ("trusted", "seen"), [("127.0.0.1, 10.0.0.0/8", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1"), ("", "127.0.0.1")]
)
def test_only_proxies_that_are_named_say_where_a_payer_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: str, seen: str
) -> None:
    monkeypatch.setenv("KASSE_TRUSTED_PROXIES", trusted)
    running = start("demo", "--port", str(free_port()), cwd=tmp_path)
    sample = sample_of(running)
    is_up(f"{sample['base_URL']}/health/live")
    requests.get(sample["link"], headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.1.2.3"}, timeout=PATIENCE_S)
    account, session = sample["account_id"], sample["link"].rpartition("/")[2]
    token = requests.post(
        f"{sample['base_URL']}/v1/accounts/{account}/auth/token",
        auth=(sample["client_id"], sample["client_secret"]),
        json={"grant_type": "client_credentials", "audience": f"https://api.dintero.com/v1/accounts/{account}"},
        timeout=PATIENCE_S,
    ).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    found = requests.get(f"{sample['base_URL']}/v1/sessions/{session}", headers=headers, timeout=PATIENCE_S).json()
    stop(running)
    assert found["customer_ip"] == seen
