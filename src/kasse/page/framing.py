"""Who may put the page into a frame.

In test: anyone. In production: the site that the payer returns to, and the origins that the configuration of the
profile or of the session lists as ``frame_ancestors``. An empty list there keeps everybody else out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

ANYONE = "*"
NOBODY = "'none'"

_ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)


def frame_ancestors(account_id: str, return_url: str, configuration: Mapping[str, Any]) -> str:
    """The value of the directive of that name in a content security policy.

    An entry that is no origin, such as ``https://shop.example`` or ``https://*.shop.example``, counts for nothing.
    """
    listed = configuration.get("frame_ancestors")
    if isinstance(listed, list):
        origins = [each for each in listed if isinstance(each, str) and _ORIGIN.fullmatch(each)]
        return " ".join(origins) or NOBODY
    if account_id.startswith("T"):
        return ANYONE
    return _origin(return_url) or NOBODY


def _origin(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:
        return None
    return origin if _ORIGIN.fullmatch(origin) else None
