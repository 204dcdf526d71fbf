"""A merchant changes a session before it is paid. Source: checkout reference, sections 3.7 and 6.2."""

from __future__ import annotations

from collections.abc import Sequence

from kasse.domain import session as session_rules
from kasse.domain import session_update as rules
from kasse.domain.access import Caller
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession, SessionEvent
from kasse.domain.session_update import Update
from kasse.operations import sessions
from kasse.operations.express import TRIES, asked
from kasse.operations.house import House
from kasse.operations.merchant_urls import require_session_urls
from kasse.store.port import Loads, Record


async def update(
    house: House,
    caller: Caller,
    session_id: str,
    change: Update,
    *,
    without_lock: bool = False,
    remove_lock: bool = True,
    force_callback: bool = False,
) -> PaymentSession:
    """Change a session that is locked, or any that is open with ``without_lock``; ``remove_lock`` lets the payer go on.

    The merchant's server is asked for the shipping where he has not said what it may be, or with ``force_callback``.
    Raises ``Refusal``: session_not_found, wrong_state (not locked), session_paid, session_being_paid,
    session_cancelled, session_expired, callback_failed, bad_url, and what ``session_update.updated`` raises.
    """
    require_session_urls(house, caller.account_id, None, change.express)
    for _ in range(TRIES):
        before = await sessions.get(house, caller.account_id, session_id)
        _require_changeable(house, before, without_lock)
        wished = rules.updated(before, change)
        url = rules.needs_callback(wished, change, force=force_callback)
        after = wished if url is None else await asked(house, wished, url, discount=False)
        stored = await _store(house, caller, before, after, without_lock=without_lock, remove_lock=remove_lock)
        if stored is not None:
            return stored
    raise Refusal("session_changed", f"session {session_id} was changed by others all the while, try again")


def _require_changeable(house: House, session: PaymentSession, without_lock: bool) -> None:
    now = house.clock.now(session.account_id)
    session_rules.require_open(session, now)
    if not without_lock and session_rules.lock_at(session, now) is None:
        raise Refusal(
            "wrong_state",
            f"expected a session that is locked, or update_without_lock=true; session {session.id} is not locked",
        )


async def _store(
    house: House,
    caller: Caller,
    before: PaymentSession,
    after: PaymentSession,
    *,
    without_lock: bool,
    remove_lock: bool,
) -> PaymentSession | None:
    """Store an update unless the session is another one by now; then None."""

    async def decide(loads: Loads) -> tuple[PaymentSession | None, Sequence[Record]]:
        now = house.clock.now(caller.account_id)
        found = await sessions.load(loads, caller.account_id, before.id)
        if found.version != before.version:
            return None, ()
        _require_changeable(house, found, without_lock)
        event = sessions.event_by(house, caller, "UPDATE_SESSION", now, **rules.details(before, after))
        changed, ended = after, tuple[SessionEvent, ...]()
        if remove_lock:
            changed, ended = sessions.lock_ended(house, caller, after, now)
        noted = rules.without_old_copies(session_rules.note(changed, event, *ended))
        return noted, (noted,)

    return await house.store.change(decide)
