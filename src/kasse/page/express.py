"""The payer's steps in express, as plain forms. Each says with which state of the session it was shown: of what someone
else has changed meanwhile the payer hears before anything is done.

Source: checkout reference, sections 6 and 10; page reference, section 6.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kasse.domain import express as rules
from kasse.domain.refusals import Refusal
from kasse.domain.session import PaymentSession
from kasse.operations import express
from kasse.operations.house import House
from kasse.page import address_form, answers
from kasse.page.address_form import LONGEST
from kasse.page.callers import account_in, payer
from kasse.page.express_view import Step, Trouble, takes_other_billing
from kasse.page.forms import read_form
from kasse.page.languages import texts
from kasse.page.present import EXPRESS, Seen, pay_view, see
from kasse.page.wording import sentence

_CONFLICTS = {"session_changed": "express_changed", "session_locked": "express_locked"}
_OVER = frozenset({"session_paid", "session_being_paid", "session_cancelled", "session_expired"})


async def set_address(house: House, request: Request) -> Response:
    """Where the shop's own page asks what the shipping may be, its script has this form checked first (``check``)."""
    session_id = request.path_params["session_id"]
    form, seen = await read_form(request), await see(house, account_in(session_id), session_id)
    if seen.state not in EXPRESS:
        return answers.to_view(request, session_id)
    words = texts(answers.visit_of(request).language)
    order = seen.session.checkout_order
    typed = address_form.read_address(
        form, order, takes_other_billing(seen.session, "b2b" if form.get("customer_type") == "b2b" else "b2c")
    )
    if typed.mistakes:
        fields = {name: _mistake(name, key, words) for name, key in typed.mistakes.items()}
        return _told(house, request, seen, Trouble("address", "", fields, form))
    if form.get("check"):
        try:
            wished = rules.with_addresses(seen.session, typed.shipping, typed.billing)
        except Refusal as refusal:
            return await _refused(house, request, "address", refusal, form)
        said = {"shipping_address": typed.shipping, "billing_address": typed.billing}
        return JSONResponse({"order": wished.checkout_order, **said}, headers=answers.HEADERS)
    return await _take(
        house,
        request,
        "address",
        form,
        lambda: express.set_addresses(
            house, payer(request, session_id), session_id, typed.shipping, typed.billing, _version(form)
        ),
    )


def _mistake(name: str, key: str, words: Mapping[str, str]) -> str:
    if key != "missing":
        return words[key]
    label = words[f"express_{name.removeprefix(address_form.BILLING)}"]
    return words["express_missing"].format(field=label)


async def set_shipping(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    form, seen = await read_form(request), await see(house, account_in(session_id), session_id)
    if seen.state not in EXPRESS:
        return answers.to_view(request, session_id)
    words = texts(answers.visit_of(request).language)
    line_id = form.get("option")
    if line_id is None:
        return _told(house, request, seen, Trouble("shipping", words["express_choose"]))
    option = next((each for each in rules.offered(seen.session) if str(each["line_id"]) == line_id), None)
    if option is None:
        return _told(house, request, seen, Trouble("shipping", words["express_option_gone"]))
    id = str(option["id"])
    return await _take(
        house,
        request,
        "shipping",
        form,
        lambda: express.set_shipping_option(house, payer(request, session_id), session_id, id, line_id, _version(form)),
    )


async def set_codes(house: House, request: Request) -> Response:
    """One more code, or one less (``remove``)."""
    session_id = request.path_params["session_id"]
    form, seen = await read_form(request), await see(house, account_in(session_id), session_id)
    if seen.state not in EXPRESS:
        return answers.to_view(request, session_id)
    words = texts(answers.visit_of(request).language)
    code, removed = form.get("code", "").strip()[:LONGEST], form.get("remove")
    if not code and removed is None:
        missing = words["express_missing"].format(field=words["express_codes"])
        return _told(house, request, seen, Trouble("codes", missing, {"code": missing}))
    before = [str(each) for each in seen.session.checkout_order.get("discount_codes") or ()]
    wished = [each for each in before if each != removed]
    if code and code not in wished:
        wished.append(code)

    async def change() -> PaymentSession:
        return await express.set_discount_codes(house, payer(request, session_id), session_id, wished, _version(form))

    def refused(session: PaymentSession) -> str | None:
        taken = session.checkout_order.get("discount_codes") or ()
        left_out = [each for each in wished if each not in taken]
        return sentence(words["express_code_refused"], code=", ".join(left_out)) if left_out else None

    return await _take(house, request, "codes", form, change, refused)


async def _take(
    house: House,
    request: Request,
    step: Step,
    form: Mapping[str, str],
    change: Callable[[], Awaitable[PaymentSession]],
    complaint: Callable[[PaymentSession], str | None] = lambda session: None,
) -> Response:
    session_id = request.path_params["session_id"]
    try:
        changed = await change()
    except Refusal as refusal:
        return await _refused(house, request, step, refusal, form)
    wrong = complaint(changed)
    if wrong is None:
        return answers.to_view(request, session_id)
    seen = await see(house, account_in(session_id), session_id)
    return _told(house, request, seen, Trouble(step, wrong, {"code": wrong}, form))


async def _refused(house: House, request: Request, step: Step, refusal: Refusal, form: Mapping[str, str]) -> Response:
    """The page as it is now, with what was typed and why nothing came of it."""
    session_id = request.path_params["session_id"]
    if refusal.status == 404:
        raise refusal
    if refusal.reason in _OVER:
        return answers.to_view(request, session_id)
    words = texts(answers.visit_of(request).language)
    fields = {}
    if refusal.path.endswith("/country"):
        name = "billing_country" if refusal.path.startswith("/billing") else "country"
        fields = {name: words["express_country_wrong"]}
    text = "" if fields else words[_words_for(refusal, step)]
    seen = await see(house, account_in(session_id), session_id)
    if seen.state not in EXPRESS:
        return answers.to_view(request, session_id)
    status = 409 if refusal.reason in _CONFLICTS else 422
    return _told(house, request, seen, Trouble(step, text, fields, form), status)


def _words_for(refusal: Refusal, step: Step) -> str:
    if refusal.reason in _CONFLICTS:
        return _CONFLICTS[refusal.reason]
    if refusal.reason in ("callback_failed", "unavailable"):
        return "express_code_failed" if step == "codes" else "express_failed"
    if step == "codes":
        return "express_code_failed"
    return "express_option_gone" if step == "shipping" else "express_unusable"


def _told(house: House, request: Request, seen: Seen, trouble: Trouble, status: int = 422) -> Response:
    return answers.page(pay_view(house, seen, answers.visit_of(request), trouble=trouble), status)


def _version(form: Mapping[str, str]) -> int:
    """The state that the payer has seen. A form that says nothing was shown with none that there is."""
    text = form.get("version", "")
    return int(text) if re.fullmatch("[0-9]{1,9}", text, re.ASCII) else -1
