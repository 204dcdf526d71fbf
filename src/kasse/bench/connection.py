"""One HTTP/1.1 connection that takes little time of its own, so that it is the server that is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import msgspec


class Unexpected(Exception):
    """An answer that a load run cannot go on with."""


class Connection(asyncio.Protocol):
    """Sends one request at a time and keeps the connection open between them."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._begin()

    @classmethod
    async def open(cls, url: str) -> Connection:
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, parts.hostname or "127.0.0.1", parts.port or 80)
        return connection

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer. Raises ``Unexpected`` when the connection ends before it."""
        if self._transport is None or self._transport.is_closing():
            raise Unexpected("the server has closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # -- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unexpected(f"the server has cut the connection: {error or 'no reason given'}"))

    # -- called by the parser

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        answer, status, body = self._answer, self._parser.get_status_code(), bytes(self._body)
        self._begin()
        if answer is not None and not answer.done():
            answer.set_result((status, body))


def request(method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
    """A request as bytes; ``body`` becomes JSON."""
    parts = urlsplit(url)
    content = b"" if body is None else msgspec.json.encode(body)
    lines = [f"{method} {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if method != "GET":
        lines += [f"Content-Length: {len(content)}"]
    if content:
        lines += ["Content-Type: application/json"]
    return "\r\n".join([*lines, "", ""]).encode() + content
