"""Servers for the benchmarks, each a process of its own, and what they run on."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import apsw
import msgspec

from kasse.bench.steps import Result
from tests.running import Shop
from tests.store.postgres_server import PostgresServer, postgres_server

ACCOUNT = "T10203040"
PATIENCE_S = 60
BIN = Path(sys.executable).parent
HERE = Path(__file__).parents[1]
# As durable as PostgreSQL is by default, with memory that suits a server.
_POSTGRES_SETTINGS = (
    "shared_buffers = '512MB'",
    "max_wal_size = '4GB'",
    "checkpoint_timeout = '15min'",
    "autovacuum = on",
)


_ALL_SERVE_S = 3
_LONG_S = 1800  # a statement that changes a million orders may take so long


@dataclass
class Database:
    """``url`` as Kasse wants it; ``postgres`` the server it is in, if it is in one."""

    url: str
    name: str = ""
    postgres: PostgresServer | None = None

    @property
    def engine(self) -> str:
        return "PostgreSQL" if self.postgres else "SQLite"

    def sql(self, *statements: str) -> str:
        """Run SQL beside Kasse; answers the first column of what the last statement finds."""
        if self.postgres:
            return [self.postgres.sql(statement, self.name, patience_s=_LONG_S) for statement in statements][-1]
        connection = apsw.Connection(self.url.removeprefix("sqlite:///"))
        connection.set_busy_timeout(60_000)
        with connection:
            found = [[str(row[0]) for row in connection.execute(statement)] for statement in statements][-1]
        connection.close()
        return "\n".join(found)

    @property
    def watched(self) -> dict[str, int]:
        process = self.postgres._process if self.postgres else None
        return {"postgres": process.pid} if process else {}


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        for setting in _POSTGRES_SETTINGS:
            server.sql(f"ALTER SYSTEM SET {setting}")
        server.stop()
        server.start()
        yield server


@contextmanager
def sqlite_database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="kasse-bench-") as folder:
        yield Database(f"sqlite:///{folder}/kasse.db")


@contextmanager
def postgres_database(server: PostgresServer) -> Iterator[Database]:
    with server.database() as name:
        yield Database(server.url(name), name, server)


@dataclass
class Server:
    """A running ``kasse serve`` with a merchant of its own."""

    url: str
    pid: int
    merchant: list[str]
    database: Database
    start_s: float
    log: Path
    receiver: str = "http://127.0.0.1:9/"

    def shop(self) -> Shop:
        """The merchant by hand."""
        _, account_id, _, client_id, _, client_secret = self.merchant
        return Shop(self.url, account_id, client_id, client_secret)

    def bench(self, *options: str | float) -> list[Result]:
        """Run the load client, a process of its own."""
        options = ("--callback-url", self.receiver, *options)
        watched = {"server": self.pid, **self.database.watched}
        command: list[str | Path] = [BIN / "kasse", "bench", self.url, *self.merchant, "--json", *map(str, options)]
        command += [word for name, pid in watched.items() for word in ("--watch", f"{name}={pid}")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{done.stderr.strip()}\n{self.log.read_text()[-2000:]}")
        return msgspec.json.decode(done.stdout, type=list[Result])


@contextmanager
def kasse(database: Database, workers: int = 1, **settings: str) -> Iterator[Server]:
    """Serve until the end of the block; callbacks go to a receiver that answers at once."""
    merchant = _merchant(database)
    port, receiver = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="kasse-bench-log-") as folder:
        log = Path(folder) / "log"
        environment = os.environ | {f"KASSE_{name.upper()}": value for name, value in settings.items()}
        command = [str(BIN / "kasse"), "serve", "--database", database.url, "--port", str(port)]
        command += ["--workers", str(workers)]
        with log.open("wb") as out:
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            start_s = _first_answer(url, process) - started
            if workers > 1:
                # Connections that are opened before the others serve stay with the first.
                time.sleep(_ALL_SERVE_S)
            answering = f"http://127.0.0.1:{receiver}/"
            with program(sys.executable, "-m", "benchmarks.bare", str(receiver), ready=answering[:-1]):
                yield Server(url, process.pid, merchant, database, start_s, log, answering)
        finally:
            end(process)


def _merchant(database: Database) -> list[str]:
    """A client of the one account, as options of ``kasse bench``."""
    run = {"capture_output": True, "text": True, "check": False}
    subprocess.run([BIN / "kasse", "account", "create", ACCOUNT, "--database", database.url], **run)  # type: ignore[call-overload]
    command: list[str | Path] = [BIN / "kasse", "client", "create", ACCOUNT, "--database", database.url, "--json"]
    command += ["--scope", "admin:shopping", "--scope", "admin:checkout"]
    done = subprocess.run(command, **run)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    client = json.loads(done.stdout)
    options = ["--account-id", ACCOUNT, "--client-id", client["client_id"]]
    return [*options, "--client-secret", client["client_secret"]]


def _first_answer(url: str, process: subprocess.Popen[bytes]) -> float:
    """When a request has been answered."""
    host, _, port = url.removeprefix("http://").partition(":")
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server does not start"
        try:
            with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as one:
                one.sendall(b"GET /v1/nothing HTTP/1.1\r\nHost: bench\r\n\r\n")
                if one.recv(100):
                    return time.perf_counter()
        except OSError:
            time.sleep(0.005)
    raise AssertionError("the server does not answer")


@contextmanager
def program(*command: str | Path, ready: str) -> Iterator[int]:
    """Run another server until the end of the block; answers its process id when it answers at ``ready``."""
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=HERE)
    try:
        _first_answer(ready, process)
        yield process.pid
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def described(server: PostgresServer) -> str:
    """What the figures were measured on."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    packages: Sequence[str] = ("uvicorn", "starlette", "httptools", "uvloop", "asyncpg", "apsw", "localstripe")
    # Not every part needs all of them.
    versions = ", ".join(f"{name} {version(name)}" for name in packages if find_spec(name))
    filesystem = shutil.disk_usage(tempfile.gettempdir()).total // 10**9
    return (
        f"{os.cpu_count()} processors ({model.group(1) if model else platform.machine()}), {platform.system()} "
        f"{platform.release()}, a disk of {filesystem} GB; Python {platform.python_version()}, "
        f"PostgreSQL {server.sql('SHOW server_version').split()[0]}, {versions}; "
        f"load of the machine before: {os.getloadavg()[0]:.1f}"
    )
