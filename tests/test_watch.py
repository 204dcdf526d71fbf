"""What those who look on see: metrics by few names, traces from request to gateway, logs without secrets."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kasse.operations import levels
from kasse.watch.otel import OpenTelemetry
from kasse.watch.port import Watch
from kasse.watch.prometheus import Metrics
from tests.faults.servers import Server, free_port, make_client
from tests.running import PATIENCE_S, Json, Running, Shop, line, running

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


class Seen:
    """Everything that a server shows while somebody looks on in every way."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.spans, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        traces = TracerProvider()
        traces.add_span_processor(SimpleSpanProcessor(self.spans))
        self.watch = Watch([Metrics(self.registry), OpenTelemetry(traces, MeterProvider([self.reader]))])

    def sample(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def wait_for(self, number: float, name: str, **labels: str) -> None:
        """What is counted when an answer has been sent may come a moment after it."""
        _until(lambda: self.sample(name, **labels) >= number)
        assert self.sample(name, **labels) == number

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans.get_finished_spans() if span.name == name]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def watched(seen: Seen) -> Iterator[Running]:
    with running(watch=seen.watch, gateway_timeout=5.0) as server:
        yield server


def test_requests_are_counted_by_route_and_status_whatever_is_in_their_addresses(watched: Running, seen: Seen) -> None:
    shop = watched.shop()
    for n in range(3):
        shop.refused(404, "order_not_found", "GET", f"orders/X{n}")
        shop.call("GET", f"/nothing/{n}")
        shop.call("FROB" if n else "PURGE", "orders")
        requests.get(f"{shop.base_url}/page-assets/nothing-{n}.js", timeout=PATIENCE_S)
    route = "/v1/accounts/{aid}/shopping/orders/{order_id}"
    for told in (route, "(unknown)", "/page-assets/{name}"):
        seen.wait_for(3, "kasse_requests_total", method="GET", route=told, status="404")
    seen.wait_for(3, "kasse_request_seconds_count", method="GET", route=route)


def test_no_label_holds_what_a_client_chose(watched: Running, seen: Seen) -> None:
    shop = watched.shop()
    order = shop.order(1000)
    shop.pay(shop.session(order))
    chosen = (shop.account_id, shop.client_id, order["order_id"])
    for text in (generate_latest(seen.registry).decode(), str(seen.reader.get_metrics_data())):
        assert "gateway_call" in text
        assert [each for each in chosen if each in text] == []


def test_gateway_calls_changes_and_deliveries_are_counted_by_outcome(watched: Running, seen: Seen) -> None:
    shop = watched.shop()
    order = shop.order(1000, 500)
    shop.pay(shop.session(order, 1))
    shop.call("POST", shop.pay_path(shop.session(order, 2)), {"card": "5100000000000008"})
    calls = "kasse_gateway_calls_total"
    assert seen.sample(calls, gateway="sandbox", kind="authorize", outcome="approved") == 1
    assert seen.sample(calls, gateway="sandbox", kind="authorize", outcome="no_answer") == 1
    assert seen.sample("kasse_store_changes_total", outcome="done") > 4
    shop.refused(400, "amount_above_left", "POST", f"orders/{order['order_id']}/captures", _items(1, 2000))
    assert seen.sample("kasse_store_changes_total", outcome="refused") >= 1
    # Nobody listens where the callback goes.
    _until(lambda: seen.sample("kasse_deliveries_total", outcome="no_answer") >= 1)


def test_what_waits_is_told(watched: Running, seen: Seen) -> None:
    shop = watched.shop()
    shop.pay(shop.session(shop.order(1000)))
    _until(lambda: seen.sample("kasse_deliveries_total", outcome="no_answer") >= 1)
    shop.call("POST", shop.pay_path(shop.session(shop.order(1000))), {"card": "5100000000000008"})
    watched.run(levels.tell(watched.house))
    assert seen.sample("kasse_outbox_waiting") == 1
    assert seen.sample("kasse_outbox_overdue_seconds") >= 0
    assert seen.sample("kasse_gateway_calls_open", state="unknown") in (0, 1)
    assert seen.sample("kasse_gateway_calls_open", state="closing") == 0


def test_a_payment_is_one_trace_from_the_callers_own_down_to_the_gateway(watched: Running, seen: Seen) -> None:
    shop = watched.shop()
    session = shop.session(shop.order(1000))
    seen.spans.clear()
    shop.call("POST", shop.pay_path(session), {}, headers={"traceparent": PARENT})
    name = "POST /v1/accounts/{aid}/sandbox/sessions/{session_id}/pay"
    _until(lambda: bool(seen.named(name)))
    [request] = seen.named(name)
    assert request.context is not None
    assert request.context.trace_id == int(TRACE, 16)
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == "/v1/accounts/{aid}/sandbox/sessions/{session_id}/pay"
    [call] = seen.named("kasse.gateway_call")
    assert call.parent is not None
    assert call.parent.span_id == request.context.span_id
    traces = [span.context.trace_id for span in seen.named("kasse.store_change") if span.context is not None]
    assert traces.count(int(TRACE, 16)) >= 2
    assert session["id"] not in "".join(span.to_json() for span in seen.spans.get_finished_spans())


