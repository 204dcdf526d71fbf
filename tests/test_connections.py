"""Slow and idle clients: each wait for them has an end, and what they hold is given to others."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from kasse.connections import LARGEST_HEAD, Connection, Limits

PATIENCE_S = 20
SHORT_S = 0.1
LONG_S = 600
LARGE = 8 * 1024 * 1024


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body, unless it is to refuse early, and answers shortly or at length."""
    if scope["path"] != "/refuse":
        while (await receive()).get("more_body"):
            pass
    body = b"x" * (LARGE if scope["path"] == "/large" else 2)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Port:
    """Where the server listens, and what it knows of its connections."""

    def __init__(self, number: int, server: uvicorn.Server) -> None:
        self.number = number
        self._server = server

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.number), PATIENCE_S)
        client.settimeout(PATIENCE_S)
        return client

    def wait_for_connections(self, number: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(self._server.server_state.connections) != number:
            assert time.monotonic() < deadline, "the connections are not those expected"
            time.sleep(0.01)


@contextmanager
def serving(client_s: float = LONG_S, most: int = 100, keep_alive: float = LONG_S) -> Iterator[Port]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(
            app,
            http=cast(Any, partial(Connection, limits=Limits(client_s, most))),
            lifespan="off",
            log_config=None,
            timeout_keep_alive=cast(int, keep_alive),
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield Port(listener.getsockname()[1], server)
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)


def is_closed(client: socket.socket) -> bool:
    """Reads until the server has ended the connection; otherwise the time-out of the socket is the failure."""
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def send_slowly(client: socket.socket, byte: bytes) -> None:
    """Send a byte now and then until the server has ended the connection."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        client.sendall(byte)
        time.sleep(SHORT_S / 10)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\r\n",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nhalf",
        b"POST /refuse HTTP/1.1\r\ncontent-length: 10\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\nGET / HT",
    ],
    ids=[
        *("nothing", "an empty line", "part of a line", "part of a head", "part of a body", "part of a refused body"),
        *("part of chunks", "no body after all", "part of the next head"),
    ],
)
def test_a_client_that_stops_in_the_middle_is_let_go(sent: bytes) -> None:
    with serving(client_s=SHORT_S) as port, port.connect() as client:
        client.sendall(sent)
        assert is_closed(client)


def test_an_empty_line_after_an_answer_does_not_hold_the_connection() -> None:
    with serving(client_s=SHORT_S) as port, port.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(1000)
        client.sendall(b"\r\n")
        assert is_closed(client)


def test_a_head_that_comes_byte_by_byte_gains_nothing() -> None:
    with serving(client_s=SHORT_S) as port, port.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nx: ")
        with pytest.raises(ConnectionError):
            send_slowly(client, b"y")


def test_a_client_that_does_not_take_its_answer_is_let_go() -> None:
    with serving(client_s=SHORT_S) as port, port.connect() as client:
        client.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        port.wait_for_connections(1)
        port.wait_for_connections(0)


def test_between_requests_a_connection_is_kept_for_its_time_only() -> None:
    with serving(keep_alive=SHORT_S) as port, port.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert is_closed(client)


def test_a_client_in_time_is_served_again_and_again() -> None:
    with serving() as port, port.connect() as client:
        for _ in range(3):
            client.sendall(b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n")
            client.sendall(b"half")
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_head_without_end_is_refused() -> None:
    with serving() as port, port.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        client.sendall(b"x: " + b"y" * LARGEST_HEAD)
        answer = client.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert _error(answer)["errors"][0]["keyword"] == "headers_too_large"


def _error(answer: bytes) -> dict[str, Any]:
    """The error in an answer, which is whole and JSON."""
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.lower().splitlines()[1:])
    assert headers[b"content-type"] == b"application/json; charset=utf-8"
    assert headers[b"connection"] == b"close"
    assert int(headers[b"content-length"]) == len(body)
    found: dict[str, Any] = json.loads(body)["error"]
    return found


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nno length\r\n",
    ],
)
def test_what_is_no_http_gets_json_too(sent: bytes) -> None:
    with serving() as port, port.connect() as client:
        client.sendall(sent)
        answer = client.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert _error(answer)["code"] == "bad_request"


def test_above_the_limit_the_connection_that_has_been_idle_longest_makes_room() -> None:
    with serving(most=3) as port, ExitStack() as stack:
        clients = [stack.enter_context(port.connect()) for _ in range(3)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert client.recv(1000)
        # The first has been used again since, and the second is in the middle of a request.
        clients[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert clients[0].recv(1000)
        clients[1].sendall(b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\nha")
        newest = stack.enter_context(port.connect())
        newest.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert newest.recv(1000)
        assert is_closed(clients[2])
        clients[1].sendall(b"lf")
        assert clients[1].recv(1000)
