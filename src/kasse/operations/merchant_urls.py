"""Addresses of merchants' servers: refused when they are named, not only when they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from kasse.domain.refusals import Refusal
from kasse.domain.session import SessionUrl
from kasse.operations.house import House


def require_callable(house: House, account_id: str, url: str, path: str) -> None:
    """Whether an account may have this address called: a production account's is https and not this machine.

    What a name leads to is looked at when it is called. Raises ``Refusal`` (bad_url). Source: checkout reference, 3.2.
    """
    if house.settings.allows_private(account_id):
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise Refusal("bad_url", f"expected an https URL for a production account, got {url[:200]!r}", path=path)
    host = (parts.hostname or "").rstrip(".")
    if host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127."):
        raise Refusal("bad_url", f"expected a URL that is not this machine's own, got {url[:200]!r}", path=path)


def require_session_urls(
    house: House, account_id: str, url: SessionUrl | None, express: Mapping[str, Any] | None
) -> None:
    """The same for every address that a session names. Raises ``Refusal`` (bad_url)."""
    express = express or {}
    codes = express.get("discount_codes") or {}
    named = (
        ("/url/callback_url", url.callback_url if url else None),
        ("/express/shipping_address_callback_url", express.get("shipping_address_callback_url")),
        ("/express/discount_codes/callback_url", codes.get("callback_url")),
    )
    for path, address in named:
        if address is not None:
            require_callable(house, account_id, address, path)
