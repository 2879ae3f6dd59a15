"""Readers of an application's own records: the effects that were really done, and the accepted jobs.

The readers do not use any faulted edge: they read a file in the trial's directory (`{files}` in `Application.env`): a
ledger, which is a file of JSON lines, or an SQLite file. The page docs/records.md describes the formats of the records.
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

ROWS = 10_000  # the largest number of rows of jobs that are read
Reader = Callable[[Path], Callable[[], Iterator[Event]]]


def ledger(name: str) -> Callable[[Path], Callable[[], list[Event]]]:
    """For `Application.effects`: effects that the application appends to the file `name` of the trial's directory.

    Each effect is one line of JSON; its field `at` (int, required) is the time in nanoseconds from
    `time.monotonic_ns()`, `task` is the Celery task's id, and `name` says what was done. An effect that names no task
    must have the operation's `key`. All other fields of the line become the data of the effect, which
    `effectively_once(by=...)` can use. The application must write each line with one `write()` to a file that is opened
    for appending without a buffer (O_APPEND): then lines of several processes do not mix, and a process that is killed
    leaves at most one torn line, which is ignored. A missing file counts as an empty file.
    """
    return lambda files: Tail(files / name).poll


def sqlite_effects(name: str, query: str) -> Reader:
    """For `Application.effects`: effects in the SQLite file `name` of the trial's directory.

    `query` must select the rows whose row id is greater than the parameter `?`, ordered by row id. The columns that the
    query returns are the row id, the task's id, a name, and the time in seconds since the epoch. The file is opened
    read-only and may be missing at first. A query that fails, because the table is missing or the file is locked, is
    repeated later. A trial polls 200 times a second, but the file is opened only when it may have changed. SQLite
    reuses the id of a deleted newest row: a row with the newest id and another task or name is a new effect. When a row
    id or a time is not a number, reading raises ValueError; the message has the file, the row and the column.
    """

    def event(at: int, row: tuple[Any, ...]) -> Event:
        task, effect_name = row
        return Event(at, "effects", "effect", task=task, data={"name": effect_name})

    return _sqlite(name, query, event)


def sqlite_accepted(name: str, query: str) -> Reader:
    """For `Application.accepted`: the jobs that the application has accepted, from the SQLite file `name`.

    `query` must select the rows whose row id is greater than the parameter `?`, ordered by row id. The columns that the
    query returns are the row id, the operation's key, the task's id, and the time in seconds since the epoch. The key
    is the value that the client sent in the header `Idempotency-Key`, or in the place of "{key}" in the request. A job
    whose key is NULL belongs to no operation of a scenario, but a fault map uses such a job. All other rules for the
    query and the file are the same as those of `sqlite_effects`.
    """

    def event(at: int, row: tuple[Any, ...]) -> Event:
        key, task = row
        return Event(at, "store", "accepted", key, task)

    return _sqlite(name, query, event)


def sqlite_rows(name: str, query: str) -> Reader:
    """For `Application.rows`: what the application's own store says of each job, from the SQLite file `name`.

    The first column that `query` selects is the task's id. The report of a failure shows the other columns of the
    example job under their names, so leave arguments, results and secrets out. The file is opened read-only.
    Reading raises sqlite3.OperationalError when the query fails.
    """

    def reader(files: Path) -> Callable[[], Iterator[Event]]:
        def read() -> Iterator[Event]:
            with closing(sqlite3.connect(f"file:{files / name}?mode=ro", uri=True, timeout=1.0)) as connection:
                cursor = connection.execute(query)
                _, *columns = (column for column, *_ in cursor.description)
                for task, *values in cursor.fetchmany(ROWS):
                    fields = {name: value for name, value in zip(columns, values, strict=True) if value is not None}
                    yield Event(now(), "store", "row", task=str(task), data=fields)

        return read

    return reader


def _sqlite(name: str, query: str, event: Callable[[int, tuple[Any, ...]], Event]) -> Reader:
    """Read the rows of an SQLite file as events. The function `event` makes an event from the time (in nanoseconds of
    `now()`) and the columns between row id and time."""

    def reader(files: Path) -> Callable[[], Iterator[Event]]:
        # the newest row id so far, and the contents of the rows that have had this id
        newest, seen = 0, set[tuple[Any, ...]]()
        path = files / name
        changes = _Changes(path)
        epoch = time.time_ns() - now()

        def read() -> Iterator[Event]:
            nonlocal newest, seen
            if not changes.possible():
                return
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)) as connection:
                try:
                    # SQLite reuses the id of a deleted newest row, so the newest row is queried again.
                    cursor = connection.execute(query, (max(newest - 1, 0),))
                    rows = cursor.fetchall()
                except sqlite3.OperationalError:  # the table is missing, or a writer has locked the file
                    changes.again()
                    return
            columns = [column for column, *_ in cursor.description]
            for row, *more, at in rows:
                for value, column in ((row, columns[0]), (at, columns[-1])):
                    if not isinstance(value, int | float):
                        raise ValueError(f"{path}: row {row} has {value!r} in column {column}, which must be a number")
                # the time is left out, because a row in which only the time has changed is no new row
                content = tuple(more)
                if row > newest:
                    newest, seen = row, set()
                elif content in seen:
                    continue
                seen.add(content)
                yield event(int(at * 1e9) - epoch, content)

        return read

    return reader


class _Changes:
    """Tells whether a database may have changed since the last read, from the modification times of its files.

    Modification times are as coarse as the kernel's tick, and a network file system takes them from another clock. The
    database therefore counts as changed for CLOSE seconds after each new modification time, and at least once in
    LONGEST seconds.
    """

    CLOSE = 0.1  # Seconds; after a new modification time the files count as changed for this long.
    LONGEST = 0.5  # Seconds; the files count as changed at least once in this time.

    def __init__(self, path: Path) -> None:
        self._files = [Path(f"{path}{suffix}") for suffix in ("", "-wal", "-journal")]
        self._stamps: tuple[tuple[int, int] | None, ...] = ()
        self._changed = self._read = -math.inf

    def possible(self) -> bool:
        """Return whether the file exists and must be read now. When the answer is True, the caller must read the file
        now."""
        stamps, at = tuple(map(_stamp, self._files)), time.monotonic()
        if stamps != self._stamps:
            self._stamps, self._changed = stamps, at
        if stamps[0] is None or (at - self._changed > self.CLOSE and at - self._read < self.LONGEST):
            return False
        self._read = at
        return True

    def again(self) -> None:
        """Note that the caller could not read the file, so that the next call of `possible` returns True."""
        self._read = -math.inf


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size
