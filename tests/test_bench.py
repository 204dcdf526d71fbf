"""The load client drives a server from a token to a capture, and stops when something is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest
from typer.testing import CliRunner

from kasse.bench.steps import STEPS, Result
from kasse.cli import cli
from tests.running import Running, Shop, running


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture
def merchant(server: Running) -> list[str]:
    shop = server.shop("admin:shopping", "admin:checkout")
    return [server.base_url, "--account-id", shop.account_id, "--client-id", shop.client_id, *_secret(shop)]


def _secret(shop: Shop) -> list[str]:
    return ["--client-secret", shop.client_secret]


def test_every_step_is_run_and_measured(merchant: list[str]) -> None:
    watch = ("--watch", f"server={os.getpid()}")
    ran = CliRunner().invoke(cli, ["bench", *merchant, "--seconds", "0.3", "--connections", "4", "--json", *watch])
    assert ran.exit_code == 0, ran.output
    results = msgspec.json.decode(ran.stdout.splitlines()[-1], type=list[Result])  # after the log of the server
    assert [result.step for result in results] == list(STEPS)
    for result in results:
        assert result.answers > 0, result
        assert 0 < result.p50 <= result.p99
        assert result.memory["server"] > 1_000_000


def test_sessions_are_created_at_a_rate_and_shown_in_a_table(merchant: list[str]) -> None:
    options = ("--step", "session", "--rate", "20", "--seconds", "1", "--connections", "4")
    ran = CliRunner().invoke(cli, ["bench", *merchant, *options])
    assert ran.exit_code == 0, ran.output
    assert "| session | 20 " in ran.output


@pytest.mark.parametrize(
    ("change", "told"),
    [(["--client-secret", "wrong"], "got 401"), (["--step", "nothing"], "expected one of token")],
)
def test_what_is_wrong_is_told(
    merchant: list[str], change: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = CliRunner().invoke(cli, ["bench", *merchant, "--seconds", "0.1", *change])
    assert ran.exit_code != 0
    assert told in ran.output + capsys.readouterr().err
