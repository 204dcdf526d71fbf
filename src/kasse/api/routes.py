"""How a route is declared: address, scope, body, answer and words for the documentation, in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from kasse.domain.access import Caller
from kasse.domain.refusals import Refusal
from kasse.operations.house import House

READ_SHOPPING = ("admin:shopping", "read:shopping")
WRITE_SHOPPING = ("admin:shopping", "write:shopping")
READ_EVENTS = (*READ_SHOPPING, "read:shopping:/orders/ANY/events")
WRITE_EVENTS = (*WRITE_SHOPPING, "write:shopping:/orders/ANY/events")
READ_CHECKOUT = ("admin:checkout", "read:checkout")
WRITE_CHECKOUT = ("admin:checkout", "write:checkout")
READ_ACCOUNTS = ("admin:accounts", "read:accounts")
WRITE_ACCOUNTS = ("admin:accounts", "write:accounts")


@dataclass(frozen=True)
class Call:
    """One request, checked: who asks, for which account, with what body.

    ``body`` is an instance of the route's struct; ``raw`` the same as it was sent, unknown fields included.
    ``known`` holds the schemas of the query parameters that the route declares.
    """

    house: House
    request: Request
    account_id: str
    caller: Caller
    body: Any = None
    raw: Any = None
    known: Mapping[str, Any] = field(default_factory=dict)

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        return self.request.query_params.get(name)

    def flag(self, name: str) -> bool:
        """A yes or no from the query; no when it is not there. Raises ``Refusal`` (wrong_value)."""
        text = self.query(name)
        if not text or text.lower() in ("false", "0"):
            return False
        if text.lower() not in ("true", "1"):
            raise Refusal("wrong_value", f"expected {name} to be true or false, got {text[:40]!r}", path=f"/{name}")
        return True

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """An integer from the query. Raises ``Refusal`` (wrong_value)."""
        text = self.query(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
            raise Refusal("wrong_value", f"expected {name} from {least} to {most}, got {text[:40]!r}", path=f"/{name}")
        return int(text)

    def link(self, path: str) -> str:
        """An absolute address on this server."""
        return f"{self.house.settings.base_url}{path}"


@dataclass(frozen=True)
class Answer:
    """What to send when it is not simply 200 with a body."""

    data: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Any]]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True)
class Route:
    """One operation of the API.

    Where ``render`` is given, the handler answers with what the operation did, of the type ``renders``, and ``render``
    makes the answer's body of it: so the answer can be stored in the same transaction as the effect.

    ``scopes`` is None where no token is asked for. ``query`` holds the schemas of its query parameters.
    ``repeatable`` where asking again comes to the same, so that a request that was cut off may go its whole way again.
    ``may_wait`` where a 202 says that the outcome is not known yet, ``empty`` what a 204 says. ``refusals`` are reasons
    that cannot be told from the rest of the declaration. ``secret_body`` keeps the body out of the order's
    history, ``secret_answer`` the answer out of what is kept for a repeated ``Idempotency-Key``. ``relaxed`` makes a
    body that does not follow the documents into one that does, where the operator wants that.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    scopes: tuple[str, ...] | None
    body: type | None = None
    reply: Any = None
    render: Callable[[Call, Any], Any] | None = None
    renders: type | None = None
    tag: str = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    repeatable: bool = False
    may_wait: bool = False
    empty: str = ""
    refusals: tuple[str, ...] = ()
    secret_body: bool = False
    secret_answer: bool = False
    body_required: bool = True
    relaxed: Callable[[dict[str, Any]], dict[str, Any]] | None = None


class Routes:
    """The routes of one module, in the order in which they are matched."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.all: list[Route] = []

    def __call__(
        self, method: str, path: str, summary: str, *, scopes: tuple[str, ...] | None, **more: Any
    ) -> Callable[[H], H]:
        def declare(handler: H) -> H:
            self.all.append(Route(method, path, handler, summary, scopes, tag=self.tag, **more))
            return handler

        return declare
