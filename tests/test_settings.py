"""Settings come from flags, the environment and a file, and all mistakes are told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasse.settings import Settings, SettingsError, read_settings


def test_without_anything_said_the_defaults_hold() -> None:
    assert read_settings(environment={}) == Settings()


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "kasse.toml"
    file.write_text('host = "0.0.0.0"\nport = 1111\nlog_level = "debug"\n')
    found = read_settings(
        {"port": 3333, "host": None}, {"KASSE_CONFIG": str(file), "KASSE_PORT": "2222", "KASSE_LOG_LEVEL": "error"}
    )
    assert (found.host, found.port, found.log_level) == ("0.0.0.0", 3333, "error")  # noqa: S104


def test_the_environment_may_write_numbers_and_booleans_as_text() -> None:
    found = read_settings(
        environment={"KASSE_WORKERS": "3", "KASSE_GATEWAY_TIMEOUT": "2.5", "KASSE_RELAXED_URLS": "true"}
    )
    assert (found.workers, found.gateway_timeout, found.relaxed_urls) == (3, 2.5, True)


def test_every_mistake_is_told_with_its_source_and_what_came(tmp_path: Path) -> None:
    file = tmp_path / "kasse.toml"
    file.write_text('workers = "many"\ncolour = "red"\n')
    with pytest.raises(SettingsError) as raised:
        read_settings(
            {"port": 70000},
            {
                "KASSE_CONFIG": str(file),
                "KASSE_DATABASE": "mysql://me:secret@shop",
                "KASSE_LOG_LEVEL": "loud",
                "KASSE_GATEWAY_TIMEOUT": "soon",
                "KASSE_PUBLIC_URL": "shop.example",
                "KASSE_LOOK_UP_AFTER": "0",
                "KASSE_TRUSTED_PROXIES": "10.0.0.0/8, proxy.example",
            },
        )
    told = str(raised.value)
    for part in (
        f"workers in {file}",
        f"colour in {file}: there is no such setting",
        "port: expected 1 to 65535, got 70000",
        "database: expected sqlite:///relative.db, sqlite:////absolute/path.db or postgresql://user@host/name",
        "got 'mysql://***@shop'",
        "log_level: expected debug, info, warning or error, got 'loud'",
        "KASSE_GATEWAY_TIMEOUT",
        "got 'soon'",
        "public_url: expected an http or https URL, got 'shop.example'",
        "trusted_proxies: expected addresses or networks such as 10.0.0.0/8, got 'proxy.example'",
        "look_up_after: expected more than 0 seconds, got 0.0",
    ):
        assert part in told
    assert "secret" not in told
    assert len(raised.value.mistakes) == 9


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(environment={"KASSE_CONFIG": "/nowhere/kasse.toml"})


@pytest.mark.parametrize(
    ("settings", "base_url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"host": "::1", "port": 99}, "http://[::1]:99"),
        ({"public_url": "https://pay.example/"}, "https://pay.example"),
    ],
)
def test_the_base_url_follows_host_and_port_unless_it_is_given(settings: dict[str, object], base_url: str) -> None:
    assert read_settings(settings, {}).base_url == base_url
