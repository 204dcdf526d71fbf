"""The time: the server's, and that of each test account that has a clock of its own.

Account clocks are kept in the database. A process learns of them with each request and each round of its workers, so
that all of them agree; in between it goes by what it learnt last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from kasse.clock import Clock
from kasse.domain import account_clock as rules
from kasse.domain.access import Caller
from kasse.domain.account_clock import AccountClock
from kasse.domain.refusals import Refusal
from kasse.store.port import Loads, Record, Store

Step = Literal["stop", "move", "start"]


class AccountClocks:
    """A clock that knows the accounts' own ones."""

    def __init__(self, clock: Clock, store: Store) -> None:
        self._clock, self._store = clock, store
        self._known: dict[str, AccountClock] = {}

    def now(self, account_id: str | None = None) -> datetime:
        """The time, in UTC and whole milliseconds, as the account sees it."""
        now = self._clock.now(account_id)
        return rules.time_of(self._known.get(account_id), now) if account_id in self._known else now

    def shown(self, clock: AccountClock | None) -> datetime:
        """The time that an account's clock shows, also one that nobody goes by yet."""
        return rules.time_of(clock, self._clock.now())

    def learn(self, account_id: str, clock: AccountClock | None) -> None:
        """Go by this from now on; None is no clock of its own."""
        if clock is not None:
            self._known[account_id] = clock
        else:
            self._known.pop(account_id, None)

    async def refresh(self, account_id: str) -> None:
        """Learn what an account's clock says now. Production accounts have none."""
        if account_id.startswith("T"):
            self.learn(account_id, await self._store.glance(lambda loads: loads.account_clock(account_id)))

    async def refresh_all(self) -> None:
        found = await self._store.read(lambda loads: loads.account_clocks())
        self._known = {clock.account_id: clock for clock in found}

    async def of(self, caller: Caller) -> AccountClock | None:
        """The clock of the caller's account, if it has one of its own. Raises ``Refusal`` (not_in_production)."""
        _require_test(caller.account_id)
        await self.refresh(caller.account_id)
        return self._known.get(caller.account_id)

    async def change(
        self,
        store: Store,
        caller: Caller,
        step: Step,
        *,
        to: datetime | None = None,
        by: timedelta | None = None,
    ) -> AccountClock:
        """Stop, move or start an account's clock. ``store`` is the request's own.

        ``to`` is the time it shall show, ``by`` how far it shall move.

        Raises ``Refusal``: not_in_production, account_not_found, wrong_value.
        """
        account_id = caller.account_id
        _require_test(account_id)

        async def decide(loads: Loads) -> tuple[AccountClock, Sequence[Record]]:
            if await loads.account(account_id) is None:
                raise Refusal("account_not_found", f"there is no account {account_id}")
            found = await loads.account_clock(account_id)
            before = found or AccountClock(account_id)
            now = self._clock.now(account_id)
            after = before
            if to is not None or by is not None:
                after = rules.moved(after, to or rules.time_of(before, now) + (by or timedelta()), now)
            if step == "stop":
                after = rules.stopped(after, now)
            elif step == "start":
                after = rules.started(after, now)
            if after == found:
                return after, ()
            stored = msgspec.structs.replace(after, version=1 if found is None else found.version + 1)
            return stored, (stored,)

        changed = await store.change(decide)
        self.learn(account_id, changed)
        return changed


def _require_test(account_id: str) -> None:
    if not account_id.startswith("T"):
        raise Refusal("not_in_production", f"expected a test account (T...), got {account_id}")
