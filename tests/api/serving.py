"""The real application over real HTTP, in a thread of this process, on a database of its own."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import uvicorn

from kasse.api.app import build
from kasse.api.routes import Route
from kasse.clock import Clock
from kasse.domain.access import Client
from kasse.ids import Ids
from kasse.main import open_house
from kasse.operations import accounts
from kasse.operations.house import House
from kasse.settings import Settings

T = TypeVar("T")

ACCOUNT = "T12345678"
_PATIENCE = 20


@dataclass(frozen=True)
class Server:
    """A running server. ``run`` brings work to its event loop, where the house lives."""

    base_url: str
    house: House
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_PATIENCE)

    def account(self, account_id: str = ACCOUNT) -> str:
        """Make an account; answers its address."""
        self.run(accounts.create_account(self.house, account_id, "A shop"))
        return f"{self.base_url}/v1/accounts/{account_id}"

    def client(self, *scopes: str, account_id: str = ACCOUNT, **more: Any) -> tuple[Client, str]:
        """Make a client with these scopes; answers it with its secret."""
        return self.run(accounts.create_client(self.house, "operator", account_id, scopes=scopes, **more))

    def bearer(self, *scopes: str, account_id: str = ACCOUNT) -> dict[str, str]:
        """The headers of a new client with these scopes."""
        client, _ = self.client(*scopes, account_id=account_id)
        audience = f"{self.base_url}/v1/accounts/{account_id}"
        token, _ = self.run(self.house.tokens.issue(client, audience, scopes))
        return {"Authorization": f"Bearer {token}"}


@contextmanager
def serving(
    routes: Iterable[Route], *, clock: Clock | None = None, ids: Ids | None = None, **settings: Any
) -> Iterator[Server]:
    """Serve these routes until the end of the block; ``settings`` are those of ``Settings``."""
    with tempfile.TemporaryDirectory(prefix="kasse-test-") as folder, socket.socket() as listener, _loop() as loop:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        settings = {"database": f"sqlite:///{folder}/kasse.db", "port": listener.getsockname()[1], **settings}
        chosen = Settings(**settings)

        def run(work: Coroutine[Any, Any, T]) -> T:
            return asyncio.run_coroutine_threadsafe(work, loop).result(_PATIENCE)

        opened = open_house(chosen, clock, ids)
        house = run(opened.__aenter__())
        config = uvicorn.Config(build(house, routes), log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.run_coroutine_threadsafe(server.serve(sockets=[listener]), loop)
        try:
            yield Server(chosen.base_url, house, loop)
        finally:
            server.should_exit = True
            serving.result(_PATIENCE)
            run(opened.__aexit__(None, None, None))


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
        thread.join(_PATIENCE)
        loop.close()
