"""Whether `brownout shrink FOLDER` brings a failure with six faults, of which one matters, down to that one fault.

    python -m benchmarks.shrinks [--runs 10]

Writes a project with one scenario on the stock application: six faults, one of which is a flush of the broker that
loses tasks. Runs the scenario until it has failed once, then shrinks its capsule so many times, and prints a row
for each run: seconds, trials, the faults that are left. Exit code 1 when a run leaves another fault, or more than
that one.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFTEST = """
import pytest
from brownout.explore.experiment import STOCK

@pytest.fixture(scope="session")
def application():
    return STOCK
"""
SCENARIO = '''
from brownout import Lab, after, at_least_once, drained, flush, latency, started, stop, submit

def test_six_faults(lab: Lab) -> None:
    """The broker loses its data while messages wait in the queue."""
    lab.load(submit("brownout.explore.stock.work", "{key}", every="15ms", count=40))
    lab.inject(latency("5ms"), on="client->broker", when=started(nth=1), heal=after("300ms"))
    lab.inject(latency("20ms"), on="worker-1->backend", when=started(nth=1), heal=after("800ms"))
    lab.inject(latency("10ms"), on="worker-1->broker", when=started(nth=2), heal=after("500ms"))
    lab.inject(flush(), on="broker", when=started(nth=3))
    lab.inject(stop(), on="worker-1", when=started(nth=4), heal=after("200ms"))
    lab.inject(latency("15ms"), on="worker-1->backend", when=started(nth=5), heal=after("500ms"))
    lab.promise(at_least_once(within="30s"), drained())
    lab.run().must_hold()
'''
MATTERS = "flush"


def command(*words: str) -> list[str]:
    """What runs a module of this environment."""
    return [sys.executable, "-m", *words]


def capsule(project: Path) -> Path:
    """The folder of a trial that failed."""
    (project / "conftest.py").write_text(CONFTEST)
    (project / "test_faults.py").write_text(SCENARIO)
    (project / "pytest.ini").write_text("[pytest]\naddopts = -p no:schemathesis\n")
    for _ in range(5):
        done = subprocess.run(
            command("pytest", "-q", "test_faults.py"), cwd=project, capture_output=True, text=True, check=False
        )
        for results in sorted(project.glob("store/*/*/results.json")):
            if not results.parent.is_symlink() and '"lost"' in results.read_text():
                return results.parent
    raise SystemExit(f"no task was lost in five runs of the scenario:\n{done.stdout[-3000:]}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="default: 10")
    runs = parser.parse_args().runs
    good = 0
    print("| run | load before | seconds | trials | faults left | operations left |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="brownout-shrinks-") as folder:
        stored = capsule(Path(folder))
        for run in range(1, runs + 1):
            shutil.rmtree(stored / "shrunk", ignore_errors=True)
            load, begun = os.getloadavg()[0], time.monotonic()
            done = subprocess.run(
                command("brownout.cli", "shrink", str(stored), "--anomaly", "lost"),
                cwd=folder, capture_output=True, text=True, check=False,
            )  # fmt: skip
            took, ended = time.monotonic() - begun, re.search(r" in (\d+) trials and ", done.stderr)
            if done.returncode or not ended:
                print(f"| {run} | {load:.1f} | {took:.0f} | | {(done.stdout or done.stderr).strip()} | |", flush=True)
                continue
            plan = json.loads((stored / "shrunk" / "plan.json").read_text())
            faults = [injection["fault"]["name"] for injection in plan["injections"]]
            count = sum(load["count"] for load in plan["load"])
            good += faults == [MATTERS]
            print(f"| {run} | {load:.1f} | {took:.0f} | {ended[1]} | {', '.join(faults)} | {count} |", flush=True)
    print(f"\n{good} of {runs} came down to {MATTERS}")
    return 0 if good == runs else 1


if __name__ == "__main__":
    raise SystemExit(main())
