"""What each process of a server begins with."""

from __future__ import annotations

import sys
from typing import Any, cast

from starlette.types import ASGIApp


def application() -> ASGIApp:
    """The application as a server runs it, with the settings of the environment. Each worker process makes its own."""
    # The log is JSON, yet structlog would import rich, for logs in colour, if it is there: a sixth of all imports.
    cast(dict[str, Any], sys.modules).setdefault("rich", None)
    from kasse import main

    return main.application()
