"""What tests of several rooms share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.running import Running, Shop, running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run what can be long as long as it takes (make faults)")


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether to try many times what is otherwise tried a few times."""
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture(scope="session")
def server() -> Iterator[Running]:
    """One server for all tests of a process; each test has accounts of its own."""
    with running(look_up_after=0.2, gateway_timeout=5.0) as found:
        yield found


@pytest.fixture
def shop(server: Running) -> Shop:
    """A merchant with a test account of his own."""
    return server.shop()
