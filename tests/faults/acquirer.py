"""An acquirer as a process of its own, with its own book, which can be told to go wrong.

``python -m tests.faults.acquirer PORT SEED``. It is asked over HTTP; a request has one effect
however often its key comes.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]

WAYS = ("loses the request", "loses the answer", "is late", "acts twice", "answers nonsense", "breaks off")
LATE_S = 1.5
DECLINED = 13
"""Amounts that this divides are declined."""


class Acquirer:
    """``wrong`` is how often it goes wrong, in one of the ways ``wrongly``."""

    def __init__(self, seed: int) -> None:
        self.book: dict[str, Json] = {}
        self.wrong, self.wrongly = 0.0, WAYS
        self.ways: dict[str, int] = {}
        self._chance, self._lock = random.Random(seed), threading.Lock()

    def way(self) -> str:
        with self._lock:
            found = "answers" if self._chance.random() >= self.wrong else self._chance.choice(self.wrongly)
            self.ways[found] = self.ways.get(found, 0) + 1
            return found

    def act(self, what: str, told: Json) -> str:
        with self._lock:
            key = str(told["authorization"] or told["key"])
            entry = self.book.setdefault(key, {"state": "unseen", "amount": 0, "steps": {}})
            if what == "look_up":
                return self._known(entry, told)
            if what == "authorize":
                if entry["state"] == "unseen":
                    entry |= {
                        "state": "approved" if told["amount"] % DECLINED else "declined",
                        "amount": told["amount"],
                    }
                return "approved" if entry["state"] == "approved" else "declined"
            step = entry["steps"].get(told["key"])
            if step is None:
                moved = self._moved(entry, what, told["amount"])
                step = entry["steps"][told["key"]] = {"kind": what, "moved": moved}
            return "declined" if step["moved"] is None else "approved"

    def _known(self, entry: Json, told: Json) -> str:
        if told["kind"] == "authorize":
            return {"unseen": "not_found", "approved": "approved"}.get(entry["state"], "declined")
        step = entry["steps"].get(told["key"])
        return "not_found" if step is None else "declined" if step["moved"] is None else "approved"

    def _moved(self, entry: Json, what: str, amount: int) -> int | None:
        """How much a step moves, None where it is declined."""
        if what == "void" and entry["state"] in ("unseen", "declined", "void"):
            entry["state"] = "void" if entry["state"] == "unseen" else entry["state"]
            return 0
        sums = {kind: moved(entry, kind) for kind in ("capture", "refund", "void")}
        left = entry["amount"] - sums["capture"] - sums["void"] if entry["state"] == "approved" else 0
        if what == "refund":
            left = sums["capture"] - sums["refund"]
        return amount if amount <= left else None


def moved(entry: Json, kind: str) -> int:
    return sum(step["moved"] or 0 for step in entry["steps"].values() if step["kind"] == kind)


def serve(port: int, seed: int) -> None:
    acquirer = Acquirer(seed)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            what = self.path.strip("/")
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if what == "wrong":
                acquirer.wrong, acquirer.wrongly = told["often"], tuple(told.get("wrongly", WAYS))
                self._say(b"{}")
            elif what == "book":
                self._say(json.dumps({"book": acquirer.book, "ways": acquirer.ways}).encode())
            else:
                self._act(what, told, acquirer.way())

        def _act(self, what: str, told: Json, way: str) -> None:
            if way in ("loses the request", "is late"):
                time.sleep(LATE_S)
            answer = None if way == "loses the request" else acquirer.act(what, told)
            if way == "acts twice":
                answer = acquirer.act(what, told)
            if way == "loses the answer":
                time.sleep(LATE_S)
            if way in ("loses the request", "loses the answer", "breaks off"):
                self.connection.close()
            else:
                self._say(b"<html>502" if way == "answers nonsense" else json.dumps({"answer": answer}).encode())

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                """Whoever asked has gone."""

        def finish(self) -> None:
            try:
                super().finish()
            except (OSError, ValueError):
                """The connection was closed on purpose."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
