"""The steps of the main job, each as the requests that a merchant's server sends: from a token to a capture."""

from __future__ import annotations

import asyncio
import base64
import itertools
import resource
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from kasse.bench.connection import Connection, Unexpected, request
from kasse.bench.load import Load, as_fast_as_possible, at_a_rate
from kasse.bench.processes import largest_memory, processor_seconds

STEPS = ("token", "draft", "order", "session", "pay", "capture")
_AT_LEAST_ORDERS = 64
_ITEMS: list[dict[str, Any]] = [
    {
        "id": "BL-9",
        "line_id": 1,
        "description": "Wool blanket",
        "quantity": 2,
        "gross_amount": 99800,
        "discount_lines": [{"amount": 9980, "percentage": 10, "discount_type": "periodic"}],
        "tax_lines": [{"amount": 17964, "percentage": 25}],
    },
    {
        "id": "CF-1",
        "line_id": 2,
        "description": "Coffee, 500 g",
        "quantity": 1,
        "gross_amount": 11500,
        "tax_lines": [{"amount": 1500, "percentage": 15}],
    },
    {
        "id": "FR",
        "line_id": 3,
        "description": "Freight",
        "quantity": 1,
        "gross_amount": 7500,
        "tax_lines": [{"amount": 1500, "percentage": 25}],
    },
]


class Result(msgspec.Struct, frozen=True):
    """Of one step. Times are milliseconds; processor times are milliseconds for each answer, of the processes named
    and of the load client itself; ``memory`` is bytes of the largest process."""

    step: str
    answers: int
    rate: float
    p50: float
    p99: float
    processor: dict[str, float] = {}
    client_processor: float = 0.0
    memory: dict[str, int] = {}


class Merchant:
    """A client of one account, and the requests it sends."""

    def __init__(
        self, urls: Sequence[str], account_id: str, client_id: str, client_secret: str, callback_url: str
    ) -> None:
        self.urls = [url.rstrip("/") for url in urls]
        self._account = f"{self.urls[0]}/v1/accounts/{account_id}"
        self._audience = f"https://api.dintero.com/v1/accounts/{account_id}"
        basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self._callback_url = callback_url
        self._basic = {"Authorization": f"Basic {basic}"}
        self._bearer: dict[str, str] = {}
        self._keys = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count())

    def token(self) -> bytes:
        body = {"grant_type": "client_credentials", "audience": self._audience}
        return request("POST", f"{self._account}/auth/token", body, self._basic)

    def take_token(self, body: bytes) -> None:
        self._bearer = {"Authorization": f"Bearer {msgspec.json.decode(body)['access_token']}"}

    def _send(self, method: str, url: str, body: Any) -> bytes:
        return request(method, url, body, {**self._bearer, "Idempotency-Key": next(self._keys)})

    def draft(self) -> bytes:
        order = {"currency": "NOK", "merchant_reference": "web-7001", "items": _ITEMS}
        body = {"order": order, "options": {"generate_order_id": "ALPHANUMERIC_9"}}
        return self._send("POST", f"{self._account}/shopping/draft_orders", body)

    def complete(self, draft_id: str) -> bytes:
        return self._send("PUT", f"{self._account}/shopping/draft_orders/{draft_id}/complete", {})

    def session(self, order_id: str) -> bytes:
        body = {
            "items": [{"line_id": item["line_id"]} for item in _ITEMS],
            "profile_id": "default",
            "url": {
                "return_url": "https://shop.example/done?cart=7",
                "callback_url": self._callback_url,
                "merchant_terms_url": "https://shop.example/terms",
            },
        }
        return self._send("POST", f"{self._account}/shopping/orders/{order_id}/sessions", body)

    def pay(self, session_id: str) -> bytes:
        return self._send("POST", f"{self._account}/sandbox/sessions/{session_id}/pay", {})

    def capture(self, order_id: str) -> bytes:
        amounts = [(item["line_id"], item["gross_amount"] - _discount(item)) for item in _ITEMS]
        body = {"items": [{"line_id": line_id, "amount": amount} for line_id, amount in amounts]}
        return self._send("POST", f"{self._account}/shopping/orders/{order_id}/captures", body)


def _discount(item: dict[str, Any]) -> int:
    return sum(discount["amount"] for discount in item.get("discount_lines", ()))


