"""Calls over HTTP, and the library that makes them: imported with the first call, since it takes long to import."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp import AddrInfoType
from yarl import URL

from kasse.delivery.addresses import is_public
from kasse.delivery.outgoing import CallFailed, Reply
from kasse.delivery.resolver import Resolver

LARGEST_ANSWER = 64 * 1024
"""So much of an answer's body is read, and dropped; the connection of a longer one is cut."""

_SENDABLE = re.compile(r"https?://[!-~]+", re.ASCII | re.IGNORECASE)
_NO_LIMITS = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class Exchange:
    """Each call has a connection of its own; names that several look up are looked up once.

    ``trust`` says which certificates are good, None those that the system trusts.
    """

    def __init__(self, trust: ssl.SSLContext | None) -> None:
        self._trust = trust
        self._resolver = Resolver()

    async def call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        allow_private: bool,
        timeout_s: float,
        keep: int | None,
    ) -> Reply:
        """As ``Outgoing.call`` has it. Raises ``CallFailed``."""
        clock = asyncio.get_running_loop().time
        started = clock()
        sockets = _Sockets(allow_private)
        timed_out = False
        try:
            async with self._session(sockets) as session:
                try:
                    status_code, answer = await _exchange(
                        session, method, _target(url), headers, body, started + timeout_s, keep
                    )
                finally:
                    sockets.cut()
        except TimeoutError:
            reason, timed_out = f"no answer within {timeout_s:g} seconds", True
        except (aiohttp.ClientError, OSError) as error:
            reason = sockets.refusal if sockets.refusal and not sockets.opened else _reason(error)
        else:
            if keep is None or answer is not None:
                return Reply(status_code, round((clock() - started) * 1000), answer or b"")
            reason = f"the answer is longer than {keep} bytes"
        raise CallFailed(reason, round((clock() - started) * 1000), timed_out)

    def _session(self, sockets: _Sockets) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                force_close=True,
                socket_factory=sockets.open,
                ssl=self._trust or True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_NO_LIMITS,
            headers={"User-Agent": "Kasse"},
            skip_auto_headers=("Accept-Encoding", "Content-Type"),
            auto_decompress=False,
            trust_env=False,
        )


async def _exchange(
    session: aiohttp.ClientSession,
    method: str,
    target: URL,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline: float,
    keep: int | None,
) -> tuple[int, bytes | None]:
    """The status, and the body where it is kept and not too long."""
    async with asyncio.timeout_at(deadline):
        response = await session.request(method, target, headers=headers, data=body, allow_redirects=False)
        if keep is not None:
            kept = await _read(response, keep)
            response.close()
            return response.status, kept
    left = LARGEST_ANSWER
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout_at(deadline):
            while left > 0 and (chunk := await response.content.read(left)):
                left -= len(chunk)
    response.close()
    return response.status, None


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """The whole body, or None when it is longer than ``most`` bytes."""
    body = bytearray()
    while len(body) <= most and (chunk := await response.content.read(most + 1 - len(body))):
        body += chunk
    return bytes(body) if len(body) <= most else None


@dataclass
class _Sockets:
    """The sockets of one call. Every address passes here just before it is connected to, literal or not."""

    allow_private: bool
    refusal: str | None = None
    opened: list[socket.socket] = field(default_factory=list)

    def open(self, info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not self.allow_private and not is_public(str(address[0])):
            self.refusal = f"calls to {address[0]} are not allowed: it is not a public address"
            raise OSError(self.refusal)
        made = socket.socket(family, kind, protocol)
        self.opened.append(made)
        return made

    def cut(self) -> None:
        """End the connections at once. A polite close would wait until the receiver has read our body."""
        for made in self.opened:
            with suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)


def _target(url: str) -> URL:
    try:
        target = URL(url, encoded=True)
        if _SENDABLE.fullmatch(url) and target.raw_host and target.port:
            return target
    except (ValueError, IndexError):
        pass
    raise aiohttp.InvalidURL("")


def _reason(error: Exception) -> str:
    """What to tell the merchant. Texts that may hold the URL are left out."""
    match error:
        case aiohttp.InvalidURL():
            return "the URL cannot be called"
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} was not found"
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {error.host} is not to be trusted: {error.certificate_error}"
        case aiohttp.ClientConnectorError():
            return f"no connection to {error.host} port {error.port}: {error.strerror or error.os_error}"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed before an answer came"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case OSError() if error.strerror:
            return f"the connection broke: {error.strerror}"
        case _:
            return "the connection broke"
