"""Merchants' servers, good ones and bad ones: raw sockets that say what a test wants."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[["Receiver", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """``base`` is its URL; ``requests`` is what came; ``open`` and ``most`` count the connections at once."""

    base: str = ""
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    open: int = 0
    most: int = 0
    sent: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def receiver(
    answer: Answer, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    made = Receiver()
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        made.open += 1
        made.most = max(made.most, made.open)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await answer(made, reader, writer)
        finally:
            made.open -= 1
            writer.transport.abort()

    server = await asyncio.start_server(connected, host, 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    name = "localhost" if tls else "[::1]" if host == "::1" else "127.0.0.1"
    made.base = f"{'https' if tls else 'http'}://{name}:{made.port}"
    try:
        yield made
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def read_request(made: Receiver, reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    request = Request(method, target, headers, body)
    made.requests.append(request)
    made.came.set()
    return request


def says(*statuses: int, header: str = "", after_s: float = 0) -> Answer:
    """Answers with one status after the other; the last one stays."""
    left = list(statuses)

    async def answer(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(made, reader)
        await asyncio.sleep(after_s)
        status = left.pop(0) if len(left) > 1 else left[0]
        writer.write(f"HTTP/1.1 {status} Said\r\n{header}Content-Length: 2\r\n\r\nok".encode())
        await writer.drain()

    return answer


async def hangs(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(made, reader)
    await reader.read()


async def never_reads(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    made.came.set()
    await asyncio.sleep(3600)


async def drips_head(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(made, reader)
    await _drip(writer, b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 1000)


async def drips_body(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(made, reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    await _drip(writer, b"x" * 1000)


async def _drip(writer: asyncio.StreamWriter, text: bytes) -> None:
    for position in range(len(text)):
        writer.write(text[position : position + 1])
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless_body(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(made, reader)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await _flood(made, writer, b"x" * 65536)


async def endless_head(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(made, reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await _flood(made, writer, b"X-More: and more\r\n" * 4096)


async def endless_continues(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(made, reader)
    await _flood(made, writer, b"HTTP/1.1 100 Continue\r\n\r\n")


async def _flood(made: Receiver, writer: asyncio.StreamWriter, text: bytes) -> None:
    while True:
        writer.write(text)
        await writer.drain()
        made.sent += len(text)
        await asyncio.sleep(0)


async def closes_at_once(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def closes_after_request(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(made, reader)


async def talks_garbage(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"\x00\xff garbage \r\n\r\n" * 20)
    await writer.drain()
    await reader.read()


async def breaks_off_body(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(made, reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
    await writer.drain()


async def switches_protocols(made: Receiver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(made, reader)
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
    await reader.read()
