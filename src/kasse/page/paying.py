"""Paying, giving up and coming back from the bank: plain forms and links. Source: checkout reference, section 6."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from kasse.domain.access import Caller
from kasse.domain.profile import CARD
from kasse.domain.refusals import Refusal
from kasse.domain.return_links import app_is_first, to_merchant
from kasse.domain.session import PaymentSession
from kasse.gateways.port import CardDetails, CardRefused
from kasse.operations import payments, transactions
from kasse.operations.house import House
from kasse.operations.settling import Settled
from kasse.page import answers
from kasse.page.callers import account_in, payer
from kasse.page.forms import read_form
from kasse.page.languages import texts
from kasse.page.present import OVER, PAYABLE, along, is_own, pay_view, see

_TRIES = 3
_FIELDS = {"number": "card_number", "expiry": "card_expiry", "cvc": "card_cvc"}
_MISTAKES = {
    ("number", "incomplete"): "error_number_incomplete",
    ("number", "check_digits"): "error_number_check",
    ("number", "not_a_test_card"): "error_number_test_only",
    ("expiry", "incomplete"): "error_expiry_missing",
    ("expiry", "expired"): "error_expired",
    ("cvc", "incomplete"): "error_cvc",
}


async def pay(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    form = await read_form(request)
    method = form.get("payment_product_type", CARD)
    card = _card(form)
    caller = payer(request, session_id)
    try:
        payments.check_card(house, caller.account_id, method, card)
        settled = await _pay_what_was_shown(house, caller, session_id, method, card, form.get("amount"))
    except CardRefused as refused:
        return await _show_mistake(house, request, session_id, refused, form)
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        if refusal.reason == "session_changed":
            return await _show_change(house, request, session_id)
        # The page itself says what stands in the way.
        return answers.to_view(request, session_id)
    url = settled.call.action_url
    if settled.call.state == "waiting_for_payer" and url:
        visit = answers.visit_of(request)
        if is_own(house, url) or not visit.inline:
            response = RedirectResponse(along(house, url, visit), 303)
            if visit.embedded and not is_own(house, url):
                answers.remember(response, visit, session_id, house.settings.base_url.startswith("https:"))
            return response
    return await _send_on(house, request, session_id)


async def _pay_what_was_shown(
    house: House, caller: Caller, session_id: str, method: str, card: CardDetails, shown: str | None
) -> Settled:
    """Pay, unless it is another amount by now than the page has shown: then session_changed is raised."""
    for _ in range(_TRIES):
        session = await payments.start_over(house, caller.account_id, session_id)
        if shown is not None and shown != str(session.amount):
            break
        try:
            return await payments.pay(house, caller, session_id, method, card, session.version)
        except Refusal as refusal:
            # What has changed may have nothing to do with the amount.
            if refusal.reason != "session_changed":
                raise
    raise Refusal("session_changed", f"session {session_id} has another amount than the payer has seen")


async def _show_change(house: House, request: Request, session_id: str) -> Response:
    seen = await see(house, account_in(session_id), session_id)
    if seen.state not in PAYABLE:
        return answers.to_view(request, session_id)
    view = replace(pay_view(house, seen, answers.visit_of(request)), changed=True)
    return answers.page(view, status=409)


def _card(form: dict[str, str]) -> CardDetails:
    """The card as it was typed, without what people put between the digits."""
    number = re.sub(r"[\s.-]", "", form.get("card_number", ""))
    expiry = form.get("card_expiry", "").strip()
    parts = re.fullmatch(r"(\d{2})\D*(\d{2}|\d{4})|(\d)\D+(\d{2}|\d{4})", expiry, re.ASCII)
    if parts:
        expiry = f"{(parts[1] or parts[3]).zfill(2)}/{parts[2] or parts[4]}"
    return CardDetails(number, expiry, form.get("card_cvc", "").strip())


async def _show_mistake(
    house: House, request: Request, session_id: str, refused: CardRefused, form: dict[str, str]
) -> Response:
    visit = answers.visit_of(request)
    seen = await see(house, account_in(session_id), session_id)
    if seen.state not in PAYABLE:
        return answers.to_view(request, session_id)
    errors = {_FIELDS[refused.field]: texts(visit.language)[_MISTAKES[refused.field, refused.problem]]}
    view = pay_view(house, seen, visit, errors, {"card_expiry": form.get("card_expiry", "")[:10]})
    return answers.page(view, status=422)


async def cancel(house: House, request: Request) -> Response:
    """The payer's own button."""
    return await _give_up(house, request, _send_on)


async def abandon(house: House, request: Request) -> Response:
    """The same for clients, who expect a redirect."""
    return await _give_up(house, request, _go_on)


async def _give_up(
    house: House, request: Request, go: Callable[[House, Request, str], Awaitable[Response]]
) -> Response:
    session_id = request.path_params["session_id"]
    try:
        await payments.cancel(house, payer(request, session_id), session_id)
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        return answers.to_view(request, session_id)
    return await go(house, request, session_id)


async def come_back(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    transaction_id = request.path_params["transaction_id"]
    session = await payments.come_back(house, account_in(session_id), session_id, transaction_id)
    if app_is_first(session.configuration.get("channel"), session.url.return_url):
        return await _tell_app(house, session, transaction_id)
    return await _go_on(house, request, session_id)


async def _tell_app(house: House, session: PaymentSession, transaction_id: str) -> Response:
    """The app has its payer back and asks how it went: 202 while nobody knows (checkout reference, 6.4)."""
    if session.status == "paying":
        return JSONResponse({"session_id": session.id, "transaction_id": transaction_id}, 202, headers=answers.HEADERS)
    paid = session.status in ("paid", "on_hold")
    error = session.capture_error
    if not paid:
        transaction = await transactions.get(house, session.account_id, transaction_id)
        cancelled = "cancelled" if session.status == "cancelled" else "failed"
        error = "authorization" if transaction.status == "DECLINED" else cancelled
    base_url = house.settings.base_url
    href = to_merchant(base_url, session, session.transaction_id if paid else None, error, asked=True)
    return RedirectResponse(href, 302, headers=answers.HEADERS)


async def _go_on(house: House, request: Request, session_id: str) -> Response:
    """To the merchant when it is over, else back to the page; a page that a shop has embedded tells it instead."""
    seen = await see(house, account_in(session_id), session_id)
    if seen.state in OVER and seen.href and not answers.visit_of(request).embedded:
        return RedirectResponse(seen.href, 302)
    return answers.to_view(request, session_id)


async def _send_on(house: House, request: Request, session_id: str) -> Response:
    """The same, in answer to a form: browsers hold its redirects to ``form-action``, and a merchant's own too.

    So the merchant's address is not a redirect of the form, but opened by a page that says how it went.
    """
    seen = await see(house, account_in(session_id), session_id)
    visit = answers.visit_of(request)
    if seen.state in OVER and seen.href:
        return answers.page(replace(pay_view(house, seen, visit), goes_on=not visit.embedded, languages=()))
    return answers.to_view(request, session_id)


async def back_to_view(house: House, request: Request) -> Response:
    return answers.to_view(request, request.path_params["session_id"])
