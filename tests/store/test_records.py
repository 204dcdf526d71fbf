"""What is written comes back the same, to its own account only."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kasse.domain import order as order_rules
from kasse.domain.access import Account, Client, Grant
from kasse.domain.history import OrderStep
from kasse.domain.hooks import Notice
from kasse.domain.paging import Filters, Page, SessionFilters
from kasse.domain.session import PaymentSession
from kasse.domain.transaction_list import TransactionFilters
from kasse.store.port import Backlog, Contradiction, Loads, Record, Store
from kasse.store.strays import Stray
from tests.store import records
from tests.store.records import ACCOUNT, LATER, NOW, OTHER, life, put


@dataclass(frozen=True)
class Question:
    """``ask`` answers ``expected`` once ``written`` is there; each gets an account."""

    written: Callable[[str], Sequence[Record]]
    ask: Callable[[Loads, str], Awaitable[Any]]
    expected: Callable[[str], Any]


def _one(make: Callable[[str], Record], ask: Callable[[Loads, str], Awaitable[Any]]) -> Question:
    return Question(lambda account_id: [make(account_id)], ask, make)


def _listed(make: Callable[[str], Record], ask: Callable[[Loads, str], Awaitable[Any]]) -> Question:
    return Question(lambda account_id: [make(account_id)], ask, lambda account_id: [make(account_id)])


def _of_order(ask: Callable[[Loads, str], Awaitable[Any]], expected: Callable[[str], Any]) -> Question:
    return Question(lambda account_id: life(account_id)[0], ask, expected)


def _events(account_id: str) -> list[Any]:
    return [step.event for step in life(account_id)[0]]


def _entries(account_id: str) -> list[Any]:
    return [step.entry for step in life(account_id)[0] if step.entry is not None]


def _of_subscription(account_id: str) -> Record:
    return records.delivery(account_id, session_id="", subscription_id="subscription-1", subject="order-1", seq=3)


def _noticed(ask: Callable[[Loads, str], Awaitable[Any]], expected: Callable[[str], Any]) -> Question:
    """Notices are stored where somebody subscribes to them."""
    return Question(lambda aid: [records.subscription(aid), records.notice(aid)], ask, expected)


def _state(account_id: str) -> Any:
    return life(account_id)[1]


def _over(account_id: str) -> PaymentSession:
    return records.session(account_id, status="open", expires_at=NOW)


QUESTIONS = {
    "account": _one(records.account, lambda loads, aid: loads.account(aid)),
    "client": _one(records.client, lambda loads, aid: loads.client(aid, "client-1")),
    "client_by_login": _one(records.client, lambda loads, aid: loads.client_by_login(aid, "login-1")),
    "clients": _listed(records.client, lambda loads, aid: loads.clients(aid)),
    "grant": _one(records.grant, lambda loads, aid: loads.grant(aid, "grant-1")),
    "login": Question(
        lambda aid: [records.client(aid), records.grant(aid)],
        lambda loads, aid: loads.login(aid, records.client(aid).client_id),
        lambda aid: (records.client(aid), [records.grant(aid)]),
    ),
    "grants": _listed(records.grant, lambda loads, aid: loads.grants(aid, "client-1")),
    "signature_secrets": _listed(records.signature_secret, lambda loads, aid: loads.signature_secrets(aid, 2)),
    "api_key": _one(records.api_key, lambda loads, aid: loads.api_key(aid, "key-1")),
    "api_key_by_hash": _one(records.api_key, lambda loads, aid: loads.api_key_by_hash(aid, "4567")),
    "api_keys": _listed(records.api_key, lambda loads, aid: loads.api_keys(aid, Page())),
    "account_clock": _one(records.account_clock, lambda loads, aid: loads.account_clock(aid)),
    "profile": _one(records.profile, lambda loads, aid: loads.profile(aid, "default")),
    "profiles": _listed(records.profile, lambda loads, aid: loads.profiles(aid)),
    "draft": _one(records.draft, lambda loads, aid: loads.draft(aid, "draft-1")),
    "drafts": _listed(records.draft, lambda loads, aid: loads.drafts(aid, Filters(), Page())),
    "stored_answer": _one(records.stored_answer, lambda loads, aid: loads.stored_answer(aid, "answer-1")),
    "order": _of_order(lambda loads, aid: loads.order(aid, "ABC234DEF"), _state),
    "orders": _of_order(lambda loads, aid: loads.orders(aid, Filters(), Page()), lambda aid: [_state(aid)]),
    "order_exists": _of_order(lambda loads, aid: loads.order_exists(aid, "ABC234DEF"), lambda aid: True),
    "marks": _of_order(
        lambda loads, aid: loads.marks(aid, "order-1"),
        lambda aid: order_rules.marks(_state(aid).order, _state(aid).lines.values()),
    ),
    "entries": _of_order(lambda loads, aid: loads.entries(aid, "order-1"), _entries),
    "events": _of_order(lambda loads, aid: loads.events(aid, "order-1"), _events),
    "entries_of": _of_order(
        lambda loads, aid: loads.entries_of(aid, ["order-1", "order-2"]),
        lambda aid: {"order-1": _entries(aid), "order-2": []},
    ),
    "events_of": _of_order(
        lambda loads, aid: loads.events_of(aid, ["order-1", "order-2"]),
        lambda aid: {"order-1": _events(aid), "order-2": []},
    ),
    "session": _one(records.session, lambda loads, aid: loads.session(aid, "session-1")),
    "sessions": _listed(records.session, lambda loads, aid: loads.sessions(aid, SessionFilters(), Page())),
    "sessions_of": _listed(records.session, lambda loads, aid: loads.sessions_of(aid, "order-1", Page())),
    "newest_sessions": Question(
        lambda account_id: [records.session(account_id)],
        lambda loads, aid: loads.newest_sessions(aid, ["order-1", "order-2"], 1),
        lambda account_id: {"order-1": [records.session(account_id)], "order-2": []},
    ),
    "sessions_by_id": Question(
        lambda account_id: [records.session(account_id)],
        lambda loads, aid: loads.sessions_by_id(aid, ["session-1", "session-2"]),
        lambda account_id: {"session-1": records.session(account_id)},
    ),
    "transaction": _one(records.transaction, lambda loads, aid: loads.transaction(aid, "transaction-1")),
    "transactions": Question(
        lambda aid: [records.transaction(aid), records.transaction_marks(aid)],
        lambda loads, aid: loads.transactions(aid, TransactionFilters(), Page()),
        lambda aid: [records.transaction(aid)],
    ),
    "transactions_of_order": _listed(
        records.transaction, lambda loads, aid: loads.transactions_of_order(aid, "order-1")
    ),
    "transactions_of_session": _listed(
        records.transaction, lambda loads, aid: loads.transactions_of_session(aid, "session-1")
    ),
    "gateway_call": _one(records.gateway_call, lambda loads, aid: loads.gateway_call(aid, "transaction-1:capture:1")),
    "delivery": _one(records.delivery, lambda loads, aid: loads.delivery(aid, "delivery-1")),
    "deliveries_of": _listed(records.delivery, lambda loads, aid: loads.deliveries_of(aid, "session-1")),
    "deliveries_of_subscription": _listed(
        _of_subscription, lambda loads, aid: loads.deliveries_of_subscription(aid, "subscription-1", Page())
    ),
    "subscription": _one(records.subscription, lambda loads, aid: loads.subscription(aid, "subscription-1")),
    "subscriptions": _listed(records.subscription, lambda loads, aid: loads.subscriptions(aid)),
    "notice": _noticed(lambda loads, aid: loads.notice(aid, "notice-1"), records.notice),
    "attempts": _listed(records.attempt, lambda loads, aid: loads.attempts(aid, "delivery-1")),
    "attempts_of": Question(
        lambda aid: [records.delivery(aid), records.attempt(aid)],
        lambda loads, aid: loads.attempts_of(aid, "session-1"),
        lambda aid: {"delivery-1": [records.attempt(aid)]},
    ),
    "attempts_of_all": Question(
        lambda aid: [records.delivery(aid), records.attempt(aid)],
        lambda loads, aid: loads.attempts_of_all(aid, ["delivery-1", "delivery-2"]),
        lambda aid: {"delivery-1": [records.attempt(aid)], "delivery-2": []},
    ),
}
"""The reads of one account."""

OF_ALL_ACCOUNTS = {
    "signing_keys": Question(
        lambda _: [records.signing_key()], lambda loads, _: loads.signing_keys(), lambda _: [records.signing_key()]
    ),
    "server_secret": Question(
        lambda _: [records.server_secret()],
        lambda loads, _: loads.server_secret("pepper"),
        lambda _: records.server_secret(),
    ),
    "orders_from": _of_order(lambda loads, _: loads.orders_from(None, 10), lambda aid: [_state(aid)]),
    "sessions_from": _listed(records.session, lambda loads, _: loads.sessions_from(None, 10)),
    "backlog": Question(
        lambda aid: [records.delivery(aid)],
        lambda loads, _: loads.backlog(),
        lambda aid: Backlog(1, records.delivery(aid).due_at, {}),
    ),
    "account_clocks": _listed(records.account_clock, lambda loads, _: loads.account_clocks()),
    "due_sessions": Question(
        lambda aid: [_over(aid)], lambda loads, _: loads.due_sessions(NOW, 10), lambda aid: [_over(aid)]
    ),
    "due_gateway_calls": _listed(records.gateway_call, lambda loads, _: loads.due_gateway_calls(NOW, 10)),
    "due_deliveries": _listed(records.delivery, lambda loads, _: loads.due_deliveries(NOW, 10)),
    "notices_to_tell": _noticed(lambda loads, _: loads.notices_to_tell(10), lambda aid: [records.notice(aid)]),
    "strays": Question(
        lambda aid: [records.attempt(aid)],
        lambda loads, _: loads.strays(),
        lambda aid: [
            Stray(
                "delivery_attempts",
                aid,
                "delivery-1 try 1",
                "its delivery_id is delivery-1, which is not in deliveries",
            )
        ],
    ),
    "versions": Question(
        lambda aid: [*life(aid)[0], records.session(aid)],
        lambda loads, aid: loads.versions([(aid, "session-1"), (aid, "session-2")]),
        lambda aid: {(aid, "session-1"): (records.session(aid).version, _state(aid).order.version)},
    ),
}
"""The reads of the server itself."""


def test_every_load_is_asked_for_and_every_record_is_written_here() -> None:
    every = QUESTIONS | OF_ALL_ACCOUNTS
    loads = {name for name in vars(Loads) if not name.startswith("_")}
    assert set(every) == loads - {"together"}
    assert {type(record) for question in every.values() for record in question.written(ACCOUNT)} == set(
        get_args(Record)
    )


@pytest.mark.parametrize("name", QUESTIONS | OF_ALL_ACCOUNTS)
async def test_what_is_written_is_read_as_it_was(store: Store, name: str) -> None:
    question = (QUESTIONS | OF_ALL_ACCOUNTS)[name]
    await put(store, *question.written(ACCOUNT))
    for read in (store.read, store.glance):
        assert await read(lambda loads: question.ask(loads, ACCOUNT)) == question.expected(ACCOUNT)


@pytest.mark.parametrize("name", QUESTIONS)
async def test_nothing_of_another_account_is_found_by_its_id(store: Store, name: str) -> None:
    question = QUESTIONS[name]
    await put(store, *question.written(OTHER))
    found = await store.read(lambda loads: question.ask(loads, ACCOUNT))
    assert not any(found.values()) if isinstance(found, dict) else not found


@pytest.mark.parametrize("name", QUESTIONS)
async def test_the_same_id_in_two_accounts_names_two_things(store: Store, name: str) -> None:
    question = QUESTIONS[name]
    await put(store, *question.written(ACCOUNT), *question.written(OTHER))
    for account_id in (ACCOUNT, OTHER):
        assert (
            await store.read(lambda loads, account_id=account_id: question.ask(loads, account_id))  # type: ignore[misc]
            == question.expected(account_id)
        )


async def test_a_change_reads_what_a_read_reads(store: Store) -> None:
    await put(store, *life()[0])

    async def decide(loads: Loads) -> tuple[Any, Sequence[Record]]:
        return await loads.order(ACCOUNT, "order-1"), ()

    assert await store.change(decide) == life()[1]


async def test_what_is_not_there_is_none_or_empty(store: Store) -> None:
    for name, question in (QUESTIONS | OF_ALL_ACCOUNTS).items():
        found = await store.read(lambda loads, question=question: question.ask(loads, ACCOUNT))  # type: ignore[misc]
        if isinstance(found, Backlog):
            assert found == Backlog(0, None, {})
        else:
            assert not any(found.values()) if isinstance(found, dict) else not found, name


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcæ. '\"", max_size=5), inner, max_size=4),
    max_leaves=15,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_json)
async def test_whatever_a_merchant_sends_along_comes_back(store: Store, value: Any) -> None:
    draft = records.draft(id=str(uuid.uuid4()), given={"any": value})
    await put(store, draft)
    assert await store.read(lambda loads: loads.draft(ACCOUNT, draft.id)) == draft


# -- clients, grants, keys and secrets


async def test_a_deleted_client_is_found_by_its_id_only_and_its_login_is_free(store: Store) -> None:
    gone = records.client(deleted_at=LATER, deleted_by="somebody")
    await put(store, gone)
    await put(store, records.client(id="client-2"))

    async def query(loads: Loads) -> tuple[Client | None, Client | None, list[Client]]:
        return (
            await loads.client(ACCOUNT, "client-1"),
            await loads.client_by_login(ACCOUNT, "login-1"),
            await loads.clients(ACCOUNT),
        )

    other = records.client(id="client-2")
    assert await store.read(query) == (gone, other, [other])


async def test_clients_and_grants_come_newest_first(store: Store) -> None:
    await put(
        store, *(records.client(id=f"c{n}", client_id=f"l{n}", created_at=NOW.replace(hour=n)) for n in (2, 9, 5))
    )
    await put(store, *(records.grant(id=f"g{n}", created_at=NOW.replace(hour=n)) for n in (2, 9, 5)))

    async def query(loads: Loads) -> tuple[list[Client], list[Grant]]:
        return await loads.clients(ACCOUNT), await loads.grants(ACCOUNT)

    clients, grants = await store.read(query)
    assert [one.id for one in clients] == ["c9", "c5", "c2"]
    assert [one.id for one in grants] == ["g9", "g5", "g2"]


async def test_grants_are_listed_of_one_client_or_of_all_but_not_deleted_ones(store: Store) -> None:
    one, other = records.grant(id="a"), records.grant(id="b", client="client-2")
    await put(store, one, other, records.grant(id="c", deleted_at=NOW))

    async def query(loads: Loads) -> tuple[list[Grant], list[Grant], list[Grant]]:
        return (
            await loads.grants(ACCOUNT),
            await loads.grants(ACCOUNT, "client-2"),
            await loads.grants(ACCOUNT, "client-3"),
        )

    every, second, none = await store.read(query)
    assert {grant.id for grant in every} == {"a", "b"}
    assert (second, none) == ([other], [])


async def test_the_newest_keys_and_secrets_come_first(store: Store) -> None:
    await put(store, *(records.signing_key(kid=f"k{n}", created_at=NOW.replace(hour=n)) for n in (2, 9, 5)))
    await put(store, *(records.signature_secret(id=f"s{n}", created_at=NOW.replace(hour=n)) for n in (2, 9, 5)))
    keys = await store.read(lambda loads: loads.signing_keys())
    assert [key.kid for key in keys] == ["k9", "k5", "k2"]
    secret, *_ = await store.read(lambda loads: loads.signature_secrets(ACCOUNT, 2))
    assert secret is not None
    assert secret.id == "s9"


async def test_a_glance_sees_at_once_that_another_process_ended_a_client(store: Store, second: Store) -> None:
    async def glance() -> Client | None:
        return await store.glance(lambda loads: loads.client(ACCOUNT, "client-1"))

    assert await glance() is None
    await put(store, records.client())
    assert await glance() == records.client()
    changed = records.client(epoch=8, version=2)
    await put(second, changed)
    assert await glance() == changed
    gone = replace(changed, deleted_at=NOW, version=3)
    await put(second, gone)
    assert await glance() == gone


# -- versions


VERSIONED: dict[str, tuple[Callable[..., Any], Callable[[Loads], Awaitable[Any]]]] = {
    "account": (records.account, lambda loads: loads.account(ACCOUNT)),
    "client": (records.client, lambda loads: loads.client(ACCOUNT, "client-1")),
    "grant": (records.grant, lambda loads: loads.grant(ACCOUNT, "grant-1")),
    "profile": (records.profile, lambda loads: loads.profile(ACCOUNT, "default")),
    "stored_answer": (records.stored_answer, lambda loads: loads.stored_answer(ACCOUNT, "answer-1")),
    "account_clock": (records.account_clock, lambda loads: loads.account_clock(ACCOUNT)),
    "draft": (records.draft, lambda loads: loads.draft(ACCOUNT, "draft-1")),
    "session": (records.session, lambda loads: loads.session(ACCOUNT, "session-1")),
    "transaction": (records.transaction, lambda loads: loads.transaction(ACCOUNT, "transaction-1")),
    "gateway_call": (records.gateway_call, lambda loads: loads.gateway_call(ACCOUNT, "transaction-1:capture:1")),
    "delivery": (records.delivery, lambda loads: loads.delivery(ACCOUNT, "delivery-1")),
    "api_key": (records.api_key, lambda loads: loads.api_key(ACCOUNT, "key-1")),
    "subscription": (records.subscription, lambda loads: loads.subscription(ACCOUNT, "subscription-1")),
}
ONLY_ADDED: dict[str, Callable[..., Any]] = {
    "signing_key": records.signing_key,
    "server_secret": records.server_secret,
    "signature_secret": records.signature_secret,
    "attempt": records.attempt,
    "transaction_marks": records.transaction_marks,
}


def test_every_record_either_has_versions_or_is_only_added() -> None:
    made = {type(make()) for make in (*(make for make, _ in VERSIONED.values()), *ONLY_ADDED.values())}
    # A notice is stored once, and only where somebody subscribes to it: see test_notices.
    assert made | {OrderStep, Notice} == set(get_args(Record))


async def _contradicts(store: Store, *written: Record) -> None:
    """Writing this, and something beside it, is refused as a whole."""
    before, after = records.account("T00000001"), records.account("T00000002")
    with pytest.raises(Contradiction):
        await put(store, before, *written, after)

    async def beside(loads: Loads) -> tuple[Account | None, Account | None]:
        return await loads.account(before.id), await loads.account(after.id)

    assert await store.read(beside) == (None, None)


@pytest.mark.parametrize("name", VERSIONED)
async def test_a_version_replaces_exactly_the_one_before_it_and_once(store: Store, name: str) -> None:
    make, ask = VERSIONED[name]
    field = next(field for field in ("updated_at", "created_at", "started_at", "stopped_at") if hasattr(make(), field))
    await _contradicts(store, make(version=2))
    await put(store, make())
    await _contradicts(store, make())
    await _contradicts(store, make(version=3))
    second = make(version=2, **{field: LATER})
    await put(store, second)
    await _contradicts(store, make(version=2))
    await _contradicts(store, make(version=1))
    assert await store.read(ask) == second


@pytest.mark.parametrize("name", VERSIONED)
async def test_a_new_version_changes_nothing_of_another_account(store: Store, name: str) -> None:
    make, ask = VERSIONED[name]
    await put(store, make(), make(OTHER))
    await put(store, make(OTHER, version=2))
    assert await store.read(ask) == make()


@pytest.mark.parametrize("name", ONLY_ADDED)
async def test_what_is_only_added_is_added_once(store: Store, name: str) -> None:
    await put(store, ONLY_ADDED[name]())
    await _contradicts(store, ONLY_ADDED[name]())


async def test_two_clients_that_live_cannot_have_one_login(store: Store) -> None:
    await put(store, records.client())
    await _contradicts(store, records.client(id="client-2"))
