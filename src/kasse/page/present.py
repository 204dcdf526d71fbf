"""A session as the payer sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec

from kasse.domain import session as rules
from kasse.domain.callbacks import with_parameters
from kasse.domain.express import CORRECTION
from kasse.domain.refusals import Refusal
from kasse.domain.return_links import to_merchant
from kasse.domain.session import PaymentSession
from kasse.operations import payments
from kasse.operations.house import House
from kasse.operations.orders import load as load_order
from kasse.page.declines import decline_text
from kasse.page.express_view import Trouble, express_view, step_of
from kasse.page.framing import frame_ancestors
from kasse.page.languages import direction, money, quantity_text, texts
from kasse.page.methods import method_views, offered_types
from kasse.page.theme import theme_css
from kasse.page.view import PageLine, PayView, State, language_links, page_data
from kasse.page.visit import POP_OUT_LAUNCHER, Visit
from kasse.store.port import Loads

PAYABLE: frozenset[State] = frozenset({"ready", "declined", "challenge"})
OVER: frozenset[State] = frozenset({"paid", "failed", "cancelled"})
EXPRESS: frozenset[State] = frozenset({"express", "ready", "declined"})
_LASTING: frozenset[State] = OVER | {"expired", "paid_elsewhere"}
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
    base_url: str = ""

    @property
    def frame_ancestors(self) -> str:
        session = self.session
        return frame_ancestors(session.account_id, session.url.return_url, session.configuration)

    @property
    def final_message(self) -> dict[str, Any] | None:
        """What a shop's script is told once it is over. Source: page reference, section 7."""
        session = self.session
        if self.state == "cancelled":
            return {"type": "SessionCancel", "href": self.href}
        if self.state == "failed":
            return {"type": "SessionPaymentError", "error": "failed", "href": self.href}
        if self.state != "paid":
            return None
        return {
            "type": "SessionPaymentOnHold" if session.status == "on_hold" else "SessionPaymentAuthorized",
            "transaction_id": session.transaction_id,
            "merchant_reference": session.merchant_reference,
            "href": self.href,
        }

    @property
    def href(self) -> str | None:
        """Where the payer goes on to, once it is over."""
        session = self.session
        if self.state == "paid":
            return to_merchant(self.base_url, session, session.transaction_id, session.capture_error)
        if self.state in ("failed", "unavailable"):
            return to_merchant(self.base_url, session, None, "failed")
        if self.state in ("cancelled", "expired", "locked_elsewhere", "paid_elsewhere"):
            return to_merchant(self.base_url, session, None, "cancelled")
        return None


async def see(house: House, account_id: str, session_id: str) -> Seen:
    """Raises ``Refusal`` (session_not_found)."""
    return replace(await _look(house, account_id, session_id), base_url=house.settings.base_url)


async def _look(house: House, account_id: str, session_id: str) -> Seen:
    async def query(loads: Loads) -> tuple[PaymentSession, str, Refusal | None]:
        session, account = await loads.together(loads.session(account_id, session_id), loads.account(account_id))
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
    if step_of(session) is not None:
        return Seen(session, "express", name)
    if not offered_types(house, session):
        return Seen(session, "unavailable", name)
    return Seen(session, "declined" if session.last_error else "ready", name)


