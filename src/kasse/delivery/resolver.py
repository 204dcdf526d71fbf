"""How names become addresses."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult

_LookUp = asyncio.Future["list[ResolveResult] | OSError"]


class Resolver(AbstractResolver):
    """Looks each name up in a thread of its own, and only once at a time.

    The pools of the event loops have a handful of threads: a few names whose servers do not answer would hold
    up every other look-up. Daemon threads, so that such a name does not hold up the end of the process.
    """

    def __init__(self) -> None:
        self._running: dict[tuple[str, int, int], _LookUp] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        key = (host, port, int(family))
        look_up = self._running.get(key)
        if look_up is None:
            loop = asyncio.get_running_loop()
            look_up = loop.create_future()
            threading.Thread(target=_look_up, args=(loop, look_up, *key), daemon=True).start()
            look_up.add_done_callback(lambda _: self._running.pop(key))
            self._running[key] = look_up
        found = await asyncio.shield(look_up)
        if isinstance(found, OSError):
            raise found
        return found

    async def close(self) -> None:
        """There is nothing to close; a look-up that still runs ends by itself."""


def _look_up(loop: asyncio.AbstractEventLoop, look_up: _LookUp, host: str, port: int, family: int) -> None:
    found: list[ResolveResult] | OSError
    try:
        found = [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        ]
    except OSError as error:
        found = error
    except UnicodeError:
        found = OSError("not a name")
    # When the loop has closed meanwhile, nobody waits any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(look_up.set_result, found)
