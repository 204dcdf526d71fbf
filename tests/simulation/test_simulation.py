"""Some seeds of the simulation, and that it can fail. ``python -m tests.simulation`` runs as many as you like."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.bugs import BUGS, simulate_with
from tests.simulation.run import simulate

SEEDS, LONG = 16, 3_000
LONGEST_S = 150
"""So long each quarter of the seeds is tried at most."""


@pytest.mark.parametrize("part", range(4))
def test_whatever_goes_wrong_the_accounts_agree_in_the_end(
    part: int, times: Callable[[int, int], int], record_property: Callable[[str, object], None]
) -> None:
    began, tried = time.monotonic(), 0
    for seed in range(part, times(SEEDS, LONG), 4):
        # A long run has an end also on a slow machine; the table tells how many it tried.
        if tried and time.monotonic() > began + LONGEST_S:
            break
        ran, tried = simulate(seed), tried + 1
        assert ran.problems == [], f"python -m tests.simulation --seed {seed}"
    record_property("seeds", tried)


@pytest.mark.parametrize("bug", sorted(BUGS))
def test_a_bug_is_found_within_sixty_seeds(bug: str) -> None:
    for seed in range(1, 61):
        if simulate_with(bug, seed).problems:
            return
    pytest.fail(f"60 seeds find nothing wrong with {bug}")


def test_a_seed_replays_exactly_also_in_another_process() -> None:
    story: list[str] = []
    ran = simulate(16, story.append)
    assert simulate(16).digest == ran.digest != simulate(17).digest
    command = [sys.executable, "-m", "tests.simulation", "--seed", "16"]
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            command,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = done.stdout.splitlines()
        assert told[: len(story)] == story
        assert ran.digest[:16] in told[-1]


def test_a_seed_with_problems_is_told_and_ends_with_1() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--bug", "calls-without-an-answer-are-not-looked-up"]
    for more in (["--seed", "5"], ["--first", "5", "--seeds", "2", "--jobs", "1"]):
        done = subprocess.run(
            [*command, *more], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert "the work never ends" in done.stdout
