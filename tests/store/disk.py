"""A disk that can be full or broken, for every database that is opened while it is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw


class Disk(apsw.VFS):
    """Set ``full`` or ``broken`` and what is written from then on fails, as it would on a real one.

    With ``file_is_full`` that is so for what is written to the database's file, and not for its log.
    """

    def __init__(self) -> None:
        self.full = self.broken = self.file_is_full = False
        self.real = apsw.vfs_names()[0]  # the default one
        super().__init__("disk-of-a-test", self.real, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._is_the_file = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        super().__init__(disk.real, name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        if self._disk.full or (self._disk.file_is_full and self._is_the_file):
            raise apsw.FullError("database or disk is full")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        if self._disk.broken:
            raise apsw.IOError("disk I/O error")
        super().xSync(flags)


@contextmanager
def disk() -> Iterator[Disk]:
    made = Disk()
    try:
        yield made
    finally:
        made.unregister()
