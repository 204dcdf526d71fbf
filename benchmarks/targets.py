"""What is asked of Kasse beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks import limits
from benchmarks.part import Part
from kasse.bench.report import markdown

Figures = Mapping[str, Mapping[str, float]]


def text(found: Mapping[str, Part]) -> str:
    rows = [[what, asked, f"{measured:.2f}"] for what, asked, measured in _measured(found)]
    return f"### Targets\n\n{markdown(['what', 'asked', 'measured'], rows)}"


def _measured(found: Mapping[str, Part]) -> Iterator[tuple[str, str, float]]:
    figures: dict[str, Figures] = {name: part.figures for name, part in found.items()}
    if steps := figures.get("steps"):
        sqlite, postgres = steps["SQLite: session"]["rate"], steps["PostgreSQL: session"]["rate"]
        yield "sessions on PostgreSQL / pgbench by hand, one worker", "", postgres / steps[limits.BY_HAND]["rate"]
        yield "sessions on PostgreSQL / pgbench, one worker", ">= 0.5", postgres / steps[limits.KASSES]["rate"]
        yield "sessions on SQLite / on PostgreSQL", ">= 1", sqlite / postgres
        yield "sessions on SQLite / localstripe, empty", ">= 10", sqlite / steps[limits.LOCALSTRIPE]["rate"]
        yield "sessions on SQLite / localstripe, used", ">= 10", sqlite / steps[limits.LOCALSTRIPE_USED]["rate"]
        yield "tokens a second, one worker on SQLite", ">= 3000", steps["SQLite: token"]["rate"]
    for workers, values in figures.get("several_workers", {}).items():
        yield f"sessions on PostgreSQL / pgbench, workers: {workers}", ">= 0.5", values["share"]
    for engine in ("SQLite", "PostgreSQL"):
        if waiting := figures.get("waiting"):
            yield f"p99 / p50 at 70 %, {engine}", "< 5", waiting[engine]["p99"] / waiting[engine]["p50"]
        if pages := figures.get("pages"):
            yield f"the page, p50 ms, {engine}", "< 10", pages[f"{engine}: the page"]["p50"]
            yield f"start to first answer, ms, {engine}", "< 1000", pages[f"{engine}: start"]["p50"]
        if memory := figures.get("memory"):
            yield f"memory at the end, MB, {engine}", "< 150", memory[engine]["memory"]
        if growth := figures.get("growth"):
            costs = [values["processor"] for name, values in growth.items() if name.startswith(engine)]
            yield f"CPU of a session, most orders / fewest, {engine}", "<= 1.15", costs[-1] / costs[0]
        if histories := figures.get("histories"):
            many, few = (histories[f"{engine}: {name}"]["processor"] for name in ("many", "few"))
            yield f"CPU of a session, long / short history, {engine}", "<= 1.2", many / few
        if lines := figures.get("long_orders"):
            yield (
                f"p50 of a session, 500 lines / 1, {engine}",
                "<= 15",
                lines[f"{engine}: 500"]["p50"] / lines[f"{engine}: 1"]["p50"],
            )
