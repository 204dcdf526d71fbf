"""A browser for each process, a payer for each test.

A test that has a payer runs in the browser's own thread, see ``Browsing``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.page.browsing import Browsing, Payer
from tests.page.merchant import Merchant, open_merchant
from tests.page.states import OwnTime, Shopping
from tests.running import Running, Shop, running

Payers = Callable[..., Payer]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    browsing = pyfuncitem.funcargs.get("browsing")
    if not isinstance(browsing, Browsing):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    browsing.run(lambda: pyfuncitem.obj(**arguments))
    return True


@pytest.fixture(scope="session")
def clock() -> OwnTime:
    return OwnTime()


@pytest.fixture(scope="session")
def server(clock: OwnTime) -> Iterator[Running]:
    """A server whose accounts may live in a time of their own."""
    with running(clock=clock, look_up_after=1.0, gateway_timeout=5.0, demo=True) as found:
        yield found


@pytest.fixture(scope="session")
def browsing() -> Iterator[Browsing]:
    found = Browsing()
    yield found
    found.stop()


@pytest.fixture
def payers(browsing: Browsing, server: Running, merchant: Merchant) -> Iterator[Payers]:
    """Makes payers, each with a browser context of his own.

    Whatever they did, their browsers had nothing to complain about and talked to nobody else.
    """
    made: list[Payer] = []

    def new(**options: Any) -> Payer:
        made.append(Payer.sits_down(browsing.browser, **options))
        return made[-1]

    yield new
    for payer in made:
        browsing.run(payer.context.close)
    for payer in made:
        assert [each for each in payer.complaints if not payer.forgives or payer.forgives not in each] == []
    allowed = {server.base_url, merchant.base, merchant.elsewhere}
    assert {f"http://{host}" for payer in made for host in payer.hosts if host} <= allowed


@pytest.fixture
def payer(payers: Payers, browsing: Browsing) -> Payer:
    return browsing.run(payers)


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    with open_merchant() as found:
        yield found


@pytest.fixture
def shopping(server: Running, shop: Shop, merchant: Merchant, clock: OwnTime) -> Shopping:
    """The shop, the merchant's server behind it and the time of its account."""
    return Shopping(server, shop, merchant, clock)
