"""Reads what the kernel knows about a process, from `/proc/<pid>/stat` (proc(5))."""

from __future__ import annotations

STARTED = 19  # the index of the process's start time in `fields`


def fields(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third field (the state) on. Raises OSError when there is no such
    process."""
    with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123 - called often
        # The command name may contain spaces and brackets, so the fields begin after the last bracket.
        return file.read().rpartition(")")[2].split()


def started(pid: int) -> str:
    """Return an opaque token for the start of a process: two processes with one pid have different tokens.

    Raises OSError when there is no such process.
    """
    return fields(pid)[STARTED]
