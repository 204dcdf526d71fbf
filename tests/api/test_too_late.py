"""What succeeds after the end of its session or order: given back or refused, and never kept in silence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from kasse.operations.verification import verify
from tests.api.test_clock import NOON, clock
from tests.api.test_external import Invoice
from tests.api.test_methods import WALLET, enable, pay
from tests.running import PATIENCE_S, Json, Running, Shop, running
from tests.store.postgres_server import postgres_server

DAY = 86_400


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def books(request: pytest.FixtureRequest) -> Iterator[Running]:
    if request.param == "sqlite":
        with running(look_up_after=0.2) as found:
            yield found
        return
    with (
        postgres_server() as server,
        server.kasse_database() as name,
        running(database=server.url(name), look_up_after=0.2) as found,
    ):
        yield found


@pytest.fixture
def late(books: Running) -> Iterator[Shop]:
    """A shop whose clock stands at noon; afterwards the books agree."""
    shop = books.shop()
    clock(shop, "stop", {"at": NOON})
    yield shop
    assert books.run(verify(books.house)).difference is None


def authorized(shop: Shop, order: Json) -> list[int]:
    return [entry["amount"] for entry in shop.read_order(order)["authorizations"]]


def test_a_payment_on_hold_outlives_its_session_and_the_merchant_may_confirm_it(books: Running, late: Shop) -> None:
    invoice = Invoice(books, late, 1000, 500)
    clock(late, "move", {"by": 30 * DAY})
    assert late.transaction(invoice.id)["status"] == "ON_HOLD"
    assert invoice.ask("authorization", {"amount": 1500})["status"] == "AUTHORIZED"
    assert authorized(late, invoice.order) == [1500]


def test_what_waits_on_hold_is_neither_cancelled_with_its_session_nor_with_its_order(
    books: Running, late: Shop
) -> None:
    invoice = Invoice(books, late, 1000)
    problem = late.refused(409, "session_paid", "POST", f"/v1/sessions/{invoice.session['id']}/cancel", {})
    assert "waits for the payment to be confirmed" in problem["message"]
    late.refused(409, "line_being_paid", "POST", f"orders/{invoice.order['order_id']}/cancel", {})
    assert invoice.ask("void")["status"] == "FAILED"
    late.ok("POST", f"orders/{invoice.order['order_id']}/cancel", {})
    late.refused(409, "wrong_state", "POST", invoice.path("authorization"), {})
    assert authorized(late, invoice.order) == []


class Wallet:
    """A payer who is at his wallet."""

    def __init__(self, server: Running, shop: Shop) -> None:
        enable(server, shop, WALLET)
        self.shop = shop
        self.order = shop.order(1000)
        self.session = shop.session(self.order)
        self.paid = pay(shop, self.session, WALLET)

    def approves(self) -> str:
        """Where that leads him."""
        back = requests.post(f"{self.paid['action_url']}/approve", timeout=PATIENCE_S, allow_redirects=False)
        here = f"{self.shop.base_url}{back.headers['location']}"
        return str(requests.get(here, timeout=PATIENCE_S, allow_redirects=False).headers["location"])

    def transaction(self) -> Json:
        return self.shop.transaction(self.paid["transaction_id"])


@pytest.mark.parametrize("how", ["expired", "cancelled"])
def test_a_wallet_that_says_yes_after_the_end_of_the_session_has_paid_nothing(
    books: Running, late: Shop, how: str
) -> None:
    wallet = Wallet(books, late)
    if how == "expired":
        clock(late, "move", {"by": DAY + 1})
    else:
        late.ok("POST", f"/v1/sessions/{wallet.session['id']}/cancel")
    assert "transaction_id" not in wallet.approves()
    found = wallet.transaction()
    assert found["status"] == "DECLINED"
    assert ("expired" if how == "expired" else "left") in found["events"][-1]["error"]["message"]
    assert authorized(late, wallet.order) == []


@pytest.fixture
def silent() -> Iterator[Running]:
    """A server that does not look up by itself, within a test, what was not answered."""
    with running(look_up_after=600) as found:
        yield found


def test_a_yes_that_comes_to_light_after_the_end_of_the_session_is_given_back(silent: Running) -> None:
    shop = silent.shop()
    clock(shop, "stop", {"at": NOON})
    order = shop.order(1000)
    session = shop.session(order)
    answer_lost = shop.call("POST", shop.pay_path(session), {"card": "4100000000000001"})
    transaction_id = answer_lost.json()["transaction_id"]
    assert shop.transaction(transaction_id)["status"] == "UNKNOWN"
    clock(shop, "move", {"by": DAY + 1})
    assert shop.transaction(transaction_id)["status"] == "UNKNOWN"
    # Now the payer comes back, and what the bank has said is found out.
    back = f"{shop.base_url}/v1/sessions/{session['id']}/redirect/{transaction_id}"
    assert "transaction_id" not in requests.get(back, timeout=PATIENCE_S, allow_redirects=False).headers["location"]
    found = shop.transaction(transaction_id)
    assert found["status"] == "DECLINED"
    assert "expired" in found["events"][-1]["error"]["message"]
    assert authorized(shop, order) == []
    assert silent.run(verify(silent.house)).difference is None


def test_an_order_that_a_wallet_is_about_to_pay_is_not_cancelled(books: Running, late: Shop) -> None:
    wallet = Wallet(books, late)
    late.refused(409, "line_being_paid", "POST", f"orders/{wallet.order['order_id']}/cancel", {})
    assert "transaction_id" in wallet.approves()
    assert authorized(late, wallet.order) == [1000]
