"""What each process of a server begins with."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from typing import Any, cast

from starlette.types import ASGIApp


def application() -> ASGIApp:
    """The application as a server runs it, with the settings of the environment. Each worker process makes its own."""
    # The log is JSON, yet structlog would import rich, for logs in colour, if it is there: a sixth of all imports.
    cast(dict[str, Any], sys.modules).setdefault("rich", None)
    from kasse import main

    threading.Thread(target=_stop_with_parent, name="kasse-parent", daemon=True).start()
    return main.application()


def _stop_with_parent() -> None:
    """Stop as soon as the process is gone that has started this one as a worker, if one has.

    If it was killed it could not tell its workers. They would keep the port, and no server could be started again.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
