"""How fast fault maps are drawn, and whether runs of one map agree.

    python -m benchmarks.maps [--runs 3] [--actions standard] [--workload task] [--config defaults late hardened]

Runs `brownout map` so many times for each configuration and prints a row for each: seconds of the whole command, trials
a minute, good cells, and the cells that differ between the runs. With `--declared FOLDER`, the races that a stored map
CONFIG-WORKLOAD.json there declares may differ within their words. Exit code 1 when fewer than 99 of 100 cells agree.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from brownout.explore.maps.diff import agreement
from brownout.explore.maps.faultmap import EXIT, FaultMap

AGREE = 0.99  # of the cells


def drawn(config: str, workload: str, actions: str, place: Path) -> tuple[FaultMap, float]:
    """One map, and the seconds that its command took. Raises CalledProcessError when there is none."""
    argv = [sys.executable, "-m", "brownout.cli", "map", "--config", config, "--workload", workload]
    begun = time.monotonic()
    done = subprocess.run([*argv, "--actions", actions, "--save", str(place)], stdout=subprocess.PIPE, check=False)
    took = time.monotonic() - begun
    if done.returncode not in EXIT.values() or not place.exists():
        done.check_returncode()
    return FaultMap.load(place), took


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each map (default: 3)")
    parser.add_argument("--actions", default="standard", help="standard or all (default: standard)")
    parser.add_argument("--workload", nargs="+", default=["task"], help="default: task")
    parser.add_argument("--config", nargs="+", default=["defaults", "late", "hardened"], help="default: these three")
    parser.add_argument("--declared", type=Path, help="a folder of stored maps that declare races (default: none)")
    chosen = parser.parse_args()
    print("| map | cells | seconds | trials a minute | good cells | load average | cells that differ |")
    print("|---|---|---|---|---|---|---|")
    agree, odd = True, []
    for config, workload in ((config, workload) for config in chosen.config for workload in chosen.workload):
        maps, took, load = [], [], []
        with tempfile.TemporaryDirectory() as folder:
            for run in range(chosen.runs):
                map_, seconds = drawn(config, workload, chosen.actions, Path(folder, f"{run}.json"))
                maps.append(map_)
                took.append(seconds)
                load.append(os.getloadavg()[0])
        columns = [
            f"`{config}`, {workload}",
            str(len(maps[0].cells)),
            ", ".join(f"{each:.1f}" for each in took),
            ", ".join(f"{each.trials * 60 / seconds:.0f}" for each, seconds in zip(maps, took, strict=True)),
            ", ".join(str(each.tally["valid"]) for each in maps),
            ", ".join(f"{each:.1f}" for each in load),
        ]
        if len(maps) > 1:
            known = chosen.declared / f"{config}-{workload}.json" if chosen.declared else None
            found = agreement(maps, FaultMap.load(known) if known and known.exists() else None)
            agree &= found.share >= AGREE
            columns.append(f"{found.cells - found.agreeing}")
            odd += [f"{config}, {workload}: {each}" for each in found.differing]
        print(f"| {' | '.join(columns)} |", flush=True)
    print(*(f"- {each}" for each in odd), sep="\n")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
