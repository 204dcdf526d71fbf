"""The store of the simulation keeps the contract that the engines keep."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kasse.store.port import Store
from tests.simulation.store import MemoryStore
from tests.store.test_book import *  # noqa: F403
from tests.store.test_changes import *  # noqa: F403
from tests.store.test_due import *  # noqa: F403
from tests.store.test_lists import *  # noqa: F403
from tests.store.test_orders import *  # noqa: F403
from tests.store.test_records import *  # noqa: F403
from tests.store.test_strays import *  # noqa: F403

# These open the database by its URL, and a store in memory has none.
del test_closing_finishes_the_changes_that_wait  # noqa: F821
del test_what_is_filed_where_nobody_looks_for_it_is_named  # noqa: F821
del test_a_store_that_is_closed_says_so_and_may_be_closed_again  # noqa: F821


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    made = MemoryStore()
    yield made
    await made.close()


@pytest.fixture
async def second(store: Store) -> Store:
    """There is only one connection: another process sees the same."""
    return store
