"""The payer's steps in express, as plain forms. The merchant's server may be asked meanwhile, for a minute at most.

Source: checkout reference, section 10; page reference, section 6.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.operations import express, sessions
from kasse.operations.house import House
from kasse.page import answers
from kasse.page.callers import account_in, payer
from kasse.page.express_view import BILLING, BUSINESS, CONTACT, OPTIONAL, PERSON
from kasse.page.forms import read_form
from kasse.page.languages import texts
from kasse.page.present import EXPRESS, pay_view, see

_LONGEST = 200


async def set_address(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    form = await read_form(request)
    shipping = _address(form, "", form.get("customer_type") == "b2b")
    billing = None
    wrong = _missing(shipping, "", form.get("customer_type") == "b2b")
    if form.get("billing_differs"):
        billing = _address(form, BILLING, bool(form.get(BILLING + "business_name")))
        wrong += _missing(billing, BILLING, False)
    if wrong:
        words = texts(answers.visit_of(request).language)
        errors = {name: words["error_missing"].format(field=words[name.removeprefix(BILLING)]) for name in wrong}
        return await _again(house, request, session_id, errors, form)
    visit = answers.visit_of(request)
    # Where the shop's own page asks its server, ours does not.
    ask = not (visit.embedded and visit.asks("client_side_address_callback"))
    # What was once set as another address is set to the same again.
    given = billing if billing is not None else await _same(house, session_id, shipping)
    change = express.set_addresses(house, payer(request, session_id), session_id, shipping, given, ask=ask)
    return await _carried_out(house, request, session_id, change, form)


async def _same(house: House, session_id: str, shipping: Mapping[str, str]) -> Mapping[str, str] | None:
    session = await sessions.get(house, account_in(session_id), session_id)
    return shipping if session.checkout_order.get("billing_address") else None


async def set_shipping(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    form = await read_form(request)
    id, _, line_id = form.get("option", "").replace("\r\n", "\n").partition("\n")
    change = express.set_shipping_option(house, payer(request, session_id), session_id, id, line_id or None)
    return await _carried_out(house, request, session_id, change, None)


async def set_discount(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    form = await read_form(request)
    session = await sessions.get(house, account_in(session_id), session_id)
    before = [str(code) for code in session.checkout_order.get("discount_codes") or ()]
    added, removed = form.get("code", "").strip()[:100], form.get("remove")
    codes = [code for code in before if code != removed]
    if added and added not in codes:
        codes.append(added)
    caller = payer(request, session_id)
    try:
        after = await express.set_discount_codes(house, caller, session_id, codes)
    except Refusal as refusal:
        return await _refused(house, request, session_id, refusal, None)
    if added and added not in (after.checkout_order.get("discount_codes") or ()):
        words = texts(answers.visit_of(request).language)
        return await _again(house, request, session_id, {"code": words["error_code_unknown"]}, None)
    return answers.to_view(request, session_id)


async def _carried_out(
    house: House, request: Request, session_id: str, change: Awaitable[PaymentSession], form: dict[str, str] | None
) -> Response:
    try:
        await change
    except Refusal as refusal:
        return await _refused(house, request, session_id, refusal, form)
    return answers.to_view(request, session_id)


async def _refused(
    house: House, request: Request, session_id: str, refusal: Refusal, form: dict[str, str] | None
) -> Response:
    if refusal.status == 404:
        raise refusal
    words = texts(answers.visit_of(request).language)
    if refusal.reason in ("callback_failed", "unavailable", "session_locked", "wrong_state"):
        return await _again(house, request, session_id, {"": words["error_shop_silent"]}, form)
    if refusal.reason == "wrong_value":
        name = refusal.path.rpartition("/")[2]
        key = name if name == "country" else ""
        text = words["error_country"] if name == "country" else words["error_not_possible"]
        return await _again(house, request, session_id, {key: text}, form)
    return answers.to_view(request, session_id)


async def _again(
    house: House, request: Request, session_id: str, errors: Mapping[str, str], form: dict[str, str] | None
) -> Response:
    """The page with what went wrong, and with what was entered."""
    seen = await see(house, account_in(session_id), session_id)
    if seen.state not in EXPRESS:
        return answers.to_view(request, session_id)
    view = pay_view(house, seen, answers.visit_of(request), express_entered=form, express_errors=errors)
    return answers.page(view, status=422)


def _address(form: Mapping[str, str], prefix: str, business: bool) -> dict[str, Any]:
    names = (*PERSON, *CONTACT, *(BUSINESS if business else ()))
    found = {name: form.get(prefix + name, "").strip()[:_LONGEST] for name in names}
    return {name: value for name, value in found.items() if value}


def _missing(address: Mapping[str, Any], prefix: str, business: bool) -> list[str]:
    wanted = [*PERSON, *(() if prefix else CONTACT), *(BUSINESS if business else ())]
    return [prefix + name for name in wanted if name not in OPTIONAL and not address.get(name)]
