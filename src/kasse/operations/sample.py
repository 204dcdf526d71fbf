"""A sample for the first minute: a test account with a client, an order and an open session."""

from __future__ import annotations

from typing import Any

import msgspec

from kasse.domain import session as rules
from kasse.domain.access import Caller
from kasse.domain.history import OrderState
from kasse.domain.paging import Filters, Page
from kasse.domain.refusals import Refusal
from kasse.domain.session import ChosenItem, PaymentSession, SessionUrl
from kasse.operations import accounts, drafts, sessions
from kasse.operations.house import House
from kasse.operations.sessions import SessionRequest
from kasse.store.port import Loads

ACCOUNT_ID = "T12345678"
SCOPES = ("admin:shopping", "admin:checkout", "admin:accounts")
CURRENCY = "NOK"
ORDER: dict[str, Any] = {
    "currency": CURRENCY,
    "merchant_reference": "sample-1",
    "items": [
        {
            "id": "BL-9",
            "line_id": 1,
            "description": "Wool blanket",
            "quantity": 2,
            "gross_amount": 99800,
            "discount_lines": [{"amount": 9980, "percentage": 10, "discount_type": "periodic"}],
            "tax_lines": [{"amount": 17964, "percentage": 25}],
        },
        {
            "id": "CF-1",
            "line_id": 2,
            "description": "Coffee, 500 g",
            "quantity": 1,
            "gross_amount": 11500,
            "tax_lines": [{"amount": 1500, "percentage": 15}],
        },
        {
            "id": "FR",
            "line_id": 3,
            "description": "Freight",
            "quantity": 1,
            "gross_amount": 7500,
            "tax_lines": [{"amount": 1500, "percentage": 25}],
        },
    ],
}


class Sample(msgspec.Struct, frozen=True):
    """What the first start makes. The secret is known only to whoever keeps this."""

    account_id: str
    client_id: str
    client_secret: str


async def make(house: House) -> Sample:
    """Make the account, unless it is there, and a client of its own."""
    try:
        await accounts.create_account(house, ACCOUNT_ID, "Fjord & Fjell")
    except Refusal as refusal:
        if refusal.reason != "already_exists":
            raise
    client, secret = await accounts.create_client(house, "kasse demo", ACCOUNT_ID, name="Sample", scopes=SCOPES)
    return Sample(ACCOUNT_ID, client.client_id, secret)


async def is_there(house: House, sample: Sample) -> bool:
    """Whether the database still is the one that the sample was made in."""
    found = await house.store.read(lambda loads: loads.client_by_login(sample.account_id, sample.client_id))
    return found is not None


async def open_session(house: House, sample: Sample) -> PaymentSession:
    """The newest session of the sample's newest order if it can still be paid, else a new one."""
    merchant = caller()
    now = house.clock.now(sample.account_id)

    async def query(loads: Loads) -> tuple[OrderState | None, PaymentSession | None]:
        newest = await loads.orders(sample.account_id, Filters(), Page(limit=1))
        if not newest or any(sums.left_to_pay != sums.payable for sums in newest[0].sums.values()):
            return None, None
        found = await loads.sessions_of(sample.account_id, newest[0].order.id, Page(limit=1))
        return newest[0], found[0] if found else None

    state, session = await house.store.read(query)
    if session is not None and rules.status_at(session, now) == "open":
        return session
    if state is None:
        options = {"generate_order_id": "ALPHANUMERIC_9"}
        draft = await drafts.create(house, merchant, ORDER, options)
        [completed] = await drafts.complete(house, merchant, draft.id)
        state = completed.state
    base = house.settings.base_url
    request = SessionRequest(
        items=tuple(ChosenItem(line_id) for line_id in state.lines),
        profile_id="default",
        url=SessionUrl(return_url=f"{base}/demo/returned"),
    )
    return await sessions.open_for_order(house, merchant, state.order.id, request)


def caller() -> Caller:
    """Who acts for the sample's merchant."""
    return Caller(ACCOUNT_ID, "kasse demo", frozenset(SCOPES), "kasse-demo")
