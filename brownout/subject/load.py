"""Measures from `/proc/stat` how much of the CPUs other programs use; on a system without this file the result is 0."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brownout.subject.cpus import usable_cpus

STAT = Path("/proc/stat")
OVER = 0.3  # Seconds; the length of a measurement of the load.
EVERY = 0.02  # Seconds; the time between two counts of the threads that are ready to run.
LITTLE = 0.3  # Cores; some programs always use up to this much of the CPUs.


@dataclass(frozen=True)
class Load:
    """The load of the machine by other programs. `cores` is the number of CPUs that this process may use; The loads
    `used` and `wanted` are in cores, too.

    `wanted` counts every thread that runs or waits for a CPU.
    """

    cores: int
    used: float = 0.0
    wanted: float = 0.0

    @property
    def share(self) -> float:
        """The number of cores of an idle machine that would do the same work as this machine does under its load.

        Two threads of other programs count as one core, because our threads compete with them at the same priority.
        """
        demand = max(self.used, self.wanted) / 2
        return self.cores * self.cores / (self.cores + demand) if not self.idle else float(self.cores)

    @property
    def idle(self) -> bool:
        """Whether other programs use only a little of the CPUs' time."""
        return max(self.used, self.wanted) <= LITTLE

    def __str__(self) -> str:
        cores = f"{self.cores} core{'' if self.cores == 1 else 's'}"
        return f"other programs use {self.used:.1f} of {cores} ({self.wanted:.1f} threads run or wait for a CPU)"


@dataclass(frozen=True)
class Sample:
    """The values of `/proc/stat` at one moment. `busy` and `total` count the clock ticks of all CPUs since the machine
    was started."""

    busy: int
    total: int
    running: int  # the number of threads that run or are ready to run

    @classmethod
    def parse(cls, text: str) -> Sample:
        """Read the text of `/proc/stat` (proc(5)). Raises ValueError for a text that has another format."""
        lines = {line.partition(" ")[0]: line.split()[1:] for line in text.splitlines()}
        try:
            # The fields of a line are: user nice system idle iowait irq softirq steal
            ticks = [int(number) for number in lines["cpu"][:8]]
            running = int(lines["procs_running"][0])
        except (KeyError, IndexError) as error:
            raise ValueError(f"this is not the text of /proc/stat: {text[:80]!r}") from error
        return cls(sum(ticks) - sum(ticks[3:5]), sum(ticks), running)


def measured(samples: Sequence[Sample], cores: int, machine: int) -> Load:
    """Return the load of the machine from several readings of `/proc/stat`, in order of time. The thread that reads
    `/proc/stat` runs at that moment; it is not counted.

    `/proc/stat` is about all CPUs of the machine, whose number is `machine`; the `cores` CPUs that this process may use
    get their share of the load.
    """
    if len(samples) < 2:
        return Load(cores)
    first, last = samples[0], samples[-1]
    used = cores * (last.busy - first.busy) / max(1, last.total - first.total)
    running = sum(max(0, sample.running - 1) for sample in samples[1:]) / (len(samples) - 1)
    return Load(cores, used, running * cores / max(machine, cores))


def load(over: float = OVER) -> Load:
    """Measure the load of the machine for `over` seconds. Call this function before brownout starts processes of its
    own."""
    cores = usable_cpus()
    samples: list[Sample] = []
    until = time.monotonic() + over
    try:
        while not samples or time.monotonic() < until:
            samples.append(Sample.parse(STAT.read_text()))
            time.sleep(EVERY)
    except (OSError, ValueError):
        return Load(cores)
    return measured(samples, cores, os.cpu_count() or cores)
