"""What a search for a cause reads, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass

from brownout.check.verdict import Anomaly
from brownout.history.event import Event
from brownout.history.view import History
from brownout.report.facts.lanes import Lanes
from brownout.report.facts.whereabouts import Whereabouts

NS = 1_000_000_000


@dataclass(frozen=True)
class Cause:
    """`sentence` says what led to the anomaly; `mark` says it in a few words, beside the event. Both may be empty."""

    event: Event | None
    sentence: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Case:
    """An anomaly with what is known about its job. `events` are those of the job, in order."""

    history: History
    lanes: Lanes
    anomaly: Anomaly
    where: Whereabouts
    events: tuple[Event, ...]

    @property
    def name(self) -> str:
        """How a sentence names the job."""
        return self.where.name

    def died(self, process: str, since: int) -> Event | None:
        """The first exit of a process after a time."""
        own = self.history.by_source.get(process, ())
        return next((event for event in own if event.kind == "exit" and event.at >= since), None)

    def struck(self, process: str, died: Event) -> Event:
        """The event of the fault that ended a process; the exit itself when no fault did."""
        if not died.data.get("struck"):
            return died
        names = (process, process.rpartition("-")[0])
        windows = [window for window in self.history.faults if window.start.at <= died.at]
        own = [window for window in windows if window.start.data.get("target") in names]
        return (own[-1].acted or (own[-1].start,))[0] if own else died
