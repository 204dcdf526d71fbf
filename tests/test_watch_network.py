"""What is sent over the network to those who look on: OpenTelemetry to a collector, figures to Prometheus."""

from __future__ import annotations

import gzip
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.faults.servers import Server, make_client
from tests.running import PATIENCE_S
from tests.test_watch import PARENT, TRACE, _counted, _until, served

__all__ = ["served"]


class Collector:
    """Takes what is sent to it over OTLP/HTTP, as a collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: set[str] = set()
        self.bytes = b""

    def take(self, path: str, body: bytes) -> None:
        self.bytes += body
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for found in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {metric.name for scope in found.scope_metrics for metric in scope.metrics}


@contextmanager
def collecting() -> Iterator[tuple[str, Collector]]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.take(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", collector
        server.shutdown()
        thread.join(PATIENCE_S)


def test_traces_and_figures_arrive_at_a_collector_over_the_network_without_a_secret(tmp_path: Path) -> None:
    with collecting() as (url, collector):
        server = Server(f"sqlite:///{tmp_path}/kasse.db", settings={"otel": "true"})
        server.environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        client = make_client(server.database)
        server.start()
        try:
            server.wait_until_it_answers()
            shop = server.shop(*client)
            shop.http.headers["traceparent"] = PARENT
            session = shop.session(shop.order(1000))
            card = {"card": "4000000000000002"}
            paid = shop.call("POST", shop.pay_path(session), card, headers={"X-Request-Id": "the-request-that-pays"})
            assert paid.status_code == 200
            _until(lambda: any(span.name == "kasse.gateway_call" for span in collector.spans))
        finally:
            # What has not been sent yet is sent when it stops.
            assert server.end(signal.SIGTERM) == 0
    requests_of = {_attributes(span).get("kasse.request_id") for span in collector.spans}
    assert paid.headers["request-id"] in requests_of
    assert {span.trace_id.hex() for span in collector.spans if span.name == "kasse.gateway_call"} == {TRACE}
    assert "kasse.request.duration" in collector.metrics
    token = str(shop.http.headers["Authorization"]).split()[-1]
    secrets = {
        **{"token": token, "client secret": shop.client_secret, "session": session["id"]},
        "card": "4000000000000002",
    }
    assert [name for name, value in secrets.items() if value.encode() in collector.bytes] == []


def _attributes(span: Any) -> dict[str, str]:
    return {each.key: each.value.string_value for each in span.attributes}


def test_metrics_are_told_under_load(served: Server) -> None:
    shop = served.shop(*make_client(served.database))
    stop = threading.Event()

    def order_until_the_end() -> int:
        own, orders = served.shop(shop.client_id, shop.client_secret), 0
        while not stop.is_set():
            own.order(1000)
            orders += 1
        return orders

    with ThreadPoolExecutor(4) as pool:
        ordering = [pool.submit(order_until_the_end) for _ in range(4)]
        try:
            told = [_counted(served, "kasse_requests", status="200") for _ in range(20)]
        finally:
            stop.set()
        done = sum(each.result() for each in ordering)
    assert told == sorted(told)
    route = "/v1/accounts/{aid}/shopping/draft_orders"
    _until(lambda: _counted(served, "kasse_requests", route=route, status="200") == done)
