"""The disk fills up under a running server: it says so, loses nothing, and goes on when there is room."""

from __future__ import annotations

import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.servers import Server, make_client, verified
from tests.store.postgres_server import PostgresServer, postgres_server


def _small_disks_can_be_made() -> bool:
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _small_disks_can_be_made(), reason="mounting a small disk takes root")
@pytest.mark.parametrize(
    "log",
    [
        pytest.param("/dev/null", id="its log elsewhere"),
        pytest.param("{disk}/log", id="its log on the same disk"),
    ],
)
def test_a_server_whose_disk_is_full_refuses_and_goes_on_when_there_is_room(
    server: Server, tmp_path: Path, log: str
) -> None:
    prepared, disk = tmp_path / "prepared.db", tmp_path / "disk"
    disk.mkdir()
    client = make_client(f"sqlite:///{prepared}")
    server.database = f"sqlite:///{disk}/kasse.db"
    mount = f"mount -t tmpfs -o size=4m none {disk} && cp {prepared} {disk}/kasse.db"
    script = f'{mount} && exec "$@" 2>{log.format(disk=disk)}'
    server.prefix = ("unshare", "-m", "sh", "-c", script, "sh")
    server.start()
    server.wait_until_it_answers()
    shop = server.shop(*client)
    before = shop.order(10_000)
    session = shop.session(before)

    assert server.process is not None
    inside = Path(f"/proc/{server.process.pid}/root{disk}")
    ballast = inside / "ballast"
    _fill(ballast)
    draft = {"order": {"currency": "NOK", "items": [], "store": {"name": "x" * 9_000}}}
    refused = [shop.call("POST", "draft_orders", draft).status_code for _ in range(5)]
    assert refused[-3:] == [503] * 3, refused
    shop.refused(503, "unavailable", "POST", shop.pay_path(session), {})
    assert shop.read_order(before)["payment_status"] == "pending"

    ballast.unlink()
    assert shop.pay(session)["status"] == "AUTHORIZED"
    assert len(shop.read_order(before)["authorizations"]) == 1
    shutil.copytree(inside, tmp_path / "copy")
    assert verified(f"sqlite:///{tmp_path}/copy/kasse.db").difference is None


def _fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


@contextmanager
def on_a_small_disk(postgres: PostgresServer) -> Iterator[Path]:
    """PostgreSQL, which has stopped, goes on with a copy of its data on a disk that is nearly full; answers where that
    is seen from here."""
    disk = postgres.folder / "disk"
    disk.mkdir()
    owner = pwd.getpwnam("nobody")
    script = (
        f"mount -t tmpfs -o size=256m none {disk} && cp -a {postgres.folder}/data/. {disk} && "
        f"chown {owner.pw_uid}:{owner.pw_gid} {disk} && chmod 700 {disk} && "
        f"exec setpriv --reuid={owner.pw_uid} --regid={owner.pw_gid} --clear-groups "
        f"{postgres.programs}/postgres -D {disk}"
    )
    postgres.start(("unshare", "-m", "sh", "-c", script))
    try:
        yield Path(f"/proc/{postgres.pid}/root{disk}")
    finally:
        postgres.stop()
        postgres.start()


@pytest.mark.postgres
@pytest.mark.skipif(not _small_disks_can_be_made(), reason="mounting a small disk takes root")
def test_a_postgresql_whose_disk_is_full_is_told_of_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with postgres_server() as postgres, postgres.kasse_database() as name:
        database = postgres.url(name)
        client = make_client(database)
        postgres.stop()
        with on_a_small_disk(postgres) as disk:
            server = Server(database, log=tmp_path / "log")
            server.start()
            try:
                server.wait_until_it_answers()
                shop = server.shop(*client)
                before = shop.order(10_000)
                session = shop.session(before)
                ballast = disk / "ballast"
                _fill(ballast)
                # Pages that are there have room for a while.
                draft = {"order": {"currency": "NOK", "items": [], "store": {"name": _without_pattern(9_000)}}}
                refused = [shop.call("POST", "draft_orders", draft) for _ in range(60)]
                assert {answer.status_code for answer in refused} <= {200, 503}
                assert [answer.status_code for answer in refused[-3:]] == [503] * 3
                assert refused[-1].json()["error"]["errors"][0]["keyword"] == "unavailable"
                assert "No space left on device" in (tmp_path / "log").read_text()
                assert shop.read_order(before)["payment_status"] == "pending"

                ballast.unlink()
                assert shop.pay(session)["status"] == "AUTHORIZED"
                assert shop.call("POST", "draft_orders", draft).status_code == 200
                assert len(shop.read_order(before)["authorizations"]) == 1
                assert verified(database).difference is None
            finally:
                server.end(signal.SIGKILL)


def _without_pattern(length: int) -> str:
    """A text that takes its room on the disk."""
    return secrets.token_hex(length // 2)
