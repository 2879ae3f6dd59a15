"""Places on the wire, named by what crosses it: a point of one life, and the place that a scenario waits for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Moment = Literal["before", "after"]  # the server executed the command
MOMENTS: tuple[Moment, ...] = get_args(Moment)
IDLE = "[idle]"  # ends the label of a BRPOP that brings nothing
LISTED = 12  # so many reached points are told when a place was not reached
Reached = tuple[str, str, Moment]  # edge, label, moment


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


@dataclass(frozen=True)
class Step:
    """A point that was met. `purpose` is what its connection is for when it belongs to a handshake, else empty."""

    point: Point
    purpose: str = ""

    @property
    def spot(self) -> str:
        """Where it is; the handshakes of all connections for one purpose are one: "worker->broker/connect: PING"."""
        return f"{self.point.edge}/connect: {self.purpose}" if self.purpose else self.point.full


@dataclass(frozen=True, order=True)
class Place:
    """Where a trigger waits: the nth point, since the load began, of these edges and commands, before or after it.

    `edge` "worker->broker" is that edge of every worker, "worker-1->broker" of one. `command` is a label, the first
    command of a transaction with its key, or a command's name alone. "after" is the reply to the nth request.
    """

    edge: str
    command: str
    nth: int = 1
    moment: Moment = "before"

    def __str__(self) -> str:
        return f"point {self.edge} {self.command} #{self.nth} {self.moment}"

    def matches(self, edge: str, label: str) -> bool:
        """Whether a point of this edge and label counts."""
        source, arrow, end = self.edge.partition("->")
        own, _, to = edge.partition("->")
        if to != end or not arrow or not (own == source or own.startswith(f"{source}-")):
            return False
        first = label.removesuffix(IDLE).partition(";")[0]
        return self.command in (label, label.removesuffix(IDLE), first, first.partition(" ")[0])

    def missed(self, reached: Mapping[Reached, int]) -> str:
        """Say that this place was not reached, and which points were: the near matches first."""
        same = sum(n for (edge, label, moment), n in reached.items()
                   if moment == self.moment and self.matches(edge, label))  # fmt: skip
        told = {f"{edge} {label} {moment}": n for (edge, label, moment), n in reached.items()}
        near = _near(f"{self.edge} {self.command} {self.moment}", told)
        names = [*near, *(name for name in sorted(told) if name not in near)]
        listed = ", ".join(f"{name} x{told[name]}" for name in names[:LISTED]) or "none"
        more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return f"{self} was not reached ({same} such points were); points reached: {listed}{more}"


def _near(name: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, list(names), n=3, cutoff=0.5)
