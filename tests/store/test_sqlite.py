"""What is SQLite's own: the file and its settings, several processes on it, disks that fail."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from kasse.domain.access import Account
from kasse.domain.paging import Filters, Page
from kasse.domain.refusals import Refusal
from kasse.store.port import Contradiction, Loads, Record, StoreUnavailable
from kasse.store.sqlite import SqliteStore
from tests.store import records
from tests.store.conftest import migrations
from tests.store.disk import Disk, disk
from tests.store.records import ACCOUNT, NOW, created, life, put


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kasse.db"


@asynccontextmanager
async def opened(file: Path) -> AsyncIterator[SqliteStore]:
    store = await asyncio.to_thread(SqliteStore.open, str(file))
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqliteStore]:
    async with opened(file) as found:
        yield found


async def _account(store: SqliteStore, number: int) -> Account | None:
    return await store.read(lambda loads: loads.account(f"T{number:08d}"))


def account(number: int) -> Account:
    return records.account(f"T{number:08d}")


async def test_every_connection_writes_ahead_and_through_to_the_disk(store: SqliteStore) -> None:
    await asyncio.gather(*(_account(store, n) for n in range(20)))
    connections = store._open_connections
    assert len(connections) > 2
    for connection in connections:
        assert connection.execute("PRAGMA journal_mode").get == "wal"
        assert connection.execute("PRAGMA synchronous").get == 2  # FULL


async def test_closing_leaves_one_file_and_every_change_in_it(file: Path) -> None:
    async with opened(file) as store:
        await put(store, records.account())
        assert {each.name for each in file.parent.iterdir()} == {"kasse.db", "kasse.db-wal", "kasse.db-shm"}
    assert [each.name for each in file.parent.iterdir()] == ["kasse.db"]
    async with opened(file) as store:
        assert await store.read(lambda loads: loads.account(ACCOUNT)) == records.account()


async def test_closing_leaves_no_thread_behind(file: Path) -> None:
    before = set(threading.enumerate())
    async with opened(file) as store:
        await asyncio.gather(*(_account(store, n) for n in range(20)))
    assert not [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("kasse-")]


async def test_the_folder_of_a_new_database_is_made(tmp_path: Path) -> None:
    async with opened(tmp_path / "a" / "b" / "kasse.db") as store:
        await put(store, records.account())


# -- several processes


PROGRAM = """
import asyncio, sys
from kasse.store.sqlite import SqliteStore
from tests.store.records import ACCOUNT
from tests.store.test_changes import _add

async def work():
    store = SqliteStore.open(sys.argv[1])
    for _ in range(int(sys.argv[2])):
        await asyncio.gather(*(_add(store, "default", 1) for _ in range(5)))
    await store.close()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(work())
"""


def _at_once(count: int, *arguments: object, program: str = PROGRAM) -> list[str]:
    """Run the program in so many processes; answers what each had to complain about."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[1] for process in processes]


async def test_two_processes_on_one_file_lose_nothing(file: Path) -> None:
    async with opened(file) as store:
        await put(store, records.profile(configuration={"count": 0}))
        assert await asyncio.to_thread(_at_once, 2, file, 40) == ["", ""]
        found = await store.read(lambda loads: loads.profile(ACCOUNT, "default"))
    assert found is not None
    assert found.configuration == {"count": 400}
    assert found.version == 401


@pytest.mark.slow
async def test_ten_processes_that_open_a_new_file_at_once_find_it_made_once(file: Path) -> None:
    assert await asyncio.to_thread(_at_once, 10, file, 0) == [""] * 10
    connection = apsw.Connection(str(file))
    applied = [name for (name,) in connection.execute("SELECT name FROM migrations ORDER BY name")]
    assert applied == migrations("sqlite")
    connection.close()
    async with opened(file) as store:
        await put(store, *life()[0])


# -- the log


def _log_began(file: Path) -> bytes:
    """A part of the log's head that is another one each time it begins anew."""
    return file.with_name(file.name + "-wal").read_bytes()[16:20]


async def test_the_log_is_put_into_the_file_beside_commits_and_begins_anew(store: SqliteStore, file: Path) -> None:
    began, written = [_log_began(file)], os.path.getsize(file)
    store._log.pages = 1
    await put(store, account(1))
    assert store._log._copying is not None
    store._log._copying.result()
    assert os.path.getsize(file) > written
    # The second is copied with its own commit, so that the third finds nothing for which the log would have to stay.
    for number in (2, 3):
        await put(store, account(number))
        began.append(_log_began(file))
    assert len(set(began)) == 3
    for number in (1, 2, 3):
        assert await _account(store, number) is not None


