"""Finds out how many CPUs this process may use, from its CPU affinity and the quotas of its control groups (cgroups v2
and v1)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

MEMBERSHIP = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds; the kernel's default period of a quota


def usable_cpus() -> int:
    """Return the number of CPUs that the kernel gives to this process, at least 1. If the quota allows a fraction of a
    CPU, the fraction counts as a whole CPU."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        membership = MEMBERSHIP.read_text()
    except OSError:  # the system is not Linux, or has no /proc
        membership = ""
    return usable(allowed, limits(membership, ROOT))


def usable(allowed: int, quotas: Iterable[str]) -> int:
    """Return how many of the `allowed` CPUs this process may use under these quotas. A CPU quota is a text as in the
    file cpu.max: the time and the period in µs."""
    return max(1, math.ceil(min([allowed, *map(cpus, quotas)])))


def cpus(quota: str) -> float:
    """Return how many CPUs a quota allows: "150000 100000" is 1.5. The quotas "max" and -1 are infinite, and so is a
    text that is no quota."""
    parts = quota.split()
    with suppress(ValueError, IndexError):
        time, period = int(parts[0]), int(parts[1]) if parts[1:] else PERIOD
        if time > 0 and period > 0:
            return time / period
    return math.inf


def limits(membership: str, root: Path) -> Iterator[str]:
    """Yield the quotas of every control group that `membership`, the text of /proc/self/cgroup, names below `root`.

    The CPU quota of a control group also limits the groups inside it. In a container the paths in `membership` may be
    those of the host, so folders that are missing below `root` are passed over.
    """
    for line in membership.splitlines():
        _, _, entry = line.partition(":")
        controllers, _, path = entry.partition(":")
        group = PurePosixPath(path.lstrip("/"))
        for folder in (group, *group.parents):
            with suppress(OSError):
                if not controllers:
                    yield (root / folder / "cpu.max").read_text()
                elif "cpu" in controllers.split(","):
                    own = root / controllers / folder
                    own = own if own.is_dir() else root / "cpu" / folder
                    quota, period = ((own / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
                    yield f"{quota.strip()} {period.strip()}"
