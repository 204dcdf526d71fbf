"""New connections, shared out among the workers that listen on one port.

A server of the event loop's own takes all connections that wait as soon as it hears of one. So the worker that is first
to wake has them all, and clients that keep their connections are served by that one alone, for as long as they stay.
Here a worker takes one and then looks at its other work, so that each has its turn.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvloop

_UNTIL_THERE_IS_ROOM_S = 1.0
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Loop(uvloop.Loop):
    """The event loop of one worker of several. Its servers listen on a socket that the workers share."""

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *,
        sock: socket.socket,
        ssl: ssl.SSLContext | None = None,
        **_: Any,
    ) -> Acceptor:
        """``sock`` listens already."""
        return Acceptor(self, protocol_factory, sock, ssl)


class Acceptor:
    """Takes connections from a shared socket until it is closed; what the server asks of an ``asyncio.Server``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        listener: socket.socket,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop, self._protocol_factory, self._listener, self._tls = loop, protocol_factory, listener, tls
        self._beginning = set[asyncio.Task[None]]()
        self._later: asyncio.TimerHandle | None = None
        self._is_closed = False
        listener.setblocking(False)
        self._watch()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listener)
            if self._later is not None:
                self._later.cancel()

    async def wait_closed(self) -> None:
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _watch(self) -> None:
        self._loop.add_reader(self._listener, self._take_one)

    def _take_one(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as error:
            # Mostly another worker was first, or the client has gone.
            if error.errno in _NO_ROOM:
                self._loop.remove_reader(self._listener)
                self._later = self._loop.call_later(_UNTIL_THERE_IS_ROOM_S, self._watch)
            return
        beginning = self._loop.create_task(self._begin(client))
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)

    async def _begin(self, client: socket.socket) -> None:
        try:
            transport, _ = await self._loop.connect_accepted_socket(self._protocol_factory, client, ssl=self._tls)
        except OSError:
            # The client has gone, or it and we cannot agree on TLS.
            return
        if self._is_closed:
            transport.abort()