# -- files that cannot be used


async def _refused(path: object) -> str:
    """Why the database cannot be opened."""
    with pytest.raises(StoreUnavailable) as refused:
        await asyncio.to_thread(SqliteStore.open, str(path))
    return str(refused.value)


async def test_a_database_of_a_newer_kasse_is_left_alone(file: Path) -> None:
    async with opened(file):
        pass
    connection = apsw.Connection(str(file))
    connection.execute("INSERT INTO migrations VALUES ('0999_future.sql', '2030-01-01')")
    connection.close()
    before = file.read_bytes()
    message = await _refused(file)
    assert "newer Kasse" in message
    assert "0999_future.sql" in message
    assert file.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_and_left_alone(file: Path) -> None:
    file.write_text("This is a letter to my aunt. " * 100)
    message = await _refused(file)
    assert str(file) in message
    assert "not a database" in message
    assert file.read_text().startswith("This is a letter")


async def test_a_folder_in_place_of_the_file_is_refused(file: Path) -> None:
    file.mkdir()
    assert str(file) in await _refused(file)


async def test_a_file_where_a_folder_should_be_is_refused(file: Path) -> None:
    file.write_text("")
    assert "cannot be opened" in await _refused(file / "kasse.db")


async def test_a_database_in_memory_is_refused_because_each_connection_would_have_its_own() -> None:
    assert "write-ahead log" in await _refused(":memory:")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can get to, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="kasse-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


