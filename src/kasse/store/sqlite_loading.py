"""How the loads of the SQLite engine read: over one connection, to the end in one go."""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from typing import Any, TypeVar

import apsw
import msgspec

T = TypeVar("T")


class Loading:
    """Reads as of the transaction that the connection is in."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._decoders: dict[type, msgspec.json.Decoder[Any]] = {}

    def _decode(self, doc: str, type_: type[T]) -> T:
        decoder = self._decoders.get(type_)
        if decoder is None:
            decoder = self._decoders[type_] = msgspec.json.Decoder(type_)
        return decoder.decode(doc)  # type: ignore[no-any-return]

    def _one(self, type_: type[T], sql: str, *bindings: Any) -> T | None:
        row = self._connection.execute(sql, bindings).get
        return None if row is None else self._decode(row, type_)

    def _all(self, type_: type[T], sql: str, *bindings: Any) -> list[T]:
        return [self._decode(doc, type_) for (doc,) in self._connection.execute(sql, bindings)]

    async def together(self, *loads: Awaitable[Any]) -> list[Any]:
        results, errors = list[Any](), list[Exception]()
        for load in loads:
            try:
                results.append(await load)
            except apsw.Error:
                raise
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return results


def as_json(values: Collection[int] | Collection[str]) -> str:
    return msgspec.json.encode(values).decode()
