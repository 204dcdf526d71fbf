"""Sessions end when their time is over, also those that nobody looks at any more.

An expired session claims nothing and owes no callback: the wire has no word for it, clients read ``expires_at``. Who is
paying when the time is over may finish; a payer who is away at his bank by then has lost his chance, and what the
gateway says later than that is given back (``settling``).
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from kasse.domain import session as rules
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.operations import payments
from kasse.operations.house import House
from kasse.store.port import Loads, Record

_log = structlog.get_logger()


async def expire_due(house: House, limit: int = 50) -> int:
    """End the sessions whose time is over; answers how many. Several workers may do this side by side."""

    async def decide(loads: Loads) -> tuple[tuple[list[PaymentSession], int], Sequence[Record]]:
        due = await loads.due_sessions(house.clock.now(), limit)
        at_their_bank = [session for session in due if session.status == "paying"]
        over = [
            rules.expired(session, now)
            for session in due
            if session.status == "open"
            and rules.status_at(session, now := house.clock.now(session.account_id)) == "expired"
        ]
        return (at_their_bank, len(over)), over

    at_their_bank, ended = await house.store.change(decide)
    for session in at_their_bank:
        try:
            await payments.start_over(house, session.account_id, session.id)
        except Refusal:
            # Its outcome is not known. That is for the look-up to find out, and then its turn comes again.
            continue
        except Exception as error:
            _log.error("payment_not_given_up", session_id=session.id[:16], exc_info=error)
            continue
        ended += 1
    return ended
