"""The transaction of a payment that starts, with what it takes along of its session.

Source: checkout reference, 6.1 and section 7.
"""

from __future__ import annotations

from typing import Any

from kasse.domain.access import Caller
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import Transaction
from kasse.operations.house import House

_OF_THE_ORDER = (
    *("merchant_reference_2", "shipping_address", "billing_address", "store", "event_reference", "partial_payment"),
    *("payout_destination_id", "gift_cards", "discount_lines", "discount_codes", "vat_amount"),
)
_OF_THE_SESSION = ("customer", "checkboxes")
_OF_THE_MERCHANT = {
    "name": "merchant_name",
    "country": "merchant_country",
    "merchant_category_code": "merchant_category_code",
}


def new_transaction(house: House, caller: Caller, session: PaymentSession, method: str, gateway: str) -> Transaction:
    """All as it is in the session now: what is changed there later changes nothing here."""
    order = session.checkout_order
    now = house.clock.now(session.account_id)
    shipping = order.get("shipping_option")
    items = tuple(order.get("items") or ())
    if shipping:
        # The chosen shipping is charged like an item and shown as one (checkout reference, 6.1).
        items += ({**shipping, "quantity": shipping.get("quantity", 1)},)
    return Transaction(
        account_id=session.account_id,
        id=house.ids.checkout_id(session.account_id),
        session_id=session.id,
        gateway=gateway,
        amount=session.amount,
        currency=session.currency,
        payment_product_type=method,
        merchant_reference=session.merchant_reference,
        created_at=now,
        updated_at=now,
        order=session.order,
        order_id=session.order_id,
        items=items,
        lines=session.items,
        shipping_option=shipping,
        given=_given(caller, session, gateway),
        auto_capture=session.configuration.get("auto_capture") is True,
    )


def _given(caller: Caller, session: PaymentSession, gateway: str) -> dict[str, Any]:
    """The fields of the wire that the house does not act on."""
    channel = session.configuration.get("channel")
    found: dict[str, Any] = {name: session.checkout_order.get(name) for name in _OF_THE_ORDER}
    found |= {name: session.given.get(name) for name in _OF_THE_SESSION}
    merchant = session.given.get("merchant")
    found |= {
        "channel": channel if isinstance(channel, str) else "ecommerce",
        "customer_ip": caller.origin.ip,
        "user_agent": caller.origin.headers.get("user-agent"),
        "initiating_system_request_headers": session.request_headers or None,
        "url": _without_none({"redirect_url": session.url.return_url, "callback_url": session.url.callback_url}),
        "platform_type": merchant.get("platform_type") if isinstance(merchant, dict) else None,
        "metadata": _metadata(session, gateway),
    }
    return _without_none(found)


def _without_none(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}


def _metadata(session: PaymentSession, gateway: str) -> dict[str, Any]:
    own = session.given.get("metadata")
    merchant = session.given.get("merchant")
    found = dict(own) if isinstance(own, dict) else {}
    for name, told in _OF_THE_MERCHANT.items():
        if isinstance(merchant, dict) and merchant.get(name) is not None:
            found[told] = merchant[name]
    if session.checkout_order.get("event_reference") is not None:
        found["event_reference"] = session.checkout_order["event_reference"]
    if session.profile_id:
        found["session:profile_id"] = session.profile_id
    return {**found, "gateway:id": gateway}
