"""Run seeds: ``python -m tests.simulation --seed 7`` tells the story of one, ``--seeds 2000`` tries many."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.bugs import BUGS, simulate_with
from tests.simulation.run import Ran


def main() -> int:
    asked = _asked()
    if asked.seed is not None:
        ran = simulate_with(asked.bug, asked.seed, print)
        print(
            f"\nseed {ran.seed}: {ran.requests} requests in {ran.seconds:.0f} simulated seconds, "
            f"digest {ran.digest[:16]}"
        )
        for problem in ran.problems:
            print(f"PROBLEM: {problem}")
        return 1 if ran.problems else 0
    return _many(range(asked.first, asked.first + asked.seeds), asked.jobs, asked.bug)


def _many(seeds: range, jobs: int, bug: str | None) -> int:
    began, counts, failed, requests, simulated = time.monotonic(), Counter[str](), list[Ran](), 0, 0.0
    with ProcessPoolExecutor(jobs) as pool:
        for number, ran in enumerate(pool.map(partial(simulate_with, bug), seeds, chunksize=4), 1):
            counts.update(ran.counts)
            requests, simulated = requests + ran.requests, simulated + ran.seconds
            if ran.problems:
                failed.append(ran)
                print(f"seed {ran.seed}: {ran.problems[0]}", flush=True)
            if number % 500 == 0:
                print(f"{number} of {len(seeds)} seeds, {len(failed)} with problems", flush=True)
    took = time.monotonic() - began
    print(f"\n{len(seeds)} seeds in {took:.0f} s: {requests} requests in {simulated / 3600:.1f} simulated hours")
    for name, count in sorted(counts.items()):
        print(f"  {name:<32}{count:>9}")
    if failed:
        print(
            f"{len(failed)} seeds with problems. "
            f"Tell the story of one: python -m tests.simulation --seed {failed[0].seed}"
        )
    return 1 if failed else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed only and tell all that happens")
    parser.add_argument("--seeds", type=int, default=1000, help="how many to run (1000)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes to run them in")
    parser.add_argument("--bug", choices=sorted(BUGS), help="put this bug into Kasse first")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
