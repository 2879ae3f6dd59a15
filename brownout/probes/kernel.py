"""What Linux offers and Python, or an older Python, does not: system calls, and `/proc/<pid>/stat` (proc(5))."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # The value of the constant in linux/prctl.h.
PIDFD_OPEN = 434  # The number of the system call on nearly every architecture; os.pidfd_open is new in Python 3.9.
STARTED = 19  # The index of the start time in `fields`.
_LIBC = ctypes.CDLL(None, use_errno=True)


def pidfd_open(pid: int) -> int:
    """Return a file descriptor that becomes readable when the process ends. Raises OSError when there is no such
    process."""
    _LIBC.syscall.restype = ctypes.c_long
    descriptor: int = _LIBC.syscall(ctypes.c_long(PIDFD_OPEN), ctypes.c_long(pid), ctypes.c_long(0))
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends; exit immediately if the parent has already ended.

    Without this call a child could outlive a parent that ended before it had reported the child's pid to anybody.
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def fields(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the third field (the state) on. Raises OSError when there is no such
    process."""
    with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123 - called often
        # The command name may contain spaces and brackets, so the fields begin after the last bracket.
        return file.read().rpartition(")")[2].split()


def started(pid: int) -> str:
    """Return a text that stands for the start of a process: two processes that have had the same pid have different
    texts.

    Raises OSError when there is no such process.
    """
    return fields(pid)[STARTED]
