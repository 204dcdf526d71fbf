"""The whole application over real HTTP, and a merchant who uses it."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import socket
import tempfile
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import uvicorn

from kasse.api import openapi
from kasse.clock import Clock
from kasse.main import build_app, declared, open_house, workers
from kasse.operations import accounts
from kasse.operations.house import House
from kasse.settings import Settings
from kasse.watch.port import Watch

T = TypeVar("T")
Json = dict[str, Any]

SCOPES = ("admin:shopping", "admin:checkout", "admin:accounts")
PATIENCE_S = 20
_numbers = itertools.count(random.randrange(10_000_000, 90_000_000))


@dataclass(frozen=True)
class Running:
    """A server in a thread of this process, on a database of its own."""

    base_url: str
    house: House
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do some work where the house lives."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def shop(self, *scopes: str, account_id: str | None = None) -> Shop:
        """A new account with one client that has these scopes (all that a merchant needs, by default)."""
        account_id = account_id or f"T{next(_numbers) % 100_000_000:08d}"
        self.run(accounts.create_account(self.house, account_id, "Fjord & Fjell"))
        client, secret = self.run(
            accounts.create_client(self.house, "test", account_id, name="Shop", scopes=scopes or SCOPES)
        )
        return Shop(self.base_url, account_id, client.client_id, secret)


@dataclass
class Shop:
    """A merchant's side of the wire. ``http`` sends the token along; every call is real HTTP."""

    base_url: str
    account_id: str
    client_id: str
    client_secret: str
    http: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.http.headers["Authorization"] = f"Bearer {self.token()}"
        self.http.hooks["response"].append(_as_documented)

    def token(self) -> str:
        answer = requests.post(
            f"{self.base_url}/v1/accounts/{self.account_id}/auth/token",
            auth=(self.client_id, self.client_secret),
            json={
                "grant_type": "client_credentials",
                "audience": f"https://api.dintero.com/v1/accounts/{self.account_id}",
            },
            timeout=PATIENCE_S,
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    @property
    def shopping(self) -> str:
        return f"{self.base_url}/v1/accounts/{self.account_id}/shopping"

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """Call a path, below this account's orders unless it begins with a slash."""
        url = f"{self.base_url}{path}" if path.startswith("/") else f"{self.shopping}/{path}"
        if body is not None:
            more["json"] = body
        return self.http.request(method, url, timeout=PATIENCE_S, **more)

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Json:
        """The same, and it must go well."""
        answer = self.call(method, path, body, **more)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        found: Json = answer.json()
        return found

    def refused(self, status: int, keyword: str, method: str, path: str, body: Any = None, **more: Any) -> Json:
        """The same, and it must be refused; answers the first of its errors."""
        answer = self.call(method, path, body, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        error: Json = answer.json()["error"]
        assert error["code"]
        assert error["message"]
        first: Json = error["errors"][0]
        assert first["keyword"] == keyword, error
        return first

    # -- the steps of the way, with what usually suits

    def order(self, *amounts: int, currency: str = "NOK", items: Sequence[Json] | None = None) -> Json:
        """An open order with a line for each amount, numbered from 1."""
        lines = items or [line(n, amount) for n, amount in enumerate(amounts or (10_000,), 1)]
        draft = self.ok(
            "POST",
            "draft_orders",
            {"order": {"currency": currency, "items": list(lines)}, "options": {"generate_order_id": "ALPHANUMERIC_9"}},
        )
        completed: Json = self.ok("PUT", f"draft_orders/{draft['id']}/complete", {})["orders"][0]
        return completed

    def session(self, order: Json, *lines: int, **more: Any) -> Json:
        """A session for these lines of an order, or for all of them."""
        body = session_request(lines or [item["line_id"] for item in order["items"]], **more)
        if self.account_id.startswith("P"):
            body["url"]["callback_url"] = "https://shop.example/callback"
        return self.ok("POST", f"orders/{order['order_id']}/sessions", body)

    def pay(self, session: Json, card: str | None = None) -> Json:
        return self.ok("POST", self.pay_path(session), {} if card is None else {"card": card})

    def pay_path(self, session: Json) -> str:
        return f"/v1/accounts/{self.account_id}/sandbox/sessions/{session['id']}/pay"

    def read_order(self, order: Json) -> Json:
        return self.ok("GET", f"orders/{order['order_id']}")

    def transaction(self, transaction_id: str) -> Json:
        return self.ok("GET", f"/v1/transactions/{transaction_id}")

    def read_session(self, session: Json) -> Json:
        return self.ok("GET", f"/v1/sessions/{session['id']}")


@cache
def _documented() -> list[tuple[str, re.Pattern[str], set[int]]]:
    return [
        (route.method, re.compile(re.sub(r"{\w+}", "[^/]+", route.path)), openapi.statuses(route))
        for route in declared()
    ]


def _as_documented(answer: requests.Response, *_: Any, **__: Any) -> None:
    """Whatever a merchant asks, the answer's status is one of those that OpenAPI tells of the operation."""
    path = urlsplit(str(answer.url)).path
    for method, pattern, statuses in _documented():
        if method == answer.request.method and pattern.fullmatch(path):
            # What is no request for this operation at all never comes to it.
            is_other = answer.status_code in (405, 431) or '"unknown_route"' in answer.text
            assert is_other or answer.status_code in statuses, f"{method} {path}: {answer.status_code} {answer.text}"
            return


def line(line_id: int, amount: int, **more: Any) -> Json:
    """An item of an order without discount, a quarter tax."""
    tax = {"amount": amount // 5, "percentage": 25}
    return {"id": f"SKU-{line_id}", "line_id": line_id, "gross_amount": amount, "tax_lines": [tax], **more}


def session_request(lines: Sequence[int], **more: Any) -> Json:
    """The body that opens a session; ``more`` replaces its fields, and ``url`` is merged."""
    url = {
        "return_url": "https://shop.example/done?cart=7",
        "callback_url": "http://127.0.0.1:1/callback",
        "merchant_terms_url": "https://shop.example/terms",
        **more.pop("url", {}),
    }
    return {"items": [{"line_id": line_id} for line_id in lines], "profile_id": "default", "url": url, **more}


@contextmanager
def running(
    *, clock: Clock | None = None, database: str | None = None, watch: Watch | None = None, **settings: Any
) -> Iterator[Running]:
    """Serve until the end of the block; ``settings`` are those of ``Settings``."""
    with (
        tempfile.TemporaryDirectory(prefix="kasse-test-") as folder,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener,
        _loop() as loop,
    ):
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        chosen = Settings(
            database=database or f"sqlite:///{folder}/kasse.db", port=listener.getsockname()[1], **settings
        )

        def run(work: Coroutine[Any, Any, T]) -> T:
            return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)

        async def live(ready: asyncio.Future[House], stop: asyncio.Event) -> None:
            async with open_house(chosen, clock, watch=watch) as house, workers(house):
                config = uvicorn.Config(
                    build_app(house), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=5
                )
                server = uvicorn.Server(config)
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                ready.set_result(house)
                await stop.wait()
                server.should_exit = True
                await serving

        async def start() -> tuple[House, asyncio.Event, asyncio.Task[None]]:
            ready: asyncio.Future[House] = loop.create_future()
            stop = asyncio.Event()
            task = asyncio.create_task(live(ready, stop))
            either: set[asyncio.Future[Any]] = {ready, task}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            return ready.result(), stop, task

        async def finish(stop: asyncio.Event, task: asyncio.Task[None]) -> None:
            stop.set()
            await task

        house, stop, task = run(start())
        try:
            yield Running(chosen.base_url, house, loop)
        finally:
            run(finish(stop, task))


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="kasse-test-server", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
