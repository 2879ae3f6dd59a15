"""What a judge answers: valid, invalid or unknown, with what is broken and the events that prove it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from brownout.history.event import Event
from brownout.history.operation import Operation
from brownout.history.view import History
from brownout.plan.promise import Promise

Validity = Literal["valid", "invalid", "unknown"]
NS = 1_000_000_000
_LONGEST = 6


def merge(validities: Iterable[Validity]) -> Validity:
    """Invalid before unknown before valid; unknown when nothing was judged."""
    found = set(validities)
    order: tuple[Validity, ...] = ("invalid", "unknown", "valid")
    return next((validity for validity in order if validity in found), "unknown")


@dataclass(frozen=True)
class Anomaly:
    """One thing that is broken: its kind, a sentence in the domain's words, and the few events that prove it."""

    kind: str
    sentence: str
    key: str | None = None
    task: str | None = None
    witness: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The answer for one promise; `why` says what was missing or what was measured.

    `busy_ms` is more than 0 when the verdict is unknown only because the machine was busy: for so many milliseconds
    the threads concerned may have waited for a CPU within the time that was measured.
    """

    validity: Validity
    promise: str
    anomalies: tuple[Anomaly, ...] = ()
    why: str = ""
    busy_ms: float = 0.0


@dataclass(frozen=True)
class Ruling:
    """What a checker finds: anomalies, else a doubt, else nothing that is wrong; `why` says what was measured.

    `busy_ms` says that the doubt is there only because the machine was busy for so long. `expected` are anomalies that
    were promised to appear.
    """

    anomalies: Sequence[Anomaly] = ()
    doubt: str = ""
    why: str = ""
    busy_ms: float = 0.0
    expected: Sequence[Anomaly] = ()

    @property
    def validity(self) -> Validity:
        """Invalid when there is an anomaly, else unknown when there is a doubt, else valid."""
        return "invalid" if self.anomalies else "unknown" if self.doubt else "valid"

    def on(self, promise: Promise) -> Verdict:
        """The verdict on the promise."""
        busy = self.busy_ms if self.validity == "unknown" else 0.0
        return Verdict(self.validity, str(promise), (*self.anomalies, *self.expected), self.doubt or self.why, busy)


def witness(*core: Event | None, about: Operation | None = None, history: History | None = None) -> tuple[Event, ...]:
    """The core events in order, with context while there is room: six events, more only if the core has more.

    Context is the operation's own beginning, what joins its key to its task, and when a fault was last seen to act.
    """
    chosen = {id(event): event for event in core if event}
    latest = max(event.at for event in chosen.values())
    acted = [event for event in history.kind("fault-acted") if event.at <= latest] if history else []
    join = next((event for event in about.events if event.key and event.task), None) if about else None
    own = (join, about.invoke, about.accepted, *about.of("received", "started")[-1:]) if about else ()
    for event in (*own, *acted[-1:]):
        if event and len(chosen) < _LONGEST:
            chosen[id(event)] = event
    return tuple(sorted(chosen.values(), key=lambda event: event.at))
