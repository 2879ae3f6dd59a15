"""Runs a command on this machine as it is, and beside busy loops, in turn; prints both side by side.

    python -m benchmarks.busy --rounds 3 -- tox -q -e chaos
    python -m benchmarks.busy --rounds 3 --loops 4 --only busy -- tox -q -e kit,integration

A loop is a process that does nothing but use a CPU, at normal priority. Of the command's output only the lines that
say what came out are shown: the summaries of pytest, of trials and of maps.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from brownout.subject.cpus import usable_cpus

TOLD = re.compile(r"^=* ?(chaos: .*?|\d+ (?:passed|failed).*?) ?=*$|exit code \d|cells? in \d|not judged")
LOOP = "import os; parent = os.getppid()\nwhile os.getppid() == parent:\n  for _ in range(100_000): pass"


@dataclass(frozen=True)
class Run:
    """One run: where, with which load average before it, how long (s), its exit code and what it said."""

    where: str
    load: float
    seconds: float
    code: int
    said: tuple[str, ...]

    def row(self) -> str:
        """As a line of a Markdown table."""
        return f"| {self.where} | {self.load:.1f} | {self.seconds:.0f} s | {self.code} | {'<br>'.join(self.said)} |"


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many loops run within the block."""
    running = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(loops)]
    try:
        yield
    finally:
        for loop in running:
            loop.kill()
            loop.wait()


def finished(command: Sequence[str]) -> tuple[str, int]:
    """The output and the exit code of the command. A signal to this process ends the command first."""
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = running.communicate()
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait()
    return output, running.returncode


def once(command: Sequence[str], loops: int) -> Run:
    """The command once, beside so many loops."""
    load = os.getloadavg()[0]
    with busy(loops):
        begin = time.monotonic()
        output, code = finished(command)
        seconds = time.monotonic() - begin
    said = [line.strip("= ") for line in output.splitlines() if TOLD.search(line)]
    run = Run(f"beside {loops} loops" if loops else "quiet", load, seconds, code, tuple(said))
    sys.stdout.write(f"{run.row()}\n")
    sys.stdout.flush()
    if code:
        sys.stderr.write(output[-20_000:])
    return run


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 when a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--loops", type=int, default=4, help="busy loops beside the second kind of runs")
    parser.add_argument("--only", choices=("quiet", "busy"), help="one kind alone")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --: what is run")
    given = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    command = given.command[1:] if given.command[:1] == ["--"] else given.command
    if not command:
        parser.error("no command: python -m benchmarks.busy -- tox -q -e chaos")
    kinds = [loops for loops, kind in ((0, "quiet"), (given.loops, "busy")) if given.only in (None, kind)]
    sys.stdout.write(f"`{' '.join(command)}`, {usable_cpus()} cores\n\n")
    sys.stdout.write("| where | load before | wall | exit code | what it said |\n|---|---|---|---|---|\n")
    runs = [once(command, loops) for _ in range(given.rounds) for loops in kinds]
    quiet, beside = ([run.seconds for run in runs if (run.where == "quiet") is is_quiet] for is_quiet in (True, False))
    if quiet and beside:
        sys.stdout.write(
            f"\nmedian wall time beside the loops: {median(beside) / median(quiet):.2f} times the quiet one\n"
        )
    return int(any(run.code for run in runs))


if __name__ == "__main__":
    sys.exit(main())
