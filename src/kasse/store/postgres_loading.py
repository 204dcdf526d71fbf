"""How the loads of the PostgreSQL engine put their questions, and what they note of the answers.

Each statement names its account to the database before it reads (see ``kasse_lock`` in the migrations). It does so
in the same round trip: ``room`` comes first, because what is read depends on its result.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import msgspec

from kasse.store.postgres_questions import Look, Question, Rows, Together

T = TypeVar("T")

EVERY_ACCOUNT = "*"


@dataclass(frozen=True)
class Seen:
    """A record that something was decided on: its table, key and version."""

    table: str
    account: str
    key: str
    version: int

    @property
    def name(self) -> tuple[str, ...]:
        """As a row that is written is named."""
        return (self.table, self.account, self.key) if self.key else (self.table, self.account)


@dataclass
class Loading:
    """How something is asked for, and a note of what was seen: the versions of single records, and whether there was
    more to see."""

    seen: list[Seen] = field(default_factory=list)
    saw_a_list: bool = False

    async def _rows(self, sql: str, *values: Any, of_order: bool = False) -> Rows:
        if not all(_storable(value) for value in values):
            # Neither half a surrogate nor a NUL can be stored in a text, so there is nothing of that name.
            return ()
        return await Question(sql, values, of_order)

    async def _look(self, what: str, account_id: str, key: str, chosen: str | None = None) -> Sequence[Any] | None:
        """The one row that is found, if any."""
        if not (_storable(account_id) and _storable(key)):
            return None
        rows = await Look(what, account_id, key, chosen)
        return rows[0] if rows else None

    async def together(self, *loads: Awaitable[Any]) -> list[Any]:
        return await Together(loads)

    async def _one(self, type_: type[T], account_id: str, sql: str, *values: Any) -> T | None:
        rows = await self._rows(in_room(sql), account_id, *values)
        return decode(rows[0][0], type_) if rows else None

    async def _all(self, type_: type[T], account_id: str, sql: str, *values: Any) -> list[T]:
        return [decode(row[0], type_) for row in await self._rows(in_room(sql), account_id, *values)]

    async def _list(self, type_: type[T], account_id: str, sql: str, *values: Any) -> list[T]:
        """Like ``_all``, for what a later row could be missing from."""
        self.saw_a_list = True
        return await self._all(type_, account_id, sql, *values)

    async def _by_key(self, type_: type[T], table: str, account_id: str, key: str) -> T | None:
        """A record with versions, by its primary key."""
        row = await self._look(table, account_id, key)
        return None if row is None else self._saw(table, key, account_id, decode(row[0][0], type_))

    def _saw(self, table: str, key: str, account_id: str, record: Any) -> Any:
        self.seen.append(Seen(table, account_id, key, record.version))
        return record

    def _see_of_order(self, account_id: str, order: str) -> bool:
        """What belongs to an order grows with the order's version only: it is enough to have seen that before."""
        if any((seen.table, seen.account, seen.key) == ("orders", account_id, order) for seen in self.seen):
            return True
        self.saw_a_list = True
        return False


def in_room(sql: str) -> str:
    """Name the account, then read. OFFSET 0 keeps the planner from mixing the two."""
    return (
        "SELECT found.* FROM (SELECT set_config('kasse.account', $1, true) AS id OFFSET 0) AS room, "  # noqa: S608
        f"LATERAL ({sql} OFFSET 0) AS found"
    )


def _storable(value: Any) -> bool:
    try:
        return not isinstance(value, str) or b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decode(doc: str, type_: type[T]) -> T:
    decoder = _decoders.get(type_)
    if decoder is None:
        decoder = _decoders[type_] = msgspec.json.Decoder(type_)
    return cast(T, decoder.decode(doc))
