"""Readers of effects: what was really done, as the application's own store or a ledger file tells it."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from brownout.history.event import Event, now
from brownout.history.tail import Tail


def ledger(name: str) -> Callable[[Path], Callable[[], list[Event]]]:
    """Effects that the application appends to a file of the trial's directory, one line of JSON each, with `at`."""
    return lambda files: Tail(files / name).poll


def sqlite_effects(name: str, query: str) -> Callable[[Path], Callable[[], Iterator[Event]]]:
    """Effects that lie in an SQLite file of the trial's directory.

    `query` selects a growing row id above `?`, the task id, a name, and the time in seconds since the epoch, in the
    order of the row id. The file is opened only when it may have changed: a trial looks 200 times a second.
    """

    def reader(files: Path) -> Callable[[], Iterator[Event]]:
        newest = 0
        path = files / name
        changes = _Changes(path)
        epoch = time.time_ns() - now()

        def read() -> Iterator[Event]:
            nonlocal newest
            if not changes.possible():
                return
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)) as connection:
                try:
                    rows = connection.execute(query, (newest,)).fetchall()
                except sqlite3.OperationalError:  # the table is not there yet, or a writer holds the file
                    changes.again()
                    return
            for row, task, what, at in rows:
                newest = max(newest, row)
                yield Event(int(at * 1e9) - epoch, "effects", "effect", task=task, data={"name": what})

        return read

    return reader


class _Changes:
    """Whether a database file may have changed since it was last read, by the stamps of its files.

    A stamp is as coarse as the kernel's tick, and on a file system elsewhere it follows another clock: the file counts
    as changed for CLOSE seconds after each new stamp, and every LONGEST seconds.
    """

    CLOSE = 0.1
    LONGEST = 0.5

    def __init__(self, path: Path) -> None:
        self._files = [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-journal")]
        self._stamps: tuple[tuple[int, int] | None, ...] = ()
        self._changed = self._read = -math.inf

    def possible(self) -> bool:
        """True when the file is there and is to be read; the caller reads it then."""
        stamps, at = tuple(map(_stamp, self._files)), time.monotonic()
        if stamps != self._stamps:
            self._stamps, self._changed = stamps, at
        if stamps[0] is None or (at - self._changed > self.CLOSE and at - self._read < self.LONGEST):
            return False
        self._read = at
        return True

    def again(self) -> None:
        """It could not be read: it is to be read at the next call."""
        self._read = -math.inf


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size
