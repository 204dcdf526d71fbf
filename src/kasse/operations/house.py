"""What every operation works with; ``main.py`` puts it together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kasse.clock import Clock
from kasse.gateways.port import Gateway
from kasse.ids import Ids
from kasse.operations.health import Readiness
from kasse.operations.tokens import Tokens
from kasse.settings import Settings
from kasse.store.port import Store


@dataclass(frozen=True)
class House:
    store: Store
    gateways: Mapping[str, Gateway]
    clock: Clock
    ids: Ids
    tokens: Tokens
    pepper: bytes
    settings: Settings
    readiness: Readiness = field(default_factory=Readiness)
