"""Triggers: when a fault begins or heals: at an event, at a point (a Redis request or its reply), or, as the last
resort, after a time."""

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

    If `kind` is None, the trigger is a time: then `delay` counts from the start of the load (`at`) or from the start of
    the fault (`after`), as `since` says. `source` is one source, or a name for several: "worker" stands for worker-1,
    worker-2, ... The data of the event must contain the items of `data`. For a trigger that `point` made, `place` is
    the Redis request or reply for which it waits.
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
        """The place in the Redis traffic for which the trigger waits, or None for a trigger that does not wait for a
        Redis request."""
        return Place(**self.data) if self.kind == POINT and self.data.keys() >= {"edge", "command"} else None

    def matches(self, event: Event) -> bool:
        """Whether this event matches the trigger's kind, source and data."""
        source = self.source
        return (
            event.kind == self.kind
            and (source is None or event.source == source or event.source.startswith(f"{source}-"))
            and all(event.data.get(name) == value for name, value in self.data.items())
        )


# Because of these types a type checker finds mistakes, such as a time `after(...)` at which a fault should begin.
OnEvent = NewType("OnEvent", Trigger)  # An event or a point, at which a load or a fault may begin, or a fault may heal.
AtTime = NewType("AtTime", Trigger)  # A time at which a fault begins, counted from the start of the load.
AfterFault = NewType("AfterFault", Trigger)  # A time at which a fault heals, counted from the start of the fault.


def event(kind: str, source: str | None = None, nth: int = 1, *, delay: Duration = 0, **data: Any) -> OnEvent:
    """Return a trigger for the nth event of a kind. Raises UnknownName, with similar names, for an unknown kind of
    event."""
    if nth < 1:
        raise ValueError(f"events are counted from 1, so nth={nth} is not possible")
    return OnEvent(Trigger(known("event", kind, ALL_KINDS), nth, source, seconds(delay), data))


def point(edge: str, command: str, *, nth: int = 1, moment: Moment = "before") -> OnEvent:
    """Return a trigger for the nth matching request since the load began ("before"), or for its reply ("after").

    The moment "before" is before the server sees the request. `edge` is "worker->broker" for every worker or
    "worker-1->broker" for worker-1. `command` is "ZADD", or a command with its key: "ZADD unacked_index". A transaction
    is named by its first command or by all its commands: "ZADD unacked_index;HSET unacked". For a BRPOP the moment
    "after" comes only when the BRPOP returns a message. The network proxy keeps the message at the point until the
    fault has struck. Raises ValueError, for example for an unknown moment; the message then has similar names.
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
    """Return a trigger for the nth effect that the application records as done."""
    return event("effect", None, nth, **data)


def at(time: Duration) -> AtTime:
    """Return the time at which a fault begins, `time` after the load began."""
    return AtTime(Trigger(delay=seconds(time), since="load"))


def after(time: Duration) -> AfterFault:
    """Return the time at which a fault heals, `time` after the fault's first visible effect."""
    return AfterFault(Trigger(delay=seconds(time), since="fault"))


class Count:
    """Counts the events that match one trigger.  The count uses no clock and does no I/O."""

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
        """Return a text that says why the trigger did not fire: for which event it waited, and which events came."""
        seen = ", ".join(f"{name} x{n}" for name, n in sorted(self.seen.items())) or "none"
        came = f"{self.matched} matching event{'s' * (self.matched != 1)} came"
        return f"waited for {self.trigger}; {came}; events seen: {seen}"
