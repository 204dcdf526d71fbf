"""What tests of several rooms share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.running import Running, Shop, running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run what can be long as long as it takes (make faults)")
    parser.addoption("--scale", type=float, default=1.0, help="with --long: how much of it, such as 0.1 for a tenth")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """After a long run, what was tried in each file and how it went."""
    if not config.getoption("--long"):
        return
    rows: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, ()):
            row = rows.setdefault(report.nodeid.partition("::")[0], Counter())
            row[outcome] += 1
            row["ms"] += round(1000 * getattr(report, "duration", 0))
            row.update({f"of {name}": int(str(number)) for name, number in getattr(report, "user_properties", ())})
    terminalreporter.section("what was tried")
    terminalreporter.line(f"{'':<44}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}")
    for file, row in sorted(rows.items()):
        failed = row["failed"] + row["error"]
        counts = ", ".join(f"{count} {name[3:]}" for name, count in sorted(row.items()) if name.startswith("of "))
        line = f"{file:<44}{row['passed']:>8}{failed:>8}{row['skipped']:>8}{row['ms'] / 1000:>9.0f}  {counts}"
        terminalreporter.line(line.rstrip())


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether to try many times what is otherwise tried a few times."""
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture(scope="session")
def times(pytestconfig: pytest.Config, long: bool) -> Callable[[int, int], int]:
    """How often to try something: the first figure usually, the second in a long run, scaled, but never less."""
    scale = float(pytestconfig.getoption("--scale"))
    return lambda few, many: max(few, round(many * scale)) if long else few


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """One server for all tests of a process; each test has accounts of its own."""
    with running(look_up_after=0.2, gateway_timeout=5.0) as found:
        yield found


@pytest.fixture
def shop(server: Running) -> Shop:
    """A merchant with a test account of his own."""
    return server.shop()