OPEN = """
import os, sys
from kasse.store.port import StoreUnavailable
from kasse.store.sqlite import SqliteStore
print("ready", flush=True)
if os.geteuid() == 0:
    os.seteuid(65534)  # the file system stops everybody but root
try:
    SqliteStore.open(sys.argv[1])
except StoreUnavailable as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.parametrize("exists", [False, True], ids=["a new file", "a database that is there"])
def test_a_folder_that_cannot_be_written_is_refused(open_folder: Path, exists: bool) -> None:
    file = open_folder / "kasse.db"
    if exists:
        asyncio.run(_opened_once(file))
        file.chmod(0o444)
    open_folder.chmod(0o555)
    [complaint] = _at_once(1, file, program=OPEN)
    assert complaint.startswith(f"refused: the database {file} cannot be opened: "), complaint
    assert complaint.count("\n") == 1


async def _opened_once(file: Path) -> None:
    async with opened(file):
        pass


async def test_a_disk_that_is_full_at_the_first_start_is_told_as_such(file: Path) -> None:
    with disk() as broken:
        broken.full = True
        assert "full" in await _refused(file)
        broken.full = False
        async with opened(file) as store:
            await put(store, *life()[0])


# -- one group of changes


async def _together(store: SqliteStore, *changes: Awaitable[Any]) -> list[Any]:
    """The results of changes that are committed in one transaction, because they are asked for at the same time."""
    return await asyncio.gather(*changes, return_exceptions=True)


def _raising(error: BaseException) -> Callable[[Loads], Awaitable[tuple[None, Sequence[Record]]]]:
    async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
        raise error

    return decide


def _statement(sql: str) -> Callable[[Any], Awaitable[tuple[None, Sequence[Record]]]]:
    async def decide(loads: Any) -> tuple[None, Sequence[Record]]:
        loads._connection.execute(sql)
        return None, ()

    return decide


async def test_one_bad_change_in_a_group_does_not_harm_the_others(store: SqliteStore) -> None:
    results = await _together(
        store,
        put(store, account(1)),
        put(store, account(2), records.draft(version=7)),
        store.change(_raising(Refusal("wrong_state", "no"))),
        store.change(_raising(KeyError("a mistake of ours"))),
        store.change(_raising(asyncio.CancelledError())),
        store.change(_statement("SELECT nonsense")),
        put(store, created(), created(id="order-2")),
        put(store, account(3)),
    )
    assert [type(result) for result in results] == [
        type(None),
        Contradiction,
        Refusal,
        KeyError,
        asyncio.CancelledError,
        apsw.SQLError,
        Contradiction,
        type(None),
    ]
    assert [await _account(store, n) is not None for n in (1, 2, 3)] == [True, False, True]
    assert await store.read(lambda loads: loads.orders(ACCOUNT, Filters(), Page())) == []


async def test_a_group_is_one_transaction(store: SqliteStore) -> None:
    with_commits = _commits(store)
    await _together(store, *(put(store, account(n)) for n in range(100)))
    assert len(with_commits) == 1


def _commits(store: SqliteStore) -> list[None]:
    """Grows with every commit."""
    found: list[None] = []

    def count() -> bool:
        found.append(None)
        return False

    store._back.set_commit_hook(count)
    return found


async def test_what_a_group_does_later_sees_what_it_did_before(store: SqliteStore) -> None:
    second = records.account("T00000001", version=2, name="Changed")
    assert await _together(store, put(store, account(1)), put(store, second)) == [None, None]
    assert await _account(store, 1) == second


async def test_what_comes_while_a_commit_waits_for_the_disk_goes_into_the_next_one(store: SqliteStore) -> None:
    with_commits = _commits(store)
    disk, go = store._beside, asyncio.Event()

    async def slow(work: Callable[[], object]) -> None:
        await go.wait()
        await disk(work)

    store._beside = slow  # type: ignore[method-assign]
    first = asyncio.create_task(put(store, account(1)))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(put(store, account(n))) for n in range(2, 50)]
    await asyncio.sleep(0.01)
    assert not first.done()
    assert await _account(store, 1) is None
    go.set()
    await asyncio.gather(first, *others)
    assert len(with_commits) == 2


async def test_a_large_group_leaves_turns_to_others(store: SqliteStore) -> None:
    turns, seen = 0, list[int]()

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def slow(n: int) -> Awaitable[None]:
        async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
            seen.append(turns)
            time.sleep(0.003)
            return None, (account(n),)

        return store.change(decide)

    counting = asyncio.create_task(count())
    await asyncio.gather(*(slow(n) for n in range(1, 20)))
    counting.cancel()
    assert seen[-1] - seen[0] >= 18


async def test_a_caller_that_goes_away_leaves_its_change_and_the_others_alone(store: SqliteStore) -> None:
    gone = asyncio.create_task(put(store, account(1)))
    staying = asyncio.create_task(put(store, account(2)))
    await asyncio.sleep(0)
    gone.cancel()
    await staying
    assert [await _account(store, n) is not None for n in (1, 2)] == [True, True]
    await put(store, account(3))


# -- disks


@pytest.fixture
async def failing(file: Path) -> AsyncIterator[tuple[SqliteStore, Disk]]:
    """A store on a disk that can fail. It holds one account, number 0."""
    with disk() as found:
        async with opened(file) as store:
            await put(store, account(0))
            yield store, found


async def test_a_full_disk_fails_every_change_stores_none_and_recovers(failing: tuple[SqliteStore, Disk]) -> None:
    store, disk = failing
    disk.full = True
    results = await _together(store, *(put(store, account(n), records.draft(id=f"d{n}")) for n in range(1, 9)))
    assert [(type(result), "full" in str(result)) for result in results] == [(StoreUnavailable, True)] * 8
    with pytest.raises(StoreUnavailable, match="full"):
        await put(store, records.draft(id="large", given={"text": "x" * 5_000_000}))
    assert await _account(store, 0)
    assert [await _account(store, n) for n in range(1, 9)] == [None] * 8
    disk.full = False
    await asyncio.gather(*(put(store, account(n)) for n in range(1, 9)))
    assert all([await _account(store, n) for n in range(9)])
    assert store._back.execute("PRAGMA integrity_check").get == "ok"


async def test_a_log_that_cannot_be_put_into_the_file_harms_no_commit(
    failing: tuple[SqliteStore, Disk], file: Path
) -> None:
    store, disk = failing
    store._log.pages = 1
    disk.file_is_full = True
    for number in range(1, 9):
        await put(store, account(number))
    began = _log_began(file)
    disk.file_is_full = False
    # It is tried again with later commits.
    for number in range(9, 20):
        await put(store, account(number))
    assert _log_began(file) != began
    assert all([await _account(store, n) for n in range(20)])


async def test_a_refusal_is_not_told_when_the_group_that_it_is_in_fails(failing: tuple[SqliteStore, Disk]) -> None:
    """What it was decided on may not be there any more."""
    store, disk = failing
    disk.full = True
    results = await _together(
        store, put(store, account(1)), store.change(_raising(Refusal("already_exists", "account 1 is there")))
    )
    assert [type(result) for result in results] == [StoreUnavailable] * 2


async def test_nobody_is_told_that_a_change_is_stored_before_it_is_on_disk(failing: tuple[SqliteStore, Disk]) -> None:
    store, disk = failing
    disk.broken = True
    results = await _together(store, *(put(store, account(n)) for n in range(1, 9)))
    assert [type(result) for result in results] == [StoreUnavailable] * 8
    disk.broken = False
    assert [await _account(store, n) for n in range(1, 9)] == [None] * 8
    await put(store, account(1))
    assert await _account(store, 1)


async def test_what_was_stored_before_a_disk_failed_is_there_when_it_is_opened_again(file: Path) -> None:
    with disk() as failing:
        async with opened(file) as store:
            await put(store, account(1))
            failing.full = True
            with pytest.raises(StoreUnavailable):
                await put(store, account(2))
    async with opened(file) as store:
        assert await _account(store, 1)
        assert await _account(store, 2) is None
        await put(store, account(2))


async def test_a_file_that_may_not_grow_is_as_good_as_a_full_disk(store: SqliteStore) -> None:
    await put(store, account(1))
    pages = store._back.execute("PRAGMA page_count").get
    store._back.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = [records.draft(id=f"draft-{n}", given={"text": "x" * 3_000}) for n in range(50)]
    with pytest.raises(StoreUnavailable, match="full"):
        await put(store, records.account("T00000002"), *large)
    assert await _account(store, 2) is None
    assert await store.read(lambda loads: loads.draft(ACCOUNT, "draft-0")) is None
    store._back.execute("PRAGMA max_page_count = 1000000")
    await put(store, records.account("T00000002"), *large)
    assert await store.read(lambda loads: loads.draft(ACCOUNT, "draft-49")) == large[-1]


async def test_a_database_that_another_process_holds_too_long_is_unavailable_and_comes_back(
    file: Path, store: SqliteStore
) -> None:
    store._patience_ms = 50
    other = apsw.Connection(str(file))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await put(store, account(1))
    assert await _account(store, 1) is None
    other.execute("COMMIT")
    other.close()
    await put(store, account(1))


# -- ways to the rows


async def test_no_read_on_the_way_of_a_request_scans_a_table(store: SqliteStore) -> None:
    """Asks SQLite how it would do each read; accounts are small in clients, grants and secrets, so those may sort."""
    older = created(id="order-2", order_id="X", created_at=NOW - timedelta(days=1))
    await put(store, *life()[0], older, records.session())
    plans = await store.read(_plans)
    scans = [(sql, step) for sql, steps in plans.items() for step in steps if step.startswith("SCAN")]
    allowed = ["server_signing_keys", "json_each", "VIRTUAL TABLE", "SCAN key", "SCAN walk_", "notices_to_tell"]
    # What workers look through between requests: only what waits, so much of it at most, and the clocks of accounts
    # that test with one of their own.
    allowed += ["USING COVERING INDEX deliveries_due", "USING INDEX gateway_calls_due", "SCAN (subquery-"]
    allowed += ["SCAN account_clocks", "SCAN c"]
    assert [(sql, step) for sql, step in scans if not any(name in step for name in allowed)] == []
    sorts = [sql for sql, steps in plans.items() if any("ORDER BY" in step for step in steps)]
    may_sort = [
        "FROM clients",
        "FROM grants",
        "FROM subscriptions",
        "signature_secrets",
        "server_signing_keys",
        "FROM transactions",
        "FROM account_clocks",
    ]
    may_sort += ["FROM subscriptions", "LIMIT ?3)"]  # a few of each order
    assert [sql for sql in sorts if not any(name in sql for name in may_sort)] == []


async def _plans(loads: Any) -> dict[str, list[str]]:
    """The plan of every statement that the reads make."""
    from tests.store.test_records import OF_ALL_ACCOUNTS, QUESTIONS

    connection: apsw.Connection = loads._connection
    statements: set[str] = set()

    def trace(cursor: Any, sql: str, bindings: Any) -> bool:
        statements.add(sql)
        return True

    connection.exec_trace = trace
    try:
        for name, question in (QUESTIONS | OF_ALL_ACCOUNTS).items():
            # What looks through everything, on purpose, is on the way of no request.
            if name != "strays":
                await question.ask(loads, ACCOUNT)
        await loads.order(ACCOUNT, "order-1", [1, 2])
        await loads.orders(ACCOUNT, Filters(), Page(10, "order-1"))
        await loads.sessions_of(ACCOUNT, "order-1", Page(10, "session-1"))
        await loads.orders_from((ACCOUNT, "order-1"), 10)
        await loads.due_deliveries(NOW, 10, ["https://a", "https://b"])
        await loads.grants(ACCOUNT)
    finally:
        connection.exec_trace = None
    explain = "EXPLAIN QUERY PLAN "
    return {
        sql: [step for *_, step in connection.execute(explain + sql, (None,) * _parameters(sql))] for sql in statements
    }


def _parameters(sql: str) -> int:
    numbered = {int(number) for number in re.findall(r"\?(\d+)", sql)}
    return max(numbered) if numbered else sql.count("?")
