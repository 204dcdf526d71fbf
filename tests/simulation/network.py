"""What lies between Kasse and the others: the acquirer, the merchants' receivers, the callers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from kasse.delivery.outgoing import CallFailed, Outgoing, Reply
from kasse.gateways.port import NoAnswer
from kasse.gateways.sandbox import Sandbox
from tests.simulation.errands import DISCOUNTS, OPTIONS
from tests.simulation.world import SETTINGS, Process, World, short


class Garbled(Exception):
    """An answer that makes no sense."""


class SlowBook:
    """The acquirer's own book: it never fails, but takes its time, so that others come in between."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def book_put(self, account_id: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
        await self._world.pause(0.01)
        return await self._world.store.book_put(account_id, key, entry)

    async def book_replace(self, account_id: str, key: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        await self._world.pause(0.01)
        return await self._world.store.book_replace(account_id, key, before, after)

    async def book_get(self, account_id: str, key: str) -> dict[str, Any] | None:
        await self._world.pause(0.01)
        return await self._world.store.book_get(account_id, key)


class WorldClock:
    def __init__(self, world: World) -> None:
        self._world = world

    def now(self, account_id: str | None = None) -> Any:
        return self._world.now()


class FarGateway(Sandbox):
    """The sandbox's acquirer at the other end of a network. What it is asked runs apart from whoever asks."""

    def __init__(self, process: Process) -> None:
        world = process.world
        super().__init__(SlowBook(world), process.clock, SETTINGS.base_url)
        self._process, self._world = process, world
        self._bank = Sandbox(SlowBook(world), WorldClock(world), SETTINGS.base_url)

    async def authorize(self, *told: Any) -> Any:
        return await self._ask("authorize", *told)

    async def capture(self, *told: Any) -> Any:
        return await self._ask("capture", *told)

    async def refund(self, *told: Any) -> Any:
        return await self._ask("refund", *told)

    async def void(self, *told: Any) -> Any:
        return await self._ask("void", *told)

    async def look_up(self, *told: Any) -> Any:
        return await self._ask("look_up", *told)

    async def challenge(self, *told: Any) -> Any:
        await self._process.step("before a challenge is shown")
        return await self._bank.challenge(*told)

    async def answer_challenge(self, *told: Any) -> Any:
        await self._process.step("before a challenge is answered")
        return await self._bank.answer_challenge(*told)

    async def _ask(self, name: str, *told: Any) -> Any:
        world = self._world
        await self._process.step(f"before the gateway is asked to {name}")
        way = world.faults.gateway_way(world.chance)
        instruction = next(each for each in told if hasattr(each, "key"))
        asked = f"{name} {short(instruction.key)} {instruction.amount}"
        if way != "answers":
            world.note(f"the gateway is asked to {asked}: it {way}")
        answer: asyncio.Future[Any] = world.loop.create_future()
        world.beside(self._carry(asked, way, getattr(self._bank, name), told, answer))
        found = await answer
        await self._process.step(f"after the gateway was asked to {name}")
        if isinstance(found, Exception):
            raise found
        return found

    async def _carry(self, asked: str, way: str, act: Any, told: Any, answer: asyncio.Future[Any]) -> None:
        """Take a request there and its answer back."""
        world = self._world
        await world.pause(0.05)
        if way == "loses the request":
            return await self._give_up(answer)
        if way == "is late":
            await world.pause(world.faults.gateway_latest)
        if way == "is slow":
            # Whoever asked still waits; another server whose clock is ahead may ask what became of it meanwhile.
            await world.pause(SETTINGS.gateway_timeout - 1)
        result = await _outcome(act, told)
        world.note(f"the gateway has {asked}: {_named(result)}")
        if way == "loses the answer":
            return await self._give_up(answer)
        if way == "answers nonsense":
            result = Garbled("the answer makes no sense")
        await world.pause(0.05)
        if not answer.done():
            answer.set_result(result)
        if way == "acts twice":
            await world.pause(world.faults.gateway_latest)
            world.note(f"the gateway is asked again to {asked}: {_named(await _outcome(act, told))}")
        return None

    async def _give_up(self, answer: asyncio.Future[Any]) -> None:
        """Whoever waits sees the connection break at some time, or never."""
        await self._world.pause(3 * SETTINGS.gateway_timeout)
        if not answer.done():
            answer.set_result(NoAnswer())


async def _outcome(act: Any, told: Any) -> Any:
    try:
        return await act(*told)
    except Exception as error:
        return error


def _named(result: Any) -> str:
    error = getattr(result, "error", None)
    return f"{type(result).__name__}{f' ({error.code})' if error else ''}"


@dataclass
class Receivers:
    """The merchants' ends of callbacks and webhooks, which hear a call perhaps several times.

    ``heard`` has the query of each callback, ``notices`` the body of each call to a webhook, by the call's id.
    """

    world: World
    heard: dict[str, dict[str, str]] = field(default_factory=dict)
    notices: dict[str, Any] = field(default_factory=dict)

    def hear(self, url: str, headers: Mapping[str, str], body: bytes | None) -> None:
        id = headers["event-delivery"]
        if "event" in headers:
            self.notices[id] = msgspec.json.decode(body or b"")
        else:
            self.heard[id] = dict(parse_qsl(urlsplit(url).query))

    def are_down(self) -> bool:
        world = self.world
        if world.ended:
            # They stay away for a while after everything else is well again.
            return (world.now() - world.ended_at).total_seconds() < world.faults.receivers_back_after
        return world.chance.random() < world.faults.receiver


class FarReceivers(Outgoing):
    """Calls of one process to the receivers."""

    def __init__(self, process: Process, receivers: Receivers) -> None:
        self._process, self._receivers = process, receivers

    async def call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        allow_private: bool,
        timeout_s: float,
        keep: int | None = None,
    ) -> Reply:
        world = self._process.world
        await self._process.step("before a callback")
        down = self._receivers.are_down()
        how = world.chance.choice(("silent", "broken", "heard it all the same")) if down else "well"
        is_question = "event-delivery" not in headers
        if how in ("well", "heard it all the same") and not is_question:
            self._receivers.hear(url, headers, body)
        if how in ("silent", "heard it all the same"):
            await asyncio.sleep(timeout_s)
        await self._process.step("after a callback")
        if is_question:
            # While the shop thinks about it others come in between.
            await world.wait(8)
        name = "a question" if is_question else f"a callback of {headers['event-delivery'][:8]}"
        world.note(f"{name} finds its receiver {how}")
        if how in ("silent", "heard it all the same"):
            raise CallFailed(f"no answer within {timeout_s:g} seconds")
        return Reply(500 if how == "broken" else 200, 1, _said(world, url, body) if is_question else b"")


