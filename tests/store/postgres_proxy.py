"""A network between Kasse and PostgreSQL that can be cut at a chosen moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

When = Literal["the next request", "the request has gone", "the next answer"]


@dataclass
class Network:
    """Forwards to ``server_port``. ``requests`` counts what was sent at once, which is round trips."""

    server_port: int
    port: int = 0
    requests: int = 0
    cut: asyncio.Event = field(default_factory=asyncio.Event)
    _when: When | None = None
    _after: int = 0

    def cut_at(self, when: When, after: int = 0) -> None:
        """Cut one connection once: before a request reaches the server, just after, or with its answer on the way.

        So many requests or answers pass first.
        """
        self._when, self._after = when, after
        self.cut.clear()

    def _is_time(self, *, requests: bool) -> bool:
        """Whether what passes now, a request or an answer, is the one at which to cut."""
        if self._when is None or requests == (self._when == "the next answer"):
            return False
        self._after -= 1
        return self._after < 0

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        ways = [
            asyncio.create_task(self._forward(reader, server_writer, requests=True)),
            asyncio.create_task(self._forward(server_reader, writer, requests=False)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, server_writer):
            end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, requests: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(2**20):
                self.requests += requests
                time = self._is_time(requests=requests)
                if time and self._when != "the request has gone":
                    self._cut()
                    return
                writer.write(data)
                await writer.drain()
                if time:
                    # The server has it; that it does not notice yet that we are gone is part of it.
                    await asyncio.sleep(0.1)
                    self._cut()
                    return

    def _cut(self) -> None:
        self._when = None
        self.cut.set()


@asynccontextmanager
async def network(server_port: int) -> AsyncIterator[Network]:
    found = Network(server_port)
    listener = await asyncio.start_server(found.connect, "127.0.0.1", 0)
    found.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield found
