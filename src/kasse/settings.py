"""One typed configuration, read once. All mistakes in it are told at once."""

from __future__ import annotations

import importlib.util
import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every setting; the environment variable is ``KASSE_`` and the name in capitals.

    Times are seconds. ``public_url`` is how payers and receivers reach this server; by default it follows
    host and port. ``pepper`` keys the hashes of client secrets; without one it is made and kept beside the data.
    """

    database: str = "sqlite:///kasse.db"
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    public_url: str = ""
    token_lifetime: int = 86400
    key_rotation: int = 30 * 86400
    max_body: int = 1024 * 1024
    gateway_timeout: float = 10.0
    look_up_after: float = 2.0
    express_timeout: float = 60.0
    private_targets: bool = False
    trusted_proxies: str = ""
    relaxed_urls: bool = False
    relaxed_items: bool = False
    demo: bool = False
    log_level: str = "info"
    max_under_way: int = 32
    max_waiting: int = 512
    max_wait: float = 1.0
    max_connections: int = 512
    client_timeout: float = 20.0
    keep_alive: int = 60
    stop_timeout: int = 15
    rate_per_client: str = ""
    rate_per_account: str = ""
    rate_of_failed_logins: str = ""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    otel: bool = False
    tls: Literal["", "local"] = ""
    tls_names: str = ""
    tls_folder: str = "kasse-tls"

    @property
    def base_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.tls else "http"
        port = "" if self.port == (443 if self.tls else 80) else f":{self.port}"
        return (self.public_url or f"{scheme}://{host}{port}").rstrip("/")

    @property
    def certified(self) -> list[str]:
        """The names and addresses that the local certificate is for: this machine, and ``tls_names``."""
        named = [name.strip().lower().rstrip(".") for name in self.tls_names.split(",")]
        return list(dict.fromkeys(("localhost", "127.0.0.1", "::1", *filter(None, named))))

    def allows_private(self, account_id: str) -> bool:
        """Whether an account's calls may go to this machine and its networks, and without TLS: a test account's may."""
        return account_id.startswith("T") or self.private_targets


def without_password(url: str) -> str:
    """A database's URL as it may be shown."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if separator and "@" in rest else url


_LEAST = {
    **{"workers": 1, "token_lifetime": 1, "key_rotation": 3600, "max_body": 1024, "max_under_way": 1, "max_waiting": 0},
    **{"max_wait": 0, "max_connections": 1, "keep_alive": 1, "stop_timeout": 1},
}


_RATES = ("rate_per_client", "rate_per_account", "rate_of_failed_logins")
# What needs an extra, by setting.
_EXTRAS = (
    ("metrics_port", "metrics", "prometheus_client"),
    ("otel", "otel", "opentelemetry.exporter.otlp.proto.http"),
    *((name, "limits", "limits") for name in _RATES),
)


class SettingsError(Exception):
    """What is wrong with the settings: one line for each mistake."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def read_settings(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: str | None = None,
) -> Settings:
    """Flags win over the environment, the environment over the file (TOML; ``KASSE_CONFIG`` names one too).

    Raises ``SettingsError`` with every mistake found.
    """
    environment = os.environ if environment is None else environment
    mistakes: list[str] = []
    found: dict[str, tuple[str, Any]] = {}
    path = file or environment.get("KASSE_CONFIG")
    if path:
        try:
            for name, value in tomllib.loads(Path(path).read_text()).items():
                found[name] = (f"{name} in {path}", value)
        except (OSError, tomllib.TOMLDecodeError) as error:
            mistakes.append(f"the file {path} cannot be read: {error}")
    for name, value in environment.items():
        if name.startswith("KASSE_") and name != "KASSE_CONFIG":
            found[name.removeprefix("KASSE_").lower()] = (name, value)
    for name, value in (flags or {}).items():
        if value is not None:
            found[name] = (f"--{name.replace('_', '-')}", value)

    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    values: dict[str, Any] = {}
    for name, (source, value) in found.items():
        if name not in fields:
            mistakes.append(f"{source}: there is no such setting")
            continue
        try:
            values[name] = msgspec.convert(value, fields[name].type, strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            mistakes.append(f"{source}: {str(error).lower()}, got {value!r}")
    mistakes += _mistakes(values)
    if mistakes:
        raise SettingsError(mistakes)
    return Settings(**values)


def _mistakes(values: Mapping[str, Any]) -> list[str]:
    found = []
    database = values.get("database")
    if database is not None and not database.startswith(("sqlite:///", "postgresql://")):
        found.append(
            "database: expected sqlite:///relative.db, sqlite:////absolute/path.db or postgresql://user@host/name, "
            f"got {without_password(database)!r}"
        )
    for name in str(values.get("tls_names", "")).split(","):
        if name.strip() and not _is_certifiable(name.strip().lower().rstrip(".")):
            found.append(f"tls_names: expected names such as checkout.dintero.com, got {name.strip()!r}")
    for proxy in filter(None, _listed(values.get("trusted_proxies", ""))):
        if not _is_network(proxy):
            found.append(f"trusted_proxies: expected addresses or networks such as 10.0.0.0/8, got {proxy!r}")
    url = values.get("public_url")
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        found.append(f"public_url: expected an http or https URL, got {url!r}")
    if not 1 <= values.get("port", 8080) <= 65535:
        found.append(f"port: expected 1 to 65535, got {values['port']}")
    for name, least in _LEAST.items():
        if values.get(name, least) < least:
            found.append(f"{name}: expected at least {least}, got {values[name]}")
    for name in ("gateway_timeout", "look_up_after", "express_timeout", "client_timeout"):
        if values.get(name, 1.0) <= 0:
            found.append(f"{name}: expected more than 0 seconds, got {values[name]}")
    if not 0 <= values.get("metrics_port", 0) <= 65535:
        found.append(f"metrics_port: expected 1 to 65535, or 0 for none, got {values['metrics_port']}")
    for name, extra, module in _EXTRAS:
        if values.get(name) and not _is_installed(module):
            found.append(f"{name}: needs what is not installed; pip install 'kasse[{extra}]' does it")
        elif values.get(name) and name in _RATES and not _is_rate(values[name]):
            found.append(f"{name}: expected such as 100/second or 20/second;5000/hour, got {values[name]!r}")
    if values.get("log_level", "info") not in ("debug", "info", "warning", "error"):
        found.append(f"log_level: expected debug, info, warning or error, got {values['log_level']!r}")
    return found


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",")]


def _is_network(text: str) -> bool:
    try:
        return bool(ip_network(text))
    except ValueError:
        return False


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _is_rate(text: str) -> bool:
    from limits import parse_many

    try:
        return bool(parse_many(text))
    except ValueError:
        return False


_NAME = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)


def _is_certifiable(name: str) -> bool:
    """Whether a certificate can be for this name or address, in lower case."""
    try:
        ip_address(name)
    except ValueError:
        return len(name) <= 253 and _NAME.fullmatch(name) is not None
    return True
