"""Sends the same request again and again over several connections: for servers that are not Kasse, and for pages.

A URL of ``@file`` stands for the lines of the file, which are asked in turn.

python -m benchmarks.hammer METHOD URL CONNECTIONS SECONDS [CONTENT_TYPE BODY [AUTHORIZATION]]
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop

from kasse.bench.connection import Connection
from kasse.bench.load import Load, as_fast_as_possible
from kasse.bench.steps import Result


async def hammer(requests: Sequence[bytes], url: str, connections: int, seconds: float) -> Load:
    opened = [await Connection.open(url) for _ in range(connections)]
    return await as_fast_as_possible(opened, [itertools.cycle(requests)] * connections, seconds)


def main(method: str, url: str, connections: str, seconds: str, *more: str) -> None:
    urls = Path(url[1:]).read_text().split() if url.startswith("@") else [url]
    requests = [_request(method, each, *more) for each in urls]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        load = runner.run(hammer(requests, urls[0], int(connections), float(seconds)))
    result = Result("hammer", len(load.times), load.rate, load.percentile(50) * 1000, load.percentile(99) * 1000)
    print(msgspec.json.encode(result).decode())


def _request(method: str, url: str, content_type: str = "", body: str = "", authorization: str = "") -> bytes:
    parts = urlsplit(url)
    lines = [f"{method} {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"Authorization: {authorization}"] if authorization else []
    lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", body]).encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
