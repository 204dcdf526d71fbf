"""Every command of the README works, in a clean copy of the project, in the order in which it stands there."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PATIENCE_S = 300

pytestmark = pytest.mark.slow


def block(beginning: str) -> str:
    """The one block of commands that begins so."""
    [found] = [block for block in BLOCKS if block.startswith(beginning)]
    return str(found)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone holds: the files that git knows, or would if they were committed."""
    folder = tmp_path_factory.mktemp("clone")
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def sample(project: Path) -> Iterator[dict[str, str]]:
    """``make serve`` in the clean copy, on a free port; answers what it printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*block("make serve").split(), f"PORT={port}", f"PYTHON={sys.executable}"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=(project / "errors.txt").open("w"),
        text=True,
        start_new_session=True,
    )
    try:
        yield _printed(process)
    finally:
        subprocess.run(["pkill", "-INT", "-g", str(process.pid)], check=False)
        assert process.wait(30) is not None


def _printed(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    found: dict[str, str] = {}
    started = time.monotonic()
    for line in process.stdout:
        assert time.monotonic() < started + PATIENCE_S
        told = re.match(r"  (base URL|account id|client id|client secret) +(\S+)", line)
        if told:
            found[told.group(1)] = told.group(2)
        elif "/v1/view/" in line:
            found["link"] = line.strip()
        elif line.strip().endswith("/auth/token"):
            return found
    raise AssertionError(f"make serve ended with {process.wait()}")


def test_make_serve_prints_a_link_that_opens(sample: dict[str, str]) -> None:
    answer = requests.get(sample["link"], timeout=30)
    assert answer.status_code == 200
    assert "Fjord &amp; Fjell" in answer.text


def test_the_first_payment_with_curl(project: Path, sample: dict[str, str]) -> None:
    values = {
        "KASSE": sample["base URL"],
        "ACCOUNT": sample["account id"],
        "CLIENT_ID": sample["client id"],
        "CLIENT_SECRET": sample["client secret"],
    }
    assert [name for name in values if f"{name}=" not in block("KASSE=")] == []
    start = BLOCKS.index(block("KASSE=")) + 1
    end = next(n for n, commands in enumerate(BLOCKS) if "/captures" in commands) + 1
    script = "\n".join([*(f"{name}='{value}'" for name, value in values.items()), *BLOCKS[start:end]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=project, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "PARTIALLY_CAPTURED"


def test_the_command_line(project: Path, sample: dict[str, str]) -> None:
    commands = block(".venv/bin/kasse account create")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "0 orders, 0 events and 0 sessions agree" in done.stdout
    assert '"openapi": "3.1.0"' in done.stdout


def test_the_python_example(sample: dict[str, str]) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    session_id = sample["link"].rpartition("/")[2]
    token = requests.post(
        f"{sample['base URL']}/v1/accounts/{sample['account id']}/auth/token",
        auth=(sample["client id"], sample["client secret"]),
        json={
            "grant_type": "client_credentials",
            "audience": f"{sample['base URL']}/v1/accounts/{sample['account id']}",
        },
        timeout=30,
    ).json()["access_token"]
    paid = requests.post(
        f"{sample['base URL']}/v1/accounts/{sample['account id']}/sandbox/sessions/{session_id}/pay",
        headers={"Authorization": f"Bearer {token}"},
        json={},
        timeout=30,
    ).json()
    names = {
        "account_id": sample["account id"],
        "client_id": sample["client id"],
        "client_secret": sample["client secret"],
        "transaction_id": paid["transaction_id"],
    }
    last = example.strip().splitlines()[-1]
    code = example.replace("http://127.0.0.1:8080", sample["base URL"]).replace(last, f"found = {last}")
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    found = names["found"]
    assert isinstance(found, dict)
    assert found["status"] == "AUTHORIZED"


def test_make_test_is_what_ci_runs() -> None:
    assert block("make test") == "make test\n"
    assert "make test" in (ROOT / ".ci/run").read_text()
