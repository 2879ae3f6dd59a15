"""The harness's own look at a trial: the history as it grows, effects, records, ends of processes, the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from brownout.history.broker_probe import failed, looked
from brownout.history.event import Event
from brownout.history.layout import Unreadable
from brownout.history.tail import Tail
from brownout.probes.recorder import Recorder
from brownout.run.records import Records
from brownout.run.settled import Settled
from brownout.subject.application import Application
from brownout.subject.subject import Subject

SAMPLE_WITHIN = 1.0  # s for Redis to answer a look


class Recorders(dict[str, Recorder]):
    """Makes the recorder of a source when it is first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __missing__(self, source: str) -> Recorder:
        self[source] = Recorder(self._path, source)
        return self[source]

    def close(self) -> None:
        """Close all of them."""
        for recorder in self.values():
            recorder.close()


class Looking:
    """Use it on one thread, but `sample` on one of its own. `seen` are called with the events that are new.

    With `every_row` also those jobs of the application's own store are recorded that no client names.
    """

    def __init__(self, path: Path, application: Application, files: Path, *, every_row: bool = False) -> None:
        self.recorders = Recorders(path)
        self.settled = Settled(by_effect=application.effects is not None)
        self.records = Records(application.accepted, files, self.recorders["store"], every_row=every_row)
        self.seen: list[Callable[[list[Event]], None]] = [self.settled.see]
        self.sampled: Event
        self._tail = Tail(path)
        self._read_effects: Callable[[], Iterable[Event]] = tuple
        self._application, self._files = application, files
        self._subject: Subject | None = None
        self._redis: Any = None
        self._last: dict[str, Any] = {}

    def begin(self, subject: Subject, stack: ExitStack) -> None:
        """The subject has started: from now on there is something to look at."""
        self._subject = subject
        if self._application.effects:
            self._read_effects = self._application.effects(self._files)
        if not isinstance(layout := subject.layout, Unreadable):
            self._redis = stack.enter_context(subject.broker.client(layout.database, timeout=SAMPLE_WITHIN))

    def look(self) -> None:
        """Record what nobody else records, then read everything that is new."""
        assert self._subject
        # Exits and effects are read here, so that triggers see them in the order in which they are recorded.
        for event in self._read_effects():
            self.recorders["effects"].append(event.to_json())
        self.records.look()
        self._subject.exits(self.recorders)
        if events := self._tail.poll():
            for see in self.seen:
                see(events)

    def sample(self, *, changes: bool = False) -> Event:
        """Look into the broker and record what lies there; with `changes` only what is new is recorded."""
        assert self._subject
        if isinstance(layout := self._subject.layout, Unreadable):
            event = failed(str(layout))
        else:
            event = looked(self._redis, layout, clients=not changes)
        if not changes or event.data != self._last:
            self._last = dict(event.data)
            self.recorders["broker"].append(event.to_json())
        self.sampled = event
        return event

    @property
    def quiet(self) -> bool:
        """Whether, at the last look, nothing was queued, unacked or running."""
        data = self.sampled.data
        return self.sampled.kind == "sample" and not any(
            (*data["queues"].values(), data["unacked"], self.settled.running)
        )
