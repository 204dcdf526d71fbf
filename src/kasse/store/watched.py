"""A store whose changes are seen by those who look on."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from kasse.domain.refusals import Refusal
from kasse.store.port import Contradiction, Decide, Store, StoreUnavailable
from kasse.watch.port import Watch

T = TypeVar("T")


def watched(store: Store, watch: Watch) -> Store:
    """The store itself when nobody looks on."""
    return cast(Store, _WatchedStore(store, watch)) if watch else store


class _WatchedStore:
    def __init__(self, store: Store, watch: Watch) -> None:
        self._store = store
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def change(self, decide: Decide[T]) -> T:
        with self._watch.step("store_change") as step:
            try:
                result = await self._store.change(decide)
            except Refusal:
                step.outcome = "refused"
                raise
            except Contradiction:
                step.outcome = "contradiction"
                raise
            except StoreUnavailable:
                step.outcome = "unavailable"
                raise
            step.outcome = "done"
            return result
