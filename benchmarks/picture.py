"""The figures as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.part import Part

_COLOURS = {"SQLite": "#2b6cb0", "PostgreSQL": "#c05621", "limits": "#a0aec0"}


def draw(found: Mapping[str, Part], folder: Path) -> list[Path]:
    """Draw what was measured; answers the files."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "kasse"
    files = []
    if "steps" in found:
        files.append(_steps(found["steps"].figures, folder / "steps.svg"))
    if "growth" in found:
        files.append(_growth(found["growth"].figures, folder / "growth.svg"))
    return files


def _steps(figures: Mapping[str, Mapping[str, float]], file: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    panels: Any = figure.subplots(2, 2)
    wanted = (("rate", "answers a second"), ("p50", "p50, ms"), ("p99", "p99, ms"), ("memory", "memory, MB"))
    for panel, (measure, title) in zip(panels.flat, wanted, strict=True):
        shown = {name: values[measure] for name, values in figures.items() if values.get(measure)}
        names = list(reversed(shown))
        colours = [_COLOURS.get(name.partition(":")[0], _COLOURS["limits"]) for name in names]
        bars = panel.barh(names, [shown[name] for name in names], color=colours)
        panel.bar_label(bars, fmt="{:,.1f}" if measure != "rate" else "{:,.0f}", padding=3, fontsize=8)
        panel.set_title(title, fontsize=10)
        panel.set_xscale("log" if measure == "rate" else "linear")
        panel.margins(x=0.18)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})
    return file


def _growth(figures: Mapping[str, Mapping[str, float]], file: Path) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    panel: Any = figure.subplots()
    for engine in ("SQLite", "PostgreSQL"):
        points = {
            int(name.partition(": ")[2]): values["processor"]
            for name, values in figures.items()
            if name.startswith(engine)
        }
        panel.plot(list(points), list(points.values()), marker="o", label=engine, color=_COLOURS[engine])
    panel.set_xscale("log")
    panel.set_ylim(bottom=0)
    panel.set_xlabel("orders")
    panel.set_ylabel("CPU ms of Kasse for a session")
    panel.legend(frameon=False)
    panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})
    return file
