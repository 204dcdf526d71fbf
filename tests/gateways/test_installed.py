"""Gateways that other packages bring along: found by their entry point, and a whole payment through one of them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from kasse.clock import SystemClock
from kasse.gateways.installed import GatewayNotUsable, all_gateways
from kasse.gateways.port import Surroundings
from tests.api.test_methods import enable, pay
from tests.gateways.pretend import MemoryBook
from tests.running import PATIENCE_S, Shop, running

ABACUS = """
    from kasse.gateways.port import Approved, Declined, Method, NotFound, OnHold, PayerNeeded


    class Abacus:
        '''Sends payers to its own page and remembers in its book whether they said yes.'''

        name = "abacus"
        methods = [Method("abacus.beads", voids_rest=False)]

        def __init__(self, around):
            self.book = around.book

        def serves(self, account_id):
            return True

        def check_card(self, account_id, card):
            raise AssertionError("takes no card")

        async def authorize(self, told, card):
            assert card is None and told.method == "abacus.beads"
            await self.book.book_put(told.account_id, told.key, {"state": "asked", "back": told.return_url})
            return PayerNeeded(f"https://abacus.example/{told.key}")

        async def payer_says(self, account_id, key, state):
            before = await self.book.book_get(account_id, key)
            assert await self.book.book_replace(account_id, key, before, {**before, "state": state})

        async def capture(self, told):
            return Approved()

        async def refund(self, told):
            return Approved()

        async def void(self, told):
            return Approved()

        async def look_up(self, kind, told):
            entry = await self.book.book_get(told.account_id, told.key)
            if kind != "authorize" or entry is None:
                return NotFound()
            return {"asked": PayerNeeded("https://abacus.example/again"), "yes": Approved(), "looking": OnHold()}[
                entry["state"]
            ]
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str, *entries: str) -> None:
    """A package as an installer leaves it: a module, and beside it what it says of itself."""
    for name in [name for name in sys.modules if name.startswith("kasse_abacus")]:
        monkeypatch.delitem(sys.modules, name)
    (folder / "kasse_abacus.py").write_text(textwrap.dedent(source))
    about = folder / "kasse_abacus-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kasse-abacus\nVersion: 1\n")
    (about / "entry_points.txt").write_text("\n".join(["[kasse.gateways]", *entries, ""]))
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture
def abacus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    install(tmp_path, monkeypatch, ABACUS, "abacus = kasse_abacus:Abacus")
    with running() as server:
        yield server


def test_a_payment_goes_through_an_installed_gateway_and_its_own_page(abacus: Any) -> None:
    shop: Shop = abacus.shop()
    enable(abacus, shop, "abacus.beads")
    order = shop.order(1000)
    session = shop.session(order)
    paid = pay(shop, session, "abacus.beads")
    id = paid["transaction_id"]
    assert paid["action_url"] == f"https://abacus.example/{id}"
    entry = abacus.run(abacus.house.store.book_get(shop.account_id, f"abacus:{id}"))
    assert entry["back"] == f"{shop.base_url}/v1/sessions/{session['id']}/redirect/{id}"

    abacus.run(abacus.house.gateways["abacus"].payer_says(shop.account_id, id, "looking"))
    requests.get(entry["back"], timeout=PATIENCE_S, allow_redirects=False)
    assert shop.transaction(id)["status"] == "ON_HOLD"

    abacus.run(abacus.house.gateways["abacus"].payer_says(shop.account_id, id, "yes"))
    # Nobody but the gateway says how a payment ends that it holds.
    shop.refused(400, "wrong_status", "POST", f"/v1/transactions/{id}/authorization", {})
    back = requests.get(entry["back"], timeout=PATIENCE_S, allow_redirects=False)
    assert f"transaction_id={id}" in back.headers["location"]
    read = shop.transaction(id)
    assert (read["status"], read["payment_product"]) == ("AUTHORIZED", "abacus")
    assert shop.read_order(order)["authorizations"][0]["payment_details"]["psp"] == "abacus"

    # It says that it releases no rest.
    at = f"/v1/transactions/{id}"
    problem = shop.refused(400, "wrong_value", "POST", f"{at}/capture", {"amount": 300, "final_capture": True})
    assert "abacus.beads" in problem["message"]
    shop.ok("POST", f"{at}/capture", {"amount": 300})
    assert "abacus.beads" in shop.refused(400, "wrong_status", "POST", f"{at}/void")["message"]
    assert shop.ok("POST", f"{at}/capture", {"amount": 700, "final_capture": True})["status"] == "CAPTURED"


def test_a_production_account_pays_through_an_installed_gateway_too(abacus: Any) -> None:
    shop: Shop = abacus.shop(account_id="P73219846")
    enable(abacus, shop, "abacus.beads")
    gateways = abacus.house.gateways
    assert gateways["abacus"].serves(shop.account_id)
    assert not gateways["sandbox"].serves(shop.account_id)


@pytest.mark.parametrize(
    ("source", "entry", "told"),
    [
        ("def gateway(around):\n    raise OSError('no network')", "abacus = kasse_abacus:gateway", "no network"),
        ("x = 1", "abacus = kasse_abacus:gateway", "gateway"),
        ("import kasse_missing", "abacus = kasse_abacus:gateway", "kasse_missing"),
        (
            "class Gateway:\n    name = 'abacus'\n    def __init__(self, around): pass",
            "abacus = kasse_abacus:Gateway",
            "methods",
        ),
        (ABACUS, "beads = kasse_abacus:Abacus", "'beads'"),
        (ABACUS.replace('"abacus"', '"sandbox"'), "sandbox = kasse_abacus:Abacus", "two gateways"),
    ],
)
def test_a_gateway_that_cannot_be_used_stops_the_start_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, entry: str, told: str
) -> None:
    install(tmp_path, monkeypatch, source, entry)
    with pytest.raises(GatewayNotUsable, match=told) as raised:
        all_gateways(Surroundings(MemoryBook(), SystemClock(), "https://kasse.example"))
    assert entry.partition(" ")[0] in str(raised.value)
