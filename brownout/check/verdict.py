"""The answer of a checker: valid, invalid or unknown, with the anomalies and the events that prove them."""

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
_MOST_EVENTS = 6


def merge(validities: Iterable[Validity]) -> Validity:
    """The worst of several validities: invalid, then unknown, then valid. Returns "unknown" when there is no verdict at
    all."""
    present = set(validities)
    order: tuple[Validity, ...] = ("invalid", "unknown", "valid")
    return next((validity for validity in order if validity in present), "unknown")


@dataclass(frozen=True)
class Anomaly:
    """One thing that is broken: its kind, a sentence for people, and the few events that prove it."""

    kind: str
    sentence: str
    key: str | None = None
    task: str | None = None
    witness: tuple[Event, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The verdict on one promise; `why` says which events were missing, or what was measured.

    `busy_ms` is more than 0 when the verdict is unknown only because the machine was busy. `busy_ms` is the time in
    which threads may have waited for a CPU while the measurement ran.
    """

    validity: Validity
    promise: str
    anomalies: tuple[Anomaly, ...] = ()
    why: str = ""
    busy_ms: float = 0.0


@dataclass(frozen=True)
class Ruling:
    """The ruling of a checker: anomalies, or else a doubt, or else nothing wrong; `why` says what the checker measured.

    `busy_ms` is more than 0 when the only reason for the doubt is a busy machine: for so many milliseconds threads may
    have waited for a CPU. `expected` holds the anomalies that the scenario promised to show.
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
        """Return the verdict on the promise that follows from this ruling of its checker."""
        busy = self.busy_ms if self.validity == "unknown" else 0.0
        return Verdict(self.validity, str(promise), (*self.anomalies, *self.expected), self.doubt or self.why, busy)


def witness(*core: Event | None, about: Operation | None = None, history: History | None = None) -> tuple[Event, ...]:
    """The events that prove an anomaly, in order of time.

    The result has all events that prove the anomaly directly, and events of the context; six events in all at most.
    Where no event of the proof names the operation, those that tell it are added to more than six events, too.

    Events of the context are the event that joins the operation's key to its task, the operation's invoke, its
    acceptance, its last delivery or start, and the last event at which a fault had a visible effect.
    """
    chosen = {id(event): event for event in core if event}
    latest = max(event.at for event in chosen.values())
    acted = [event for event in history.kind("fault-acted") if event.at <= latest] if history else []
    join = next((event for event in about.events if event.key and event.task), None) if about else None
    own = (join, about.invoke, about.accepted, *about.of("received", "started")[-1:]) if about else ()
    naming = () if any(event.key for event in chosen.values()) else own[:2]
    for event in (*own, *acted[-1:]):
        if event and (event in naming or len(chosen) < _MOST_EVENTS):
            chosen[id(event)] = event
    return tuple(sorted(chosen.values(), key=lambda event: event.at))
