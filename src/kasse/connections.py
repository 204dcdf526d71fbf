"""Connections as the server holds them: whoever is slow or idle ties up nothing.

The server's own protocol has a time-out between two requests only. Here every wait for a client has an end: for
the head of a request, its body, and for the answer to be taken. And when there are too many connections, those go
first that have been idle longest.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kasse.api.wire import error_response
from kasse.domain.refusals import Refusal
from kasse.overload import stop

LARGEST_HEAD = 64 * 1024


def _last_answer(status: str, refusal: Refusal) -> bytes:
    """An answer to what is no request, as JSON like every other, after which the connection ends."""
    response = error_response(refusal)
    headers = [*response.raw_headers, (b"connection", b"close")]
    lines = [f"HTTP/1.1 {status}".encode(), *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)


_TOO_LARGE = _last_answer(
    "431 Request Header Fields Too Large",
    Refusal("headers_too_large", f"expected an address and headers of at most {LARGEST_HEAD} bytes, got more"),
)
_NO_REQUEST = _last_answer(
    "400 Bad Request", Refusal("bad_request", "expected an HTTP/1.1 request, got something else")
)


@dataclass
class Limits:
    """``client_s`` bounds each wait for a client; above ``most`` connections idle ones are closed.

    One per process; it also knows which connections are idle, the longest first.
    """

    client_s: float
    most: int
    idle: OrderedDict[Connection, None] = field(default_factory=OrderedDict)


class Connection(HttpToolsProtocol):
    """One connection. ``limits`` are given by ``functools.partial`` where the server is configured."""

    def __init__(self, limits: Limits, **more: Any) -> None:
        super().__init__(**more)
        self._limits = limits
        self._head_size = 0
        self._reading_head = True
        self._reading_body = False
        self._for_request: asyncio.TimerHandle | None = None
        self._for_answer: asyncio.TimerHandle | None = None

    # -- its life

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        idle = self._limits.idle
        if len(self.connections) > self._limits.most and idle:
            longest, _ = idle.popitem(last=False)
            longest.transport.close()
        idle[self] = None
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._limits.idle.pop(self, None)
        self._forget_request()
        self.resume_writing()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        stop()
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            # The last answer is still not taken: a polite close would wait for that.
            self.transport.abort()

    # -- requests

    def data_received(self, data: bytes) -> None:
        if self._reading_head:
            self._head_size += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._reading_head and self._head_size > LARGEST_HEAD:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._is_idle() and self._for_request is None and self.timeout_keep_alive_task is None:
            # Something has come that is not the beginning of a request.
            self._expect_request()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_request()

    def on_headers_complete(self) -> None:
        self._reading_head, self._reading_body, self._head_size = False, True, 0
        self._limits.idle.pop(self, None)
        self._expect_request()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading_head, self._reading_body = True, False
        self._forget_request()
        if self._is_idle():
            # It was answered before its body had come.
            self._limits.idle[self] = None
            self._expect_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_idle() and not self.transport.is_closing():
            self._limits.idle[self] = None

    def _is_idle(self) -> bool:
        return not self._reading_body and not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def send_400_response(self, msg: str) -> None:
        self.transport.write(_NO_REQUEST)
        self.transport.close()

    # -- waits for the client

    def _expect_request(self) -> None:
        self._forget_request()
        self._for_request = self.loop.call_later(self._limits.client_s, self._too_slow)

    def _forget_request(self) -> None:
        if self._for_request is not None:
            self._for_request.cancel()
            self._for_request = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._for_answer = self.loop.call_later(self._limits.client_s, self._too_slow)

    def resume_writing(self) -> None:
        if self._for_answer is not None:
            self._for_answer.cancel()
            self._for_answer = None
        super().resume_writing()

    def _too_slow(self) -> None:
        self.transport.abort()
