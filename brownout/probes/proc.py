"""What the kernel tells about a process in `/proc/<pid>/stat` (proc(5))."""

from __future__ import annotations

STARTED = 19  # the place of the start time among `fields`


def fields(pid: int) -> list[str]:
    """The fields from the third one, the state, on. Raises OSError when there is no such process."""
    with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123 - called often
        # The command name may hold spaces and brackets, so count from the last bracket.
        return file.read().rpartition(")")[2].split()


def started(pid: int) -> str:
    """An opaque token: the same pid with another token is another process. Raises OSError, see `fields`."""
    return fields(pid)[STARTED]
