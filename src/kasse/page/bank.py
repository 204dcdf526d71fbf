"""The sandbox's pretend bank, which asks the payer for 3-D Secure."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kasse.domain.refusals import Refusal
from kasse.domain.return_links import from_bank, payment_return_url
from kasse.domain.transaction import Transaction
from kasse.gateways.sandbox import Sandbox
from kasse.operations import transactions
from kasse.operations.house import House
from kasse.page import answers, render
from kasse.page.callers import account_in
from kasse.page.languages import direction, money, texts
from kasse.page.present import see
from kasse.page.view import ChallengeView, language_links, page_data


async def challenge(house: House, request: Request) -> Response:
    transaction_id = request.path_params["transaction_id"]
    account_id = account_in(transaction_id)
    transaction, session = await transactions.get_with_session(house, account_id, transaction_id)
    asked = await _sandbox(house).challenge(account_id, transaction_id)
    if asked is None or session is None:
        return answers.plain(request, "not_found", 404)
    if not asked.open:
        return RedirectResponse(_back(house, request, transaction), 303)
    visit = answers.visit_of(request)
    forms = _forms_lead_to(from_bank(house.settings.base_url, transaction))
    seen = await see(house, account_id, session.id)
    base = f"/sandbox/challenge/{quote(transaction_id)}"
    view = ChallengeView(
        language=visit.language,
        direction=direction(visit.language),
        texts=texts(visit.language),
        merchant_name=seen.merchant_name,
        amount_text=money(asked.amount, asked.currency, visit.language),
        masked_card=asked.masked_pan,
        approve_action=f"{base}/approve?{visit.query}",
        reject_action=f"{base}/reject?{visit.query}",
        data=page_data(visit, session.id) if visit.embedded else {},
        inline=visit.inline,
        embedded=visit.embedded,
        languages=language_links(base, visit),
    )
    return answers.html(render.render_challenge(view), frames=seen.frame_ancestors, forms=forms)


async def answer(house: House, request: Request) -> Response:
    transaction_id, said = request.path_params["transaction_id"], request.path_params["answer"]
    account_id = account_in(transaction_id)
    if said not in ("approve", "reject"):
        return answers.plain(request, "not_found", 404)
    transaction = await transactions.get(house, account_id, transaction_id)
    if await _sandbox(house).answer_challenge(account_id, transaction_id, said == "approve") is None:
        return answers.plain(request, "not_found", 404)
    return RedirectResponse(_back(house, request, transaction), 303)


def _sandbox(house: House) -> Sandbox:
    sandbox = house.gateways.get("sandbox")
    if not isinstance(sandbox, Sandbox):
        raise Refusal("transaction_not_found", "there is no sandbox here")
    return sandbox


def _back(house: House, request: Request, transaction: Transaction) -> str:
    """Where the payer goes from here: to this server, which looks how it went, or straight to the merchant's app."""
    base = house.settings.base_url
    back, ask = from_bank(base, transaction), payment_return_url(base, transaction.session_id, transaction.id)
    return back if back != ask else f"{ask.removeprefix(base)}?{answers.visit_of(request).query}"


def _forms_lead_to(back: str) -> str:
    """What the forms of the page may lead to: ``*`` is every site, but no app's own scheme."""
    scheme = urlsplit(back).scheme
    return "*" if scheme in ("http", "https") else f"* {scheme}:"
