"""The demo shop over HTTP. It knows its payments only as any shop would: by their session and what comes back.

Whoever can reach it may open sessions in the sample's account, so it is served by ``kasse demo`` alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from kasse.demo import goods
from kasse.domain.money import exponent
from kasse.domain.refusals import Refusal
from kasse.operations import sample, sessions, transactions
from kasse.operations.house import House
from kasse.page.languages import money_text

WAYS = ("redirect", "frame", "pop_out")
MOST_OF_ONE = 20
_LARGEST_FORM = 4096
_HERE = Path(__file__).parent
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; frame-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

Handler = Callable[[House, Request], Awaitable[Response]]


def routes(house: House) -> list[BaseRoute]:
    """The routes of the shop, for ``api.app.build``."""
    places: list[tuple[str, str, Handler]] = [
        ("GET", "/demo/", _shelf),
        ("POST", "/demo/", _order),
        ("GET", "/demo/checkout/{session_id}", _checkout),
        ("GET", "/demo/returned", _returned),
        ("POST", "/demo/shipping", _shipping),
    ]
    return [
        Route("/demo", lambda request: RedirectResponse("/demo/")),
        *(Route(path, partial(_told, house, handler), methods=[method]) for method, path, handler in places),
        Mount("/demo/assets", StaticFiles(directory=_HERE / "static")),
    ]


async def _told(house: House, handler: Handler, request: Request) -> Response:
    """What is refused is told in words."""
    try:
        return await handler(house, request)
    except Refusal as refusal:
        return _page("message.html", refusal.status, title="That did not work", message=refusal.message)


async def _shelf(house: House, request: Request) -> Response:
    found = [
        {"line_id": line["line_id"], "description": line["description"], "price": _money(_price(line))}
        for line in goods.GOODS
    ]
    return _page("shelf.html", goods=found, most=MOST_OF_ONE)


async def _order(house: House, request: Request) -> Response:
    """Put an order and a session for it, then the payer where he wants to pay."""
    form = await _form(request)
    way = form.get("way", "redirect")
    if way not in WAYS:
        raise Refusal("wrong_value", f"expected one of {', '.join(WAYS)}, got {way[:20]!r}", path="/way")
    express = form.get("express") == "yes"
    session = await goods.sell(house, _quantities(form), express)
    if way == "redirect":
        return RedirectResponse(f"/v1/view/{quote(session.id)}", 303)
    return RedirectResponse(f"/demo/checkout/{quote(session.id)}?way={way}", 303)


def _quantities(form: Mapping[str, str]) -> dict[int, int]:
    """How many of each. Raises ``Refusal`` (wrong_value)."""
    found = {}
    for line in goods.GOODS:
        name = f"quantity-{line['line_id']}"
        text = form.get(name, "0")
        if not text.isascii() or not text.isdigit() or int(text[:4]) > MOST_OF_ONE:
            raise Refusal("wrong_value", f"expected {name} from 0 to {MOST_OF_ONE}, got {text[:20]!r}", path=f"/{name}")
        found[line["line_id"]] = int(text)
    if not any(found.values()):
        raise Refusal("wrong_value", "expected at least one thing in the cart, got none")
    return found


async def _checkout(house: House, request: Request) -> Response:
    """The shop's own page, with the payment in it."""
    session = await sessions.get(house, sample.ACCOUNT_ID, request.path_params["session_id"])
    way = request.query_params.get("way", "frame")
    return _page("checkout.html", session_id=session.id, way=way if way in WAYS else "frame")


async def _returned(house: House, request: Request) -> Response:
    """Where payers end: the shop looks the payment up, whatever the address says."""
    error = request.query_params.get("error")
    if error:
        titles = {"cancelled": "You have cancelled the payment", "authorization": "The payment was not confirmed"}
        return _page("message.html", title=titles.get(error, "The payment failed"), message="Nothing was charged.")
    transaction = await transactions.get(house, sample.ACCOUNT_ID, request.query_params.get("transaction_id", ""))
    facts = {
        "Order": transaction.order_id or transaction.merchant_reference,
        "Transaction": transaction.id,
        "Status": transaction.status,
        "Method": transaction.payment_product_type,
        "Amount": _money(transaction.amount, transaction.currency),
    }
    return _page("message.html", title="Thank you", message="Your order is on its way.", facts=facts)


async def _shipping(house: House, request: Request) -> Response:
    """What a merchant answers when a payer has given an address in express (checkout reference, section 10)."""
    body = json.loads(await request.body())
    country = body["order"].get("shipping_address", {}).get("country", "NO")
    return JSONResponse({"shipping_options": goods.shipping_options(country)})


def _price(line: Mapping[str, Any]) -> int:
    """What one costs, in minor units."""
    discount = sum(each["amount"] for each in line.get("discount_lines", ()))
    return int(line["gross_amount"] - discount) // int(line["quantity"])


def _money(amount: int, currency: str = sample.CURRENCY) -> str:
    return money_text(amount, currency, exponent(currency), "en")


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises ``Refusal`` (body_too_large)."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM:
            raise Refusal("body_too_large", f"expected a form of at most {_LARGEST_FORM} bytes")
    return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}


def _page(template: str, status: int = 200, **what: Any) -> Response:
    text = _TEMPLATES.get_template(template).render(**what)
    return HTMLResponse(text, status, {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"})


_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
