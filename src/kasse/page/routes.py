"""The payer's page over HTTP. Every step is a plain form or link, so it works before and without the script.

The session id is the secret that opens the page: it is kept out of referrers and caches.
Source: checkout reference, sections 2 (rows 17 to 26), 6 and 11.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import parse_qs, quote

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from kasse.domain.access import ACCOUNT_ID, Caller, RequestNote, origin
from kasse.domain.profile import CARD
from kasse.domain.refusals import Refusal
from kasse.gateways.port import CardDetails, CardRefused
from kasse.gateways.sandbox import Sandbox
from kasse.operations import payments, sessions, transactions
from kasse.operations.house import House
from kasse.page import render
from kasse.page.languages import choose_language, direction, texts
from kasse.page.present import OVER, PAYABLE, in_language, money, pay_view, see
from kasse.page.view import ChallengeView, PayView, State, plain_view

_LARGEST_FORM = 8192
_MOST_FIELDS = 20
_FIELDS = {"number": "card_number", "expiry": "card_expiry", "cvc": "card_cvc"}
_MISTAKES = {
    ("number", "incomplete"): "error_number_incomplete",
    ("number", "check_digits"): "error_number_check",
    ("number", "not_a_test_card"): "error_number_test_only",
    ("expiry", "incomplete"): "error_expiry_missing",
    ("expiry", "expired"): "error_expired",
    ("cvc", "incomplete"): "error_cvc",
}
_log = structlog.get_logger()

Handler = Callable[[House, Request], Awaitable[Response]]


def routes(house: House) -> list[BaseRoute]:
    """The routes of the page, for ``api.app.build``."""
    return [
        Route("/", _guarded(house, _root), methods=["GET"]),
        Route("/v1/view/{session_id}", _guarded(house, _view), methods=["GET"]),
        Route("/v1/view/{session_id}/", _guarded(house, _view), methods=["GET"]),
        Route("/v1/view/{session_id}/pay", _guarded(house, _pay), methods=["POST"]),
        Route("/v1/view/{session_id}/cancel", _guarded(house, _cancel), methods=["POST"]),
        # Where a form has been sent to, its address stays in the browser: whoever loads it again sees the page.
        Route("/v1/view/{session_id}/pay", _guarded(house, _back_to_view), methods=["GET"]),
        Route("/v1/view/{session_id}/cancel", _guarded(house, _back_to_view), methods=["GET"]),
        Route("/v1/view/{session_id}/state", _guarded(house, _state), methods=["GET"]),
        Route("/v1/view/{session_id}/session/abandon", _guarded(house, _abandon), methods=["POST"]),
        Route("/v1/sessions/{session_id}/redirect/{transaction_id}", _guarded(house, _come_back), methods=["GET"]),
        Route("/sandbox/challenge/{transaction_id}", _guarded(house, _challenge), methods=["GET"]),
        Route("/sandbox/challenge/{transaction_id}/{answer}", _guarded(house, _answer_challenge), methods=["POST"]),
        Route("/sandbox/challenge/{transaction_id}/{answer}", _guarded(house, _challenge), methods=["GET"]),
        Route("/demo/returned", _guarded(house, _returned), methods=["GET"]),
        Route("/page-assets/{name}", _asset, methods=["GET"]),
    ]


def _guarded(house: House, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A payer is never shown an error in JSON."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(house, request)
        except Refusal as refusal:
            if refusal.status == 404:
                return _plain(request, "not_found", 404)
            return _plain(request, "unavailable", refusal.status)
        except Exception as error:
            _log.error("page_failed", request_id=request.scope.get("request_id"), exc_info=error)
            return _plain(request, "unavailable", 500)

    return handle


# -- the page


async def _root(house: House, request: Request) -> Response:
    session_id = request.query_params.get("sid")
    if session_id is None:
        return _plain(request, "not_found", 404)
    return await _show(house, request, session_id)


async def _view(house: House, request: Request) -> Response:
    return await _show(house, request, request.path_params["session_id"])


async def _show(house: House, request: Request, session_id: str) -> Response:
    seen = await see(house, _account(session_id), session_id)
    if all(event.name != "VISITED" for event in seen.session.events):
        await sessions.visited(house, _payer(request, session_id), session_id)
    return _page(pay_view(house, seen, _language(request)))


async def _pay(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    form = await _form(request)
    card = _card(form)
    payer = _payer(request, session_id)
    try:
        payments.check_card(house, payer.account_id, CARD, card)
        await payments.start_over(house, payer.account_id, session_id)
        settled = await payments.pay(house, payer, session_id, CARD, card)
    except CardRefused as refused:
        return await _show_mistake(house, request, session_id, refused, form)
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        # The page itself says what stands in the way.
        return _to_view(request, session_id)
    if settled.call.state == "waiting_for_payer" and settled.call.action_url:
        return RedirectResponse(in_language(house, settled.call.action_url, _language(request)), 303)
    return await _send_on(house, request, session_id)


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
    language = _language(request)
    seen = await see(house, _account(session_id), session_id)
    if seen.state not in PAYABLE:
        return _to_view(request, session_id)
    errors = {_FIELDS[refused.field]: texts(language)[_MISTAKES[refused.field, refused.problem]]}
    view = pay_view(house, seen, language, errors, {"card_expiry": form.get("card_expiry", "")[:10]})
    return _page(view, status=422)


async def _cancel(house: House, request: Request) -> Response:
    """The payer's own button."""
    return await _give_up(house, request, _send_on)


async def _abandon(house: House, request: Request) -> Response:
    """The same for clients, who expect a redirect."""
    return await _give_up(house, request, _go_on)


