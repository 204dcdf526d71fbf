"""What merchants were told must be what happened: answers, callbacks, webhooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from kasse.domain.callbacks import MAX_RETRIES
from kasse.domain.history import OrderUpdated, StatusSet
from tests.simulation.books import Books
from tests.simulation.network import Answer, Receivers
from tests.simulation.people import Deed

_EVENTS = {"capture": "CAPTURE", "refund": "REFUND", "void": "VOID"}
_REPORTED = ("CAPTURE", "REFUND")
_STATUSES = {"open": "open", "close": "closed", "cancel": "cancelled"}

Told = tuple[str, str | None, str | None, str | None]
"""What a callback tells: its session, transaction, error or event, and the event's id."""


# -- callbacks


def callbacks_came(books: Books, receivers: Receivers) -> Iterator[str]:
    """What is owed is worked out from what happened, not from what was noted to be owed."""
    given_up = {each.url for each in books.deliveries if each.status == "failed" and each.subscription_id is None}
    calls = [each for each in books.deliveries if each.subscription_id is None]
    if any(each.attempts <= MAX_RETRIES for each in calls if each.status == "failed"):
        yield "a callback was given up too early"
    owed = Counter(_owed(books))
    heard: Counter[Told] = Counter(
        (call["session_id"], call.get("transaction_id"), call.get("error") or call.get("event"), call.get("event_id"))
        for call in receivers.heard.values()
    )
    for each in sorted(owed - heard, key=repr):
        if not any(each[0] in url for url in given_up):
            yield f"the callback {each} (session, transaction, event) came {heard[each]} times, {owed[each]} are owed"
    # That an automatic capture was refused is told too; it is tried again.
    unexpected = [each for each in heard - owed if each[2] != "capture"]
    for each in sorted(unexpected, key=repr):
        yield f"the callback {each} (session, transaction, event) tells what did not happen"


def _owed(books: Books) -> Iterator[Told]:
    for transaction in books.transactions:
        if transaction.auto_capture and any(event.transaction_status == "CAPTURED" for event in transaction.events):
            # What is captured by itself is told when it is captured, not before.
            yield transaction.session_id, transaction.id, None, None
        held = False
        for event in transaction.events:
            if event.event == "INITIALIZE":
                held = True
                yield transaction.session_id, transaction.id, None, None
            elif event.event == "AUTHORIZE" and not event.success and held:
                yield transaction.session_id, transaction.id, "failed", None
            elif event.event == "AUTHORIZE" and event.success and not transaction.auto_capture:
                yield transaction.session_id, transaction.id, None, None
            elif event.event in _REPORTED and event.success:
                yield transaction.session_id, transaction.id, event.event, event.id
    for session in books.sessions:
        if session.status == "cancelled":
            yield session.id, None, "cancelled", None


# -- webhooks


def notices_came(books: Books, receivers: Receivers) -> Iterator[str]:
    """A webhook hears of every event of every order, of every payment that was made, and of nothing else."""
    heard: Counter[tuple[str, str]] = Counter()
    for call in receivers.notices.values():
        heard[_subject(call)] += 1
    events = {("shopping_order_event_add", f"{event.order}:{event.seq}") for event in books.events}
    paid = {
        ("checkout_authorization", each.id)
        for each in books.transactions
        if any(event.event == "AUTHORIZE" and event.success for event in each.events)
        and (not each.auto_capture or any(event.transaction_status == "CAPTURED" for event in each.events))
    }
    for kind, subject in sorted(heard):
        if kind == "shopping_order_event_add" and (kind, subject) not in events:
            yield f"a webhook heard of the event {subject} of an order, which is not there"
    for (kind, subject), times in heard.items():
        if kind == "shopping_order_event_add" and times > 1:
            yield f"a webhook was told {times} times, by calls of their own, of {kind} {subject}"
    lost = {each.subscription_id for each in books.deliveries if each.status == "failed"}
    for subscription in books.subscriptions:
        if subscription.id in lost or not subscription.listens:
            continue
        for kind, subject in sorted((events | paid) - heard.keys()):
            yield f"a webhook never heard of {kind} {subject}"


