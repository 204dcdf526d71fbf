"""What became of a session's callbacks, and sending one again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kasse.api.routes import READ_CHECKOUT, WRITE_CHECKOUT, Call, Routes
from kasse.domain.callbacks import Attempt
from kasse.domain.times import rfc3339
from kasse.operations import hooks
from kasse.operations.hooks import Callback

routes = Routes("callbacks")

_PATH = "/v1/sessions/{session_id}/callbacks"


class AttemptReply(msgspec.Struct):
    """One try. ``error`` says why there was no answer."""

    number: int
    started_at: str
    duration_ms: int
    status_code: int | None = None
    error: str | None = None


class CallbackReply(msgspec.Struct):
    """A call that is owed or was made; ``id`` is its ``event-delivery``."""

    id: str
    event: str
    method: str
    url: str
    status: str
    created_at: str
    due_at: str
    attempts: list[AttemptReply]


class CallbacksReply(msgspec.Struct):
    callbacks: list[CallbackReply]


@routes("GET", _PATH, "The callbacks of a session, with every attempt", scopes=READ_CHECKOUT, reply=CallbacksReply)
async def callbacks(call: Call) -> Any:
    found = await hooks.callbacks_of(call.house, call.account_id, call.path("session_id"))
    return CallbacksReply([_callback(each) for each in found])


@routes(
    "POST",
    f"{_PATH}/{{delivery_id}}/resend",
    "Make a callback once more, whatever became of it",
    scopes=WRITE_CHECKOUT,
    reply=CallbackReply,
    repeatable=True,
    body_required=False,
    refusals=("session_not_found", "delivery_not_found"),
)
async def resend(call: Call) -> Any:
    return _callback(await hooks.resend(call.house, call.caller, call.path("session_id"), call.path("delivery_id")))


def _callback(each: Callback) -> CallbackReply:
    return CallbackReply(
        id=each.delivery.id,
        event=each.delivery.event,
        method=each.delivery.method,
        url=each.delivery.url,
        status=each.delivery.status,
        created_at=rfc3339(each.delivery.created_at),
        due_at=rfc3339(each.delivery.due_at),
        attempts=attempts_reply(each.attempts),
    )


def attempts_reply(attempts: Sequence[Attempt]) -> list[AttemptReply]:
    return [
        AttemptReply(
            number=attempt.number,
            started_at=rfc3339(attempt.started_at),
            duration_ms=attempt.duration_ms,
            status_code=attempt.status_code,
            error=attempt.error,
        )
        for attempt in attempts
    ]
