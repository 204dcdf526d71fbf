"""Questions to merchants' servers while a payer waits: asked once, never again, and an answer in time or none.

Source: checkout reference, section 10.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import structlog

from kasse.clock import Clock
from kasse.delivery.keys import question_headers
from kasse.delivery.outgoing import CallFailed, Outgoing, Reply
from kasse.domain.callbacks import as_sent
from kasse.domain.express import callback_failed
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession

LARGEST_ANSWER = 1024 * 1024
AT_ONCE = 64
_log = structlog.get_logger()


class Questions:
    """Asks about a session, which ``describe`` writes down as JSON; ``parse`` reads the JSON of an answer.

    ``allow_private`` says of an account whether its calls may go to addresses that are not public. Questions are signed
    as callbacks are; ``secrets`` tells the good ones of an account. While there are two, a question that is turned down
    with a 4xx is asked once more, signed with the other.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        describe: Callable[[PaymentSession], bytes],
        parse: Callable[[bytes], Any],
        allow_private: Callable[[str], bool],
        secrets: Callable[[str, datetime], Awaitable[tuple[str, ...]]],
        clock: Clock,
        timeout_s: float,
    ) -> None:
        self._outgoing = outgoing
        self._describe = describe
        self._parse = parse
        self._allow_private = allow_private
        self._secrets = secrets
        self._clock = clock
        self._timeout_s = timeout_s
        self._under_way = 0

    async def ask(self, session: PaymentSession, url: str) -> Any:
        """POST the session, as it would be, to the merchant's address; answers the JSON of a 200.

        Raises ``Refusal``: callback_failed (any other status, no answer, no connection, no JSON), unavailable (payers
        of too many sessions wait already).
        """
        try:
            return self._parse(await self._call(session, as_sent(url)))
        except CallFailed as failure:
            why = failure.reason
        except Refusal as refusal:
            if refusal.reason == "unavailable":
                raise
            why = refusal.message
        _log.warning("merchant_did_not_answer", account_id=session.account_id, reason=why)
        raise callback_failed(why)

    async def _call(self, session: PaymentSession, url: str) -> bytes:
        if self._under_way >= AT_ONCE:
            raise Refusal(
                "unavailable", "too many merchants are being asked right now, try again", headers={"Retry-After": "2"}
            )
        self._under_way += 1
        try:
            reply = await self._signed(session, url)
        finally:
            self._under_way -= 1
        if reply.status_code != 200:
            raise CallFailed(f"its status is {reply.status_code}")
        return reply.body

    async def _signed(self, session: PaymentSession, url: str) -> Reply:
        now, id, body = self._clock.now(), str(uuid.uuid4()), self._describe(session)
        secrets = await self._secrets(session.account_id, now)
        turn, turns = 0, max(1, len(secrets))
        while True:
            timestamp = int(now.timestamp())
            reply = await self._outgoing.call(
                "POST",
                url,
                {
                    "Content-Type": "application/json; charset=utf-8",
                    "Accept": "application/json",
                    **question_headers(session.account_id, id, url, body, secrets, turn, timestamp),
                },
                body,
                allow_private=self._allow_private(session.account_id),
                timeout_s=self._timeout_s,
                keep=LARGEST_ANSWER,
            )
            turn += 1
            if turn == turns or not 400 <= reply.status_code < 500:
                return reply
