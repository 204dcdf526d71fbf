"""What the errors of PostgreSQL mean to the engine, and how they are told: never with a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import asyncpg

from kasse.store.port import Contradiction, StoreUnavailable

LOST_GUARD = "KASSE"
"""The state that ``kasse_write`` answers with when somebody was faster."""


class Again(Exception):
    """Nothing is stored, and the same may succeed if it is done again."""


class ConnectionLost(Again):
    """Or there is none now. Nothing is stored, unless it is a ``CommitLost``."""


class CommitLost(ConnectionLost):
    """The connection was lost while something was being committed: it may be stored."""


class Faster(Again):
    """A guard was lost: somebody else has changed or made what this change was about, or it was never so."""


# With the answers of a server that stops, starts or is full.
_CONNECTION_LOST = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
)
_OF_THE_DATABASE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise what the database's errors mean. Goes around calls of the database only."""
    try:
        yield
    except _CONNECTION_LOST as error:
        raise ConnectionLost(str(error) or type(error).__name__) from error
    except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError) as error:
        raise Again(str(error)) from error
    except asyncpg.UniqueViolationError as error:
        raise Faster(str(error)) from error
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
        raise Contradiction(str(error)) from error
    except asyncpg.PostgresError as error:
        if error.sqlstate == LOST_GUARD:
            raise Faster(str(error)) from error
        raise StoreUnavailable(f"the database cannot do it: {error}") from error


@contextmanager
def opening(url: str) -> Iterator[None]:
    """Tell in a sentence why a database cannot be opened."""
    try:
        yield
    except (asyncpg.ClientConfigurationError, ValueError):
        # Its own words may quote a part of the password.
        raise StoreUnavailable(
            "the database's URL is not understood; expected postgresql://user:password@host:port/name, "
            "special characters in the password written like %2F"
        ) from None
    except (*_OF_THE_DATABASE, StoreUnavailable) as error:
        reason = str(error) or type(error).__name__
        raise StoreUnavailable(
            _without_password(url, f"the database {_place(url)} cannot be opened: {reason}")
        ) from None


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path.lstrip('/')} at {parts.netloc.rpartition('@')[2]}"


def _without_password(url: str, text: str) -> str:
    password = urlsplit(url).password or ""
    for secret in {password, unquote(password)} - {""}:
        text = text.replace(secret, "***")
    return text
