"""Handles of started processes: send a signal, wait for the end, read the exit code."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import Protocol

from brownout.subject.processes import table

POLL = 0.02  # seconds between two checks of a process where the system has no pidfds


class Handle(Protocol):
    """A handle of a process that was started."""

    @property
    def pid(self) -> int:
        """The pid of the process. The kernel does not give this pid to another process before the ended process was
        reaped (waitpid)."""

    @property
    def started(self) -> str:
        """The text of the field `started` of `table.Entry`, which differs between processes that have had the same
        pid."""

    def poll(self) -> int | None:
        """The exit code, negative for a signal, or None while the process lives."""

    def ended(self, within: float) -> bool:
        """Wait at most `within` seconds for the process to end; returns whether it has ended. The wait takes no CPU
        time."""

    def signal(self, number: int) -> None:
        """Send a signal to the process; nothing happens when it has ended."""


class Child:
    """A process that is a child of this Python process."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen, self.pid = popen, popen.pid
        # the process is not reaped yet, so the process table still has it, perhaps as a zombie
        entry = table.entry(popen.pid)
        assert entry is not None
        self.started = entry.started

    def poll(self) -> int | None:
        """Return the exit code of the process, or None while the process lives."""
        return self.popen.poll()

    def ended(self, within: float) -> bool:
        """Wait for the process to end. This wait does not take the lock of Popen, because `poll` in another thread
        needs the lock."""
        deadline = time.monotonic() + within
        pidfd = None
        if hasattr(os, "pidfd_open"):
            # this error means that the process has been reaped, or that no file descriptor is free
            with suppress(OSError):
                pidfd = os.pidfd_open(self.pid)
        try:
            while self.popen.poll() is None and (rest := deadline - time.monotonic()) > 0:
                if pidfd is None:
                    time.sleep(min(POLL, rest))
                else:
                    waiting = select.poll()
                    waiting.register(pidfd, select.POLLIN)
                    waiting.poll(rest * 1000)
        finally:
            if pidfd is not None:
                os.close(pidfd)
        return self.popen.poll() is not None

    def signal(self, number: int) -> None:
        """Send a signal to the process; nothing happens when it has ended."""
        self.popen.send_signal(number)


class Fork:
    """A child of the forking process (see forks.py), which reports the exit code."""

    def __init__(self, pid: int, started: str) -> None:
        self.pid, self.started = pid, started
        self._code: int | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._pidfd: int | None = None
        # this error means that the forked process has already ended; the forking process will report its exit code
        with suppress(ProcessLookupError):
            self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return the exit code of the process, or None while the process lives."""
        return self._code

    def ended(self, within: float) -> bool:
        """Wait at most `within` seconds for the process to end; returns whether it has ended."""
        return self._over.wait(max(0.0, within))

    def signal(self, number: int) -> None:
        """Send a signal to the process; nothing happens when it has ended."""
        with self._lock, suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)

    def end(self, code: int) -> None:
        """Store the exit code that the forking process reported."""
        with self._lock:
            if self._pidfd is not None:
                os.close(self._pidfd)
                self._pidfd = None
        self._code = code
        self._over.set()
