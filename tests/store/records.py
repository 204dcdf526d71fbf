"""One of each record, with every field filled, and the history of an order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from kasse.domain import history
from kasse.domain.access import (
    Account,
    ApiKey,
    Caller,
    Client,
    Grant,
    RequestNote,
    ServerSecret,
    SignatureSecret,
    SigningKey,
    StoredAnswer,
)
from kasse.domain.account_clock import AccountClock
from kasse.domain.callbacks import Attempt, Delivery
from kasse.domain.history import EntryAdded, OrderState, OrderStep, PaymentStarted, SessionOpened, What
from kasse.domain.hooks import Notice, Subscription
from kasse.domain.ledger import Entry, EntryKind, LineAmount, Part
from kasse.domain.order import Draft, DraftNote, Line, Order, payable, totals
from kasse.domain.profile import Profile
from kasse.domain.session import PayLock, PaymentSession, SessionEvent, SessionUrl
from kasse.domain.transaction import Card, GatewayCall, PaymentError, Pending, Transaction, TransactionEvent
from kasse.domain.transaction_list import TransactionMarks
from kasse.store.port import Loads, Record, Store

ACCOUNT = "T11111111"
OTHER = "T22222222"
NOW = datetime(2026, 2, 28, 23, 59, 59, 999000, tzinfo=UTC)
LATER = NOW + timedelta(milliseconds=1)
GIVEN: dict[str, Any] = {
    "text": "Ærlig talt, 'ja' \"nei\" \\ \t\n ✓ 🧶",
    "numbers": [0, -1, 2**53, -(2**63), 2**63 - 1, 0.1, -2.5e-7, 1.5e300],
    "nothing": None,
    "yes": True,
    "empty": [{}, [], ""],
    "deep": {"a": {"b": {"c": [[[]]]}}},
}


async def put(store: Store, *records: Record) -> None:
    """Write records in one change."""

    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        return None, records

    await store.change(decide)


def note(body: str | None = '{"a": 1}') -> RequestNote:
    return RequestNote("POST", "/v1/somewhere", body)


def caller(account_id: str = ACCOUNT) -> Caller:
    return Caller(account_id, "somebody", frozenset(), "request-1", note())


def account(account_id: str = ACCOUNT, **changes: Any) -> Account:
    return replace(Account(account_id, "Fjord & Fjell", NOW), **changes)


def client(account_id: str = ACCOUNT, **changes: Any) -> Client:
    one = Client(
        account_id=account_id,
        id="client-1",
        client_id="login-1",
        secret_hash="0123",
        created_at=NOW,
        created_by="somebody",
        updated_at=LATER,
        updated_by="somebody else",
        name="Shop",
        description="The shop's own",
        callbacks=("https://shop.example/a", "https://shop.example/b"),
        epoch=7,
    )
    return replace(one, **changes)


def grant(account_id: str = ACCOUNT, **changes: Any) -> Grant:
    one = Grant(
        account_id=account_id,
        id="grant-1",
        client="client-1",
        audience=f"https://kasse.example/v1/accounts/{account_id}",
        scopes=("admin:checkout", "read:shopping"),
        created_at=NOW,
        created_by="somebody",
        updated_at=LATER,
        type="client_credentials",
    )
    return replace(one, **changes)


def signing_key(**changes: Any) -> SigningKey:
    return replace(SigningKey("key-1", "-----BEGIN PRIVATE KEY-----\n...", NOW), **changes)


def server_secret(**changes: Any) -> ServerSecret:
    return replace(ServerSecret("pepper", "s3cret/+", NOW), **changes)


def signature_secret(account_id: str = ACCOUNT, **changes: Any) -> SignatureSecret:
    return replace(SignatureSecret(account_id, "secret-1", "s3cret", NOW, "somebody"), **changes)


def api_key(account_id: str = ACCOUNT, **changes: Any) -> ApiKey:
    one = ApiKey(
        account_id=account_id,
        id="key-1",
        name="Till",
        key_hash="4567",
        created_at=NOW,
        created_by="somebody",
        updated_at=LATER,
        expires_at=LATER,
    )
    return replace(one, **changes)


def subscription(account_id: str = ACCOUNT, **changes: Any) -> Subscription:
    one = Subscription(
        account_id=account_id,
        id="subscription-1",
        url="https://shop.example/hook",
        events=("shopping_draft_add", "checkout_transaction"),
        created_at=NOW,
        created_by="somebody",
        updated_at=LATER,
        secret="s3cret",
        fields=("order.id",),
        exclude_fields=("order.items",),
        failures=2,
    )
    return replace(one, **changes)


def notice(account_id: str = ACCOUNT, **changes: Any) -> Notice:
    return replace(Notice(account_id, "notice-1", "checkout_transaction", "transaction-1", NOW, 7, "failed"), **changes)


def stored_answer(account_id: str = ACCOUNT, **changes: Any) -> StoredAnswer:
    return replace(StoredAnswer(account_id, "answer-1", "a digest", NOW, 200, '{"id": "ø"}'), **changes)


def profile(account_id: str = ACCOUNT, **changes: Any) -> Profile:
    return replace(Profile(account_id, "default", GIVEN, NOW, "Default"), **changes)


def line(line_id: int, amount: int, discount: int = 0) -> Line:
    return Line(line_id, amount + discount, discount, {"id": f"SKU-{line_id}", **GIVEN}, version=3)


LINES = (line(1, 10_000, 500), line(2, 2_500), line(7, -1_000))


def draft(account_id: str = ACCOUNT, **changes: Any) -> Draft:
    one = Draft(
        account_id=account_id,
        id="draft-1",
        currency="NOK",
        lines=LINES,
        given=GIVEN,
        options={"generate_order_id": "ALPHANUMERIC_9"},
        created_at=NOW,
        created_by="somebody",
        updated_at=LATER,
        status="completed",
        notes=(DraftNote("note-1", NOW, "somebody", 1, note()), DraftNote("note-2", LATER, "somebody", 2, None)),
        orders=("order-1",),
    )
    return replace(one, **changes)


def order(account_id: str = ACCOUNT, lines: Sequence[Line] = LINES, **changes: Any) -> Order:
    gross, net = totals(lines)
    one = Order(
        account_id=account_id,
        id="order-1",
        order_id="ABC234DEF",
        currency="NOK",
        gross_amount=gross,
        net_amount=net,
        created_at=NOW,
        created_by="somebody",
        updated_at=NOW,
        given={**GIVEN, "merchant_reference": "web-7001"},
        options={"generate_order_id": "ALPHANUMERIC_9"},
        draft_id="draft-1",
    )
    return replace(one, **changes)


def created(account_id: str = ACCOUNT, lines: Sequence[Line] = LINES, **changes: Any) -> OrderStep:
    """A new order with these lines; ``changes`` are to its head."""
    one = order(account_id, lines, **changes)
    return history.create(one, tuple(lines), caller(account_id), "event-1", one.created_at)


def follow(state: OrderState, what: What, at: datetime = LATER) -> OrderStep:
    """The next event of an order."""
    account_id = state.order.account_id
    return history.advance(state, what, caller(account_id), f"event-{state.order.version + 1}", at)


def entry(kind: EntryKind, *items: tuple[int, int], **changes: Any) -> Entry:
    """A fact about lines, named by number and amount."""
    one = Entry(
        id=f"{kind}-1",
        kind=kind,
        items=tuple(LineAmount(line_id, amount) for line_id, amount in items),
        success=True,
        created_at=NOW,
        created_by="somebody",
        authorization_id=None if kind == "authorization" else "authorization-1",
        parts=() if kind == "authorization" else tuple(Part("authorization-1", *item) for item in items),
        transaction_id="transaction-1",
        from_order=False,
        given=GIVEN,
    )
    return replace(one, **changes)


def life(account_id: str = ACCOUNT, **changes: Any) -> tuple[list[OrderStep], OrderState]:
    """An order that is paid and partly captured, refunded and cancelled: its steps and where they lead to."""
    claimed = tuple(LineAmount(each.line_id, payable(each)) for each in LINES)
    whole = [(item.line_id, item.amount) for item in claimed]
    steps = [created(account_id, **changes)]
    state = history.after(steps[0])
    for what in (
        SessionOpened("session-1", claimed),
        PaymentStarted("session-1", "transaction-1", claimed),
        EntryAdded(entry("authorization", *whole), releases_claim=True),
        EntryAdded(entry("capture", (1, 4_000), (7, -300))),
        EntryAdded(entry("refund", (1, 1_000))),
        EntryAdded(entry("cancellation", (2, 2_500), success=False)),
    ):
        steps.append(follow(state, what))
        state = history.after(steps[-1], state)
    return steps, state


def account_clock(account_id: str = ACCOUNT, **changes: Any) -> AccountClock:
    return replace(AccountClock(account_id, ahead=-7, stopped_at=NOW), **changes)


def session(account_id: str = ACCOUNT, **changes: Any) -> PaymentSession:
    one = PaymentSession(
        account_id=account_id,
        id="session-1",
        items=(LineAmount(1, 10_000), LineAmount(7, -1_000)),
        amount=9_000,
        currency="NOK",
        url=SessionUrl("https://shop.example/done", "https://shop.example/callback?a=b", "https://shop.example/terms"),
        profile_id="default",
        configuration=GIVEN,
        checkout_order={"amount": 9_000, "currency": "NOK", "merchant_reference": "web-7001", **GIVEN},
        created_at=NOW,
        created_by="somebody",
        updated_at=LATER,
        expires_at=NOW + timedelta(days=1, microseconds=7),
        order="order-1",
        order_id="ABC234DEF",
        status="cancelled",
        transaction_id="transaction-1",
        events=(SessionEvent("event-1", "INITIATED", NOW, "request-1", GIVEN, {"user-agent": "shop/1"}),),
        given=GIVEN,
        last_error="DECLINED",
        pay_lock=PayLock("lock-1", LATER),
        customer_ip="192.0.2.1",
        user_agent="browser/1",
        cancelled_at=LATER,
        cancelled_by="somebody",
    )
    return replace(one, **changes)


def transaction(account_id: str = ACCOUNT, **changes: Any) -> Transaction:
    event = TransactionEvent(
        id="1",
        event="CAPTURE",
        transaction_status="AUTHORIZED",
        success=False,
        amount=9_000,
        created_at=NOW,
        created_by="somebody",
        request_id="request-1",
        items=({"line_id": "1", "amount": 9_000},),
        lines=(LineAmount(1, 9_000),),
        event_reference="reference",
        error=PaymentError("no", code="issuer_05", type=("DECLINED",), result_code="05"),
        reason="because",
        metadata=GIVEN,
        correlation_request_id="request-0",
        entry_id="entry-1",
    )
    one = Transaction(
        account_id=account_id,
        id="transaction-1",
        session_id="session-1",
        gateway="sandbox",
        amount=9_000,
        currency="NOK",
        payment_product_type="dintero_psp.creditcard",
        merchant_reference="web-7001",
        created_at=NOW,
        updated_at=LATER,
        status="AUTHORIZED",
        order="order-1",
        order_id="ABC234DEF",
        authorization_id="authorization-1",
        items=({"line_id": "1", "amount": 9_000},),
        lines=(LineAmount(1, 9_000),),
        shipping_option={"id": "post", "amount": 0},
        card=Card("Visa", "400000******0002", "12/2030", "Debit", "NO", "Y", "05", "2.2.0"),
        events=(event,),
        pending=(Pending("transaction-1:capture:1", "capture", 9_000, (LineAmount(1, 9_000),)),),
        given=GIVEN,
    )
    return replace(one, **changes)


def transaction_marks(account_id: str = ACCOUNT) -> TransactionMarks:
    return TransactionMarks(account_id, "transaction-1", NOW, frozenset({("store_id", "oslo"), ("search", "kari")}))


def gateway_call(account_id: str = ACCOUNT, **changes: Any) -> GatewayCall:
    one = GatewayCall(
        account_id=account_id,
        key="transaction-1:capture:1",
        transaction_id="transaction-1",
        session_id="session-1",
        gateway="sandbox",
        kind="capture",
        amount=9_000,
        currency="NOK",
        started_at=NOW,
        by="somebody",
        request_id="request-1",
        look_up_at=NOW,
        state="unknown",
        look_ups=2,
        reference="reference",
        reason="because",
        metadata=GIVEN,
        items=({"line_id": "1", "amount": 9_000},),
        lines=(LineAmount(1, 9_000),),
        entry_id="entry-1",
        order_request=GIVEN,
        action_url="https://bank.example/confirm",
    )
    return replace(one, **changes)


def delivery(account_id: str = ACCOUNT, **changes: Any) -> Delivery:
    one = Delivery(
        account_id=account_id,
        id="delivery-1",
        session_id="session-1",
        transaction_id="transaction-1",
        method="POST",
        url="https://shop.example/callback?a=b&time=1",
        receiver="https://shop.example",
        created_at=NOW,
        due_at=NOW,
        event="authorized",
        includes_session=True,
        attempts=3,
        transaction_event_id="event-1",
        error="cancelled",
        round_from=1,
    )
    return replace(one, **changes)


def attempt(account_id: str = ACCOUNT, **changes: Any) -> Attempt:
    return replace(Attempt(account_id, "delivery-1", 1, NOW, 153, 503, "no answer"), **changes)