def test_a_refused_request_is_counted_apart(seen: Seen) -> None:
    with running(watch=seen.watch, max_under_way=1, max_waiting=0) as server, holding_the_only_place(server) as shop:
        assert shop.call("GET", "orders").status_code == 503
    seen.wait_for(1, "kasse_requests_total", method="GET", route="(overloaded)", status="503")


@contextmanager
def holding_the_only_place(server: Running) -> Iterator[Shop]:
    """A request is under way until the end of the block: its change of the database waits."""
    shop, change = server.shop(), server.house.store.change
    entered, leave = asyncio.Event(), asyncio.Event()

    async def held(decide: Any) -> Any:
        entered.set()
        await leave.wait()
        return await change(decide)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as other:
        patch.setattr(server.house.store, "change", held)
        body = {"order": {"currency": "NOK", "items": [line(1, 1000)]}}
        request = other.submit(Shop.call, shop, "POST", "draft_orders", body)
        server.run(asyncio.wait_for(entered.wait(), PATIENCE_S))
        try:
            yield shop
        finally:
            server.loop.call_soon_threadsafe(leave.set)
        assert request.result().status_code == 200


def _items(line_id: int, amount: int) -> Json:
    return {"items": [{"line_id": line_id, "amount": amount}]}


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)


def test_nothing_of_the_extras_is_imported_unless_they_are_switched_on() -> None:
    code = (
        "import sys, kasse.cli, kasse.main\n"
        "from kasse.settings import Settings\n"
        "assert not kasse.main.onlookers(Settings())\n"
        "extras = ('prometheus_client', 'opentelemetry', 'limits')\n"
        "print([name for name in sys.modules if name.split('.')[0] in extras])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_what_takes_long_to_import_is_imported_when_it_is_needed_first() -> None:
    code = (
        "import sys, kasse.cli, kasse.serving\n"
        "assert kasse.serving.application()\n"
        "print([name for name in ('aiohttp', 'rich.console', 'prometheus_client') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# -- as processes of their own


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    metrics = {"workers": "2", "metrics_port": str(free_port()), "log_level": "debug"}
    found = Server(f"sqlite:///{tmp_path}/kasse.db", settings=metrics, log=tmp_path / "log")
    found.start()
    found.wait_until_it_answers()
    yield found
    found.end(signal.SIGKILL)


def _counted(server: Server, name: str, **labels: str) -> float:
    text = requests.get(f"http://127.0.0.1:{server.settings['metrics_port']}/metrics", timeout=PATIENCE_S).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families[name].samples if name in families else []
    return sum(
        sample.value for sample in samples if sample.name == f"{name}_total" and labels.items() <= sample.labels.items()
    )


def test_the_metrics_of_all_workers_are_added_up(served: Server) -> None:
    def ask(_: int) -> int:
        return requests.get(f"{served.base_url}/health/live", timeout=PATIENCE_S).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(200))) == {200}
    _until(lambda: _counted(served, "kasse_requests", route="/health/live", status="200") == 200)
    assert requests.get(f"{served.base_url}/metrics", timeout=PATIENCE_S).status_code == 404
    assert served.end(signal.SIGTERM) == 0
    assert "Traceback" not in (served.log or Path()).read_text()


def test_the_log_of_a_whole_payment_names_requests_and_traces_and_holds_no_secret(served: Server) -> None:
    shop = served.shop(*make_client(served.database))
    shop.http.headers["traceparent"] = PARENT
    secret = shop.ok("POST", "/v1/admin/signature", {})["signature"]["secret"]
    order = shop.order(1000, 500)
    paid, other = shop.session(order, 1), shop.session(order, 2)
    card = {"number": "4000 0000 0000 0002", "expiry": "12/49", "cvc": "837"}
    form = {f"card_{name}": value for name, value in card.items()} | card
    requests.post(f"{shop.base_url}/v1/view/{paid['id']}/pay", data=form, timeout=PATIENCE_S)
    shop.call("POST", shop.pay_path(other), {"card": "5100000000000008"})
    shop.call("POST", f"orders/{order['order_id']}/captures", _items(1, 1000))
    shop.call("POST", f"orders/{order['order_id']}/refunds", _items(1, 500))
    shop.call("GET", f"/v1/sessions/{paid['id']}")
    shop.call("POST", "draft_orders", data="{not JSON")
    requests.post(
        f"{shop.base_url}/v1/accounts/{shop.account_id}/auth/token", auth=(shop.client_id, "wrong-secret"), timeout=20
    )
    _until(lambda: "delivery_tried" in (served.log or Path()).read_text())
    assert served.end(signal.SIGTERM) == 0
    text = (served.log or Path()).read_text()
    lines = [json.loads(each) for each in text.splitlines()]
    answered = [each for each in lines if each["event"] == "request"]
    assert len(answered) > 10
    assert all(each["request_id"] for each in answered)
    assert any(each.get("trace_id") == TRACE for each in answered)
    token = (
        shop.http.headers["Authorization"].split()[-1] if isinstance(shop.http.headers["Authorization"], str) else ""
    )
    secrets = {
        "token": token,
        "client secret": shop.client_secret,
        "wrong secret": "wrong-secret",
        "signature secret": secret,
        "session": paid["id"],
        "other session": other["id"],
        "card": "4000000000000002",
        "card as typed": card["number"],
        "other card": "5100000000000008",
        "code": '"837"',
    }
    assert [name for name, value in secrets.items() if value in text] == []
