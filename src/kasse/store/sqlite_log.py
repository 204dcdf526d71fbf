"""The write-ahead log of the embedded engine, and how what is in it gets into the file.

By itself SQLite does that in the commit that fills the log, which then takes many times as long as the others.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import apsw


class Log:
    """Copies the log into the file beside the commits, as soon as it holds so many ``pages``.

    What has come meanwhile is little. It is copied with the next commit, so that the log begins anew after that.
    """

    def __init__(self, writer: apsw.Connection, beside: apsw.Connection, pages: int = 1000) -> None:
        self.pages = pages
        self._beside = beside
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kasse-log")
        self._copying: Future[None] | None = None
        writer.set_wal_hook(self._committed)

    def _committed(self, writer: apsw.Connection, _: str, pages: int) -> int:
        if self._copying is None:
            if pages >= self.pages:
                self._copying = self._thread.submit(_copy, self._beside)
        elif self._copying.done():
            self._copying = None
            _copy(writer)
        return apsw.SQLITE_OK

    def close(self) -> None:
        """Finish a copy that is under way. Its connections are closed by whoever opened them."""
        self._thread.shutdown()


def _copy(connection: apsw.Connection) -> None:
    # Another process may be at it, or the disk be full: the commit stands, and it is tried again after a later one.
    with suppress(apsw.Error):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
