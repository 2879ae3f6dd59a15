"""One square of the map: where on the wire, at which moment, what goes wrong; and words for what became of the task."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from brownout.check.verdict import Validity
from brownout.plan.near import known

Moment = Literal["before", "after"]  # the server executed the command
MOMENTS: tuple[Moment, ...] = get_args(Moment)
IDLE = "[idle]"  # ends the label of a BRPOP that brings nothing

#: What became of the task, from good to bad; the sentence is what a report says.
GOOD: Mapping[str, str] = {
    "once": "took effect once, and its caller knows",
    "recovered": "took effect once, after a recovery",
    "refused": "was refused: the caller was told, and nothing was done",
    "unanswered": "its caller died before it got an answer; it took effect at most once",
}
BAD: Mapping[str, str] = {
    "unread": "took effect once and its result is stored, but get() fails",
    "misreported": "what is reported is not what was done",
    "hangs": "its caller waits, without an end in sight",
    "duplicate-later": "took effect once, and will again: its message is still unacked or back in the queue",
    "duplicate": "took effect more than once",
    "stuck": "is in `unacked` alone, until the visibility timeout",
    "lost": "was accepted, took no effect, and its message is nowhere",
}
#: What the fault did to a process, beside what it did to the task.
FLAGS: Mapping[str, str] = {
    "api-stalled": "the API's event loop stood still",
    "worker-dead": "the worker ended by itself",
    "silent": "the worker lives and does not consume",
}
UNKNOWN = "unknown"
#: Outcomes and flags, the worst last: a worker that is silent fails every later task, too.
SEVERITY = (
    *(*GOOD, UNKNOWN, "unread", "api-stalled", "misreported", "hangs", "worker-dead"),
    *("duplicate-later", "duplicate", "stuck", "lost", "silent"),
)


@dataclass(frozen=True, order=True)
class Point:
    """A command in a task's life: the edge it crosses, its command and key pattern, and which of its kind it is.

    `label` is "LPUSH celery"; MULTI…EXEC is one atom, "ZADD unacked_index;HSET unacked". `ordinal` counts from 1 since
    the task was submitted to a warm and idle system.
    """

    edge: str
    label: str
    ordinal: int = 1

    @property
    def command(self) -> str:
        """The first command, without its key."""
        return self.label.partition(";")[0].partition(" ")[0] + (IDLE if self.label.endswith(IDLE) else "")

    @property
    def short(self) -> str:
        """`worker->broker/ZADD#1`."""
        return f"{self.edge}/{self.command}#{self.ordinal}"

    @property
    def full(self) -> str:
        """`worker->broker/ZADD unacked_index;HSET unacked#1`."""
        return f"{self.edge}/{self.label}#{self.ordinal}"

    def __str__(self) -> str:
        return self.full

    @classmethod
    def parse(cls, text: str) -> Point:
        """From `full`; ValueError for anything else."""
        found = re.fullmatch(r"([^/ ]+->[^/ ]+)/(.+)#(\d+)", text)
        if not found:
            raise ValueError(f"not a point: {text!r} (edge/COMMAND key#ordinal)")
        return cls(found[1], found[2], int(found[3]))


@dataclass(frozen=True, order=True)
class Cell:
    """A point, a moment and an action. `name` is unique in a map and short where that is possible."""

    point: Point
    moment: Moment
    action: str

    @property
    def full(self) -> str:
        """With the whole label of the point: what a map stores."""
        return f"{self.point.full}/{self.moment}-{self.action}"

    def __str__(self) -> str:
        return self.full

    @classmethod
    def parse(cls, text: str) -> Cell:
        """From `full`; ValueError for anything else."""
        point, _, rest = text.rpartition("/")
        moment, _, action = rest.partition("-")
        if moment not in MOMENTS or not action:
            raise ValueError(f"not a cell: {text!r} (edge/COMMAND key#ordinal/moment-action)")
        return cls(Point.parse(point), moment, action)


def names(points: Iterable[Point]) -> dict[Point, str]:
    """The short name of each point, and the full one where two would share the short one."""
    points = tuple(dict.fromkeys(points))
    shorts = [point.short for point in points]
    return {point: point.short if shorts.count(point.short) == 1 else point.full for point in points}


def word(outcome: str, flags: Iterable[str] = ()) -> str:
    """One word for what was seen: "lost", or "once+silent" with what the fault did to a process."""
    return "+".join((outcome, *(flag for flag in FLAGS if flag in set(flags))))


def parts(word: str) -> tuple[str, ...]:
    """A verdict word's outcome and its flags: ("lost", "silent"). Of "unknown: why" the first word alone.

    UnknownName for a word that nobody knows: it must not pass for a good one.
    """
    if word.startswith(f"{UNKNOWN}:"):
        return (UNKNOWN,)
    outcome, *flags = word.split("+")
    return (known("outcome", outcome, (*GOOD, *BAD, UNKNOWN)), *(known("flag", flag, FLAGS) for flag in flags))


def validity_of(word: str) -> Validity:
    """Of one verdict word."""
    outcome, *flags = parts(word)
    return "unknown" if outcome == UNKNOWN else "invalid" if outcome in BAD or flags else "valid"


def severity(word: str) -> tuple[int, ...]:
    """Greater is worse: the worst part of the word decides, then its next one."""
    return tuple(sorted((SEVERITY.index(part) for part in parts(word)), reverse=True))
