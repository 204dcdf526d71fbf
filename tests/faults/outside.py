"""A server whose payments go to an acquirer in a process of its own, and whose clock can jump."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.faults.servers import PATIENCE_S, Server, free_port, make_client
from tests.running import Json

ROOT = Path(__file__).parents[2]
HOUR = 3600


@dataclass
class Outside:
    """A server, and what is outside of it."""

    server: Server
    acquirer: subprocess.Popen[bytes]
    url: str
    clock: Path
    receiver_port: int
    client: tuple[str, str] = ("", "")

    def start(self) -> None:
        """Start the server, with a merchant of its own."""
        self.client = make_client(self.server.database)
        self.server.start()
        self.server.wait_until_it_answers()

    def tell(self, what: str, body: Json) -> Json:
        found: Json = requests.post(f"{self.url}/{what}", json=body, timeout=PATIENCE_S).json()
        return found

    def jump(self, hours: float) -> None:
        """The clock of the servers goes so far from where it is. Written whole: it is read at any moment."""
        after = float(self.clock.read_text()) + hours * HOUR
        new = self.clock.with_suffix(".new")
        new.write_text(str(after))
        new.replace(self.clock)


def outside_of(database: str, folder: Path, stack: ExitStack) -> Outside:
    """A server on this database, not started yet, with an acquirer that answers; the stack ends them."""
    about = folder / "packages" / "kasse_far-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: kasse-far\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[kasse.gateways]\nfar = tests.faults.far_gateway:FarGateway\n")
    clock = folder / "clock"
    clock.write_text("0")
    port = free_port()
    command = [sys.executable, "-m", "tests.faults.acquirer", str(port), "20261125"]
    acquirer = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    stack.callback(_end, acquirer)
    url = f"http://127.0.0.1:{port}"
    server = Server(database, gateway_timeout=0.4, settings={"workers": "2"})
    server.environment = {
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(about.parent))),
        "FAR_ACQUIRER": url,
        "FAR_CLOCK": str(clock),
    }
    stack.callback(server.end, signal.SIGKILL)
    return Outside(server, acquirer, url, clock, free_port())


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(PATIENCE_S)
