"""A PostgreSQL server for the tests: made, started and taken away by them, apart from any other on the machine."""

from __future__ import annotations

import ctypes
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

ROLE, ADMIN = "kasse", "kasse_admin"
PATIENCE_S = 60
_FIND = Path(__file__).parents[2] / "scripts" / "postgres"
_TEMPLATE = "kasse_template"
_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
shared_buffers = 32MB
max_connections = 200
max_wal_size = 256MB
autovacuum = off
"""


@dataclass
class PostgresServer:
    """A running server. ``password`` is the role's, who owns the databases and is no superuser."""

    programs: Path
    folder: Path
    port: int
    password: str = field(default_factory=lambda: secrets.token_hex(8) + "/p%?@")
    _process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, name: str, role: str = ROLE) -> str:
        quoted = self.password.replace("%", "%25").replace("/", "%2F").replace("?", "%3F").replace("@", "%40")
        return f"postgresql://{role}:{quoted}@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, name: str = "postgres", role: str = ADMIN, patience_s: float = PATIENCE_S) -> str:
        """Run SQL apart from the engine; answers its output."""
        command: list[str | Path] = [
            self.programs / "psql",
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            statement,
            self.url(name, role),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience_s, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A new database until the end of the block; answers its name."""
        name = f"kasse_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template}")
        try:
            yield name
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def kasse_database(self) -> Iterator[str]:
        """The same with Kasse's tables, which are made once."""
        if _TEMPLATE not in self.sql("SELECT datname FROM pg_database").split():
            self.sql(f"CREATE DATABASE {_TEMPLATE} OWNER {ROLE}")
            code = "import asyncio, sys; from kasse.store.postgres import PostgresStore as S\n"
            code += "async def make(): await (await S.open(sys.argv[1])).close()\nasyncio.run(make())"
            subprocess.run([sys.executable, "-c", code, self.url(_TEMPLATE)], check=True, timeout=PATIENCE_S)
        with self.database(_TEMPLATE) as name:
            yield name

    @contextmanager
    def role(self, role: str, name: str) -> Iterator[str]:
        """A role that owns nothing and may use the tables of a database; answers its URL."""
        quoted = self.password.replace("'", "''")
        self.sql(f"CREATE ROLE {role} LOGIN PASSWORD '{quoted}'")
        try:
            self.sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}", name)
            yield self.url(name, role)
        finally:
            self.sql(f"DROP OWNED BY {role}; DROP ROLE {role}", name)

    # -- the process

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, command: Sequence[str] = ()) -> None:
        """``command``, as whoever runs the tests, is another way to start it."""
        usual: list[str | Path] = [self.programs / "postgres", "-D", self.folder / "data"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command or usual, stdout=log, stderr=log, cwd=self.folder, preexec_fn=_end_with_parent,
                **({} if command else _owner()),
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, "PostgreSQL does not start:\n" + (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        command: list[str | Path] = [self.programs / "psql", "-XqAt", "-c", "SELECT 1", self.url("postgres", ADMIN)]
        return subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False).returncode == 0

    def crash(self) -> None:
        self.stop(signal.SIGQUIT)

    def kill(self) -> None:
        """End all of its processes at once, as ``kill -9`` does. Linux only."""
        assert self._process is not None
        postmaster = self._process.pid
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(PATIENCE_S)
        self._process = None
        deadline = time.monotonic() + PATIENCE_S
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            assert time.monotonic() < deadline, "PostgreSQL does not die"
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Connections are cut, what is committed is on disk."""
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server on a free port until the end of the block. As root it runs as nobody: PostgreSQL refuses root."""
    found = subprocess.run([_FIND, "--find"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{found.stderr.strip()} scripts/postgres does it for you."
    folder = Path(tempfile.mkdtemp(prefix="kasse-postgres-"))
    server = PostgresServer(Path(found.stdout.strip()), folder, _free_port())
    try:
        _make_cluster(server)
        server.start()
        quoted = server.password.replace("'", "''")
        server.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{quoted}'")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _make_cluster(server: PostgresServer) -> None:
    password = server.folder / "password"
    password.write_text(server.password)
    if owner := _owner():
        for path in (server.folder, password):
            os.chown(path, owner["user"], owner["group"])
    command: list[str | Path] = [
        server.programs / "initdb",
        "-D",
        server.folder / "data",
        "-U",
        ADMIN,
        "--auth=scram-sha-256",
    ]
    command += [f"--pwfile={password}", "--encoding=UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=server.folder, check=False, **_owner())
    assert done.returncode == 0, done.stderr
    with (server.folder / "data" / "postgresql.conf").open("a") as settings:
        settings.write(_SETTINGS.format(port=server.port))


def _owner() -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _end_with_parent() -> None:
    """On Linux a server whose tests were killed stops by itself: when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[Any]:
    """The engine's role without the engine."""
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()
