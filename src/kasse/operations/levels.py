"""How much waits to be done, for those who look on."""

from __future__ import annotations

from typing import get_args

from kasse.domain.transaction import CallState
from kasse.operations.house import House


async def tell(house: House) -> None:
    """Tell those who look on what is in the outbox, and which gateway calls have no outcome."""
    backlog = await house.store.read(lambda loads: loads.backlog())
    overdue = 0.0
    if backlog.due_first is not None:
        overdue = max(0.0, (house.clock.now() - backlog.due_first).total_seconds())
    house.watch.level("outbox_waiting", backlog.waiting)
    house.watch.level("outbox_overdue_seconds", overdue)
    for state in get_args(CallState):
        if state != "done":
            house.watch.level("gateway_calls_open", backlog.open_calls.get(state, 0), state=state)
