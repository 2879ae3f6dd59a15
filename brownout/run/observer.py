"""Observes a running trial: reads new events, effects and stored jobs, exits of processes, and samples the broker."""

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
from brownout.run.phases.settled import Settled
from brownout.run.records import Records
from brownout.subject.application import Application
from brownout.subject.subject import Subject

SAMPLE_WITHIN = 1.0  # the seconds within which Redis must answer a sample


class Recorders(dict[str, Recorder]):
    """The recorders of all sources of events; a recorder is created when its source is used for the first time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __missing__(self, source: str) -> Recorder:
        self[source] = Recorder(self._path, source)
        return self[source]

    def close(self) -> None:
        """Close the files of all recorders."""
        for recorder in self.values():
            recorder.close()


class Observer:
    """Observes one running trial. `listeners` are called with new events.

    One thread calls `look`; another thread may call `sample`. With `every_row`, jobs in the application's own store
    that no client submitted are recorded, too.
    """

    def __init__(self, path: Path, application: Application, files: Path, *, every_row: bool = False) -> None:
        self.recorders = Recorders(path)
        self.settled = Settled(by_effect=application.effects is not None)
        self.records = Records(application.accepted, files, self.recorders["store"], every_row=every_row)
        self.listeners: list[Callable[[list[Event]], None]] = [self.settled.see]
        self.sampled: Event
        self._tail = Tail(path)
        self._read_effects: Callable[[], Iterable[Event]] = tuple
        self._application, self._files = application, files
        self._subject: Subject | None = None
        self._redis: Any = None
        self._last: dict[str, Any] = {}

    def begin(self, subject: Subject, stack: ExitStack) -> None:
        """Connect to the subject's broker and records; call this method when the subject has started."""
        self._subject = subject
        if self._application.effects:
            self._read_effects = self._application.effects(self._files)
        if not isinstance(layout := subject.layout, Unreadable):
            self._redis = stack.enter_context(subject.broker.client(layout.database, timeout=SAMPLE_WITHIN))

    def look(self) -> None:
        """Record new effects, stored jobs and exits, then read the new events and pass them to `listeners`."""
        assert self._subject
        # Effects and exits are recorded before the history is read, so that triggers see them in recorded order.
        for event in self._read_effects():
            self.recorders["effects"].append(event.to_json())
        self.records.look()
        self._subject.exits(self.recorders)
        if events := self._tail.poll():
            for listener in self.listeners:
                listener(events)

    def sample(self, *, changes: bool = False) -> Event:
        """Record which messages the broker has now. With `changes`, record only a sample that differs from the last."""
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
        """Whether, in the last sample, no message was queued or unacked, and no task runs."""
        data = self.sampled.data
        return self.sampled.kind == "sample" and not any(
            (*data["queues"].values(), data["unacked"], self.settled.running)
        )
