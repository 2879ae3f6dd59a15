"""The main process of something that was started: who reaps it, and how its end is seen."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import Protocol

from brownout.subject import table

POLL = 0.02  # s between two looks at a process where there are no pidfds


class Handle(Protocol):
    """A process that was started. `started` is its token of `table.Entry`."""

    @property
    def pid(self) -> int:
        """Its number; it is not given away again before the end was seen."""

    @property
    def started(self) -> str:
        """Which process of this number it is."""

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process lives."""

    def ended(self, within: float) -> bool:
        """Whether the process has ended; waits for that for so many seconds at most, and takes no CPU meanwhile."""

    def signal(self, number: int) -> None:
        """Send a signal to the process; nothing happens when it has ended."""


class Child:
    """A child of this process."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self.popen, self.pid = popen, popen.pid
        found = table.entry(popen.pid)  # nobody has waited for the process, so it is in the table
        assert found is not None
        self.started = found.started

    def poll(self) -> int | None:
        """See Handle."""
        return self.popen.poll()

    def ended(self, within: float) -> bool:
        """See Handle. Waits without Popen's lock, which `poll` in another thread needs."""
        deadline = time.monotonic() + within
        pidfd = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):  # the process has been reaped, or there are no more descriptors
                pidfd = os.pidfd_open(self.pid)
        try:
            while self.popen.poll() is None and (left := deadline - time.monotonic()) > 0:
                if pidfd is None:
                    time.sleep(min(POLL, left))
                else:
                    waiting = select.poll()
                    waiting.register(pidfd, select.POLLIN)
                    waiting.poll(left * 1000)
        finally:
            if pidfd is not None:
                os.close(pidfd)
        return self.popen.poll() is not None

    def signal(self, number: int) -> None:
        """See Handle."""
        self.popen.send_signal(number)


class Fork:
    """A child of the process that forks, which tells the exit code."""

    def __init__(self, pid: int, started: str) -> None:
        self.pid, self.started = pid, started
        self._code: int | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._pidfd: int | None = None
        with suppress(ProcessLookupError):  # the message that it has ended is on its way
            self._pidfd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """See Handle."""
        return self._code

    def ended(self, within: float) -> bool:
        """See Handle."""
        return self._over.wait(max(0.0, within))

    def signal(self, number: int) -> None:
        """See Handle."""
        with self._lock, suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)

    def end(self, code: int) -> None:
        """The process that forks says that this one has ended."""
        with self._lock:
            if self._pidfd is not None:
                os.close(self._pidfd)
                self._pidfd = None
        self._code = code
        self._over.set()
