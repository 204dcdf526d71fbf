"""Lists are read page by page: by a key, never by an offset, so that they stay put while rows are added.

Source: orders reference, section 10 and O-11, O-12.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime

import msgspec

from kasse.domain.refusals import Refusal

_SIGNATURE_BYTES = 16
_FILTERS_BYTES = 8


class Page(msgspec.Struct, frozen=True):
    """Which part of a list: at most ``limit`` items after the one named ``after``, newest first."""

    limit: int = 10
    after: str | None = None


class Filters(msgspec.Struct, frozen=True):
    """What a list is narrowed to, by at most 100 ``order_ids``.

    ``marks`` are (name, values): any one of the values of every name must be there."""

    status: tuple[str, ...] = ()
    payment_status: tuple[str, ...] = ()
    created_from: datetime | None = None
    created_to: datetime | None = None
    marks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    order_ids: tuple[str, ...] = ()


class SessionFilters(msgspec.Struct, frozen=True):
    """What a list of checkout sessions is narrowed to; of several values of one kind, any.

    ``search`` is a merchant's reference or the payer's first and last name, in large or small letters.
    """

    ids: tuple[str, ...] = ()
    transaction_ids: tuple[str, ...] = ()
    store_ids: tuple[str, ...] = ()
    search: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


def page_token(key: bytes, about: str, filters: str, after: str) -> str:
    """A token for the page after an item. ``about`` names the list, ``filters`` what it is narrowed to."""
    rest = _digest(filters) + after.encode()
    return base64.urlsafe_b64encode(_signature(key, about, rest) + rest).decode().rstrip("=")


def read_page_token(key: bytes, about: str, filters: str, token: str) -> str:
    """The item that a token names.

    Raises ``Refusal`` (wrong_value) for one that is not ours or another list's, or was given for other filters.
    """
    try:
        signed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        after = signed[_SIGNATURE_BYTES + _FILTERS_BYTES :].decode()
    except ValueError:
        signed, after = b"", ""
    rest = signed[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signed[:_SIGNATURE_BYTES], _signature(key, about, rest)):
        raise Refusal(
            "wrong_value",
            f"expected the next_page_token of an answer of this same list, got {token[:60]!r}",
            path="/page_token",
        )
    if rest[:_FILTERS_BYTES] != _digest(filters):
        raise Refusal(
            "wrong_value",
            "expected the page_token together with the filters of the page that it came with, got it with "
            + (filters[:200] or "none"),
            path="/page_token",
        )
    return after


def _digest(filters: str) -> bytes:
    return hashlib.sha256(filters.encode()).digest()[:_FILTERS_BYTES]


def _signature(key: bytes, about: str, rest: bytes) -> bytes:
    text = f"page\n{about}\n".encode() + rest
    return hmac.new(key, text, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