async def _in_the_way(loads: Loads, session: PaymentSession) -> Refusal | None:
    """Why the session's lines cannot be paid now: they are paid, or being paid, somewhere else, or gone."""
    if session.status != "open":
        return None
    try:
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
    visit: Visit,
    field_errors: Mapping[str, str] | None = None,
    entered: Mapping[str, str] | None = None,
    trouble: Trouble | None = None,
) -> PayView:
    """The page of a session in its state. ``trouble`` is what came of a step of express that was not taken."""
    session, language = seen.session, visit.language
    now = house.clock.now(session.account_id)
    payable = seen.state in PAYABLE
    base = f"/v1/view/{quote(session.id)}"
    own = seen.action_url is None or is_own(house, seen.action_url)
    words, total = texts(language), money(session.amount, session.currency, language)
    return PayView(
        session_id=session.id,
        state="loading" if visit.loading and seen.state in PAYABLE | EXPRESS else seen.state,
        language=language,
        direction=direction(language),
        texts=words,
        merchant_name=seen.merchant_name,
        merchant_logo_url=_logo(session.given.get("merchant")),
        terms_url=session.url.merchant_terms_url,
        lines=tuple(_line(item, session.currency, language, words) for item in _items(session)),
        total_text=total,
        amount=session.amount,
        currency=session.currency,
        is_test=session.account_id.startswith("T"),
        message=decline_text(session.last_error, language) if seen.state == "declined" else None,
        field_errors=field_errors or {},
        entered=entered or {},
        this_month=f"{now:%Y-%m}",
        return_href=seen.href,
        pay_action=f"{base}/pay?{visit.query}" if payable else None,
        cancel_action=f"{base}/cancel?{visit.query}" if payable or seen.state == "express" else None,
        methods=method_views(house, session, words, total, _last_method(session)) if payable else (),
        express=express_view(session, visit, words, trouble) if seen.state in EXPRESS else None,
        theme_href=theme_href(session),
        challenge_url=seen.action_url and along(house, seen.action_url, visit),
        leaves_frame=visit.inline and not own,
        locked=rules.lock_at(session, now) is not None,
        data=_data(seen, visit, now),
        inline=visit.inline,
        embedded=visit.embedded,
        launcher=visit.role == POP_OUT_LAUNCHER and (payable or seen.state == "express"),
        languages=() if visit.loading else language_links(base, visit),
        hides_test=visit.asks("hide_test_message"),
        frame_ancestors=seen.frame_ancestors,
    )


def _last_method(session: PaymentSession) -> str | None:
    """What the payer has tried last."""
    tried = (each.details for each in reversed(session.events) if each.name == "ADD_PAYMENT_INFORMATION")
    return next((str(details.get("payment_product_type")) for details in tried), None)


def theme_href(session: PaymentSession) -> str | None:
    """Where the browser finds the merchant's colours; the name changes with them, so the answer may be kept."""
    css = theme_css(session.configuration.get("theme"))
    if not css:
        return None
    return f"/v1/view/{quote(session.id)}/theme.css?{hashlib.sha256(css.encode()).hexdigest()[:16]}"


def _data(seen: Seen, visit: Visit, now: datetime) -> dict[str, str]:
    """What the script has to know, as ``data-`` attributes of the body."""
    base = f"/v1/view/{quote(seen.session.id)}"
    data = {"view": f"{base}?{visit.query}", "version": str(seen.session.version)}
    if seen.state not in _LASTING:
        data["watch"] = base
    if rules.lock_at(seen.session, now) is not None:
        data["locked"] = "true"
    if not visit.embedded:
        return data
    data |= page_data(visit, seen.session.id)
    final = seen.final_message
    if final is not None:
        data["final"] = msgspec.json.encode(final).decode()
    elif visit.loading:
        data["loading"] = "true"
    elif seen.state != "expired":
        data["session"] = f"{base}/session"
    if visit.role == POP_OUT_LAUNCHER:
        data["inline-view"] = f"{base}?{_without_role(visit).query}"
    if visit.asks("client_side_validation") and not visit.role:
        data["validate"] = "true"
    if visit.asks("client_side_address_callback"):
        data["address-callback"] = "true"
    return data


def _without_role(visit: Visit) -> Visit:
    asked = {name: value for name, value in visit.asked.items() if name != "role"}
    return replace(visit, asked={"ui": "inline", **asked})


def along(house: House, url: str, visit: Visit) -> str:
    """Take what the visit carries along, where the next page is ours; a bank's address stays as it is."""
    return with_parameters(url, [("language", visit.language), *visit.asked.items()]) if is_own(house, url) else url


def is_own(house: House, url: str) -> bool:
    return url.startswith(f"{house.settings.base_url}/")


def _items(session: PaymentSession) -> list[Mapping[str, Any]]:
    order = session.checkout_order
    shipping = order.get("shipping_option")
    chosen = [{**shipping, "description": shipping.get("title")}] if shipping else []
    return [*(order.get("items") or ()), *chosen]


def _line(item: Mapping[str, Any], currency: str, language: str, words: Mapping[str, str]) -> PageLine:
    description = item.get("description") or item.get("title") or item.get("id") or item.get("line_id")
    if str(item.get("id") or "").startswith(CORRECTION):
        description = words["express_correction"]
    quantity = item.get("quantity") or 1
    return PageLine(
        str(description), quantity_text(Decimal(str(quantity)), language), money(item["amount"], currency, language)
    )


def _logo(merchant: Any) -> str | None:
    url = merchant.get("logo_url") if isinstance(merchant, dict) else None
    return url if isinstance(url, str) and url.startswith("https://") else None
