"""The parts of the benchmark: each measures something on both engines and answers a table."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import limits
from benchmarks.filler import fill
from benchmarks.growth import growth, histories, long_orders
from benchmarks.lists import lists
from benchmarks.machine import Database, kasse
from benchmarks.part import Effort, Part, databases, middle
from kasse.bench.steps import Result
from tests.store.postgres_server import PostgresServer

_USED = 1000
"""Orders of a database that has been in use."""


def steps(server: PostgresServer, effort: Effort) -> Part:
    """The main job, and the limits. They take turns, so that whatever else the machine does hits all of them."""
    measured: dict[str, list[Result]] = {}
    bounds: dict[str, list[limits.Limit]] = {}
    for _ in range(effort.rounds):
        # New ones each round: what pgbench has left behind is not for Kasse to work off.
        with databases(server) as both:
            for database in both:
                with kasse(database) as running:
                    # PostgreSQL plans for empty tables until it has counted them, which it does once a minute.
                    fill(database, running.shop(), _USED)
                    found = running.bench("--connections", effort.connections, "--seconds", effort.seconds)
                for result in found:
                    measured.setdefault(f"{database.engine}: {result.step}", []).append(result)
            for bound in _bounds(both[1], effort):
                bounds.setdefault(bound.name, []).append(bound)
    chosen = {name: middle(results, lambda result: result.rate) for name, results in measured.items()}
    rows = [
        [
            *name.split(": "),
            f"{result.rate:.0f}",
            f"{result.p50:.1f}",
            f"{result.p99:.1f}",
            f"{result.processor['server']:.2f}",
            f"{result.processor['postgres']:.2f}" if "postgres" in result.processor else "",
            f"{result.memory['server'] / 1e6:.0f}",
        ]
        for name, result in chosen.items()
    ]
    bound_by = {name: middle(found, lambda bound: bound.rate) for name, found in bounds.items()}
    rows += [
        ["", name, f"{bound.rate:.0f}", *map(_or_nothing, (bound.p50, bound.p99, bound.processor)), "", ""]
        for name, bound in bound_by.items()
    ]
    figures = {
        name: {"rate": result.rate, "p50": result.p50, "p99": result.p99, "memory": result.memory["server"] / 1e6}
        for name, result in chosen.items()
    }
    figures |= {name: {"rate": bound.rate, "p50": bound.p50, "p99": bound.p99} for name, bound in bound_by.items()}
    return Part(
        "The main job, step by step, and the limits",
        f"One worker, {effort.connections} connections, each step for {effort.seconds:.0f} s, everything on the same "
        f"machine, in a new database of {_USED} orders. Kasse and the limits took turns, {effort.rounds} times; each "
        "row is the middle one. A session is created with an Idempotency-Key, durably.",
        ["engine", "step", "a second", "p50 ms", "p99 ms", "CPU ms", "PostgreSQL CPU ms", "MB"],
        rows,
        figures,
    )


def _bounds(database: Database, effort: Effort) -> Iterator[limits.Limit]:
    for name in (limits.BY_HAND, limits.KASSES):
        yield limits.pgbench(database, name, effort.connections, effort.seconds)
    yield limits.fsyncs(min(2, effort.seconds))
    yield limits.bare_stack(effort.connections, effort.seconds)
    yield from limits.localstripe(effort.connections, effort.seconds)


def _or_nothing(number: float) -> str:
    return f"{number:.2f}" if number else ""


def waiting(server: PostgresServer, effort: Effort) -> Part:
    """How long an answer takes at 70 % of what the server can do."""
    rows, figures = [], {}
    with databases(server) as both:
        for database in both:
            with kasse(database) as running:
                options = ("--step", "session", "--connections", effort.connections, "--seconds", effort.seconds)
                most = running.bench(*options)[0].rate
                results = [running.bench(*options, "--rate", 0.7 * most)[0] for _ in range(2 * effort.rounds + 1)]
            times_over = sorted(result.p99 / result.p50 for result in results)
            result = middle(results, lambda result: result.p99 / result.p50)
            times = (result.p50, result.p99, result.p99 / result.p50, times_over[0], times_over[-1])
            rows.append([database.engine, f"{most:.0f}", f"{result.rate:.0f}", *(f"{time:.1f}" for time in times)])
            figures[database.engine] = {"p50": result.p50, "p99": result.p99}
    words = (
        "Sessions are created at a fixed rate; the time of each counts from when it should have been sent. "
        f"{2 * effort.rounds + 1} runs, the middle one of them, and what the least and the most of p99 / p50 was."
    )
    head = ["engine", "most a second", "a second", "p50 ms", "p99 ms", "p99 / p50", "least", "most"]
    return Part("Waiting at 70 % of saturation", words, head, rows, figures)


def pages(server: PostgresServer, effort: Effort) -> Part:
    """The payer's page and its data, one payer at a time; and how long a server takes to start."""
    rows, figures = [], {}
    with databases(server) as both:
        for database in both:
            with kasse(database) as running:
                shop = running.shop()
                view = f"{running.url}/v1/view/{shop.session(shop.order(99800, 11500, 7500))['id']}"
                for name, url in (("the page", view), ("its state", f"{view}/state")):
                    found = limits.hammer(name, running.pid, "GET", url, 1, effort.seconds)
                    rows.append([database.engine, name, f"{found.p50:.1f}", f"{found.p99:.1f}"])
                    figures[f"{database.engine}: {name}"] = {"p50": found.p50, "p99": found.p99}
            with kasse(database) as running:
                rows.append([database.engine, "start to first answer", f"{running.start_s * 1000:.0f}", ""])
                figures[f"{database.engine}: start"] = {"p50": running.start_s * 1000}
    words = "Of requests one after the other, over one connection; the start is with a database that is there."
    return Part("The payer's page, and the start", words, ["engine", "what", "p50 ms", "p99 ms"], rows, figures)


