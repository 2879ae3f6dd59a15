"""Reads what the kernel knows about a process, from `/proc/<pid>/stat` (proc(5))."""

from __future__ import annotations

STARTED = 19  # the index of the start time in `fields`


def fields(pid: int) -> list[str]:
    """The fields of the file from the third field (the state) on. Raises OSError when there is no such process."""
    with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123 - called often
        # The command name may contain spaces and brackets, so the fields begin after the last bracket.
        return file.read().rpartition(")")[2].split()


def started(pid: int) -> str:
    """An opaque token for the start of a process: the same pid with another token is another process.

    Raises OSError when there is no such process.
    """
    return fields(pid)[STARTED]
