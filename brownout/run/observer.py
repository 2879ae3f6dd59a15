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

SAMPLE_WITHIN = 1.0  # the seconds within which Redis must answer when the state of its queues is read


class Recorders(dict[str, Recorder]):
    """The objects that record events, one for each source of events; each is created when its source is used for the
    first time."""

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
    """Observes one running trial. Each function in `listeners` is called with the new events.

    Only one thread may call `look`; at the same time another thread may call `sample`. If `every_row` is true, also
    those jobs in the application's own store are recorded that no client submitted.
    """

    def __init__(self, path: Path, application: Application, files: Path, *, every_row: bool = False) -> None:
        self.recorders = Recorders(path)
        self.settled = Settled(by_effect=application.effects is not None)
        self.records = Records(
            application.accepted, files, self.recorders["store"], rows=application.rows, every_row=every_row
        )
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
        # New effects and exits are written to the history before the history is read, so that triggers get all events
        # in the recorded order.
        for event in self._read_effects():
            self.recorders["effects"].append(event.to_json())
        self.records.look()
        self._subject.exits(self.recorders)
        if events := self._tail.poll():
            for listener in self.listeners:
                listener(events)

    def sample(self, *, changes: bool = False) -> Event:
        """Record a sample of the broker: which messages it has now. If `changes` is true, a sample is recorded only
        when it differs from the last sample."""
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
