"""When something goes wrong, or heals: on an event, at a point of the wire, and by the clock as the last resort."""

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
    """The nth event that matches, and `delay` seconds more.

    `kind` None is the clock: `delay` counts from the begin of `since`, the load for `at` and the fault for `after`.
    `source` is one source or the common name of its members ("worker" is worker-1, worker-2, ...), `data` what the
    event's data must contain. `place` is where a trigger of `point` waits.
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
        """Where on the wire it waits; None for a trigger that waits for something else."""
        return Place(**self.data) if self.kind == POINT and self.data.keys() >= {"edge", "command"} else None

    def matches(self, event: Event) -> bool:
        """Whether this event counts."""
        at_home = self.source is None or event.source == self.source or event.source.startswith(f"{self.source}-")
        return (
            event.kind == self.kind
            and at_home
            and all(event.data.get(name) == value for name, value in self.data.items())
        )


# For type checkers, which so refuse a trigger in a place where it means nothing.
OnEvent = NewType("OnEvent", Trigger)  # an event or a point: begins a load, strikes, heals
AtTime = NewType("AtTime", Trigger)  # strikes
AfterFault = NewType("AfterFault", Trigger)  # heals


def event(kind: str, source: str | None = None, nth: int = 1, *, delay: Duration = 0, **data: Any) -> OnEvent:
    """On the nth event of a kind; UnknownName, with near matches, when no witness knows that kind."""
    if nth < 1:
        raise ValueError(f"events are counted from 1: nth={nth}")
    return OnEvent(Trigger(known("event", kind, ALL_KINDS), nth, source, seconds(delay), data))


def point(edge: str, command: str, *, nth: int = 1, moment: Moment = "before") -> OnEvent:
    """When the nth such request since the load began comes ("before" the server sees it), or its reply ("after").

    `edge` is "worker->broker" for every worker, "worker-1->broker" for one. `command` is "ZADD", or with its key as
    points are labelled: "ZADD unacked_index". A transaction is named by its first command, or by all of them: "ZADD
    unacked_index;HSET unacked". A BRPOP has a moment "after" when it brings a message. The message at the point is kept
    until the fault has struck. Raises ValueError, with near matches.
    """
    known("moment", moment, MOMENTS)
    if nth < 1:
        raise ValueError(f"points are counted from 1: nth={nth}")
    name, space, key = command.strip().partition(" ")
    command = f"{name.upper()}{space}{key}"
    if "->" not in edge:
        raise ValueError(f'an edge is written "worker->broker": {edge!r}')
    if not name or name.upper() in ("MULTI", "EXEC"):
        raise ValueError(f"a transaction is named by its first command, a request by its command: {command!r}")
    if name.upper() == "PUSH" and moment == "before":
        raise ValueError('nobody asks for a message that the server pushes: its only moment is "after"')
    data = {"edge": edge, "command": command, "nth": nth, "moment": moment}
    return OnEvent(Trigger(POINT, data=data))


def received(nth: int = 1, source: str = "worker", **data: Any) -> OnEvent:
    """On the nth message that a worker took."""
    return event("received", source, nth, **data)


def started(nth: int = 1, source: str = "worker", **data: Any) -> OnEvent:
    """On the nth start of a task's body."""
    return event("started", source, nth, **data)


def ended(nth: int = 1, source: str = "worker", **data: Any) -> OnEvent:
    """On the nth end of a task's body, its result already stored."""
    return event("ended", source, nth, **data)


def effect(nth: int = 1, **data: Any) -> OnEvent:
    """On the nth effect that was really done."""
    return event("effect", None, nth, **data)


def at(time: Duration) -> AtTime:
    """When a fault strikes: at a time after the load began."""
    return AtTime(Trigger(delay=seconds(time), since="load"))


def after(time: Duration) -> AfterFault:
    """How long a fault lasts: some time after it was first seen to act."""
    return AfterFault(Trigger(delay=seconds(time), since="fault"))


class Count:
    """Counts for one trigger while events pass; pure, so that a history can be asked again."""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self.matched = 0
        self.seen: Counter[str] = Counter()

    def see(self, event: Event) -> bool:
        """True for the one event on which the trigger fires."""
        self.seen[f"{event.source} {event.kind}"] += 1
        if not self.trigger.matches(event):
            return False
        self.matched += 1
        return self.matched == self.trigger.nth

    def __str__(self) -> str:
        """Why it did not fire: what was awaited, and what came instead."""
        came = ", ".join(f"{name} x{n}" for name, n in sorted(self.seen.items())) or "nothing"
        return f"{self.trigger} came {self.matched} times; seen: {came}"
