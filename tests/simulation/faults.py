"""What can go wrong in a run, and how often: drawn once for each seed, so that runs differ in kind."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

GatewayWay = Literal[
    "answers", "loses the request", "loses the answer", "is late", "is slow", "acts twice", "answers nonsense"
]


@dataclass
class Faults:
    """Chances are by step, call or try; times are seconds."""

    dies: float = 0.0
    database_away: float = 0.0
    decides_twice: float = 0.0
    gateway: float = 0.0
    gateway_slow: float = 0.0
    gateway_latest: float = 30.0
    receiver: float = 0.0
    receivers_back_after: float = 0.0
    connection_cut: float = 0.0
    clock_jumps_every: float = 0.0
    clock_jump: float = 0.0
    slow: float = 0.01

    def gateway_way(self, chance: random.Random) -> GatewayWay:
        if chance.random() >= self.gateway:
            return "is slow" if self.gateway_slow and chance.random() < self.gateway_slow else "answers"
        return chance.choice(
            ("loses the request", "loses the answer", "is late", "is late", "acts twice", "answers nonsense")
        )

    def __str__(self) -> str:
        told = {name: round(value, 4) for name, value in vars(self).items() if value}
        return ", ".join(f"{name} {value}" for name, value in told.items())


def draw(chance: random.Random) -> Faults:
    """Each fault is there in some runs only: some bugs show when everything else goes well."""

    def maybe(probability: float, low: float, high: float) -> float:
        return chance.uniform(low, high) if chance.random() < probability else 0.0

    return Faults(
        dies=maybe(0.5, 0.0005, 0.02),
        database_away=maybe(0.25, 0.001, 0.03),
        decides_twice=maybe(0.4, 0.05, 0.5),
        gateway=maybe(0.7, 0.05, 0.6),
        gateway_slow=maybe(0.6, 0.3, 0.9),
        gateway_latest=chance.choice((15.0, 30.0, 90.0, 400.0)),
        receiver=maybe(0.5, 0.1, 0.9),
        receivers_back_after=chance.choice((0.0, 0.0, 600.0, 86_400.0)),
        connection_cut=maybe(0.3, 0.01, 0.1),
        clock_jumps_every=maybe(0.6, 2.0, 15.0),
        clock_jump=chance.choice((10.0, 60.0, 3600.0)),
        slow=chance.choice((0.001, 0.02, 0.5, 3.0)),
    )
