"""A disk that forgets, when the power goes, what it was not told to keep."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

_SECTOR = 512
_Write = tuple[int, bytes | None]
"""Where and what; None cuts the file off there."""


@dataclass
class _Kept:
    """A file as it is for certain on the disk, and what was written to it since, in whatever order that gets there."""

    image: bytearray = field(default_factory=bytearray)
    later: list[_Write] = field(default_factory=list)

    def sync(self) -> None:
        for write in self.later:
            _apply(self.image, write)
        self.later.clear()

    def after_power_cut(self, chance: random.Random) -> bytes:
        """Of what was not synced each sector may have got there or not."""
        image = bytearray(self.image)
        for offset, data in self.later:
            if data is None:
                if chance.random() < 0.5:
                    _apply(image, (offset, None))
                continue
            for start in range(0, len(data), _SECTOR):
                if chance.random() < 0.5:
                    _apply(image, (offset + start, data[start : start + _SECTOR]))
        return bytes(image)


def _apply(image: bytearray, write: _Write) -> None:
    offset, data = write
    if data is None:
        del image[offset:]
        return
    if len(image) < offset:
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data


class PowerDisk(apsw.VFS):
    """For every database that is opened while it is there."""

    def __init__(self) -> None:
        self.real = apsw.vfs_names()[0]
        self.files: dict[str, _Kept] = {}
        self.lock = threading.RLock()
        super().__init__("disk-without-power", self.real, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        with self.lock:
            super().xDelete(filename, syncdir)
            self.files.pop(filename, None)

    def cut(self, folder: Path, chance: random.Random) -> None:
        """Leave in ``folder`` what would be there if the power went now. The disk itself goes on."""
        with self.lock:
            folder.mkdir()
            for name, kept in self.files.items():
                (folder / os.path.basename(name)).write_bytes(kept.after_power_cut(chance))


class _File(apsw.VFSFile):
    def __init__(self, disk: PowerDisk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__(disk.real, name, flags)
        with disk.lock:
            if path not in disk.files:
                found = Path(path).read_bytes() if os.path.exists(path) else b""
                disk.files[path] = _Kept(bytearray(found))
            self._kept = disk.files[path]

    def xWrite(self, data: Any, offset: int) -> None:
        with self._disk.lock:
            super().xWrite(data, offset)
            self._kept.later.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        with self._disk.lock:
            super().xTruncate(newsize)
            self._kept.later.append((newsize, None))

    def xSync(self, flags: int) -> None:
        with self._disk.lock:
            super().xSync(flags)
            self._kept.sync()


@contextmanager
def power_disk() -> Iterator[PowerDisk]:
    made = PowerDisk()
    try:
        yield made
    finally:
        made.unregister()
