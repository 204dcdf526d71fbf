"""What test accounts have besides: paying without a browser."""

from __future__ import annotations

from typing import Any

import msgspec

from kasse.api.fields import JsonObject
from kasse.api.routes import Call, Routes
from kasse.api.wire import Text
from kasse.domain.access import Caller
from kasse.domain.profile import CARD
from kasse.domain.refusals import Refusal
from kasse.gateways.port import CardDetails, CardRefused
from kasse.operations import payments
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
