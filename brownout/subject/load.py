"""How much of the CPUs other programs use, as `/proc/stat` tells; where there is none, nobody uses them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brownout.subject.cpus import usable_cpus

STAT = Path("/proc/stat")
OVER = 0.3  # s for which is measured
EVERY = 0.02  # s between two looks at how many threads are ready to run
LITTLE = 0.3  # cores; what is always going on


@dataclass(frozen=True)
class Load:
    """What was measured on the CPUs that this process may use, the `cores`; `used` and `wanted` are in cores too.

    `wanted` counts every thread that runs or waits for a CPU.
    """

    cores: int
    used: float = 0.0
    wanted: float = 0.0

    @property
    def share(self) -> float:
        """How many idle cores this machine is worth, for work that has many threads of its own.

        Two threads of the others count as one core, because ours compete with them at the same priority.
        """
        demand = max(self.used, self.wanted) / 2
        return self.cores * self.cores / (self.cores + demand) if not self.idle else float(self.cores)

    @property
    def idle(self) -> bool:
        """Whether nobody else needs much."""
        return max(self.used, self.wanted) <= LITTLE

    def __str__(self) -> str:
        cores = f"{self.cores} core{'' if self.cores == 1 else 's'}"
        return f"other programs use {self.used:.1f} of {cores} ({self.wanted:.1f} threads run or wait for a CPU)"


@dataclass(frozen=True)
class Sample:
    """One look at `/proc/stat`. `busy` and `total` are in ticks of all CPUs since the machine was started."""

    busy: int
    total: int
    running: int  # threads that run or are ready to run

    @classmethod
    def parse(cls, text: str) -> Sample:
        """From the text of `/proc/stat` (proc(5)); ValueError for anything else."""
        lines = {line.partition(" ")[0]: line.split()[1:] for line in text.splitlines()}
        try:
            ticks = [int(number) for number in lines["cpu"][:8]]  # user nice system idle iowait irq softirq steal
            running = int(lines["procs_running"][0])
        except (KeyError, IndexError) as error:
            raise ValueError(f"not what /proc/stat says: {text[:80]!r}") from error
        return cls(sum(ticks) - sum(ticks[3:5]), sum(ticks), running)


def measured(samples: Sequence[Sample], cores: int, machine: int) -> Load:
    """From looks one after the other. The thread that looks runs itself, and is not counted.

    `/proc/stat` tells of all CPUs of the `machine`. The `cores` of them that this process may use get their share.
    """
    if len(samples) < 2:
        return Load(cores)
    first, last = samples[0], samples[-1]
    used = cores * (last.busy - first.busy) / max(1, last.total - first.total)
    running = sum(max(0, sample.running - 1) for sample in samples[1:]) / (len(samples) - 1)
    return Load(cores, used, running * cores / max(machine, cores))


def load(over: float = OVER) -> Load:
    """Look for so many seconds at what is going on. Call it before anything of our own is started."""
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
