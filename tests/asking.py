"""A merchant's own server, which is asked while a payer waits: real HTTP, and answers as a test wants them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
Say = Callable[[Json], Json | tuple[int, bytes]]


@dataclass
class MerchantServer:
    """``say`` answers a question; ``asked`` holds those that came."""

    url: str = ""
    say: Say = field(default=lambda session: {"shipping_options": []})
    asked: list[Json] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def merchant_server() -> Iterator[MerchantServer]:
    made = MerchantServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            session = json.loads(made.bodies[-1])
            made.asked.append(session)
            made.headers.append({name.lower(): value for name, value in self.headers.items()})
            said = made.say(session)
            status, body = said if isinstance(said, tuple) else (200, json.dumps(said).encode())
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}/ask"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