async def _give_up(
    house: House, request: Request, go: Callable[[House, Request, str], Awaitable[Response]]
) -> Response:
    session_id = request.path_params["session_id"]
    try:
        await payments.cancel(house, _payer(request, session_id), session_id)
    except Refusal as refusal:
        if refusal.status == 404:
            raise
        return _to_view(request, session_id)
    return await go(house, request, session_id)


async def _come_back(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    await payments.come_back(house, _account(session_id), session_id, request.path_params["transaction_id"])
    return await _go_on(house, request, session_id)


async def _go_on(house: House, request: Request, session_id: str) -> Response:
    """To the merchant when it is over, else back to the page."""
    seen = await see(house, _account(session_id), session_id)
    if seen.state in OVER and seen.href:
        return RedirectResponse(seen.href, 302)
    return _to_view(request, session_id)


async def _send_on(house: House, request: Request, session_id: str) -> Response:
    """The same, in answer to a form: browsers hold its redirects to ``form-action``, and a merchant's own too.

    So the merchant's address is not a redirect of the form, but opened by a page that says how it went.
    """
    seen = await see(house, _account(session_id), session_id)
    if seen.state in OVER and seen.href:
        return _page(replace(pay_view(house, seen, _language(request)), goes_on=True))
    return _to_view(request, session_id)


async def _back_to_view(house: House, request: Request) -> Response:
    return _to_view(request, request.path_params["session_id"])


async def _state(house: House, request: Request) -> Response:
    session_id = request.path_params["session_id"]
    seen = await see(house, _account(session_id), session_id)
    href = seen.href if seen.state in OVER else None
    return JSONResponse({"state": seen.state, "href": href}, headers=_HEADERS)


# -- the sandbox's pretend bank


async def _challenge(house: House, request: Request) -> Response:
    transaction_id = request.path_params["transaction_id"]
    account_id = _account(transaction_id)
    transaction, session = await transactions.get_with_session(house, account_id, transaction_id)
    challenge = await _sandbox(house).challenge(account_id, transaction_id)
    if challenge is None or session is None:
        return _plain(request, "not_found", 404)
    if not challenge.open:
        return RedirectResponse(_own_return(request, transaction.session_id, transaction_id), 303)
    language = _language(request)
    seen = await see(house, account_id, session.id)
    base = f"/sandbox/challenge/{quote(transaction_id)}"
    view = ChallengeView(
        language=language,
        direction=direction(language),
        texts=texts(language),
        merchant_name=seen.merchant_name,
        amount_text=money(challenge.amount, challenge.currency, language),
        masked_card=challenge.masked_pan,
        approve_action=f"{base}/approve?language={language}",
        reject_action=f"{base}/reject?language={language}",
    )
    return _html(render.render_challenge(view), 200, forms="*")


async def _answer_challenge(house: House, request: Request) -> Response:
    transaction_id, answer = request.path_params["transaction_id"], request.path_params["answer"]
    account_id = _account(transaction_id)
    if answer not in ("approve", "reject"):
        return _plain(request, "not_found", 404)
    transaction = await transactions.get(house, account_id, transaction_id)
    if await _sandbox(house).answer_challenge(account_id, transaction_id, answer == "approve") is None:
        return _plain(request, "not_found", 404)
    return RedirectResponse(_own_return(request, transaction.session_id, transaction_id), 303)


def _sandbox(house: House) -> Sandbox:
    sandbox = house.gateways.get("sandbox")
    if not isinstance(sandbox, Sandbox):
        raise Refusal("transaction_not_found", "there is no sandbox here")
    return sandbox


def _own_return(request: Request, session_id: str, transaction_id: str) -> str:
    return f"/v1/sessions/{quote(session_id)}/redirect/{quote(transaction_id)}?language={_language(request)}"


# -- the rest


async def _returned(house: House, request: Request) -> Response:
    """Where the sample's payer ends: stands in for a merchant's page."""
    return _plain(request, "cancelled" if request.query_params.get("error") else "paid", 200)


async def _asset(request: Request) -> Response:
    found = render.asset(request.path_params["name"])
    if found is None:
        return Response(status_code=404)
    content, content_type = found
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type=content_type)


def _account(id: str) -> str:
    """The account that a session or transaction id names. Raises ``Refusal`` (session_not_found)."""
    account_id = sessions.account_of(id)
    if not ACCOUNT_ID.fullmatch(account_id):
        raise Refusal("session_not_found", "there is no such session")
    return account_id


def _payer(request: Request, session_id: str) -> Caller:
    # The body is left out of the note on purpose: it holds a card.
    note = RequestNote(request.method, request.url.path)
    came_from = origin(request.headers, request.client.host if request.client else None)
    return Caller(
        _account(session_id), payments.PAYER, frozenset(), request.scope["request_id"], note, origin=came_from
    )


def _language(request: Request) -> str:
    return choose_language(request.query_params.get("language"), request.headers.get("accept-language"))


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, each once. Raises ``Refusal`` (body_too_large)."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise Refusal("body_too_large", f"expected a form of at most {_LARGEST_FORM} bytes")
    if body.count(b"&") >= _MOST_FIELDS:
        raise Refusal("body_too_large", f"expected a form of at most {_MOST_FIELDS} fields")
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}


def _to_view(request: Request, session_id: str) -> Response:
    return RedirectResponse(f"/v1/view/{quote(session_id)}?language={_language(request)}", 303)


def _page(view: PayView, status: int = 200) -> Response:
    return _html(render.render_pay(view), status)


def _plain(request: Request, state: State, status: int) -> Response:
    return _html(render.render_message(plain_view(state, _language(request))), status)


_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def _html(text: str, status: int, forms: str = "'self'") -> Response:
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; "
        f"base-uri 'none'; frame-ancestors 'none'; form-action {forms}"
    )
    return HTMLResponse(text, status, {**_HEADERS, "Content-Security-Policy": policy})
