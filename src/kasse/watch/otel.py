"""Traces and metrics for OpenTelemetry. Needs the extra ``kasse[otel]``.

Where they go, and how they are sampled, is said in OpenTelemetry's own variables, such as
OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_TRACES_SAMPLER.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kasse import __version__
from kasse.watch.port import ABOUT, LEVELS, LevelName, Step

_KINDS = {
    "request": SpanKind.SERVER,
    "gateway_call": SpanKind.CLIENT,
    "delivery": SpanKind.CLIENT,
    "question": SpanKind.CLIENT,
}
# What the semantic conventions have a name for.
_NAMES = {"method": "http.request.method", "route": "http.route"}
_BAD = ("failed", "unavailable", "contradiction", "no_answer")


class OpenTelemetry:
    """A span and a duration for every step."""

    def __init__(self, traces: TracerProvider, metrics: MeterProvider) -> None:
        self._providers = (traces, metrics)
        self._tracer = traces.get_tracer("kasse", __version__)
        meter = metrics.get_meter("kasse", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._times = {name: meter.create_histogram(f"kasse.{name}.duration", unit="s") for name in ABOUT}
        self._levels = {
            name: meter.create_gauge(f"kasse.{name}", description=words) for name, (words, _) in LEVELS.items()
        }

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        parent = self._propagator.extract(step.parent) if step.parent else None
        started = time.perf_counter()
        # Errors are told by the outcome: their texts may hold what must not leave the house.
        with self._tracer.start_as_current_span(
            f"kasse.{step.name}",
            parent,
            _KINDS.get(step.name, SpanKind.INTERNAL),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            step.trace_id = format_trace_id(span.get_span_context().trace_id)
            try:
                yield
            finally:
                outcome = "http.response.status_code" if step.name == "request" else "outcome"
                about = {_NAMES.get(name, name): value for name, value in step.about.items()}
                about[outcome] = step.outcome
                self._times[step.name].record(time.perf_counter() - started, about)
                span.set_attributes({**about, **step.detail})
                if step.name == "request":
                    span.set_attribute(outcome, int(step.outcome) if step.outcome.isdigit() else 500)
                    span.update_name(f"{step.about['method']} {step.about.get('route', '')}".strip())
                if step.outcome in _BAD or step.outcome.startswith("5"):
                    span.set_status(StatusCode.ERROR)

    def level(self, name: LevelName, value: float, about: Mapping[str, str]) -> None:
        self._levels[name].set(value, about)

    def close(self) -> None:
        """Send what has not been sent."""
        for provider in self._providers:
            provider.shutdown()


def open_telemetry() -> OpenTelemetry:
    """To where OpenTelemetry's own variables say, in batches and beside the requests."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource({"service.name": "kasse", "service.version": __version__}).merge(Resource.create())
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    return OpenTelemetry(traces, MeterProvider([reader], resource, shutdown_on_exit=False))
