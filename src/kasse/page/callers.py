"""Who asks: a payer has no account of his own, the id in his address names the merchant's."""

from __future__ import annotations

from starlette.requests import Request

from kasse.domain.access import ACCOUNT_ID, Caller, RequestNote, origin
from kasse.domain.refusals import Refusal
from kasse.operations import payments, sessions


def account_in(id: str) -> str:
    """The account that a session or transaction id names. Raises ``Refusal`` (session_not_found)."""
    account_id = sessions.account_of(id)
    if not ACCOUNT_ID.fullmatch(account_id):
        raise Refusal("session_not_found", "there is no such session")
    return account_id


def payer(request: Request, session_id: str) -> Caller:
    # The body is left out of the note on purpose: it holds a card.
    note = RequestNote(request.method, request.url.path)
    came_from = origin(request.headers, request.client.host if request.client else None)
    return Caller(
        account_in(session_id), payments.PAYER, frozenset(), request.scope["request_id"], note, origin=came_from
    )
