"""A merchant's own server, on another origin than the page: payers return to it, callbacks arrive at it."""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.running import PATIENCE_S

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Call:
    """A request as it came. ``query`` keeps the order and whatever comes twice."""

    method: str
    host: str
    path: str
    query_text: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query_text, keep_blank_values=True)

    def is_signed(self, secret: str, account_id: str) -> bool:
        """Verify ``Dintero-Signature`` as a merchant would. Source: checkout reference, section 9.1."""
        timestamp, _, signature = self.headers["dintero-signature"].removeprefix("t=").partition(",v0-hmac-sha256=")
        query = urlencode(sorted(self.query, key=lambda pair: pair[0])).replace("~", "%7E").replace("%2A", "*")
        hostname = str(urlsplit(f"http://{self.host}").hostname)
        text = "\n".join([timestamp, account_id, self.method, hostname, self.path, query])
        expected = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, signature)


@dataclass
class Merchant:
    """``/done`` is a page of the shop, ``/moved`` leads to it on another host, ``/callback`` takes callbacks.
    Nobody hears from ``/slow`` while the test runs.

    ``/cart`` is the page that has the checkout embedded by the browser SDK, which is at ``/sdk.js``.
    """

    port: int
    calls: list[Call] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def elsewhere(self) -> str:
        """The same server under another host's name, hence another origin."""
        return f"http://localhost:{self.port}"

    @property
    def urls(self) -> dict[str, str]:
        """What a session of this merchant says."""
        return {
            "return_url": f"{self.base}/done?cart=7",
            "callback_url": f"{self.base}/callback?shop=north%20sea",
            "merchant_terms_url": f"{self.base}/terms",
        }

    @property
    def urls_elsewhere(self) -> dict[str, str]:
        """The same, where the payer returns to the other host."""
        return {**self.urls, "return_url": f"{self.elsewhere}/done?cart=7"}

    def callback(self) -> Call:
        """The first callback, when it has come."""
        with self.came:
            assert self.came.wait_for(self._callbacks, PATIENCE_S), "no callback came"
            return self._callbacks()[0]

    def _callbacks(self) -> list[Call]:
        return [call for call in self.calls if call.path == "/callback"]

    def returns(self) -> list[Call]:
        return [call for call in self.calls if call.path == "/done"]


_DONE = b"<!doctype html><title>The shop</title><link rel=icon href='data:,'><h1>Back at the shop</h1>"
# "heard" are the messages as they came, "told" the SDK's calls of the shop's own functions.
_CART = b"""<!doctype html>
<title>The cart</title><link rel=icon href='data:,'><h1>The cart</h1><div id=checkout></div>
<script src=/sdk.js></script>
<script>
  const heard = [], told = [];
  addEventListener("message", ({ origin, data }) => heard.push({ origin, ...data }));
  async function embed(options, names, more) {
    const handlers = Object.fromEntries(names.map((name) => [name, (event) => told.push([name, event])]));
    const container = document.querySelector("#checkout");
    window.checkout = await dintero.embed({ container, ...options, ...handlers, ...more });
  }
</script>
"""


@cache
def web_sdk() -> bytes:
    """The published browser SDK, unmodified."""
    found = subprocess.run([_ROOT / "scripts/web-sdk"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip()).read_bytes()


@contextmanager
def open_merchant() -> Iterator[Merchant]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        made = server.merchant = Merchant(server.server_port)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.closing.set()
            server.shutdown()
            thread.join(PATIENCE_S)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        made: Merchant = self.server.merchant  # type: ignore[attr-defined]
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with made.came:
            made.calls.append(Call(self.command, headers["host"], path, query, headers, body))
            made.came.notify_all()
        if path == "/slow":
            made.closing.wait(PATIENCE_S)
        if path == "/moved":
            self.send_response(301)
            self.send_header("Location", f"{made.elsewhere}/done?{query}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content_type, text = "text/html", _DONE
        if path == "/cart":
            text = _CART
        if path == "/sdk.js":
            content_type, text = "text/javascript", web_sdk()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""
