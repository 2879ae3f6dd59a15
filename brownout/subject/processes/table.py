"""The process table, read with the standard library only, because the reaper must not depend on other packages."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from brownout.probes import kernel

_PROC = Path("/proc")
# this file exists only on Linux with CONFIG_PROC_CHILDREN
LISTS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()


@dataclass(frozen=True, slots=True)
class Entry:
    """A process of this machine: one entry of the process table. `started` is a text without further meaning; it is
    different for two processes that have had the same pid."""

    pid: int
    parent: int
    group: int
    state: str
    started: str

    @property
    def living(self) -> bool:
        """Whether the process lives; the result is False for a zombie, which holds no port, no file and no lock any
        more."""
        return self.state[:1] not in ("Z", "X")


def from_proc(pid: int) -> Entry | None:
    """Read `/proc/<pid>/stat` (proc(5)); return None when there is no such process."""
    try:
        fields = kernel.fields(pid)
    except OSError:
        return None
    return Entry(pid, int(fields[1]), int(fields[2]), fields[0], fields[kernel.STARTED])


def from_ps(*which: str) -> list[Entry]:
    """Read the table from `ps`, for systems without /proc; the field `started` then has a resolution of one second."""
    command = ["ps", *which, "-o", "pid=,ppid=,pgid=,stat=,lstart="]
    out = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    rows = (line.split(None, 4) for line in out.stdout.splitlines())
    return [Entry(int(r[0]), int(r[1]), int(r[2]), r[3], r[4].strip()) for r in rows if len(r) == 5]


def entry(pid: int) -> Entry | None:
    """The process with this pid, also when the process is a zombie, or None when there is no such process."""
    if _PROC.joinpath("self", "stat").exists():
        return from_proc(pid)
    return next(iter(from_ps("-p", str(pid))), None)


def entries() -> list[Entry]:
    """Return all processes of this machine that this process can see."""
    if not _PROC.joinpath("self", "stat").exists():
        return from_ps("-A")
    read = (from_proc(int(path.name)) for path in _PROC.iterdir() if path.name.isdigit())
    return [process for process in read if process]


def living_group(group: int, started: str) -> list[Entry]:
    """The living members of the process group whose leader had the start time `started`, also when the leader is dead.

    The kernel gives no new process a pid that is still the id of a group. When the leader of a process group has
    another start time than before, the old process group is therefore empty, and its present members belong to another
    program.
    """
    leader = entry(group)
    if leader and leader.started != started:
        return []
    try:
        os.killpg(group, 0)  # when the group is empty, this check avoids the scan below, which takes milliseconds
    except ProcessLookupError:
        return []
    except PermissionError:
        pass  # a process of another user is in the group
    return [process for process in entries() if process.group == group and process.living]


def end_group(group: int, started: str, *, within: float = 5.0) -> int:
    """Kill a process group by SIGKILL and wait until the group is empty; returns how many members were living.

    Raises TimeoutError when members are left after `within` seconds (uninterruptible sleep, another user's process).
    """
    first = living_group(group, started)
    living, deadline = first, time.monotonic() + within
    while living:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)  # SIGKILL also ends processes that are stopped
        if time.monotonic() > deadline:
            pids = [process.pid for process in living]
            raise TimeoutError(f"processes {pids} of group {group} still live {within:g} s after SIGKILL")
        time.sleep(0.002)
        living = living_group(group, started)
    return len(first)


def family(pid: int) -> list[int]:
    """The pids of the process and of all its descendants, from the kernel's lists of children."""
    pids = [pid]
    for parent in pids:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208 - faster than Path.iterdir
                with open(f"/proc/{parent}/task/{thread}/children", "rb", buffering=0) as file:  # noqa: PTH123
                    pids += map(int, file.read().split())
    return pids


def forked_by(pid: int) -> list[int]:
    """The pids that the process's main thread has forked. To be fast, this function does not read the children of the
    process's other threads."""
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:  # noqa: PTH123
        return [int(child) for child in file.read().split()]
    return []
