"""The results of a load run as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kasse.bench.steps import Result


def watched(named: Iterable[str]) -> dict[str, list[int]]:
    """Processes by name, from words such as ``server=4711``. Raises ``ValueError``."""
    found: dict[str, list[int]] = {}
    for each in named:
        name, _, pid = each.rpartition("=")
        if not name or not pid.isdigit():
            raise ValueError(f"expected name=PID, got {each!r}")
        found.setdefault(name, []).append(int(pid))
    return found


def table(results: Sequence[Result]) -> str:
    """A table in Markdown, which is read well as it is."""
    names = list(dict.fromkeys(name for result in results for name in result.processor))
    head = ["step", "answers", "a second", "p50 ms", "p99 ms"]
    head += [f"{name} CPU ms each" for name in names] + ["client CPU ms each"] + [f"{name} MB" for name in names]
    rows = [
        [
            result.step,
            f"{result.answers}",
            f"{result.rate:.0f}",
            f"{result.p50:.1f}",
            f"{result.p99:.1f}",
            *(f"{result.processor[name]:.3f}" for name in names),
            f"{result.client_processor:.3f}",
            *(f"{result.memory[name] / 1e6:.0f}" for name in names),
        ]
        for result in results
    ]
    return markdown(head, rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
