"""Readers of effects: what was really done, as the application's own store or a ledger file tells it."""

from __future__ import annotations

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
    order of the row id.
    """

    def reader(files: Path) -> Callable[[], Iterator[Event]]:
        newest = 0
        path = files / name
        epoch = time.time_ns() - now()

        def read() -> Iterator[Event]:
            nonlocal newest
            if not path.exists():
                return
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1.0)) as connection:
                try:
                    rows = connection.execute(query, (newest,)).fetchall()
                except sqlite3.OperationalError:
                    return  # the table is not there yet, or a writer holds the file: next time
            for row, task, what, at in rows:
                newest = max(newest, row)
                yield Event(int(at * 1e9) - epoch, "effects", "effect", task=task, data={"name": what})

        return read

    return reader