def memory(server: PostgresServer, effort: Effort) -> Part:
    """What a worker holds after many requests: tokens and sessions in turn."""
    rows, figures = [], {}
    with databases(server) as both:
        for database in both:
            with kasse(database) as running:
                done, held = 0, [0]
                while done < effort.requests:
                    found = running.bench("--step", "token", "--step", "session", "--seconds", effort.seconds)
                    done += sum(result.answers for result in found)
                    held.append(found[-1].memory["server"])
            rows.append([database.engine, f"{done}", f"{held[1] / 1e6:.0f}", f"{held[-1] / 1e6:.0f}"])
            figures[database.engine] = {"memory": held[-1] / 1e6}
    words = "Tokens and sessions in turn, one worker."
    head = ["engine", "requests", "MB after the first", "MB at the end"]
    return Part("Memory after many requests", words, head, rows, figures)


def several_workers(server: PostgresServer, effort: Effort) -> Part:
    """Where the time goes with several workers on one PostgreSQL, and how near they come to what it can write."""
    rows, figures = [], {}
    connections = 2 * effort.connections
    options = ("--step", "session", "--connections", connections, "--seconds", effort.seconds)
    measured: dict[int, list[tuple[Result, float]]] = {}
    for _ in range(effort.rounds):
        for workers in (1, 2, 4):
            with databases(server) as (_, database):
                with kasse(database, workers) as running:
                    result = running.bench(*options)[0]
                most = limits.pgbench(database, limits.KASSES, connections, effort.seconds).rate
            measured.setdefault(workers, []).append((result, most))
    for workers, found in measured.items():
        result, most = middle(found, lambda one: one[0].rate / one[1])
        used = result.processor
        processor = (used["server"], used["postgres"], result.client_processor)
        rates = (f"{result.rate:.0f}", f"{most:.0f}", f"{result.rate / most:.2f}")
        rows.append([f"{workers}", *rates, f"{result.p50:.1f}", *(f"{each:.2f}" for each in processor)])
        figures[f"{workers}"] = {"rate": result.rate, "share": result.rate / most, **used}
    words = (
        f"Creating sessions with {connections} connections, and pgbench with the write as Kasse sends it, each on a "
        f"new database; the middle of {effort.rounds} by their ratio. Processor time is for each session, of Kasse, of "
        "PostgreSQL and of the load client."
    )
    head = ["workers", "a second", "pgbench", "ratio", "p50 ms", "Kasse CPU ms", "PostgreSQL CPU ms", "client CPU ms"]
    return Part("Several workers on PostgreSQL", words, head, rows, figures)


ALL = (steps, waiting, pages, several_workers, growth, histories, long_orders, lists, memory)
