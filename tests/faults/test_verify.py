"""``kasse verify`` finds whatever somebody has changed behind our back, and names it."""

# ruff: noqa: S608 (what is put into statements here are names)

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
import msgspec
import pytest

from kasse.domain.history import EntryAdded, Event, hash_of
from kasse.domain.ledger import LineAmount
from kasse.domain.paging import Page
from kasse.store.port import Loads
from tests.faults.servers import KASSE, verified
from tests.running import PATIENCE_S, SCOPES, Json, Shop, line, running, session_request


@dataclass(frozen=True)
class Story:
    """A database with several orders; ``order`` is paid, and partly captured, refunded and cancelled. ``direct`` is
    the transaction of a session without an order."""

    file: Path
    order: Json
    transaction: str
    direct: str


DIRECT = {
    "url": {"return_url": "https://shop.example/done", "callback_url": "http://127.0.0.1:1/callback"},
    "order": {"amount": 700, "currency": "NOK", "merchant_reference": "direct"},
    "profile_id": "default",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Story:
    file = tmp_path_factory.mktemp("verify") / "kasse.db"
    with running(database=f"sqlite:///{file}", gateway_timeout=5.0, look_up_after=0.1) as server:
        shop = server.shop(*SCOPES, "admin:hooks")
        hook = {"config": {"url": "http://127.0.0.1:1/hook", "secret": "s3cret"}, "events": ["shopping_order_add"]}
        shop.ok("POST", f"/v1/accounts/{shop.account_id}/hooks/subscriptions", hook)
        shop.http.headers["Idempotency-Key"] = "the first"
        shop.order(500)
        del shop.http.headers["Idempotency-Key"]
        order = shop.order(10_000, 2_500, -1_000)
        shop.session(order, 1)
        shop.pay(shop.session(order, 2), "4000300000000006")
        paid = shop.pay(shop.session(order))
        path = f"orders/{order['order_id']}"
        shop.ok("POST", f"{path}/captures", {"items": [{"line_id": 1, "amount": 6_000}]})
        shop.ok("POST", f"{path}/refunds", {"items": [{"line_id": 1, "amount": 1_000}]})
        shop.ok("POST", f"{path}/cancellations", {"items": [{"line_id": 2, "amount": 2_500}]})
        shop.ok("POST", "draft_orders", {"order": {"currency": "NOK", "items": []}})
        # The last of the lot, so that checking goes on behind the order.
        _with_shipping(shop)
        direct = shop.pay(shop.ok("POST", "/v1/sessions-profile", DIRECT))
        shop.ok("POST", f"/v1/transactions/{direct['transaction_id']}/capture", {"amount": 400})
        by_itself = {**DIRECT, "configuration": {"auto_capture": True}}
        assert shop.pay(shop.ok("POST", "/v1/sessions-profile", by_itself))["status"] == "CAPTURED"
        deadline = time.monotonic() + PATIENCE_S
        while not server.run(server.house.store.read(lambda loads: _told_to(loads, shop.account_id))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    return Story(file, order, paid["transaction_id"], direct["transaction_id"])


async def _told_to(loads: Loads, account_id: str) -> bool:
    [subscription] = await loads.subscriptions(account_id)
    waiting = await loads.notices_to_tell(1)
    return not waiting and bool(await loads.deliveries_of_subscription(account_id, subscription.id, Page(10)))


def _with_shipping(shop: Shop) -> None:
    """A session with shipping, which is no line of the order, taken in parts."""
    order = shop.order(items=[line(1, 3_000), line(2, -500)])
    option = {"id": "post", "line_id": "9", "amount": 900, "title": "By post", "operator": "Posten"}
    body = session_request([1, 2], shipping_option=option)
    paid = shop.pay(shop.ok("POST", f"orders/{order['order_id']}/sessions", body))
    path = f"/v1/transactions/{paid['transaction_id']}"
    for step, amount in (("capture", 700), ("capture", 2_600), ("refund", 50), ("refund", 3_000)):
        shop.ok("POST", f"{path}/{step}", {"amount": amount})


@pytest.fixture
def story(told: Story, tmp_path: Path) -> Story:
    """A copy that may be spoilt."""
    shutil.copy(told.file, tmp_path / "kasse.db")
    return Story(tmp_path / "kasse.db", told.order, told.transaction, told.direct)


def difference(story: Story) -> str | None:
    return verified(f"sqlite:///{story.file}").difference


def spoil(story: Story, sql: str) -> None:
    """Run a statement on the order (``:order``) or the transaction (``:transaction``) that must change something."""
    connection = apsw.Connection(str(story.file))
    names = {"order": story.order["id"], "transaction": story.transaction, "direct": story.direct}
    connection.execute(sql, {name: value for name, value in names.items() if f":{name}" in sql})
    assert connection.changes() > 0, "the test spoils nothing"
    connection.close()


def test_a_story_that_nobody_touched_agrees(story: Story) -> None:
    found = verified(f"sqlite:///{story.file}")
    assert found.difference is None
    assert found.orders == 3
    assert found.events > 15
    assert found.sessions == 6


DROP = "DELETE FROM order_events WHERE order_ref = :order AND seq = "
DOC = "UPDATE {} SET doc = json_set(doc, '{}', {}) WHERE "

SPOILT = {
    "an amount in an event": (
        DOC.format("order_events", "$.what.entry.items[0].amount", 9_999) + "order_ref = :order AND seq = 9",
        "event 9 was changed",
    ),
    "who did it in an event": (
        DOC.format("order_events", "$.by", "'nobody'") + "order_ref = :order AND seq = 3",
        "event 3 was changed",
    ),
    "the first event is gone": (DROP + "1", "event 1 is missing"),
    "an event in the middle is gone": (DROP + "4", "event 4 is missing"),
    "the last event is gone": (
        DROP + "11",
        "the order",
    ),
    "all events are gone": ("DELETE FROM order_events WHERE order_ref = :order", "no events"),
    "the authorized sum of a line": (
        "UPDATE order_lines SET authorized = authorized - 1 WHERE order_ref = :order AND line_id = 1",
        "line 1: authorized is 9999",
    ),
    "the refunded sum of a line": (
        "UPDATE order_lines SET refunded = 0 WHERE order_ref = :order AND line_id = 1",
        "line 1: refunded is 0",
    ),
    "a claim on a line": (
        "UPDATE order_lines SET claimed = 1 WHERE order_ref = :order AND line_id = 2",
        "line 2: claimed is 1",
    ),
    "what a line costs": (
        DOC.format("order_lines", "$.gross_amount", 20_000) + "order_ref = :order AND line_id = 1",
        "its lines",
    ),
    "a line is gone": ("DELETE FROM order_lines WHERE order_ref = :order AND line_id = 3", "its lines"),
    "an order's status": ("UPDATE orders SET status = 'cancelled' WHERE id = :order", "status is 'cancelled'"),
    "an order's payment status": (
        "UPDATE orders SET payment_status = 'paid' WHERE id = :order",
        "payment_status is 'paid'",
    ),
    "an order's captured sum": ("UPDATE orders SET captured = 12500 WHERE id = :order", "sums is"),
    "an order's net amount": (DOC.format("orders", "$.net_amount", 1) + "id = :order", "net_amount is 1"),
    "a ledger entry is gone": (
        "DELETE FROM ledger_entries WHERE order_ref = :order AND kind = 'capture'",
        "its ledger has 3 entries",
    ),
    "an amount in a ledger entry": (
        DOC.format("ledger_entries", "$.items[0].amount", 5_999) + "order_ref = :order AND kind = 'capture'",
        "its ledger",
    ),
    "a ledger entry too many": (
        "INSERT INTO ledger_entries SELECT account_id, order_ref, 99, 'new', kind, doc FROM ledger_entries "
        "WHERE order_ref = :order AND kind = 'refund'",
        "its ledger has 5 entries",
    ),
    "a transaction is gone": ("DELETE FROM transactions WHERE id = :transaction", "is missing"),
    "a transaction's amount": (DOC.format("transactions", "$.amount", 99_999) + "id = :transaction", "is for 99999"),
    "a transaction's status": (
        DOC.format("transactions", "$.status", "'REFUNDED'") + "id = :transaction",
        "is REFUNDED, its events amount to PARTIALLY_CAPTURED_REFUNDED",
    ),
    "a transaction that is said to be under way": (
        DOC.format("transactions", "$.status", "'UNKNOWN'") + "id = :transaction",
        "claimed is 0",
    ),
    "a transaction that failed and is said to be paid": (
        DOC.format("transactions", "$.status", "'AUTHORIZED'") + "status = 'DECLINED'",
        "is AUTHORIZED, none of its events authorized it",
    ),
    "a capture in a transaction": (
        DOC.format("transactions", "$.events[1].amount", 7_000) + "id = :transaction",
        "has 7000 as CAPTURE in event 2",
    ),
    "the lines of a capture in a transaction": (
        DOC.format("transactions", "$.events[1].lines[0].line_id", 2) + "id = :transaction",
        "{2: 6000} (line: amount) as capture",
    ),
    "an event of a transaction is gone": (
        "UPDATE transactions SET doc = json_remove(doc, '$.events[2]') WHERE id = :transaction",
        "as refund",
    ),
    "a transaction of another order": (
        "UPDATE transactions SET order_ref = 'elsewhere' WHERE id = :transaction",
        "is missing",
    ),
    "a name that lists find it by": (
        "INSERT INTO order_marks SELECT account_id, 'store_id', 'elsewhere', 1, id FROM orders WHERE id = :order",
        "store_id 'elsewhere' is what lists find it by",
    ),
    "something that is no record": (
        "UPDATE ledger_entries SET doc = '{' WHERE order_ref = :order",
        "is no record",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_was_changed_is_named(story: Story, what: str) -> None:
    sql, name = SPOILT[what]
    spoil(story, sql)
    found = difference(story)
    assert found is not None
    assert name in found, found
    if what != "something that is no record":
        assert story.order["order_id"] in found


SPOILT_PAYMENTS = {
    "the status of its session": (
        DOC.format("sessions", "$.status", "'open'") + "id = (SELECT session_id FROM transactions WHERE id = :direct)",
        "it is open, its transaction",
    ),
    "the session is said to be paying": (
        DOC.format("sessions", "$.status", "'paying'")
        + "id = (SELECT session_id FROM transactions WHERE id = :direct)",
        "is not under way",
    ),
    "the transaction that paid the session": (
        DOC.format("sessions", "$.transaction_id", "'elsewhere'")
        + "id = (SELECT session_id FROM transactions WHERE id = :direct)",
        "it is paid by transaction elsewhere, which is missing",
    ),
    "a transaction's status": (
        DOC.format("transactions", "$.status", "'CAPTURED'") + "id = :direct",
        "its last event made it PARTIALLY_CAPTURED",
    ),
    "a transaction that is said to be under way": (
        DOC.format("transactions", "$.status", "'UNKNOWN'") + "id = :direct",
        "nobody will ask the gateway about it",
    ),
    "what a transaction was authorized for": (
        DOC.format("transactions", "$.events[0].amount", 600) + "id = :direct",
        "is for 700, 600 was authorized",
    ),
    "money held for nothing": (
        DOC.format("transactions", "$.pending", 'json(\'[{"key": "x", "kind": "capture", "amount": 5}]\')')
        + "id = :direct",
        "holds 5 for a capture that is not under way",
    ),
    "what the gateway's book has captured": (
        "UPDATE sandbox_book SET doc = replace(doc, '\"moved\":400', '\"moved\":300') WHERE key = :direct",
        "the gateway's book has captured, refunded, voided (300, 0, 0)",
    ),
    "the gateway's book knows nothing of it": (
        "DELETE FROM sandbox_book WHERE key = :direct",
        "the gateway's book has it as unseen",
    ),
    "a callback is gone": (
        "DELETE FROM deliveries WHERE session_id = (SELECT session_id FROM transactions WHERE id = :direct)",
        "no callback about it is owed or was made",
    ),
    "the callback of a payment that is captured by itself is gone": (
        "DELETE FROM deliveries WHERE doc ->> 'transaction_id' IN "
        "(SELECT id FROM transactions WHERE doc ->> 'auto_capture')",
        "no callback about it is owed or was made",
    ),
    "a session that is no record": (
        "UPDATE sessions SET doc = '{' WHERE id = (SELECT session_id FROM transactions WHERE id = :direct)",
        "is no record",
    ),
}


@pytest.mark.parametrize("what", SPOILT_PAYMENTS)
def test_what_was_changed_in_a_session_without_an_order_is_named(story: Story, what: str) -> None:
    sql, name = SPOILT_PAYMENTS[what]
    spoil(story, sql)
    found = difference(story)
    assert found is not None
    assert name in found, found


SPOILT_BESIDE = {
    "an entry of the gateway's book without a payment": (
        "INSERT INTO sandbox_book SELECT account_id, 'nobody', doc FROM sandbox_book LIMIT 1",
        "nobody in sandbox_book: its key is nobody, which is not in transactions",
    ),
    "a payment of a session that is gone": (
        "DELETE FROM sessions WHERE id = (SELECT session_id FROM transactions WHERE id = :direct)",
        "in transactions: its session_id is",
    ),
    "an order that is gone": ("DELETE FROM orders WHERE id = :order", "which is not in orders"),
    "a callback that is filed as delivered": (
        "UPDATE deliveries SET status = 'delivered' WHERE subscription_id IS NULL",
        "in deliveries: it is filed under another status",
    ),
    "a callback that is said to be delivered": (
        "DELETE FROM delivery_attempts; "
        "UPDATE deliveries SET status = 'delivered', doc = json_set(doc, '$.status', 'delivered') WHERE rowid = 1",
        "in deliveries: it is delivered, and was never tried",
    ),
    "a call to a webhook that is gone": ("DELETE FROM subscriptions", "in deliveries: its subscription_id is"),
    "what subscribers are told of is gone": (
        "UPDATE notices SET doc = json_set(doc, '$.subject', 'elsewhere') WHERE id LIKE 'shopping_order_add%'",
        "in notices: it tells of what is not in orders",
    ),
    "what is still to be told is filed as told": (
        "UPDATE notices SET told = NOT told",
        "in notices: it is filed under another told",
    ),
    "a kept answer that waits for ever": (
        "UPDATE answers SET doc = json_set(doc, '$.status', 0, '$.call', 'nothing')",
        "in answers: it waits for the gateway call nothing, which is not there",
    ),
    "a call that will be looked up late": (
        "UPDATE gateway_calls SET look_up_at = 9999999999999",
        "in gateway_calls: it is filed under another look_up_at",
    ),
    "a kept answer that is no record": ("UPDATE answers SET doc = '{'", "in answers: it is no record"),
}


@pytest.mark.parametrize("what", SPOILT_BESIDE)
def test_what_was_changed_beside_orders_and_sessions_is_named(story: Story, what: str) -> None:
    sql, name = SPOILT_BESIDE[what]
    spoil(story, sql)
    found = difference(story)
    assert found is not None
    assert name in found, found


def _forge(story: Story, change: Callable[[Event], Event]) -> None:
    """Rewrite the history of the order with a chain of hashes that fits, as somebody does who knows how."""
    connection = apsw.Connection(str(story.file))
    rows = connection.execute(
        "SELECT seq, doc FROM order_events WHERE order_ref = ? ORDER BY seq", (story.order["id"],)
    )
    previous = ""
    for seq, doc in rows.fetchall():
        event = msgspec.structs.replace(change(msgspec.json.decode(str(doc), type=Event)), previous_hash=previous)
        event = msgspec.structs.replace(event, hash=hash_of(event))
        previous = event.hash
        sql = "UPDATE order_events SET doc = ? WHERE order_ref = ? AND seq = ?"
        connection.execute(sql, (msgspec.json.encode(event).decode(), story.order["id"], seq))
    connection.execute("UPDATE orders SET last_hash = ? WHERE id = ?", (previous, story.order["id"]))
    connection.close()


def test_a_forged_history_with_a_chain_that_fits_does_not_fit_the_rest(story: Story) -> None:
    _forge(story, lambda event: event)
    assert difference(story) is None

    def more(event: Event) -> Event:
        if not isinstance(event.what, EntryAdded) or event.what.entry.kind != "capture":
            return event
        entry = msgspec.structs.replace(event.what.entry, items=(LineAmount(1, 6_500),))
        return msgspec.structs.replace(event, what=msgspec.structs.replace(event.what, entry=entry))

    _forge(story, more)
    found = difference(story)
    assert found is not None
    assert "captured" in found or "sums" in found


def test_a_forged_history_that_makes_no_sense_is_told_as_such(story: Story) -> None:
    def strange(event: Event) -> Event:
        if event.what.__struct_config__.tag != "payment_started":
            return event
        return msgspec.structs.replace(event, what=msgspec.structs.replace(event.what, items=(LineAmount(77, 1),)))

    _forge(story, strange)
    found = difference(story)
    assert found is not None
    assert "does not fit what came before it" in found


def test_the_command_line_says_what_differs_and_ends_with_1(story: Story) -> None:
    def kasse_verify() -> subprocess.CompletedProcess[str]:
        command = [str(KASSE), "verify", "--database", f"sqlite:///{story.file}"]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    good = kasse_verify()
    assert (good.returncode, good.stderr) == (0, "")
    assert "agree" in good.stdout
    spoil(story, "UPDATE order_lines SET captured = 5999 WHERE order_ref = :order AND line_id = 1")
    bad = kasse_verify()
    assert bad.returncode == 1
    assert "line 1: captured is 5999, its history amounts to 6000" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_an_order_that_went_through_everything_agrees(tmp_path: Path) -> None:
    """Drafts that join and replace, updates, comments, service events, every status, a cancellation by the order."""
    database = f"sqlite:///{tmp_path}/kasse.db"
    with running(database=database, gateway_timeout=5.0, look_up_after=0.1) as server:
        shop = server.shop()
        order = shop.order(1_000, 500)
        path = f"orders/{order['order_id']}"
        for replace, items in (("order", [line(1, 900), line(7, 70)]), (None, [line(2, 300), line(3, -100)])):
            body = {
                "order": {"currency": "NOK", "items": items, "merchant_reference": "r"},
                "options": {"order_id": order["order_id"], "replace": replace},
            }
            draft = shop.ok("POST", "draft_orders", body)
            shop.ok("PUT", f"draft_orders/{draft['id']}/complete", {})
        shop.ok("PUT", path, {"metadata": {"x": 1}, "items": [{"line_id": 2, "status": "packed"}]})
        shop.ok("POST", f"{path}/events", {"service": "warehouse", "service_status": "packed"})
        comment = shop.ok("POST", f"{path}/comments", {"text": "Ring"})
        assert shop.call("DELETE", f"{path}/comments/{comment['id']}").status_code == 204
        shop.ok("POST", f"{path}/close")
        shop.ok("POST", f"{path}/open")
        shop.pay(shop.session(order, 1))
        shop.ok("POST", f"{path}/authorizations", {"items": [{"line_id": 2, "amount": 200}]})
        cancelled = shop.ok("POST", f"{path}/cancel", {})
        assert [entry["amount"] for entry in cancelled["cancellations"]] == [900, 200]
        last = cancelled["version"]
    found = verified(database)
    assert found.difference is None
    assert (found.orders, found.events) == (1, last)
