"""What every operation works with; ``main.py`` puts it together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kasse.domain.session import PaymentSession
from kasse.gateways.port import Gateway
from kasse.ids import Ids
from kasse.operations.clocks import AccountClocks
from kasse.operations.health import Readiness
from kasse.operations.rates import Rates
from kasse.operations.tokens import Tokens
from kasse.settings import Settings
from kasse.store.port import Store
from kasse.watch.port import Watch


class Merchants(Protocol):
    """The merchants' servers, asked while a payer waits."""

    async def ask(self, session: PaymentSession, url: str) -> Any:
        """The JSON that the server at ``url`` answers about a session.

        Raises ``Refusal``: callback_failed, unavailable.
        """
        ...


@dataclass(frozen=True)
class House:
    store: Store
    gateways: Mapping[str, Gateway]
    clock: AccountClocks
    ids: Ids
    tokens: Tokens
    pepper: bytes
    settings: Settings
    merchants: Merchants
    rates: Rates
    watch: Watch = field(default_factory=Watch)
    readiness: Readiness = field(default_factory=Readiness)
