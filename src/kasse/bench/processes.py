"""What processes on this machine have used: seconds of processor, bytes of memory. Linux only (``/proc``)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def processor_seconds(pids: Iterable[int]) -> float:
    """Used so far by processes and what they have started, that which has ended included."""
    total = 0.0
    for pid in pids:
        total += sum(sum(map(int, _stat(each)[11:13])) for each in family(pid) if _stat(each)) * _TICK_S
        total += sum(map(int, _stat(pid)[13:15])) * _TICK_S
    return total


def largest_memory(pids: Iterable[int]) -> int:
    """Of the one process among them, and what they have started, that holds the most, in bytes."""
    held = [int(fields[21]) * _PAGE for pid in pids for each in family(pid) if (fields := _stat(each))]
    return max(held, default=0)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
