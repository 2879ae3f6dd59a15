"""What an application's own store says that it has accepted, while a trial runs and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from brownout.probes.recorder import Recorder
from brownout.subject.application import EffectReader
from brownout.subject.waiting import NeverHappened, eventually

EVERY = 0.2  # s between two looks
WITHIN = 1.0  # s in which the store can be read once more


class Records:
    """Records `accepted` for each job that a client's operation has made; `reader` is `Application.accepted`.

    A job without a client's key is recorded only with `every_row`: no client knows of it.
    """

    def __init__(
        self,
        reader: Callable[[Path], EffectReader] | None,
        files: Path,
        recorder: Recorder,
        *,
        every_row: bool = False,
    ) -> None:
        self._every_row = every_row
        self._reader, self._files, self._recorder = reader, files, recorder
        self._read = reader(files) if reader else tuple
        self._told: dict[str, str | None] = {}  # key -> task
        self._next = 0.0

    def look(self) -> None:
        """Read what is new, when it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        for event in self._read():
            if event.key is not None:
                self._told.setdefault(event.key, event.task)
            if event.key is not None or self._every_row:
                self._recorder.append(event.to_json())

    def compare(self) -> None:
        """Read all of it again, when everything is over: a job that is gone was `withdrawn` by the application.

        A store that tells nothing at all any more is `unreadable`: another process may hold it.
        """
        if not self._reader or not self._told:
            return
        read, there = self._reader(self._files), set[str | None]()

        def some() -> bool:
            there.update(event.key for event in read())
            return bool(there)

        with suppress(NeverHappened):
            eventually(some, within=WITHIN, what="the application's own store can be read")
        if not there:
            self._recorder.record("unreadable")
            return
        for key, task in self._told.items():
            if key not in there:
                self._recorder.record("withdrawn", key=key, task=task)
