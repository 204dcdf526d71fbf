"""Metrics in the format of Prometheus. Needs the extra ``kasse[metrics]``.

The worker processes write what they count into files of a common folder, and the process that started them serves
the sums: so it does not matter which worker has answered what. The library decides at its import whether it does so,
by a variable that ``served`` sets.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kasse.watch.port import ABOUT, LEVELS, LevelName, Step

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_NAMES = {
    "request": ("requests", "Requests"),
    "store_change": ("store_changes", "Changes of the database"),
    "gateway_call": ("gateway_calls", "Calls to gateways"),
    "delivery": ("deliveries", "Tries to deliver a callback"),
    "question": ("questions", "Questions to merchants while a payer waits"),
}
_OUTCOME = {"request": "status"}


class Metrics:
    """Counts and times every step."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._counts, self._times = {}, {}
        for name, labels in ABOUT.items():
            (several, words), outcome = _NAMES[name], _OUTCOME.get(name, "outcome")
            self._counts[name] = Counter(
                f"kasse_{several}", f"{words}, by {outcome}", [*labels, outcome], registry=registry
            )
            self._times[name] = Histogram(
                f"kasse_{name}_seconds", f"{words}: how long each took", labels, registry=registry, buckets=_SECONDS
            )
        self._levels = {
            name: Gauge(f"kasse_{name}", words, labels, registry=registry, multiprocess_mode="mostrecent")
            for name, (words, labels) in LEVELS.items()
        }

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            labels = [step.about.get(label, "") for label in ABOUT[step.name]]
            timed = self._times[step.name]
            (timed.labels(*labels) if labels else timed).observe(time.perf_counter() - started)
            self._counts[step.name].labels(*labels, step.outcome).inc()

    def level(self, name: LevelName, value: float, about: Mapping[str, str]) -> None:
        gauge = self._levels[name]
        (gauge.labels(**about) if about else gauge).set(value)

    def close(self) -> None:
        pass


def metrics() -> Metrics:
    """Those of this process."""
    from prometheus_client import CollectorRegistry

    return Metrics(CollectorRegistry())


@contextmanager
def served(host: str, port: int) -> Iterator[None]:
    """Serve the sums of this process and those that it starts, at ``/metrics``, until the end of the block.

    Raises ``OSError`` when the port cannot be had. To be called before anything is counted.
    """
    with tempfile.TemporaryDirectory(prefix="kasse-metrics-") as folder:
        os.environ[_FOLDER] = folder
        from prometheus_client import CollectorRegistry, start_http_server
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        server, thread = start_http_server(port, host, registry)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
