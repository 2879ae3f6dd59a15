"""Reads which jobs the application's own store has accepted, during a trial and once more at its end."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from brownout.history.event import Event
from brownout.probes.recorder import Recorder
from brownout.subject.application import EffectReader
from brownout.subject.waiting import NeverHappened, eventually

EVERY = 0.2  # Seconds between two reads of the store.
WITHIN = 1.0  # The seconds within which the read at the end of the trial must succeed.


class Records:
    """Records an event `accepted` for each job in the application's own store; `reader` reads the application's store,
    and is made by the function `Application.accepted`.

    A job without the key of a client's operation was not submitted by a client. A job that no client submitted is
    recorded only if `every_row` is true.
    """

    def __init__(
        self,
        reader: Callable[[Path], EffectReader] | None,
        files: Path,
        recorder: Recorder,
        *,
        rows: Callable[[Path], EffectReader] | None = None,
        every_row: bool = False,
    ) -> None:
        self._every_row, self._rows = every_row, rows
        self._reader, self._files, self._recorder = reader, files, recorder
        self._read = reader(files) if reader else tuple
        self._accepted: dict[str, str | None] = {}  # maps the key of each recorded job to its task
        self._next = 0.0

    def look(self) -> None:
        """Record the new jobs of the store, unless the store was read less than EVERY seconds ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        for event in self._read():
            if event.key is not None:
                self._accepted.setdefault(event.key, event.task)
            if event.key is not None or self._every_row:
                self._recorder.append(event.to_json())

    def tell_rows(self) -> None:
        """Record what the store says of each job now. When the store cannot be read, one event `row` with the error is
        recorded."""
        if self._rows is None:
            return
        read, events, why = self._rows(self._files), list[Event](), ""

        def complete() -> bool:
            nonlocal why
            try:
                events[:] = read()
            except sqlite3.OperationalError as error:  # a writer may have locked the file of the store
                why = str(error)
                return False
            return True

        try:
            eventually(complete, within=WITHIN, what="the rows of the application's own store can be read")
        except NeverHappened:
            self._recorder.record("row", unreadable=why)
        for event in events:
            self._recorder.append(event.to_json())

    def compare(self) -> None:
        """Read all jobs again at the end of the trial: a job that is missing then is recorded as `withdrawn`.

        When the store suddenly has no jobs at all, an event `unreadable` is recorded: another process may have locked
        the store.
        """
        if not self._reader or not self._accepted:
            return
        read, keys = self._reader(self._files), set[str | None]()

        def some() -> bool:
            keys.update(event.key for event in read())
            return bool(keys)

        with suppress(NeverHappened):
            eventually(some, within=WITHIN, what="the application's own store can be read")
        if not keys:
            self._recorder.record("unreadable")
            return
        for key, task in self._accepted.items():
            if key not in keys:
                self._recorder.record("withdrawn", key=key, task=task)
