"""A session as the payer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from kasse.domain import session as rules
from kasse.domain.callbacks import return_href, with_parameters
from kasse.domain.money import exponent
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.operations import payments
from kasse.operations.house import House
from kasse.operations.orders import load as load_order
from kasse.page.declines import decline_text
from kasse.page.languages import direction, money_text, quantity_text, texts
from kasse.page.view import PageLine, PayView, State
from kasse.store.port import Loads

PAYABLE: frozenset[State] = frozenset({"ready", "declined", "challenge"})
OVER: frozenset[State] = frozenset({"paid", "failed", "cancelled"})
_STATES: dict[str, State] = {
    "line_being_paid": "locked_elsewhere",
    "nothing_left_to_pay": "paid_elsewhere",
    "session_cancelled": "cancelled",
}


@dataclass(frozen=True)
class Seen:
    """What there is to show: a state, and where the payer's bank waits for him if it does."""

    session: PaymentSession
    state: State
    merchant_name: str
    action_url: str | None = None

    @property
    def href(self) -> str | None:
        """Where the payer goes on to, once it is over."""
        session = self.session
        if self.state == "paid":
            error = "capture" if session.last_error == "capture" else None
            return return_href(session.url.return_url, session.merchant_reference, session.transaction_id, error)
        if self.state == "failed":
            return return_href(session.url.return_url, session.merchant_reference, None, "failed")
        if self.state in ("cancelled", "expired", "locked_elsewhere", "paid_elsewhere"):
            return return_href(session.url.return_url, session.merchant_reference, None, "cancelled")
        return None


async def see(house: House, account_id: str, session_id: str) -> Seen:
    """Raises ``Refusal`` (session_not_found)."""

    async def query(loads: Loads) -> tuple[PaymentSession, str, Refusal | None]:
        session = await loads.session(account_id, session_id)
        account = await loads.account(account_id)
        if session is None or account is None:
            raise Refusal("session_not_found", "there is no such session")
        return session, account.name, await _in_the_way(loads, session)

    session, name, refusal = await house.store.glance(query)
    merchant = session.given.get("merchant")
    if isinstance(merchant, dict) and isinstance(merchant.get("name"), str):
        name = merchant["name"]
    status = rules.status_at(session, house.clock.now(account_id))
    if status == "paying":
        call = await payments.look_at_payment(house, session)
        if call is not None and call.state == "waiting_for_payer":
            return Seen(session, "challenge", name, call.action_url)
        return Seen(session, "waiting", name)
    if status == "on_hold":
        # For the payer it is over: whoever looks at his payment tells the merchant (checkout reference, 6.4).
        return Seen(session, "paid", name)
    if status != "open":
        return Seen(session, status, name)
    if refusal is not None:
        return Seen(session, _STATES.get(refusal.reason, "unavailable"), name)
    return Seen(session, "declined" if session.last_error else "ready", name)


async def _in_the_way(loads: Loads, session: PaymentSession) -> Refusal | None:
    """Why the session's lines cannot be paid now: they are paid, or being paid, somewhere else, or gone."""
    if session.status != "open":
        return None
    try:
        rules.require_shipping(session)
        if session.order is None:
            return None
        state = await load_order(loads, session.account_id, session.order, {item.line_id for item in session.items})
        rules.require_current(session, state.order)
        rules.check_claim(state, session.items)
    except Refusal as refusal:
        return refusal
    return None


def pay_view(
    house: House,
    seen: Seen,
    language: str,
    field_errors: Mapping[str, str] | None = None,
    entered: Mapping[str, str] | None = None,
) -> PayView:
    """The page of a session in its state."""
    session = seen.session
    now = house.clock.now(session.account_id)
    payable = seen.state in PAYABLE
    query = f"?language={quote(language)}"
    base = f"/v1/view/{session.id}"
    return PayView(
        session_id=session.id,
        state=seen.state,
        language=language,
        direction=direction(language),
        texts=texts(language),
        merchant_name=seen.merchant_name,
        merchant_logo_url=_logo(session.given.get("merchant")),
        terms_url=session.url.merchant_terms_url,
        lines=tuple(_line(item, session.currency, language) for item in _items(session)),
        total_text=money(session.amount, session.currency, language),
        currency=session.currency,
        is_test=session.account_id.startswith("T"),
        message=decline_text(session.last_error, language) if seen.state == "declined" else None,
        field_errors=field_errors or {},
        entered=entered or {},
        this_month=f"{now:%Y-%m}",
        return_href=seen.href,
        pay_action=f"{base}/pay{query}" if payable else None,
        cancel_action=f"{base}/cancel{query}" if payable else None,
        poll_url=f"{base}/state" if seen.state in ("waiting", "locked_elsewhere") else None,
        challenge_url=seen.action_url and in_language(house, seen.action_url, language),
    )


def in_language(house: House, url: str, language: str) -> str:
    """Take the payer's language along, where the next page is ours; a bank's address stays as it is."""
    own = url.startswith(f"{house.settings.base_url}/")
    return with_parameters(url, [("language", language)]) if own else url


def money(amount: int, currency: str, language: str) -> str:
    return money_text(amount, currency, exponent(currency), language)


def _items(session: PaymentSession) -> list[Mapping[str, Any]]:
    order = session.checkout_order
    shipping = order.get("shipping_option")
    return [*(order.get("items") or ()), *([shipping] if shipping else [])]


def _line(item: Mapping[str, Any], currency: str, language: str) -> PageLine:
    description = item.get("description") or item.get("title") or item.get("id") or item.get("line_id")
    quantity = item.get("quantity", 1)
    return PageLine(
        str(description), quantity_text(Decimal(str(quantity)), language), money(item["amount"], currency, language)
    )


def _logo(merchant: Any) -> str | None:
    url = merchant.get("logo_url") if isinstance(merchant, dict) else None
    return url if isinstance(url, str) and url.startswith("https://") else None
