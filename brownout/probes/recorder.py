"""Appends events to a file to which many processes write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from brownout.probes.line import line, now


class Recorder:
    """Appends the events of one source to a file that many processes share.

    Each event is one `os.write` to a descriptor with O_APPEND. On a local file the kernel never mixes such writes
    of several processes. A recorder never raises an exception, because an observer must not become a fault.
    `dropped` counts the events that could not be written.
    """

    def __init__(self, path: str | Path, source: str) -> None:
        self.path = Path(path)
        self.source = source
        self.dropped = 0
        self._pid = -1
        self._fd = -1

    def record(
        self, kind: str, *, key: str | None = None, task: str | None = None, at: int | None = None, **data: Any
    ) -> int:
        """Append one event of this process, and return its time in nanoseconds; `at`, the event's time in nanoseconds,
        defaults to the time of the call."""
        when = now() if at is None else at
        try:
            self.append(line(when, self.source, kind, key, task, os.getpid(), data))
        except Exception:  # the data of the event cannot be written as JSON
            self.dropped += 1
        return when

    def append(self, event: str) -> None:
        """Append an event that is already a line of JSON."""
        try:
            block = event.encode() + b"\n"
            if self._pid != os.getpid():
                # A forked child opens a file descriptor of its own, because pools close inherited descriptors and reuse
                # their numbers.
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._fd, self._pid = os.open(str(self.path), flags, 0o644), os.getpid()
            if os.write(self._fd, block) != len(block):
                self.dropped += 1
        except Exception:
            self.dropped += 1

    def close(self) -> None:
        """Close the file in this process. The file is opened again for the next event."""
        if self._pid == os.getpid():
            os.close(self._fd)
            self._pid = -1
