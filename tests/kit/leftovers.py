"""Finds what a run of pytest left on the machine: whatever has a file below its folder open, or its mark."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from brownout.subject.processes import table
from brownout.subject.servers import docker_api

MARK = "BROWNOUT_TEST_MARK"


@dataclass(frozen=True)
class Traces:
    """Living processes by pid with their command lines; listening sockets as (port, inode)."""

    processes: dict[int, str]
    listening: frozenset[tuple[int, int]]


def traces(folder: Path, *, besides: int = 0) -> Traces:
    """What belongs to the run in this folder, whose environment has MARK=folder; `besides` is not counted."""
    processes, inodes = {}, set()
    for pid in [entry.pid for entry in table.entries() if entry.living]:
        with suppress(OSError):
            links = _links(pid)
            if _marked(pid, folder) or any(str(folder) in link for link in links):
                processes[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:120]
                inodes |= {int(link[8:-1]) for link in links if link.startswith("socket:[")}
    processes.pop(besides, None)
    return Traces(processes, frozenset(each for each in listening() if each[1] in inodes))


def _links(pid: int) -> list[str]:
    """Its open files and sockets, and its working directory (Redis rewrites its environment, but has one)."""
    found = []
    for link in (*Path(f"/proc/{pid}/fd").iterdir(), Path(f"/proc/{pid}/cwd")):
        with suppress(OSError):
            found.append(str(link.readlink()))
    return found


def _marked(pid: int, folder: Path) -> bool:
    return f"{MARK}={folder}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def listening() -> set[tuple[int, int]]:
    """Every TCP socket of this machine that listens: (port, inode)."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {(int(row[1].partition(":")[2], 16), int(row[9])) for row in rows if row[3] == "0A"}


def containers(image: str) -> list[str]:
    """Names of all containers, running or not, of an image that only the run in question uses."""
    return [
        str(container["Names"])
        for container in docker_api.call("GET", "/containers/json", all="1")
        if container["Image"] == image
    ]


def strays(temporary: Path) -> list[str]:
    """What lies in a run's temporary folder, but for the folders that pytest keeps there."""
    return sorted(path.name for path in temporary.iterdir() if not path.name.startswith("pytest-of-"))
