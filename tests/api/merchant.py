"""A merchant's own server, which Kasse calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, parse_qsl, urlsplit

T = TypeVar("T")
PATIENCE_S = 10


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))


@dataclass
class Receiver:
    """A merchant's server. It gives ``answers``, the last one for good, or what ``accepts`` says."""

    url: str = ""
    answers: list[int] = field(default_factory=lambda: [200])
    accepts: Callable[[Request], int] | None = None
    requests: list[Request] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver until the end of the block."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = f"http://{self.headers['Host']}{self.path}"
            made.requests.append(Request(self.command, url, {**self.headers}, body))
            status = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            self.send_response(made.accepts(made.requests[-1]) if made.accepts else status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        made.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        http.shutdown()
        thread.join()


def eventually(look: Callable[[], T], good: Callable[[T], bool]) -> T:
    deadline = time.monotonic() + PATIENCE_S
    while not good(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def arrived(receiver: Receiver, number: int = 1) -> list[Request]:
    """The calls so far, once there are as many; more of them would be wrong."""
    found = eventually(lambda: list(receiver.requests), lambda found: len(found) >= number)
    assert len(found) == number, found
    return found


def query(url: str) -> dict[str, str]:
    """What an address carries, nothing of it twice."""
    return {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
