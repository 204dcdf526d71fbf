"""``kasse backup`` under load and ``kasse restore``: everything is there, of one moment, in either engine."""

from __future__ import annotations

import signal
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from tests.faults.servers import ACCOUNT, Server, make_client
from tests.running import Shop, running
from tests.store.postgres_server import PostgresServer, postgres_server
from tests.test_cli import kasse, printed

CLIENTS = 3


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """An empty database, and one more of the other engine."""
    one = f"sqlite:///{tmp_path}/one.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.kasse_database() as name:
        other = server.url(name)
        yield (one, other) if request.param == "sqlite" else (other, one)


def _trade_until(stop: threading.Event, shop: Shop, orders: list[str], enough: threading.Event) -> None:
    while not stop.is_set():
        order = shop.order(1000, 500)
        shop.pay(shop.session(order, 1))
        orders.append(order["order_id"])
        if len(orders) == 5:
            enough.set()


@pytest.mark.slow
def test_a_backup_under_load_is_of_one_moment_and_goes_into_the_other_engine(
    databases: tuple[str, str], tmp_path: Path
) -> None:
    database, other = databases
    server, stop = Server(database), threading.Event()
    login = make_client(database)
    server.start()
    server.wait_until_it_answers()
    orders: list[list[str]] = [[] for _ in range(CLIENTS)]
    enough = [threading.Event() for _ in range(CLIENTS)]
    file = tmp_path / "kasse.backup"
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            trading = [
                pool.submit(_trade_until, stop, server.shop(*login), *each) for each in zip(orders, enough, strict=True)
            ]
            try:
                assert all(event.wait(60) for event in enough)
                before = [list(each) for each in orders]
                told = printed("backup", str(file), "--database", database)
            finally:
                stop.set()
            for each in trading:
                each.result(60)
    finally:
        server.end(signal.SIGTERM)
    assert "sessions agree" in told
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("kasse.backup")] == ["kasse.backup"]
    restored = printed("restore", str(file), "--database", other)
    agreed = told.strip().rpartition(": ")[2]
    assert restored.strip().endswith(agreed)
    with running(database=other) as second:
        shop = Shop(second.base_url, ACCOUNT, *login)
        for id in [id for each in before for id in each]:
            assert shop.ok("GET", f"orders/{id}")["order_id"] == id
        # Business goes on.
        shop.pay(shop.session(shop.order(700)))


def _books(tmp_path: Path, name: str, amount: int) -> str:
    database = f"sqlite:///{tmp_path}/{name}.db"
    with running(database=database) as server:
        shop = server.shop()
        shop.pay(shop.session(shop.order(amount)))
    return database


@pytest.mark.postgres
def test_a_database_that_holds_something_is_replaced_only_when_that_is_said(
    databases: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "first.backup"
    printed("backup", str(file), "--database", _books(tmp_path, "first", 1000))
    _, target = databases
    printed("restore", str(file), "--database", target)
    printed("account", "create", "T00000001", "--database", target)
    refused = kasse("restore", str(file), "--database", target)
    assert refused.returncode == 1
    assert "expected an empty database" in refused.stderr
    assert "--replace" in refused.stderr
    taken = kasse("account", "create", "T00000001", "--database", target)
    assert "T00000001" in taken.stderr
    assert "1 orders" in printed("restore", str(file), "--database", target, "--replace")
    printed("account", "create", "T00000001", "--database", target)


def test_a_backup_replaces_no_file_and_leaves_none_when_it_fails(tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("something else")
    done = kasse("backup", str(file), "--database", _books(tmp_path, "books", 100))
    assert (done.returncode, file.read_text()) == (1, "something else")
    assert "expected a file that is not there yet" in done.stderr
    missing = kasse("backup", str(tmp_path / "new"), "--database", f"sqlite:///{tmp_path}/none.db")
    assert missing.returncode == 1
    assert "there is no database" in missing.stderr
    nowhere = kasse("backup", str(tmp_path / "no" / "folder"), "--database", f"sqlite:///{tmp_path}/books.db")
    assert "cannot be written: No such file or directory" in nowhere.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["books.db", "there"]


def test_what_is_no_backup_is_not_restored(tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/target.db"
    text = tmp_path / "text"
    text.write_text("hello")
    assert "is no backup that Kasse has made" in kasse("restore", str(text), "--database", target).stderr
    assert "cannot be read" in kasse("restore", str(tmp_path / "none"), "--database", target).stderr
    other = apsw.Connection(str(tmp_path / "other.db"))
    other.execute("CREATE TABLE something (id)")
    other.close()
    strange = kasse("restore", str(tmp_path / "other.db"), "--database", target)
    assert strange.returncode == 1
    assert "something" in strange.stderr
    assert "Traceback" not in strange.stderr


def test_a_backup_with_a_difference_is_not_kept(tmp_path: Path) -> None:
    database = _books(tmp_path, "books", 100)
    books = apsw.Connection(database.removeprefix("sqlite:///"))
    books.execute("UPDATE orders SET authorized = authorized - 1")
    books.close()
    done = kasse("backup", str(tmp_path / "new"), "--database", database)
    assert done.returncode == 1
    assert "a difference after" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["books.db"]
