"""Backups: everything as of one moment, in one SQLite file, whichever engine it comes from or goes back to.

A backup is made beside running servers and holds up none of them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from kasse.store import copying
from kasse.store.port import StoreUnavailable

_BUSY_MS = 15_000
_SQLITE = b"SQLite format 3\0"

Tell = Callable[[str, int, bool], None]


class BackupRefused(Exception):
    """Nothing was done, and why."""


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A file to fill until the end of the block, readable for its owner only; it has its name once it is on disk.

    Raises ``BackupRefused``.
    """
    part = path.with_name(f"{path.name}.part")
    if path.exists():
        raise BackupRefused(f"expected a file that is not there yet, {path} is")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise BackupRefused(
            f"{part} is there: another backup is being made, or one was cut off; remove it then"
        ) from None
    except OSError as error:
        raise BackupRefused(f"{path} cannot be written: {error.strerror}") from error
    try:
        yield part
        _flush(part)
        # Unlike a rename, a link replaces nothing that has come there meanwhile.
        os.link(part, path)
        part.unlink()
        _flush(path.parent)
    except FileExistsError:
        raise BackupRefused(f"expected a file that is not there yet, {path} is") from None
    finally:
        for left in (part, Path(f"{part}-wal"), Path(f"{part}-shm")):
            left.unlink(missing_ok=True)


async def back_up(database: str, file: Path, tell: Tell) -> None:
    """Write everything that a database (a URL) holds into an empty file. Raises ``StoreUnavailable``."""
    if database.startswith("postgresql://"):
        await copying.copy(database, f"sqlite:///{file}", tell)
    else:
        _snapshot(Path(database.removeprefix("sqlite:///")), file)


async def restore(file: Path, database: str, tell: Tell, *, replace: bool = False) -> None:
    """Put what a backup holds into an empty database, or with ``replace`` in place of what is there: all or nothing.

    The backup itself stays as it is: one that an older Kasse has made is brought up to date on the way.
    Raises ``BackupRefused``, ``copying.CopyRefused``, ``StoreUnavailable``.
    """
    try:
        with file.open("rb") as opened:
            beginning = opened.read(len(_SQLITE))
    except OSError as error:
        raise BackupRefused(f"{file} cannot be read: {error.strerror}") from error
    if beginning != _SQLITE:
        raise BackupRefused(f"{file} is no backup that Kasse has made")
    with tempfile.TemporaryDirectory(prefix="kasse-restore-") as folder:
        one = Path(folder) / "backup.db"
        _snapshot(file, one)
        await copying.copy(f"sqlite:///{one}", database, tell, replace=replace)


def _snapshot(source: Path, target: Path) -> None:
    """Copy a database page by page, as of one moment. Writers go on meanwhile."""
    if not source.is_file():
        raise StoreUnavailable(f"there is no database {source}")
    try:
        here, there = apsw.Connection(str(source)), apsw.Connection(str(target))
        try:
            here.set_busy_timeout(_BUSY_MS)
            with there.backup("main", here, "main") as running:
                # In one step: in several, each change of another process would begin it anew.
                running.step(-1)
            damage = there.execute("PRAGMA quick_check(1)").get
        finally:
            here.close()
            there.close()
    except apsw.Error as error:
        raise StoreUnavailable(f"the database {source} cannot be copied: {error}") from error
    if damage != "ok":
        raise StoreUnavailable(f"the database {source} is damaged: {damage}")


def _flush(path: Path) -> None:
    """Have a file or folder on disk before going on."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
