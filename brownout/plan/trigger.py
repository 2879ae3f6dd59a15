"""When a fault strikes or heals: on an event, at a point of the wire, or after a time as the last resort."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NewType

from brownout.history.event import ALL_KINDS, Event
from brownout.plan.duration import Duration, seconds, text
from brownout.plan.near import known
from brownout.plan.point import MOMENTS, Moment, Place

POINT = "point"
Since = Literal["", "load", "fault"]


@dataclass(frozen=True)
class Trigger:
    """The trigger fires `delay` seconds after the nth matching event.

    With `kind` None the trigger is a time: `delay` counts from the start of the load (`at`) or from the start of
    the fault (`after`), as `since` says. `source` is one source, or a name for several: "worker" stands for
    worker-1, worker-2, ... The event's data must contain `data`. `place` is where a trigger made by `point` waits.
    """

    kind: str | None = None
    nth: int = 1
    source: str | None = None
    delay: float = 0.0
    data: Mapping[str, Any] = field(default_factory=dict, hash=False)
    since: Since = ""

    def __str__(self) -> str:
        if self.kind is None:
            return text(self.delay)
        if self.place:
            return str(self.place)
        more = "".join(f" {name}={value}" for name, value in self.data.items())
        later = f" +{text(self.delay)}" if self.delay else ""
        return f"{self.source or 'any'} {self.kind}{more} #{self.nth}{later}"

    @property
    def place(self) -> Place | None:
        """The place on the wire that the trigger waits for; None for a trigger that does not wait for a point."""
        return Place(**self.data) if self.kind == POINT and self.data.keys() >= {"edge", "command"} else None

    def matches(self, event: Event) -> bool:
        """Whether this event matches the trigger's kind, source and data."""
        source = self.source
        return (
            event.kind == self.kind
            and (source is None or event.source == source or event.source.startswith(f"{source}-"))
            and all(event.data.get(name) == value for name, value in self.data.items())
        )


# With these types a type checker refuses, for example, a time after a fault as the start of a fault.
OnEvent = NewType("OnEvent", Trigger)  # an event or a point on the wire, which may begin a load, strike or heal
AtTime = NewType("AtTime", Trigger)  # a time after the start of the load, at which a fault strikes
AfterFault = NewType("AfterFault", Trigger)  # a time after the start of the fault, at which the fault heals


def event(kind: str, source: str | None = None, nth: int = 1, *, delay: Duration = 0, **data: Any) -> OnEvent:
    """Return a trigger for the nth event of a kind. Raises UnknownName, with near matches, for an unknown kind."""
    if nth < 1:
        raise ValueError(f"events are counted from 1, so nth={nth} is not possible")
    return OnEvent(Trigger(known("event", kind, ALL_KINDS), nth, source, seconds(delay), data))


def point(edge: str, command: str, *, nth: int = 1, moment: Moment = "before") -> OnEvent:
    """Return a trigger for the nth matching request since the load began ("before"), or for its reply ("after").

    The moment "before" is before the server sees the request. `edge` is "worker->broker" for every worker or
    "worker-1->broker" for worker-1. `command` is "ZADD", or a command with its key: "ZADD unacked_index". A transaction
    is named by its first command or by all its commands: "ZADD unacked_index;HSET unacked". A BRPOP has a moment
    "after" only when the BRPOP returns a message. The wire keeps the message at the point until the fault has struck.
    Raises ValueError, with near matches for an unknown moment.
    """
    known("moment", moment, MOMENTS)
    if nth < 1:
        raise ValueError(f"points are counted from 1, so nth={nth} is not possible")
    name, space, key = command.strip().partition(" ")
    command = f"{name.upper()}{space}{key}"
    if "->" not in edge:
        raise ValueError(f'an edge is written like "worker->broker", not {edge!r}')
    if not name or name.upper() in ("MULTI", "EXEC"):
        hint = "a transaction is named by its first command after MULTI, a request by its command"
        raise ValueError(f"{command!r} names no point: {hint}")
    if name.upper() == "PUSH" and moment == "before":
        raise ValueError('a message that the server pushes answers no request: its only moment is "after"')
    data = {"edge": edge, "command": command, "nth": nth, "moment": moment}
    return OnEvent(Trigger(POINT, data=data))


def received(nth: int = 1, source: str = "worker", **data: Any) -> OnEvent:
    """Return a trigger for the nth message that a worker received."""
    return event("received", source, nth, **data)


def started(nth: int = 1, source: str = "worker", **data: Any) -> OnEvent:
    """Return a trigger for the nth start of a task's body."""
    return event("started", source, nth, **data)


def ended(nth: int = 1, source: str = "worker", **data: Any) -> OnEvent:
    """Return a trigger for the nth end of a task; the task's result is stored by then."""
    return event("ended", source, nth, **data)


def effect(nth: int = 1, **data: Any) -> OnEvent:
    """Return a trigger for the nth effect that was really done."""
    return event("effect", None, nth, **data)


def at(time: Duration) -> AtTime:
    """Return when a fault strikes: `time` after the load began."""
    return AtTime(Trigger(delay=seconds(time), since="load"))


def after(time: Duration) -> AfterFault:
    """Return when a fault heals: `time` after the fault was first seen to act."""
    return AfterFault(Trigger(delay=seconds(time), since="fault"))


class Count:
    """Counts the events that match one trigger. The count uses no clock and does no I/O."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.matched = 0
        self.seen: Counter[str] = Counter()

    def see(self, event: Event) -> bool:
        """Count the event. Returns True only for the event on which the trigger fires."""
        self.seen[f"{event.source} {event.kind}"] += 1
        if not self.trigger.matches(event):
            return False
        self.matched += 1
        return self.matched == self.trigger.nth

    def __str__(self) -> str:
        """Why the trigger did not fire: the awaited event, and the events that came instead."""
        seen = ", ".join(f"{name} x{n}" for name, n in sorted(self.seen.items())) or "none"
        came = f"{self.matched} matching event{'s' * (self.matched != 1)} came"
        return f"waited for {self.trigger}; {came}; events seen: {seen}"
