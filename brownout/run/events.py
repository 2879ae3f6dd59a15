"""The events of a run, and how they reach handlers. The code that runs trials only emits events; it imports no handler.

A campaign is a series of many trials. The events of a campaign come in this order: first CampaignStarted; then Phase,
Planned, TrialStarted, TrialEnded and Remark; at the end CampaignEnded. Events of different trials may overlap. A trial
that is run alone has no campaign.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum


class Purpose(Enum):
    """The reasons for which a trial may be run."""

    PLANNED = "the user asked for the trial"
    DISCOVERY = "finds the points that a task without a fault passes"
    CONTROL = "checks that the system works without a fault"
    COMPARISON = "checks that cold and forked processes behave the same"


@dataclass(frozen=True)
class CampaignStarted:
    """A campaign (a series of trials) begins; `name` is the campaign's name, for people to read."""

    name: str


@dataclass(frozen=True)
class Planned:
    """The campaign has planned `trials` more trials."""

    trials: int
    purpose: Purpose = Purpose.PLANNED


@dataclass(frozen=True)
class TrialStarted:
    """A trial or another attempt of the trial begins."""

    name: str


@dataclass(frozen=True)
class Phase:
    """The next phase begins: a phase of the trial with the name `trial`, or of the campaign if `trial` is empty."""

    name: str
    trial: str = ""


@dataclass(frozen=True)
class TrialEnded:
    """An attempt of a trial ended; the first attempt is number 1. If `again` is true, another attempt follows, because
    the machine was busy.

    `result` is the trial's run.result.Result, the result of a cell (one fault at one point) of a fault map, or a Row
    from another process. `result` is None when an exception ended the trial; the caller gets this exception.
    """

    name: str
    result: object
    attempt: int = 1
    again: bool = False
    purpose: Purpose = Purpose.PLANNED


@dataclass(frozen=True)
class Remark:
    """A remark: a sentence for the person who waits until the run has ended."""

    sentence: str


@dataclass(frozen=True)
class CampaignEnded:
    """A campaign of trials ended. `result` is the fault map that the campaign has made, or None when an exception ended
    the campaign."""

    name: str
    result: object = None


Event = CampaignStarted | Planned | TrialStarted | Phase | TrialEnded | Remark | CampaignEnded
Handler = Callable[[Event], None]


def nobody(_: Event) -> None:
    """A handler that ignores every event."""


class Stream:
    """A handler that passes each event to several handlers, one after the other. Any thread may call a handler.

    When a handler raises an error, the other handlers still get the event. When all handlers have the event, the error
    of a handler is raised; several errors are raised as an ExceptionGroup.
    """

    def __init__(self, *handlers: Handler) -> None:
        self._handlers = handlers
        self._lock = threading.RLock()  # the lock is reentrant, because a handler may itself emit events

    def __call__(self, event: Event) -> None:
        """Pass the event to each of the handlers. Raises the errors of the handlers."""
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
    """Emit TrialStarted before the block, and TrialEnded when the block raises. If there was no error, the caller of
    this function emits TrialEnded with the result."""
    emit(TrialStarted(trial))
    try:
        yield
    except BaseException:
        emit(TrialEnded(trial, None))
        raise


@contextmanager
def campaigning(emit: Handler, name: str) -> Iterator[None]:
    """Emit CampaignStarted before the block, and CampaignEnded when the block raises. If there was no error, the caller
    of this function emits CampaignEnded."""
    emit(CampaignStarted(name))
    try:
        yield
    except BaseException:
        emit(CampaignEnded(name))
        raise
