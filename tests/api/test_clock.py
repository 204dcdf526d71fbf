"""A session's whole life on a stopped and moved clock, over real HTTP; and what ends when its time is over."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests

from kasse.gateways.port import Declined, Instruction
from tests.api.test_express import POST, Page, names
from tests.api.test_methods import enable
from tests.api.test_sessions import Payer, made
from tests.running import PATIENCE_S, Json, Running, Shop, running
from tests.store.postgres_server import postgres_server

NOON = "2031-05-17T12:00:00.000Z"
NEXT_NOON = "2031-05-18T12:00:00.000Z"
CHALLENGE = "4000100000000000"


def clock(shop: Shop, step: str = "", body: Json | None = None) -> Json:
    path = f"/v1/accounts/{shop.account_id}/sandbox/clock"
    return shop.ok("POST", f"{path}/{step}", body) if step else shop.ok("GET", path)


@pytest.fixture
def noon(shop: Shop) -> Shop:
    """A shop whose clock stands at noon."""
    assert clock(shop, "stop", {"at": NOON}) == {"now": NOON, "stopped": True}
    return shop


def test_a_sessions_whole_life_on_a_stopped_and_moved_clock(noon: Shop) -> None:
    session = made(noon)
    assert (session["created_at"], session["updated_at"], session["expires_at"]) == (NOON, NOON, NEXT_NOON)
    view = f"{noon.base_url}/v1/view/{session['id']}"
    assert requests.get(view, timeout=PATIENCE_S).status_code == 200
    visited = noon.read_session(session)
    assert [event["created_at"] for event in visited["events"]] == [NOON, NOON]
    assert visited["updated_at"] == "2031-05-17T12:00:00.001Z"

    clock(noon, "move", {"by": 86399})
    changed = noon.ok("PUT", f"/v1/sessions/{session['id']}?update_without_lock=true", {"order": {"amount": 1200}})
    assert changed["updated_at"] == "2031-05-18T11:59:59.000Z"

    assert clock(noon, "move", {"by": 1}) == {"now": NEXT_NOON, "stopped": True}
    page = Page(noon, session)
    assert "order" not in page.session()
    page.refused(409, "session_expired", "POST", "/lock")
    noon.refused(409, "session_expired", "POST", noon.pay_path(session), {})
    path = f"/v1/sessions/{session['id']}?update_without_lock=true"
    noon.refused(409, "session_expired", "PUT", path, {"order": {"amount": 1}})
    read = noon.read_session(session)
    assert names(read) == ["INITIATED", "VISITED", "UPDATE_SESSION"]
    assert noon.ok("POST", f"/v1/sessions/{session['id']}/cancel") == read

    # What has ended stays so, whatever the clock says.
    clock(noon, "move", {"to": NOON})
    noon.refused(409, "session_expired", "POST", noon.pay_path(session), {})

    again = made(noon, expires_at="2031-05-17T12:00:00.123456789+00:00")
    assert noon.pay(again)["status"] == "AUTHORIZED"
    assert noon.transaction(noon.read_session(again)["transaction_id"])["created_at"] == NOON


def test_a_clock_that_is_started_goes_on_from_the_time_it_shows(noon: Shop, server: Running) -> None:
    going = clock(noon, "start")
    assert going["stopped"] is False
    assert NOON <= going["now"] < "2031-05-17T12:05:00"
    moved = clock(noon, "move", {"by": 3600})["now"]
    assert "2031-05-17T13:00:00" <= moved < "2031-05-17T13:05:00"
    other = server.shop()
    assert clock(other)["now"] < "2031"
    assert made(other)["created_at"] < "2031"


@pytest.mark.parametrize(
    ("step", "body", "keyword"),
    [
        ("move", {}, "missing_field"),
        ("move", {"to": NOON, "by": 1}, "missing_field"),
        ("move", {"to": "noon"}, "wrong_value"),
        ("move", {"to": "1999-12-31T23:59:59Z"}, "wrong_value"),
        ("move", {"by": 10**12}, "wrong_value"),
        ("stop", {"at": 1}, "wrong_type"),
    ],
)
def test_a_wrong_time_is_refused(noon: Shop, step: str, body: Any, keyword: str) -> None:
    noon.refused(400, keyword, "POST", f"/v1/accounts/{noon.account_id}/sandbox/clock/{step}", body)
    assert clock(noon) == {"now": NOON, "stopped": True}


def test_production_has_the_servers_time_only(server: Running) -> None:
    shop = server.shop(account_id="P43211235")
    path = f"/v1/accounts/{shop.account_id}/sandbox/clock"
    shop.refused(403, "not_in_production", "GET", path)
    for step in ("stop", "start"):
        shop.refused(403, "not_in_production", "POST", f"{path}/{step}")
    shop.refused(403, "not_in_production", "POST", f"{path}/move", {"by": 1})


# -- what is over


def test_who_is_at_his_bank_when_the_time_is_over_has_lost_his_chance(noon: Shop) -> None:
    order = noon.order(1000)
    session = noon.session(order)
    url = noon.pay(session, CHALLENGE)["action_url"]
    clock(noon, "move", {"to": NEXT_NOON})
    ended = noon.read_session(session)
    assert names(ended)[-1] == "PAY_FAILED"
    assert "transaction_id" not in ended
    assert "order" not in Page(noon, session).session()
    requests.post(f"{url}/approve", timeout=PATIENCE_S, allow_redirects=False)
    requests.get(f"{noon.base_url}/v1/sessions/{session['id']}/redirect/{url.rpartition('/')[2]}", timeout=PATIENCE_S)
    assert "transaction_id" not in noon.read_session(session)
    read = noon.read_order(order)
    assert (read["authorizations"], read["payment_status"]) == ([], "pending")
    # Its lines are free for the next one.
    assert noon.pay(noon.session(order))["status"] == "AUTHORIZED"


def test_the_lock_of_a_page_lapses(noon: Shop) -> None:
    session = made(noon)
    page = Page(noon, session)
    page.ok("POST", "/lock")
    clock(noon, "move", {"by": 599})
    assert "pay_lock" in page.session()
    noon.refused(409, "session_locked", "POST", noon.pay_path(session), {})
    clock(noon, "move", {"by": 1})
    assert "pay_lock" not in page.session()
    assert noon.pay(session)["status"] == "AUTHORIZED"


def test_a_session_is_paid_or_over_and_never_both(noon: Shop) -> None:
    sessions = [made(noon) for _ in range(8)]
    clock(noon, "move", {"by": 86399})
    with ThreadPoolExecutor(9) as pool:
        paying = [pool.submit(Payer(noon, session).pay) for session in sessions]
        clock(noon, "move", {"by": 1})
        answers = [each.result() for each in paying]
    for session, answer in zip(sessions, answers, strict=True):
        read = noon.read_session(session)
        if answer.status_code == 200:
            assert names(read)[-1] == "COMPLETED"
            assert noon.transaction(read["transaction_id"])["status"] == "AUTHORIZED"
        else:
            assert answer.json()["error"]["errors"][0]["keyword"] == "session_expired"
            assert "transaction_id" not in read


def test_the_merchant_is_not_called_about_a_session_that_expired(noon: Shop) -> None:
    session = made(noon, url={"callback_url": "http://127.0.0.1:1/told?report_error=true"})
    clock(noon, "move", {"to": NEXT_NOON})
    assert noon.ok("GET", f"/v1/sessions/{session['id']}/callbacks") == {"callbacks": []}


# -- every process agrees


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def two(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[Running, Running]]:
    """Two servers on one database."""
    if request.param == "sqlite":
        database = f"sqlite:///{tmp_path}/kasse.db"
        with running(database=database) as one, running(database=database) as other:
            yield one, other
        return
    with (
        postgres_server() as server,
        server.kasse_database() as name,
        running(database=server.url(name)) as one,
        running(database=server.url(name)) as other,
    ):
        yield one, other


def test_what_one_server_is_told_of_the_time_the_other_knows_at_once(two: tuple[Running, Running]) -> None:
    one, other = two
    here = one.shop()
    there = Shop(other.base_url, here.account_id, here.client_id, here.client_secret)
    session = made(there)
    page = Page(there, session)
    for n in range(3):
        stopped = clock(here, "stop", {"at": f"2031-05-17T12:00:0{n}Z"})
        assert clock(there) == stopped
        assert made(there)["created_at"] == stopped["now"]
        assert "order" not in page.session()
    clock(there, "start")
    assert clock(here)["stopped"] is False
    assert made(here, express={"shipping_options": [POST]})["created_at"].startswith("2031-05-17T12:0")


@pytest.mark.parametrize("how", [{"card": CHALLENGE}, {"payment_product_type": "swish.swish"}])
def test_a_success_after_the_end_of_a_session_is_given_back(noon: Shop, server: Running, how: dict[str, str]) -> None:
    enable(server, noon, "swish.swish")
    order = noon.order(1000)
    session = noon.session(order)
    paying = noon.ok("POST", noon.pay_path(session), how)
    # The bank has his yes while there is time, and this server hears of it when there is none left.
    requests.post(f"{paying['action_url']}/approve", timeout=PATIENCE_S, allow_redirects=False)
    clock(noon, "move", {"to": NEXT_NOON})
    back = f"{noon.base_url}/v1/sessions/{session['id']}/redirect/{paying['transaction_id']}"
    requests.get(back, timeout=PATIENCE_S, allow_redirects=False)
    ended = noon.transaction(paying["transaction_id"])
    assert ended["status"] == "DECLINED"
    assert "expired before the payment was confirmed" in ended["events"][-1]["error"]["message"]
    book = server.house.gateways["sandbox"]
    told = Instruction(noon.account_id, paying["transaction_id"], 1000, "NOK", authorization=paying["transaction_id"])
    # What is left of it at the bank is nothing: it cannot be captured any more.
    assert isinstance(server.run(book.capture(replace(told, key="late"))), Declined)
    assert noon.read_order(order)["authorizations"] == []
