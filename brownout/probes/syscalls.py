"""System calls of Linux for which Python has no name, or has none in its older releases."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PIDFD_OPEN = 434  # nearly every architecture gives the call this number; os.pidfd_open is new in Python 3.9
_LIBC = ctypes.CDLL(None, use_errno=True)


def pidfd_open(pid: int) -> int:
    """A descriptor that can be read when the process has ended. Raises OSError."""
    _LIBC.syscall.restype = ctypes.c_long
    descriptor: int = _LIBC.syscall(ctypes.c_long(PIDFD_OPEN), ctypes.c_long(pid), ctypes.c_long(0))
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends.

    A child whose pid was not told yet could otherwise outlive the parent, and nobody would know of the child.
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