def _subject(call: Any) -> tuple[str, str]:
    kind = str(call["event"])
    if kind == "shopping_order_event_add":
        return kind, f"{call['order']['id']}:{call['order_event']['version']}"
    found = call.get("transaction") or call.get("order") or call.get("draft") or call
    return kind, str(found.get("id") or call.get("session_id"))


# -- answers


def done_once(books: Books, deed: Deed) -> Iterator[str]:
    """Whoever was told yes finds it once, whoever was told no finds nothing, who knows nothing at most once."""
    if deed.kind in ("confirm", "call off"):
        yield from _decided(books, deed)
        return
    if deed.kind in ("amend", "record", *_STATUSES):
        yield from _there(books, deed)
        return
    times = _times(books, deed)
    if times > 1:
        yield f"{deed.name}, a {deed.kind}, was done {times} times"
    if deed.told is None:
        return
    if deed.told.status == 200 and times == 0:
        yield f"{deed.name}, a {deed.kind}, was answered 200 and is not there"
    if deed.told.status >= 400 and times and deed.told.keyword != "outcome_unknown":
        yield f"{deed.name}, a {deed.kind}, was refused ({deed.told.keyword}) and is there"


def _times(books: Books, deed: Deed) -> int:
    if deed.kind == "update":
        given = [event.what.given for event in books.events if isinstance(event.what, OrderUpdated)]
        names = [_deed_of(each.get("metadata")) for each in given]
        # What an order says is told again by each later update, so only the first of them counts.
        return sum(name == deed.name != before for before, name in zip([None, *names], names, strict=False))
    entries = [entry for entry in books.entries if _deed_of(entry.given.get("metadata")) == deed.name]
    events = [
        event
        for transaction in books.transactions
        for event in transaction.events
        if event.success and event.event == _EVENTS.get(deed.kind) and _deed_of(event.metadata) == deed.name
    ]
    return max(len(entries), len(events))


def _decided(books: Books, deed: Deed) -> Iterator[str]:
    """A payment on hold was confirmed or called off; when both were answered yes, what was confirmed was voided."""
    transaction = books.transaction(deed.about)
    if transaction is None or deed.told is None or deed.told.status != 200:
        return
    confirmed = any(event.event == "AUTHORIZE" and event.success for event in transaction.events)
    if deed.kind == "confirm" and not confirmed:
        yield f"{deed.name}, which confirms {deed.about}, was answered 200; it is {transaction.status}"
    voided = any(event.event == "VOID" and event.success for event in transaction.events)
    if deed.kind == "call off" and not (transaction.status == "FAILED" or voided):
        yield f"{deed.name}, which calls {deed.about} off, was answered 200; it is {transaction.status}"


def _there(books: Books, deed: Deed) -> Iterator[str]:
    if deed.told is None or deed.told.status != 200:
        return
    if deed.kind == "record":
        if not any(entry.id == deed.told.json()["id"] for entry in books.entries):
            yield f"{deed.name} was answered with an entry that is not there"
    elif deed.kind == "amend":
        session = next(each for each in books.sessions if each.id == deed.about)
        if not any(event.name == "UPDATE_SESSION" for event in session.events):
            yield f"{deed.name}, a change of session {session.id}, was answered 200 and is not there"
    else:
        order = deed.told.json()["id"]
        status = _STATUSES[deed.kind]
        set_to = [each.what.status for each in books.events if each.order == order and isinstance(each.what, StatusSet)]
        if status != "open" and status not in set_to:
            yield f"{deed.name}, which makes order {deed.about} {status}, was answered 200; it never was"


def one_capture(books: Books, transaction: str, captured: Answer, recorded: Answer | None) -> Iterator[str]:
    """A capture at the checkout that was recorded on the order as well, at once, is one entry."""
    if recorded is None or recorded.status != 200:
        return
    entry = next((each for each in books.entries if each.id == recorded.json()["id"]), None)
    if entry is None or entry.transaction_id != transaction:
        yield f"what was recorded of transaction {transaction} belongs to another"


def _deed_of(metadata: Any) -> str | None:
    return metadata.get("ext_deed") if isinstance(metadata, dict) else None
