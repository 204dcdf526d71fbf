"""What test accounts have besides: paying without a browser, and a clock of their own."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from kasse.api.fields import JsonObject
from kasse.api.routes import Call, Routes
from kasse.api.wire import Text, Time
from kasse.domain.access import Caller
from kasse.domain.account_clock import AccountClock
from kasse.domain.profile import CARD
from kasse.domain.refusals import Refusal
from kasse.domain.times import rfc3339
from kasse.gateways.port import CardDetails, CardRefused
from kasse.operations import payments
from kasse.operations.clocks import Step
from kasse.operations.expiry import expire_due
from kasse.operations.house import House
from kasse.operations.settling import Settled

routes = Routes("sandbox")
DEFAULT_CARD = "4000000000000002"


class Pay(msgspec.Struct):
    """A way to pay; by card, a test card's number, and without one a card that is approved at once."""

    card: str = DEFAULT_CARD
    payment_product_type: Text = CARD


class PayReply(msgspec.Struct):
    """``status`` is the transaction's; ``error`` says why it was declined, or null. ``action_url`` is where the payer
    has to confirm the payment first, such as 3-D Secure."""

    transaction_id: str
    status: str
    error: JsonObject | None
    action_url: str | None = None


@routes(
    "POST",
    "/v1/accounts/{aid}/sandbox/sessions/{session_id}/pay",
    "Pay a session with a test card",
    scopes=("admin:checkout",),
    body=Pay,
    body_required=False,
    secret_body=True,
    reply=PayReply,
)
async def pay(call: Call) -> Any:
    body: Pay = call.body
    return pay_reply(
        await pay_session(call.house, call.caller, call.path("session_id"), body.card, body.payment_product_type)
    )


async def pay_session(house: House, caller: Caller, session_id: str, card: str, method: str = CARD) -> Settled:
    """Go the way that the page's payment goes, with a card that never expires.

    Raises ``Refusal``: not_in_production, card_refused, and what paying raises.
    """
    if not caller.account_id.startswith("T"):
        raise Refusal("not_in_production", f"expected a test account (T...), got {caller.account_id}")
    number = card.replace(" ", "")
    expiry = house.clock.now(caller.account_id).year + 3
    try:
        return await payments.pay(house, caller, session_id, method, CardDetails(number, f"12/{expiry}", "123"))
    except CardRefused as refused:
        raise Refusal("card_refused", refused.message, path="/card") from None


def pay_reply(settled: Settled) -> PayReply:
    error = None
    if settled.error is not None:
        error = {
            "message": settled.error.message,
            "type": list(settled.error.type),
            **({"code": settled.error.code} if settled.error.code else {}),
        }
    waiting = settled.call.state == "waiting_for_payer"
    return PayReply(
        transaction_id=settled.transaction.id,
        status=settled.transaction.status,
        error=error,
        action_url=settled.call.action_url if waiting else None,
    )


# -- the account's clock

_CLOCK = "/v1/accounts/{aid}/sandbox/clock"
_LONGEST_STEP_S = 10 * 366 * 86400


class StopClock(msgspec.Struct):
    """``at`` is the time to stand still at; without it, the time it is now."""

    at: Time | None = None


class MoveClock(msgspec.Struct):
    """One of both: ``to`` is the time to show, ``by`` how many seconds to go on, or back where it is negative."""

    to: Annotated[Time, Meta(examples=["2026-02-04T09:00:00Z"])] | None = None
    by: Annotated[int, Meta(ge=-_LONGEST_STEP_S, le=_LONGEST_STEP_S)] | None = None


class ClockReply(msgspec.Struct):
    """What time it is for the account, and whether its clock stands still."""

    now: str
    stopped: bool


def _clock_reply(call: Call, clock: AccountClock | None) -> ClockReply:
    return ClockReply(rfc3339(call.house.clock.shown(clock)), clock is not None and clock.stopped_at is not None)


@routes("GET", _CLOCK, "What time it is for the account", scopes=("admin:checkout",), reply=ClockReply)
async def get_clock(call: Call) -> Any:
    return _clock_reply(call, await call.house.clock.of(call.caller))


@routes(
    "POST",
    f"{_CLOCK}/stop",
    "Stop the account's clock",
    scopes=("admin:checkout",),
    body=StopClock,
    body_required=False,
    reply=ClockReply,
    renders=AccountClock,
    render=_clock_reply,
)
async def stop_clock(call: Call) -> AccountClock:
    return await _set_clock(call, "stop", to=call.body.at)


@routes(
    "POST",
    f"{_CLOCK}/move",
    "Move the account's clock; what is over then has ended when the answer comes",
    scopes=("admin:checkout",),
    body=MoveClock,
    reply=ClockReply,
    renders=AccountClock,
    render=_clock_reply,
)
async def move_clock(call: Call) -> AccountClock:
    body: MoveClock = call.body
    if (body.to is None) == (body.by is None):
        raise Refusal("missing_field", "expected one of to and by, got both or none", path="/to")
    return await _set_clock(call, "move", to=body.to, by=None if body.by is None else timedelta(seconds=body.by))


@routes(
    "POST",
    f"{_CLOCK}/start",
    "Let the account's clock go on from the time that it shows",
    scopes=("admin:checkout",),
    reply=ClockReply,
    renders=AccountClock,
    render=_clock_reply,
)
async def start_clock(call: Call) -> AccountClock:
    return await _set_clock(call, "start")


async def _set_clock(call: Call, step: Step, **how: Any) -> AccountClock:
    changed = await call.house.clock.change(call.house.store, call.caller, step, **how)
    while await expire_due(call.house):
        pass
    return changed
