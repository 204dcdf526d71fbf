"""Measure Kasse beside the limits of the machine it runs on; see README.md.

python -m benchmarks [--quick] [--only PART]... [--out FOLDER]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import msgspec

from benchmarks import parts, picture, targets
from benchmarks.machine import described, postgres
from benchmarks.part import FULL, QUICK, Part

PARTS = {part.__name__: part for part in parts.ALL}


def main() -> None:
    asked = argparse.ArgumentParser(description="Measure Kasse beside the limits of the machine it runs on.")
    asked.add_argument("--quick", action="store_true", help="a minute or two, to see that everything works")
    asked.add_argument("--only", action="append", choices=sorted(PARTS), help="some of the parts")
    asked.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    asked.add_argument("--orders", type=int, help="how many orders there are at most")
    options = asked.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    effort = QUICK if options.quick else FULL
    if options.orders:
        fewer = tuple(orders for orders in effort.orders if orders < options.orders)
        effort = msgspec.structs.replace(effort, orders=(*fewer, options.orders))
    found: dict[str, Part] = {}
    with postgres() as server:
        head = f"Measured on {time.strftime('%Y-%m-%d')}: {described(server)}."
        print(head, flush=True)
        for name in options.only or PARTS:
            found[name] = PARTS[name](server, effort)
            print(f"\n{found[name].text()}", flush=True)
    asked_for = targets.text(found)
    print(f"\n{asked_for}", flush=True)
    tables = "\n\n".join([head, *(part.text() for part in found.values()), asked_for])
    (options.out / "tables.md").write_text(tables + "\n")
    (options.out / "figures.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    for file in picture.draw(found, options.out):
        print(f"picture: {file}")


if __name__ == "__main__":
    main()