def _said(world: World, url: str, asked: bytes | None) -> bytes:
    """What the shop's server says the shipping may be, or its discount codes are worth; now and then that makes no
    sense."""
    if world.chance.random() < 0.1:
        return world.chance.choice((b"", b"[]", b'{"shipping_options": [{}]}'))
    if url != DISCOUNTS:
        return msgspec.json.encode({"shipping_options": world.chance.choice((OPTIONS, OPTIONS[:1]))})
    order = msgspec.json.decode(asked or b"{}")["order"]
    codes = order.get("discount_codes", [])[: world.chance.randrange(0, 3)]
    items = [{**item, "amount": item["amount"] - item["amount"] // 10 * len(codes)} for item in order["items"]]
    amount = sum(item["amount"] for item in items)
    cheaper = {"amount": amount, "items": items, "discount_codes": codes}
    return msgspec.json.encode({"shipping_options": OPTIONS, "order": cheaper, "discount_lines": []})


class Cut(Exception):
    """The connection broke: whether the request had its effect is not known."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def keyword(self) -> str:
        """Why it was refused."""
        return str(self.json()["error"]["errors"][0]["keyword"])


async def request(
    world: World,
    who: str,
    method: str,
    url: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Answer:
    """Ask some server over HTTP, as far as that is what an ASGI application sees. Raises ``Cut``."""
    process = await world.some_process()
    await world.pause(0.01)
    if process.app is None or not process.alive:
        raise Cut
    world.requests += 1
    sent = {"x-request-id": f"request-{world.requests}", "host": "kasse.example", **(headers or {})}
    content = b""
    if form is not None:
        sent["content-type"], content = "application/x-www-form-urlencoded", urlencode(form).encode()
    elif body is not None:
        sent["content-type"], content = "application/json", msgspec.json.encode(body)
    parts = urlsplit(url)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("192.0.2.1", 1),
        "server": ("kasse.example", 443),
    }
    told: list[Any] = []
    given = iter(({"type": "http.request", "body": content, "more_body": False},))

    async def receive() -> Any:
        for message in given:
            return message
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        process.require_alive()
        told.append(message)

    serving = process.run(process.app(scope, receive, send))
    dying = asyncio.ensure_future(process.gone.wait())
    patience = 600.0
    if world.faults.connection_cut and world.chance.random() < world.faults.connection_cut:
        patience = world.chance.uniform(0, 10 * world.faults.slow)
    await asyncio.wait((serving, dying), timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    dying.cancel()
    if not serving.done() or not process.alive:
        world.note(f"{who}: {method} {_plain(parts.path)} is cut off")
        raise Cut
    serving.result()
    status = next(message["status"] for message in told if message["type"] == "http.response.start")
    found = {
        name.decode().lower(): value.decode()
        for message in told
        if message["type"] == "http.response.start"
        for name, value in message["headers"]
    }
    answer = Answer(status, found, b"".join(message.get("body", b"") for message in told))
    refused = f" {answer.keyword}" if status >= 400 and found["content-type"].startswith("application/json") else ""
    world.note(f"{who}: {method} {_plain(parts.path)} is answered {status}{refused}")
    # That the shop's own server did not answer is told with a 500 (checkout reference, section 10).
    explained = status == 503 or (status == 500 and (world.faults.database_away or refused == " callback_failed"))
    if status >= 500 and not explained:
        world.problem(f"{method} {parts.path} was answered {status}: {answer.body[:300]!r}")
    return answer


def _plain(path: str) -> str:
    """A path without what is the same in all of them."""
    return path.replace("/v1/accounts/T12345678/", "")
