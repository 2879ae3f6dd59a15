"""Points in the Redis traffic, named by network edge and command: a point that a request has passed, and a place for
which a trigger waits."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Moment = Literal["before", "after"]  # A fault strikes "before" or "after" the server executes the command.
MOMENTS: tuple[Moment, ...] = get_args(Moment)
IDLE = "[idle]"  # The label of a BRPOP that returns no message ends with this text.
LISTED = 12  # The message that no request reached a place lists at most this many points.
Reached = tuple[str, str, Moment]  # A point that was reached, as network edge, label and moment.


@dataclass(frozen=True, order=True)
class Point:
    """A point: a Redis command of an operation, with its network edge (such as worker->broker), its label (the command
    and its key), and its ordinal among the commands with that edge and label.

    `label` is the command and the pattern of its key, such as "LPUSH celery". MULTI…EXEC has one label for all its
    commands, "ZADD unacked_index;HSET unacked". `ordinal` counts from 1, from the submission of the operation to a
    warm and idle system.
    """

    edge: str
    label: str
    ordinal: int = 1

    @property
    def command(self) -> str:
        """The name of the first command in the label, without the command's key."""
        return self.label.partition(";")[0].partition(" ")[0] + (IDLE if self.label.endswith(IDLE) else "")

    @property
    def short(self) -> str:
        """The point as `worker->broker/ZADD#1`."""
        return f"{self.edge}/{self.command}#{self.ordinal}"

    @property
    def full(self) -> str:
        """The point as `worker->broker/ZADD unacked_index;HSET unacked#1`."""
        return f"{self.edge}/{self.label}#{self.ordinal}"

    def __str__(self) -> str:
        return self.full

    @classmethod
    def parse(cls, text: str) -> Point:
        """Read a point from its full name, which is a text. Raises ValueError for any other text."""
        match = re.fullmatch(r"([^/ ]+->[^/ ]+)/(.+)#(\d+)", text)
        if not match:
            raise ValueError(f"not a point: {text!r}; a point is written EDGE/COMMAND KEY#ORDINAL")
        return cls(match[1], match[2], int(match[3]))


@dataclass(frozen=True)
class Step:
    """A point: the place of one Redis request, or its reply, in the traffic of a trial. For a command of a handshake,
    `purpose` says what the connection is for; otherwise it is ""."""

    point: Point
    purpose: str = ""

    @property
    def spot(self) -> str:
        """The point's full name. The handshakes of all connections for the same purpose have the same name:
        "worker->broker/connect: PING"."""
        return f"{self.point.edge}/connect: {self.purpose}" if self.purpose else self.point.full


@dataclass(frozen=True, order=True)
class Place:
    """The place for which a trigger waits: before or after the nth matching point since the load began.

    `edge` "worker->broker" matches that edge of every worker, "worker-1->broker" the edge of worker-1. `command` is a
    whole label, or the first command of a transaction with its key, or only the name of a command. The moment "after"
    is the reply to the nth request.
    """

    edge: str
    command: str
    nth: int = 1
    moment: Moment = "before"

    def __str__(self) -> str:
        return f"point {self.edge} {self.command} #{self.nth} {self.moment}"

    def matches(self, edge: str, label: str) -> bool:
        """Whether a point of this network edge and label matches this place."""
        source, arrow, end = self.edge.partition("->")
        process, _, to = edge.partition("->")
        if to != end or not arrow or not (process == source or process.startswith(f"{source}-")):
            return False
        first = label.removesuffix(IDLE).partition(";")[0]
        return self.command in (label, label.removesuffix(IDLE), first, first.partition(" ")[0])

    def missed(self, reached: Mapping[Reached, int]) -> str:
        """Return a message that says that no request reached this place, and which points were reached; points with
        similar names come first."""
        matching = sum(n for (edge, label, moment), n in reached.items()
                       if moment == self.moment and self.matches(edge, label))  # fmt: skip
        counts = {f"{edge} {label} {moment}": n for (edge, label, moment), n in reached.items()}
        near = _near(f"{self.edge} {self.command} {self.moment}", counts)
        names = [*near, *(name for name in sorted(counts) if name not in near)]
        listed = ", ".join(f"{name} x{counts[name]}" for name in names[:LISTED]) or "none"
        more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return f"{self} was not reached ({matching} matching points were); points reached: {listed}{more}"


def _near(name: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
