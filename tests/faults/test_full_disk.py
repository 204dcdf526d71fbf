"""The disk fills up under a running server: it says so, loses nothing, and goes on when there is room."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.servers import Server, make_client, verified


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
