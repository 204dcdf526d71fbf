"""Access tokens: signed with keys the server owns and renews, checked once and remembered.

Source: auth reference, sections 2 to 4 and decisions A-1 to A-5.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kasse.domain.access import Client, SigningKey
from kasse.domain.refusals import Refusal
from kasse.ids import Ids
from kasse.operations.clocks import AccountClocks
from kasse.store.port import Loads, Record, Store

T = TypeVar("T")

ALGORITHM = "EdDSA"
_REMEMBERED = 10_000


@dataclass(frozen=True)
class Rights:
    """What a valid token says."""

    account_id: str
    client: str
    scopes: frozenset[str]
    expires_at: float
    epoch: int


@dataclass(frozen=True)
class _Key:
    kid: str
    private: Ed25519PrivateKey
    created_at: datetime


class Tokens:
    """Issues and checks tokens. Holds nothing that the store does not have: any number may run side by side."""

    def __init__(
        self, store: Store, clock: AccountClocks, ids: Ids, *, issuer: str, lifetime: timedelta, rotation: timedelta
    ) -> None:
        self._store, self._clock, self._ids = store, clock, ids
        self._issuer, self._lifetime, self._rotation = issuer, lifetime, rotation
        self._keys: list[_Key] = []
        self._remembered: OrderedDict[str, Rights] = OrderedDict()

    async def issue(self, client: Client, audience: str, scopes: Sequence[str]) -> tuple[str, int]:
        """A token for a client, and the seconds it lives."""
        key = await self._signing_key()
        now = self._clock.now()
        lifetime = int(self._lifetime.total_seconds())
        claims = {
            "iss": self._issuer,
            "sub": client.id,
            "aud": audience,
            "aid": client.account_id,
            "iat": int(now.timestamp()),
            "exp": int(now.timestamp()) + lifetime,
            "jti": self._ids.uuid(),
            "scope": " ".join(scopes),
            "epoch": client.epoch,
        }
        token = jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"kid": key.kid})
        self._remember(token, _rights(claims))
        return token, lifetime

    async def check(self, token: str) -> Rights:
        """Raises ``Refusal`` (unauthorized) unless the token is ours, in time, and its client still there."""
        rights, _ = await self.check_and_load(token, _nothing)
        return rights

    async def check_and_load(self, token: str, load: Callable[[Loads, str], Awaitable[T]]) -> tuple[Rights, T]:
        """The same, and something else of its account that the request needs, loaded on the same way."""
        rights = self._remembered.get(token)
        if rights is None:
            rights = await self._read(token)
            self._remember(token, rights)
        if rights.expires_at <= self._clock.now().timestamp():
            self._remembered.pop(token, None)
            raise _unauthorized("the token has expired")
        account_id = rights.account_id
        client, clock, found = await self._store.glance(
            lambda loads: loads.together(
                loads.client(account_id, rights.client), loads.account_clock(account_id), load(loads, account_id)
            )
        )
        self._clock.learn(account_id, clock)
        if client is None or client.deleted_at is not None or client.epoch != rights.epoch:
            self._remembered.pop(token, None)
            raise _unauthorized("the token was revoked")
        return rights, found

    async def _read(self, token: str) -> Rights:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = await self._key(str(kid))
            if key is None:
                raise _unauthorized("the token is not signed by this server")
            # Time is checked against our own clock, not the machine's, and the audience by its account.
            options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
            claims = jwt.decode(token, key.private.public_key(), algorithms=[ALGORITHM], options=options)
            return _rights(claims)
        except (jwt.InvalidTokenError, KeyError, ValueError, TypeError):
            raise _unauthorized("the token is not valid") from None

    def _remember(self, token: str, rights: Rights) -> None:
        """Checking a signature takes longer than everything else about a token, so it is done once."""
        self._remembered[token] = rights
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    async def public_keys(self) -> list[dict[str, Any]]:
        """The key set to publish, as JWKs: every key whose tokens may still be alive."""
        await self._signing_key()
        found = []
        for key in self._keys:
            jwk = jwt.algorithms.OKPAlgorithm.to_jwk(key.private.public_key(), as_dict=True)
            found.append({**jwk, "kid": key.kid, "use": "sig", "alg": ALGORITHM})
        return found

    async def _signing_key(self) -> _Key:
        """The newest key; a new one is made when it has grown old."""
        if not self._is_fresh():
            await self._load()
        if not self._is_fresh():
            await self._make_key()
            await self._load()
        return self._keys[0]

    def _is_fresh(self) -> bool:
        return bool(self._keys) and self._keys[0].created_at > self._clock.now() - self._rotation

    async def _key(self, kid: str) -> _Key | None:
        if not any(key.kid == kid for key in self._keys):
            await self._load()
        return next((key for key in self._keys if key.kid == kid), None)

    async def _load(self) -> None:
        oldest = self._clock.now() - self._rotation - self._lifetime
        self._keys = [
            _Key(key.kid, _private(key.private_pem), key.created_at)
            for key in await self._store.read(lambda loads: loads.signing_keys())
            if key.created_at > oldest
        ]

    async def _make_key(self) -> None:
        """Make a key unless someone else has just made one: many calls may find the old one too old at once."""
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key = SigningKey(self._ids.uuid(), pem.decode(), self._clock.now())

        async def decide(loads: Loads) -> tuple[None, Sequence[Record]]:
            newest = next(iter(await loads.signing_keys()), None)
            fresh = newest is not None and newest.created_at > key.created_at - self._rotation
            return None, () if fresh else (key,)

        await self._store.change(decide)


async def _nothing(loads: Loads, account_id: str) -> None:
    return None


def _rights(claims: Mapping[str, Any]) -> Rights:
    return Rights(
        account_id=str(claims["aid"]),
        client=str(claims["sub"]),
        scopes=frozenset(str(claims["scope"]).split()),
        expires_at=float(claims["exp"]),
        epoch=int(claims["epoch"]),
    )


def _private(pem: str) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError("the stored signing key is not an Ed25519 key")
    return key


def _unauthorized(why: str) -> Refusal:
    return Refusal(
        "unauthorized",
        f"expected a valid access token, {why}",
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
    )
