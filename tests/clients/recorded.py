"""Requests exactly as shop plugins put them on the wire, and the shops' own servers for what comes back.

The plugins are PHP and their hosts are constants in their code, so each request here is written as they send it: names
of headers in their case, bodies to the byte, their own ``Host``. Source: checkout reference, section 13.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.running import PATIENCE_S, Json

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: Any


def send(base_url: str, method: str, path: str, headers: Headers, body: str | None = None) -> Answer:
    """One request with these headers, in this order and case, and no others; every answer must be JSON."""
    place = urlsplit(base_url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=PATIENCE_S)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body.encode())))
        connection.endheaders(None if body is None else body.encode())
        reply = connection.getresponse()
        return Answer(reply.status, reply.getheader("content-type", ""), json.loads(reply.read()))
    finally:
        connection.close()


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


@dataclass(frozen=True)
class Came:
    """A call that reached the shop."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


Respond = Callable[[Came], tuple[int, Any]]


@dataclass
class ShopServer:
    """The shop's own server. ``respond`` answers a status and what is sent as JSON."""

    url: str
    respond: Respond
    came: list[Came] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, number: int, about: Callable[[Came], bool] = lambda came: True) -> list[Came]:
        """The calls of a kind, once there are so many."""

        def found() -> list[Came]:
            return [came for came in self.came if about(came)]

        with self.arrived:
            assert self.arrived.wait_for(lambda: len(found()) >= number, PATIENCE_S), self.came
            return found()


def _say_nothing(came: Came) -> tuple[int, Any]:
    return 200, None


@contextmanager
def shop_server(respond: Respond = _say_nothing) -> Iterator[ShopServer]:
    made = ShopServer("", respond)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            query = parse_qs(parts.query, keep_blank_values=True)
            came = Came(self.command, parts.path, query, {**self.headers}, json.loads(raw) if raw else None)
            status, reply = made.respond(came)
            text = b"" if reply is None else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            with made.arrived:
                made.came.append(came)
                made.arrived.notify_all()

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join(PATIENCE_S)
        server.server_close()


def events_of(transaction: Json, name: str) -> list[Json]:
    return [event for event in transaction["events"] if event["event"] == name]
