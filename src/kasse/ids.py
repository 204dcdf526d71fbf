"""Ids come in from outside, so that a run can be repeated."""

from __future__ import annotations

import base64
import random
import uuid

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ORDER_ID = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Ids:
    """Makes ids from a source of chance; the default one is the system's and cannot be guessed."""

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.SystemRandom()

    def uuid(self) -> str:
        """A UUID of version 4."""
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def checkout_id(self, account_id: str) -> str:
        """``{account}.{22 characters}`` for sessions and transactions: 128 random bits in base 58."""
        number, text = self._chance.getrandbits(128), ""
        for _ in range(22):
            number, digit = divmod(number, 58)
            text += _BASE58[digit]
        return f"{account_id}.{text}"

    def order_id(self) -> str:
        """Nine characters that are hard to confuse when read aloud."""
        return "".join(self._chance.choice(_ORDER_ID) for _ in range(9))

    def secret(self) -> str:
        """256 random bits in base 64 without padding."""
        return base64.b64encode(self._chance.getrandbits(256).to_bytes(32, "big")).decode().rstrip("=")
