"""Connections are shared out among the workers of one port, and nothing that a client does stops that."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from kasse import accepting
from kasse.accepting import Loop
from tests.faults.servers import Server

PATIENCE_S = 60
WORKERS = 3
CLIENTS = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    settings = {"workers": f"{WORKERS}", "keep_alive": "600", "client_timeout": "600", "tls_folder": f"{tmp_path}/tls"}
    one = Server(f"sqlite:///{tmp_path}/kasse.db", settings=settings)
    yield one
    one.end(signal.SIGKILL)


def _sockets_of_workers(server: Server) -> dict[int, int]:
    """How many sockets each of its processes but the first holds."""
    assert server.process is not None
    parent = server.process.pid
    children = map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return {pid: sum(_is_socket(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")) for pid in workers}


def _is_socket(path: str) -> bool:
    try:
        return os.readlink(path).startswith("socket:")
    except FileNotFoundError:
        return False


def _until(holds: Callable[[], bool]) -> None:
    async def wait() -> None:
        while not holds():
            await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(wait(), PATIENCE_S))


def _say_hello(client: socket.socket) -> bytes:
    client.sendall(b"GET /health/live HTTP/1.1\r\nHost: kasse\r\n\r\n")
    return client.recv(15)


def test_clients_that_keep_their_connections_are_shared_out_among_the_workers(server: Server) -> None:
    server.start()
    server.wait_until_it_answers()
    _until(lambda: len(_sockets_of_workers(server)) == WORKERS and min(_sockets_of_workers(server).values()) > 1)
    before = _sockets_of_workers(server)
    with ExitStack() as stack:

        def held() -> list[int]:
            now = _sockets_of_workers(server)
            return sorted(now[pid] - before[pid] for pid in before)

        def one_more() -> bool:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE_S))
            assert _say_hello(client) == b"HTTP/1.1 200 OK"
            return held()[0] > 0

        # Until all of them serve.
        _until(one_more)
        for _ in range(CLIENTS):
            one_more()
        assert held()[0] >= CLIENTS / WORKERS / 4, held()


def test_a_client_that_cannot_talk_tls_stops_nobody_else(server: Server, tmp_path: Path) -> None:
    server.settings["tls"] = "local"
    server.log = tmp_path / "log"
    server.start()
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    _until(lambda: _is_listening(server.port))
    for _ in range(2 * WORKERS):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: kasse\r\n\r\n")
            while client.recv(100):
                pass
        with (
            socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client,
            trusting.wrap_socket(client) as secure,
        ):
            assert _say_hello(secure) == b"HTTP/1.1 200 OK"
    assert not server.log.read_text()


def _is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class _Greeting(asyncio.Protocol):
    """Says hello and stays."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"hello")


class _Listener(socket.socket):
    """Has no file left for a connection until there is room."""

    has_room = True
    refused = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.has_room:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@pytest.fixture
def listener() -> Iterator[_Listener]:
    with _Listener() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one


def _on_the_loop(work: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(asyncio.wait_for(work(), PATIENCE_S))


def test_a_worker_without_room_for_another_connection_takes_it_later(
    listener: _Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "_UNTIL_THERE_IS_ROOM_S", 0.05)
    listener.has_room = False

    async def work() -> None:
        server = await asyncio.get_running_loop().create_server(_Greeting, sock=listener)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        while listener.refused < 3:
            await asyncio.sleep(0.05)
        # It does not try all the time, which would leave no time for those it has.
        assert listener.refused < 20
        listener.has_room = True
        assert await reader.read(5) == b"hello"
        writer.close()
        server.close()
        await server.wait_closed()

    _on_the_loop(work)


def test_after_the_end_nobody_is_taken_and_who_was_just_taken_is_let_go(listener: _Listener) -> None:
    async def work() -> None:
        taken = asyncio.Event()

        def factory() -> _Greeting:
            taken.set()
            return _Greeting()

        server = await asyncio.get_running_loop().create_server(factory, sock=listener)
        reader, _ = await asyncio.open_connection(*listener.getsockname())
        await taken.wait()
        server.close()
        server.close()
        await server.wait_closed()
        with suppress(ConnectionResetError):
            assert await reader.read() in (b"", b"hello")
        taken.clear()
        await asyncio.open_connection(*listener.getsockname())
        await asyncio.sleep(0.1)
        assert not taken.is_set()

    _on_the_loop(work)
