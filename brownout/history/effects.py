"""Readers of an application's own records: what was really done, and what it has accepted.

They read past every faulted edge, from a file in the trial's directory (`{files}` in `Application.env`): a ledger,
which is a file of JSON lines, or an SQLite file. docs/records.md has the formats.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from brownout.history.event import Event
from brownout.history.tail import Tail
from brownout.probes.line import now

Reader = Callable[[Path], Callable[[], Iterator[Event]]]


def ledger(name: str) -> Callable[[Path], Callable[[], list[Event]]]:
    """For `Application.effects`: effects that the application appends to the file `name` of the trial's directory.

    One effect is one line of JSON: `at`, nanoseconds of CLOCK_MONOTONIC as `time.monotonic_ns()` gives them (int,
    required), `task`, the Celery task's id, and `name`, what was done. `key`, the operation's, is for effects without a
    task. Other fields are kept as the effect's data, for `effectively_once(by=...)`. Each line is written by one
    `write()` to a file opened for appending without a buffer (O_APPEND), so that lines of several processes do not mix
    and a killed one leaves a torn line at most, which is left out. A file that is not there yet is an empty one.
    """
    return lambda files: Tail(files / name).poll


def sqlite_effects(name: str, query: str) -> Reader:
    """For `Application.effects`: effects that lie in the SQLite file `name` of the trial's directory.

    `query` selects, in the order of a growing row id above `?`: that row id, the task's id, a name, and the time in
    seconds since the epoch. The file is opened read-only and may not be there yet. A query that fails (no such table
    yet, a locked file) is asked again later. The file is opened only when it may have changed: a trial looks 200 times
    a second. A row with the newest id is told again when its task or name is another one: SQLite gives the id of a
    newest row that was deleted once more. A row id or a time that is no number is a ValueError of the read, which names
    file, row and column.
    """

    def event(at: int, row: tuple[Any, ...]) -> Event:
        task, what = row
        return Event(at, "effects", "effect", task=task, data={"name": what})

    return _sqlite(name, query, event)


def sqlite_accepted(name: str, query: str) -> Reader:
    """For `Application.accepted`: the jobs that the application has accepted, from the SQLite file `name`.

    `query` selects, in the order of a growing row id above `?`: that row id, the operation's key (what the client sent
    as `Idempotency-Key`, or wherever the request has "{key}"), the task's id, and the time in seconds since the epoch.
    A job without a key (NULL) belongs to no operation of a scenario; a map asks for it all the same. See
    `sqlite_effects` for the rest.
    """

    def event(at: int, row: tuple[Any, ...]) -> Event:
        key, task = row
        return Event(at, "store", "accepted", key, task)

    return _sqlite(name, query, event)


def _sqlite(name: str, query: str, event: Callable[[int, tuple[Any, ...]], Event]) -> Reader:
    """Rows as events: `event` is given the time (ns of `now()`) and what a row has between its id and its time."""

    def reader(files: Path) -> Callable[[], Iterator[Event]]:
        newest, told = 0, set[tuple[Any, ...]]()  # the newest row id, and what was told of the rows that had it
        path = files / name
        changes = _Changes(path)
        epoch = time.time_ns() - now()

        def read() -> Iterator[Event]:
            nonlocal newest, told
            if not changes.possible():
                return
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)) as connection:
                try:
                    # SQLite gives the newest row id again when its row was deleted, so that one is asked for once more.
                    found = connection.execute(query, (max(newest - 1, 0),))
                    rows = found.fetchall()
                except sqlite3.OperationalError:  # the table is not there yet, or a writer holds the file
                    changes.again()
                    return
            columns = [column for column, *_ in found.description]
            for row, *more, at in rows:
                for value, column in ((row, columns[0]), (at, columns[-1])):
                    if not isinstance(value, int | float):
                        raise ValueError(f"{path}: row {row} has {value!r} in column {column}, which must be a number")
                rest = tuple(more)  # without the time: a row that is written again with a new one is no new row
                if row > newest:
                    newest, told = row, set()
                elif rest in told:
                    continue
                told.add(rest)
                yield event(int(at * 1e9) - epoch, rest)

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
