"""Lists of transactions: every filter, pages, and that no list reads the whole table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kasse.domain.paging import Page
from kasse.domain.transaction import Card, Transaction, TransactionEvent
from kasse.domain.transaction_list import MARKS, Range, TransactionFilters, card_marks, last_time, marks
from kasse.store.port import Store
from kasse.store.sqlite import SqliteStore
from kasse.store.transaction_list import transaction_list
from tests.store import records
from tests.store.records import ACCOUNT, NOW, OTHER, put


def event(name: str, after: int) -> TransactionEvent:
    return TransactionEvent("1", name, "CAPTURED", True, 1, NOW + timedelta(seconds=after), "somebody", "request-1")


def transaction(n: int, account_id: str = ACCOUNT, **changes: Any) -> Transaction:
    made = NOW + timedelta(seconds=n // 2)
    one = records.transaction(account_id, id=f"t-{n:02d}", created_at=made, given={}, events=(), card=None)
    return msgspec.structs.replace(one, **changes)


def written(*transactions: Transaction) -> list[Any]:
    found: list[Any] = []
    for each in transactions:
        of_card = card_marks(each)
        found += [each, marks(each), *([of_card] if of_card else [])]
    return found


async def found(store: Store, page: Page | None = None, **filters: Any) -> list[str]:
    chosen = TransactionFilters(**filters)
    listed = await store.read(lambda loads: loads.transactions(ACCOUNT, chosen, page or Page(100)))
    return [each.id for each in listed]


KARI = {
    "customer": {"customer_id": "kari", "email": "Kari@Example.com"},
    "shipping_address": {"first_name": "Kari", "last_name": "Berg", "phone_number": "+4790000000"},
    "store": {"id": "oslo", "terminal_id": "till-1"},
    "metadata": {"payout_correlation_id": "p-1"},
    "payout_destination_id": "seller",
    "merchant_reference_2": "second",
    "channel": "in_app",
}
FILTERS: list[dict[str, Any]] = [
    {"ids": ("t-01", "t-05")},
    {"statuses": ("CAPTURED",)},
    {"session_ids": ("session-7", "session-9")},
    {"merchant_reference_2": "second"},
    *({"search": text} for text in ("t-01", "session-7", "web-1", "second")),
    *({"search": text} for text in ("kari@example.COM", "kari berg", "+4790000000")),
    *(
        {"marks": ((name, (value, "nothing")),)}
        for name, value in {
            **{"merchant_reference": "web-1", "customer_id": "kari", "terminal_id": "till-1"},
            **{"payout_correlation_id": "p-1", "payout_destination_id": "seller", "store_id": "oslo"},
            **{"card_brand": "Amex", "payment_product_type": "swish.swish", "payment_product": "swish"},
            **{"channel": "in_app", "currency": "SEK"},
        }.items()
    ),
    {"amount": Range(77, 77)},
    {"amount": Range(77, 78)},
    {"created_at": Range(NOW + timedelta(seconds=2))},
    {"captured_at": Range(NOW + timedelta(seconds=100))},
    {"captured_at": Range(None, NOW + timedelta(seconds=100))},
    {"refunded_at": Range(NOW + timedelta(seconds=100), NOW + timedelta(seconds=200))},
]


def fits(it: Transaction, filters: TransactionFilters) -> bool:
    """The filters once more, by looking at a transaction."""
    said = marks(it).marks | (of_card.marks if (of_card := card_marks(it)) else frozenset())
    search = filters.search
    plainly = {it.id, it.session_id, it.given.get("merchant_reference_2")}

    def within(value: Any, range: Range) -> bool:
        low, high = range.low, range.high
        return (low is None or (value is not None and value >= low)) and (
            high is None or (value is not None and value <= high)
        )

    return (
        (not filters.ids or it.id in filters.ids)
        and (not filters.statuses or it.status in filters.statuses)
        and (not filters.session_ids or it.session_id in filters.session_ids)
        and filters.merchant_reference_2 in (None, it.given.get("merchant_reference_2"))
        and all(any((name, value) in said for value in values) for name, values in filters.marks)
        and (
            search is None
            or search in plainly
            or bool({("merchant_reference", search), ("token_id", search), ("search", search.lower())} & said)
        )
        and within(it.amount, filters.amount)
        and within(it.created_at, filters.created_at)
        and within(last_time(it, "CAPTURE"), filters.captured_at)
        and within(last_time(it, "REFUND"), filters.refunded_at)
    )


def everything() -> list[Transaction]:
    return [
        transaction(1, given=KARI, status="CAPTURED", merchant_reference="web-1"),
        transaction(2, session_id="session-7", status="REFUNDED"),
        transaction(3, card=Card("Amex", "37******1", "12/2030"), amount=77, given=KARI),
        transaction(4, payment_product_type="swish.swish", currency="SEK", amount=78),
        transaction(5, session_id="session-9", merchant_reference="web-1", events=(event("CAPTURE", 150),)),
        transaction(6, events=(event("CAPTURE", 50), event("REFUND", 120)), status="CAPTURED"),
        transaction(7, events=(event("CAPTURE", 50), event("CAPTURE", 101)), given={"channel": "in_app"}),
        transaction(8, given={"merchant_reference_2": "web-1"}),
    ]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
async def test_transactions_are_found_by_every_filter(store: Store, filters: dict[str, Any]) -> None:
    await put(store, *written(*everything(), *(transaction(n, OTHER, given=KARI) for n in range(9))))
    expected = [each.id for each in reversed(everything()) if fits(each, TransactionFilters(**filters))]
    assert 0 < len(expected) < 8
    assert await found(store, **filters) == expected


async def test_a_list_without_filters_goes_on_page_by_page(store: Store) -> None:
    await put(store, *written(*everything()))
    seen: list[str] = []
    while page := await found(store, Page(3, seen[-1] if seen else None)):
        seen += page
    assert seen == [each.id for each in reversed(everything())]
    assert await found(store, Page(3, "nothing")) == []


def together(chosen: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: value for each in chosen for name, value in each.items()}


filters = st.lists(st.sampled_from(FILTERS), max_size=4).map(together)


async def test_ids_and_a_text_to_search_for_both_count(store: Store) -> None:
    await put(store, *written(*everything()))
    for text, expected in {
        "t-01": ["t-01"],
        "session-9": ["t-05"],
        "web-1": ["t-05", "t-01"],
        "kari berg": ["t-01"],
    }.items():
        assert await found(store, ids=("t-01", "t-05"), search=text) == expected


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chosen=filters, limit=st.integers(1, 4), after=st.none() | st.integers(1, 8))
async def test_several_filters_and_pages_together_say_what_each_says(
    store: Store, chosen: dict[str, Any], limit: int, after: int | None
) -> None:
    if not await found(store):
        await put(store, *written(*everything()))
    wanted = TransactionFilters(**chosen)
    before = [each for each in reversed(everything()) if after is None or each.id < f"t-{after:02d}"]
    expected = [each.id for each in before if fits(each, wanted)]
    page = Page(limit, None if after is None else f"t-{after:02d}")
    assert await found(store, page, **chosen) == expected[:limit]


async def test_a_second_reference_and_a_status_are_found_as_they_are_now(store: Store) -> None:
    first = transaction(1, given={"merchant_reference_2": "before"}, version=1)
    await put(store, *written(first))
    await put(
        store, msgspec.structs.replace(first, given={"merchant_reference_2": "after"}, status="CAPTURED", version=2)
    )
    assert await found(store, merchant_reference_2="before") == []
    assert await found(store, search="after", statuses=("CAPTURED",)) == ["t-01"]
    assert await found(store, statuses=("AUTHORIZED",)) == []


@pytest.mark.parametrize(
    "filters",
    [
        *({"marks": ((name, ("one", "other")),)} for name in MARKS),
        {"statuses": ("CAPTURED", "REFUNDED")},
        {"session_ids": ("a", "b")},
        {"merchant_reference_2": "second"},
        {"search": "something"},
        {"ids": ("a", "b")},
        {},
    ],
    ids=str,
)
def test_every_list_is_read_along_an_index(tmp_path: Any, filters: dict[str, Any]) -> None:
    """Nothing is sorted but the pages of the walks, and nothing is scanned."""
    store = SqliteStore.open(f"{tmp_path}/kasse.db")
    sql, values = transaction_list(TransactionFilters(**filters), Page(10, "t-01"), "?", "?1")
    rows = list(store._front.execute(f"EXPLAIN QUERY PLAN {sql}", (ACCOUNT, *values)))
    plan = [detail for *_, detail in rows]
    scans = [step for step in plan if step.startswith("SCAN") and not step.startswith(("SCAN page", "SCAN walk_"))]
    assert scans in ([], ["SCAN CONSTANT ROW"]), plan
    if "ids" not in filters:
        walks = {id for id, _, _, detail in rows if detail.startswith("CO-ROUTINE walk_")}
        assert walks
        assert not [detail for _, parent, _, detail in rows if parent in walks and "TEMP B-TREE" in detail], plan
