"""Where a payer's browser goes when he has paid, or has not: to the merchant's page, or to his app.

An app that asks to be the first to see the payer again (``initial_recipient=merchant`` in the ``return_url`` of a
session whose channel is ``in_app``) gets him straight from his bank, when the outcome may not be known yet; it is told
where to ask for it. Source: checkout reference, 6.4.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from kasse.domain.callbacks import return_href, with_parameters
from kasse.domain.session import PaymentSession
from kasse.domain.transaction import Transaction


def app_is_first(channel: object, return_url: str) -> bool:
    query = parse_qsl(urlsplit(return_url).query)
    return channel == "in_app" and ("initial_recipient", "merchant") in query


def payment_return_url(base_url: str, session_id: str, transaction_id: str) -> str:
    """Where the outcome of a payment is asked for: by the payer's browser, or by the app that has him back."""
    return f"{base_url}/v1/sessions/{session_id}/redirect/{transaction_id}"


def from_bank(base_url: str, transaction: Transaction) -> str:
    """Where a payer's bank or wallet sends him when he is done there."""
    ask = payment_return_url(base_url, transaction.session_id, transaction.id)
    return_url = transaction.given.get("url", {}).get("redirect_url", "")
    if not app_is_first(transaction.given.get("channel"), return_url):
        return ask
    known = {"merchant_reference": transaction.merchant_reference, "session_id": transaction.session_id}
    return with_parameters(return_url, [*known.items(), ("payment_return_url", ask)])


def to_merchant(
    base_url: str, session: PaymentSession, transaction_id: str | None, error: str | None, *, asked: bool = False
) -> str:
    """Where the payer goes in the end. An app that has ``asked`` is not told again where to ask."""
    found = return_href(session.url.return_url, session.merchant_reference, transaction_id, error)
    if not app_is_first(session.configuration.get("channel"), session.url.return_url):
        return found
    ask = None
    if session.transaction_id is not None and not asked:
        ask = payment_return_url(base_url, session.id, session.transaction_id)
    return with_parameters(found, [("session_id", session.id), ("payment_return_url", ask)])
