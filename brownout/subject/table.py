"""The process table, read with the standard library alone, because the reaper may need nothing that can be missing."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from brownout.probes import proc

_PROC = Path("/proc")
LISTS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()  # Linux with CONFIG_PROC_CHILDREN


@dataclass(frozen=True, slots=True)
class Entry:
    """One process. `started` is an opaque token: the same pid with another token is another process."""

    pid: int
    parent: int
    group: int
    state: str
    started: str

    @property
    def living(self) -> bool:
        """False for a zombie: it holds no port, no file and no lock any more."""
        return self.state[:1] not in ("Z", "X")


def from_proc(pid: int) -> Entry | None:
    """Read `/proc/<pid>/stat` (proc(5)); None when there is no such process."""
    try:
        found = proc.fields(pid)
    except OSError:
        return None
    return Entry(pid, int(found[1]), int(found[2]), found[0], found[proc.STARTED])


def from_ps(*which: str) -> list[Entry]:
    """Read the table from `ps`, for systems without /proc; start times have a resolution of one second there."""
    command = ["ps", *which, "-o", "pid=,ppid=,pgid=,stat=,lstart="]
    out = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    rows = (line.split(None, 4) for line in out.stdout.splitlines())
    return [Entry(int(r[0]), int(r[1]), int(r[2]), r[3], r[4].strip()) for r in rows if len(r) == 5]


def entry(pid: int) -> Entry | None:
    """Find one process, zombies included."""
    if _PROC.joinpath("self", "stat").exists():
        return from_proc(pid)
    return next(iter(from_ps("-p", str(pid))), None)


def entries() -> list[Entry]:
    """List every process of this machine that can be seen."""
    if not _PROC.joinpath("self", "stat").exists():
        return from_ps("-A")
    found = (from_proc(int(path.name)) for path in _PROC.iterdir() if path.name.isdigit())
    return [each for each in found if each]


def living_group(group: int, started: str) -> list[Entry]:
    """List the living members of the process group whose leader had this start token, also when it is dead.

    The kernel gives no number to a new process while it is still a group's id. So a leader with another start token
    proves that the old group is empty, and whoever is in it now is somebody else's.
    """
    leader = entry(group)
    if leader and leader.started != started:
        return []
    try:
        os.killpg(group, 0)  # to look at every process of the machine takes milliseconds
    except ProcessLookupError:
        return []
    except PermissionError:
        pass  # another user's process is in it
    return [each for each in entries() if each.group == group and each.living]


def end_group(group: int, started: str, *, within: float = 5.0) -> int:
    """SIGKILL a process group and wait until it is empty; returns how many were living.

    Raises TimeoutError when members are left after `within` seconds (uninterruptible sleep, another user's process).
    """
    first = living_group(group, started)
    left, deadline = first, time.monotonic() + within
    while left:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)  # acts on stopped processes, too
        if time.monotonic() > deadline:
            raise TimeoutError(f"process group {group} does not end: {[each.pid for each in left]}")
        time.sleep(0.002)
        left = living_group(group, started)
    return len(first)


def family(pid: int) -> list[int]:
    """The process and everything below it, as the kernel lists children; a process that has ended has none."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208 - see above
                with open(f"/proc/{parent}/task/{thread}/children", "rb", buffering=0) as file:  # noqa: PTH123
                    found += map(int, file.read().split())
    return found


def forked_by(pid: int) -> list[int]:
    """What its main thread has forked, without a look at its other threads: this is asked many times a second."""
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:  # noqa: PTH123
        return [int(child) for child in file.read().split()]
    return []