class Bench:
    """Runs the steps, each on what the ones before it have made."""

    def __init__(self, merchant: Merchant, seconds: float, watched: Mapping[str, Collection[int]]) -> None:
        self._merchant, self._seconds, self._watched = merchant, seconds, watched
        self._connections: list[Connection] = []
        self._drafts: list[str] = []
        self._orders: list[str] = []
        self._sessions: dict[str, str] = {}
        self._paid: list[str] = []

    async def run(self, steps: Collection[str], connections: int, rate: float | None = None) -> Iterator[Result]:
        """Run the steps named, and those before them as far as they are needed.

        With ``rate`` sessions are created at so many a second, whatever the answers do.
        """
        self._connections = [
            await Connection.open(url) for url, _ in zip(itertools.cycle(self._merchant.urls), range(connections))
        ]
        try:
            return iter([result async for result in self._results(steps, rate)])
        finally:
            for connection in self._connections:
                connection.close()

    async def _results(self, steps: Collection[str], rate: float | None) -> Any:
        last = max(STEPS.index(step) for step in steps)
        for step in STEPS[: last + 1]:
            before = {name: processor_seconds(pids) for name, pids in self._watched.items()}
            own = _own_seconds()
            load = await self._load(step, self._seconds if step in steps else None, rate)
            own = _own_seconds() - own
            if step in steps:
                used = {name: processor_seconds(pids) - before[name] for name, pids in self._watched.items()}
                memory = {name: largest_memory(pids) for name, pids in self._watched.items()}
                yield _result(step, load, used, own, memory)

    async def _load(self, step: str, seconds: float | None, rate: float | None) -> Load:
        """Without ``seconds`` only as much as later steps need."""
        merchant = self._merchant
        if step == "token":
            requests = itertools.repeat(merchant.token()) if seconds else iter([merchant.token()])
            return await self._fast(requests, seconds, merchant.take_token)
        if step == "draft":
            count = None if seconds else _AT_LEAST_ORDERS * 4
            requests = (merchant.draft() for _ in (itertools.count() if count is None else range(count)))
            return await self._fast(requests, seconds, lambda body: self._drafts.append(_field(body, b'"id":"')))
        if step == "order":
            drafts = self._drafts if seconds else self._drafts[: _AT_LEAST_ORDERS * 4]
            requests = (merchant.complete(draft) for draft in drafts)
            return await self._fast(requests, None, lambda body: self._orders.append(_field(body, b'"order_id":"')))
        if step == "session":
            return await self._open_sessions(seconds, rate)
        if step == "pay":
            requests = (self._note_paid(order, session) for order, session in self._sessions.items())
            return await self._fast(requests, seconds, lambda body: None)
        requests = (merchant.capture(order) for order in self._paid)
        return await self._fast(requests, seconds, lambda body: None)

    def _note_paid(self, order: str, session: str) -> bytes:
        self._paid.append(order)
        return self._merchant.pay(session)

    async def _open_sessions(self, seconds: float | None, rate: float | None) -> Load:
        merchant, orders = self._merchant, self._orders

        def note(body: bytes) -> None:
            answer = msgspec.json.decode(body)
            order = answer["_links"][1]["href"].rpartition("/")[2]
            self._sessions[order] = answer["id"]

        if rate is not None and seconds:
            await self._fast((merchant.session(order) for order in orders[:_AT_LEAST_ORDERS]), None, note)
            requests = (merchant.session(order) for order in itertools.cycle(orders))
            return await at_a_rate(self._connections, requests, rate, seconds)
        # Each connection has orders of its own: what is measured is opening sessions, not losing races.
        count = len(self._connections)
        mine = [orders[number::count] for number in range(count)]
        if not all(mine):
            raise Unexpected(f"expected at least {count} orders, one for each connection, got {len(orders)}")
        each = [(merchant.session(order) for order in (itertools.cycle(some) if seconds else some)) for some in mine]
        return await as_fast_as_possible(self._connections, each, seconds or 3600, note)

    async def _fast(self, requests: Iterator[bytes], seconds: float | None, take: Any) -> Load:
        shared = [requests] * len(self._connections)
        return await as_fast_as_possible(self._connections, shared, seconds or 3600, take)


def _field(body: bytes, before: bytes) -> str:
    """The text that comes first after these bytes: quicker than reading all of an answer."""
    start = body.index(before) + len(before)
    return body[start : body.index(b'"', start)].decode()


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _result(step: str, load: Load, used: dict[str, float], own: float, memory: dict[str, int]) -> Result:
    answers = max(1, len(load.times))
    return Result(
        step=step,
        answers=len(load.times),
        rate=load.rate,
        p50=load.percentile(50) * 1000,
        p99=load.percentile(99) * 1000,
        processor={name: seconds * 1000 / answers for name, seconds in used.items()},
        client_processor=own * 1000 / answers,
        memory=memory,
    )


def run(
    merchant: Merchant,
    steps: Collection[str] = STEPS,
    *,
    connections: int = 32,
    seconds: float = 5,
    rate: float | None = None,
    watched: Mapping[str, Collection[int]] | None = None,
) -> list[Result]:
    """Drive a server with load. Raises ``Unexpected``, and ``OSError`` when it cannot be reached."""
    import uvloop

    async def work() -> list[Result]:
        return list(await Bench(merchant, seconds, watched or {}).run(steps, connections, rate))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())
