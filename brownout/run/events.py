"""What a run tells while it goes on, and to whom. The engine only emits events; it knows no handler.

A campaign is many trials. Its events come in this order: CampaignStarted, then Phase, Planned, TrialStarted, TrialEnded
and Remark, then CampaignEnded. Events of different trials may overlap. A trial that is run alone has no campaign.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum


class Purpose(Enum):
    """Why a trial is run."""

    PLANNED = "it was asked for"
    DISCOVERY = "the points of a life without a fault are looked for"
    CONTROL = "without a fault the system works"
    COMPARISON = "cold and forked processes behave the same"


@dataclass(frozen=True)
class CampaignStarted:
    """A campaign begins; `name` is what a person calls it."""

    name: str


@dataclass(frozen=True)
class Planned:
    """So many more trials with Purpose.PLANNED will end."""

    trials: int


@dataclass(frozen=True)
class TrialStarted:
    """A trial begins, or is run again."""

    name: str


@dataclass(frozen=True)
class Phase:
    """The next phase of a trial begins; without a `trial`, the next phase of the campaign."""

    name: str
    trial: str = ""


@dataclass(frozen=True)
class TrialEnded:
    """A trial ended, the `attempt`th of its name. `again`: it will run again, because the machine was busy.

    `result` is what the campaign makes of a trial (run.result.Result, or one square of a map), or the Row that came
    from another process. It is None when the trial broke: then an exception is on its way to the caller.
    """

    name: str
    result: object
    attempt: int = 1
    again: bool = False
    purpose: Purpose = Purpose.PLANNED


@dataclass(frozen=True)
class Remark:
    """A sentence for the person who waits."""

    sentence: str


@dataclass(frozen=True)
class CampaignEnded:
    """A campaign ended. `result` is the map of a map's campaign; None when the campaign broke."""

    name: str
    result: object = None


Event = CampaignStarted | Planned | TrialStarted | Phase | TrialEnded | Remark | CampaignEnded
Handler = Callable[[Event], None]


def nobody(_: Event) -> None:
    """A handler for runs that nobody watches."""


class Stream:
    """A handler that gives each event to all its handlers, one after the other; from any thread.

    When a handler raises an error, the other handlers still get the event. Then the error reaches whoever emitted the
    event; several errors reach it as an ExceptionGroup.
    """

    def __init__(self, *handlers: Handler) -> None:
        self._handlers = handlers
        self._lock = threading.RLock()  # a handler may emit, too

    def __call__(self, event: Event) -> None:
        """See the class."""
        errors: list[Exception] = []
        with self._lock:
            for handler in self._handlers:
                try:
                    handler(event)
                except Exception as error:
                    errors.append(error)
        if len(errors) > 1:
            raise ExceptionGroup(f"{len(errors)} handlers failed at {event}", errors)
        if errors:
            raise errors[0]


@contextmanager
def trying(emit: Handler, trial: str) -> Iterator[None]:
    """Emits TrialStarted, and TrialEnded when the trial breaks. The caller emits the TrialEnded that has a result."""
    emit(TrialStarted(trial))
    try:
        yield
    except BaseException:
        emit(TrialEnded(trial, None))
        raise


@contextmanager
def campaigning(emit: Handler, name: str) -> Iterator[None]:
    """Emits CampaignStarted, and CampaignEnded when the campaign breaks. The caller emits the one that has a result."""
    emit(CampaignStarted(name))
    try:
        yield
    except BaseException:
        emit(CampaignEnded(name))
        raise
