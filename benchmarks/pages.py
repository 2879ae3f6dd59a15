"""What the page of a large trial costs: its time, its memory and its size, for 10,000 and for 100,000 events.

    python -m benchmarks.pages [--events 10000 100000] [--rounds 3]

The trial is made up: 10 events for each operation, one job in 50 without an effect, two faults, two workers that end.
Each size runs in a process of its own, which reads the history from its file, as the command `report` does. Time is the
CPU time of that process from the file to the page; memory is the greatest that the process ever had.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from brownout.check.verdict import Anomaly, Verdict
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.operation import Http, Load
from brownout.plan.plan import Plan
from brownout.report.page import trial
from brownout.report.page.stored import stored
from brownout.report.results import results
from brownout.run import capsule
from brownout.run.events import TrialEnded
from brownout.run.result import Result

MS = 1_000_000
PER_OPERATION = 10
LOST = 50  # one operation in so many is lost
AIM_TIMES, AIM_MB = 12, 300


def events(operations: int, every: int = 5 * MS) -> Iterator[Event]:
    """A trial of so many operations, one each `every` nanoseconds."""
    end = operations * every + 2_000 * MS
    yield Event(0, "run", "phase", data={"name": "load"})
    for fault, begin, stop in (("kill()", 0.3, 0.31), ("refuse()", 0.5, 0.7)):
        about = {"fault": fault, "id": f"{fault}#1", "target": "worker-1" if fault == "kill()" else "api->broker"}
        yield Event(int(end * begin), "nemesis", "fault-start", data=about)
        yield Event(int(end * begin) + MS, "nemesis", "fault-acted", data=about)
        yield Event(int(end * stop), "nemesis", "fault-stop", data=about)
    yield Event(int(end * 0.3) + MS, "worker-1", "exit", data={"code": -9, "struck": True})
    for n in range(operations):
        at, key, task, worker = n * every + MS, f"op-{n}", f"{n:08x}-task", f"worker-{n % 2 + 1}"
        slow = 40 * MS if end * 0.5 < at < end * 0.7 else 4 * MS
        yield Event(at, "client", "invoke", key, data={"op": "http", "method": "POST", "path": "/jobs"})
        kind, status = ("info", None) if n % 97 == 0 else ("fail", 503) if n % 41 == 0 else ("ok", 202)
        yield Event(at + slow, "client", kind, key, task, data={"op": "http", "status": status})
        yield Event(at + slow, "store", "accepted", key, task)
        yield Event(
            at + slow + MS, "broker", "sample", data={"queues": {"celery": n % 90}, "unacked": n % 2, "by_task": {}}
        )
        yield Event(at + slow + 2 * MS, worker, "received", None, task, data={"retries": 0})
        if n % LOST:
            yield Event(at + slow + 3 * MS, worker, "started", None, task, 7, {"retries": 0})
            yield Event(at + slow + 9 * MS, "effects", "effect", None, task, data={"name": "done"})
            yield Event(at + slow + 10 * MS, worker, "ended", None, task, 7, {"state": "SUCCESS"})
            yield Event(at + slow + 12 * MS, "client", "read", key, task, data={"state": "SUCCESS"})
            yield Event(at + slow + 13 * MS, "wire", "point", data={"edge": "worker-1->broker"})
    yield Event(end, "run", "drained", data={"ok": True, "left": ""})


def store(folder: Path, operations: int) -> Result:
    """Write such a trial into a folder, as a run does."""
    history = History(events(operations))
    lost = [f"op-{n}" for n in range(0, operations, LOST)]
    anomalies = tuple(
        Anomaly("lost", f"Operation {key} was accepted and never ran.", key, None, tuple(history.ops[key].events[:3]))
        for key in lost
    )
    verdicts = (Verdict("invalid", "at_least_once()", anomalies), Verdict("valid", "drained()", why="0 left"))
    plan = Plan(load=(Load(Http("POST", "/jobs"), 0.005, operations),), seed=7)
    result = Result("benchmarks/pages.py::made_up", plan, verdicts, history, folder, history.end / 1e9)
    (folder / "log").mkdir()
    (folder / "history.ndjson").write_text("".join(f"{event.to_json()}\n" for event in history))
    capsule.write(folder, plan, result.scenario, "")
    results(TrialEnded("t", result))
    return result


def measure(folder: Path) -> dict[str, float]:
    """Read the trial of a folder and make its page: CPU seconds, greatest memory (MB), size of the page (kB)."""
    begin = time.process_time()
    result = stored(folder)
    read = time.process_time()
    page = trial.page(result)
    end = time.process_time()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "events": len(result.history),
        "read": read - begin,
        "page": end - read,
        "memory": memory,
        "size": len(page) / 1000,
    }


def apart(folder: Path) -> dict[str, float]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.pages", "--measure", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    """Print a row for each size, and whether the aims are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return 0
    print("| events | read the history, CPU | make the page, CPU | greatest memory | page |\n|---|---|---|---|---|")
    spent = []
    with tempfile.TemporaryDirectory() as folder:
        for size in options.events:
            place = Path(folder) / str(size)
            place.mkdir()
            store(place, size // PER_OPERATION)
            rounds = [apart(place) for _ in range(options.rounds)]
            found = {name: median(one[name] for one in rounds) for name in rounds[0]}
            spent.append((found["read"] + found["page"], found["memory"]))
            print(
                f"| {found['events']:,.0f} | {found['read']:.2f} s | {found['page']:.2f} s | {found['memory']:.0f} MB "
                f"| {found['size']:.0f} kB |"
            )
    times, most = spent[-1][0] / spent[0][0], max(memory for _, memory in spent)
    print(f"\n{times:.1f} times (aim: at most {AIM_TIMES}); {most:.0f} MB (aim: below {AIM_MB})")
    return int(times > AIM_TIMES or most >= AIM_MB)


if __name__ == "__main__":
    sys.exit(main())
