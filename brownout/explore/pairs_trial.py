"""A trial of several faults: its trace has nothing of the probe's, and what a later fault struck is probed anew."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from brownout.explore.cell import Point
from brownout.explore.client import Client, Knowledge
from brownout.explore.conductor import HANDSHAKE, TIMERS, Conductor, Hit
from brownout.explore.found import Found
from brownout.explore.pairs import Step
from brownout.explore.trial import State, Trial
from brownout.wire.conversation import IDS, Answer, Request
from brownout.wire.passage import Passage

GREETING = re.compile(r"HELLO .*|CLIENT .*|SELECT|AUTH|SCRIPT LOAD")  # tells nothing about what a connection is for
PIDBOX = "celery.pidbox"  # remote control
PUSHED = re.compile(f"probe-({IDS.pattern})")
BINDINGS = "_kombu.binding"  # a channel that declares its queues


@dataclass
class Talk:
    """One connection: all that it asked, in order. `sole` says that it was opened for a probe alone.

    A worker connects to its broker whether there is a message or not, so none of those is.
    """

    edge: str
    probing: bool  # a probe was under way when it was opened
    counted: bool  # the task had been submitted by then
    labels: list[str] = field(default_factory=list)
    sole: bool = False
    _serves: bool = False

    def ask(self, label: str, *, probe: bool) -> None:
        """One more request."""
        self.labels.append(label)
        if not self._serves and not HANDSHAKE.fullmatch(label) and not TIMERS.fullmatch(label):
            self._serves = True
            self.sole = self.probing and probe and not re.fullmatch("worker.*->broker", self.edge)

    @property
    def purpose(self) -> str:
        """What it is for: part of a label of its own that tells. Empty where only a clock asks, and for nothing.

        Monitors and watchdogs connect to ask for a queue's length, and an API's for a PING (see trial.Trial); kombu
        begins a connection of its own with a PING as well.
        """
        told = [label for label in self.labels if not GREETING.fullmatch(label)]
        for known in (PIDBOX, BINDINGS):
            if any(known in label for label in told):
                return known
        work = [label for label in told if not TIMERS.fullmatch(label)]
        if work:
            return work[0]
        clock = any(label.startswith("LLEN") for label in told) or self.edge.startswith("api")
        return "" if clock or not told else told[0]


@dataclass
class Tracer(Conductor):
    """A conductor that does not count what a probe makes, and knows the connection of each point.

    A probe that was pushed past the network (Direct.push) says so in its delivery tag. One that went through an API is
    a task that nobody had seen before it was sent, and that is not `own`.
    """

    own: Callable[[], Iterable[str]] = tuple
    through_api: bool = False
    talks: dict[Passage, Talk] = field(default_factory=dict)
    probes: set[str] = field(default_factory=set)  # ids and delivery tags
    _known: set[str] = field(default_factory=set)
    _of: dict[Point, Talk] = field(default_factory=dict)
    _passing: tuple[Talk, bytes] | None = None

    def request(self, passage: Passage, request: Request) -> bool:
        """See Director."""
        if self.through_api and request.verb == b"LPUSH" and b'"headers"' in request.raw:
            self._published(json.loads(request.commands[0].argv[2]))
        talk = self.talks.setdefault(passage, Talk(passage.edge, not self.noting, self.counting))
        talk.ask(request.label, probe=self._of_probe(request.raw))
        self._passing = talk, request.raw
        return super().request(passage, request)

    def answer(self, passage: Passage, answer: Answer) -> bool:
        """See Director."""
        self._passing = self.talks[passage], answer.raw
        return super().answer(passage, answer)

    def steps(self) -> Iterator[Step]:
        """The trace, without the handshakes of connections that a clock or a probe alone asked for."""
        following: dict[str, Talk] = {}
        sole: set[int] = set()
        for talk in reversed(self.talks.values()):
            then = following.get(talk.edge)
            if talk.sole or (then and then.sole and talk.purpose == "PING"):  # kombu's, right before the one that works
                sole.add(id(talk))
            following[talk.edge] = talk
        for point in dict.fromkeys(self.trace):
            talk = self._of[point]
            if not HANDSHAKE.fullmatch(point.label):
                yield Step(point)
            elif id(talk) not in sole and (purpose := talk.purpose):
                yield Step(point, purpose)

    def opened(self) -> Iterator[Step]:
        """A handshake for each connection that came since the task was submitted, counted or not."""
        for talk in self.talks.values():
            if talk.counted and (purpose := talk.purpose):
                yield Step(Point(talk.edge, talk.labels[0]), purpose)

    def _of_probe(self, raw: bytes) -> bool:
        text = raw.decode("latin-1")
        self.probes |= set(PUSHED.findall(text))  # no other id: a message names the process it came from, too
        return not self.probes.isdisjoint(IDS.findall(text))

    def _published(self, message: dict[str, Any]) -> None:
        task = str(message["headers"].get("id"))
        if not self.noting and task not in self._known and task not in self.own():
            self.probes |= {task, str(message["properties"].get("delivery_tag"))}
        self._known.add(task)

    def _name(self, edge: str, label: str) -> Point | None:
        assert self._passing
        talk, raw = self._passing
        point = None if self._of_probe(raw) else super()._name(edge, label)
        if point is not None:
            self._of.setdefault(point, talk)
        return point


class PairTrial(Trial):
    """Use it once. What a later fault strikes may be the probe that is under way: it proves nothing then."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.conductor = self.tracer = Tracer(
            self._strike,
            handshakes=self.workload.first,
            order=tuple(self.conductor.order),
            own=lambda: self.about.tasks,
            through_api=self.workload.http is not None,
            clock=lambda: self.fair.seconds,
        )
        self._earlier: list[Knowledge] = []
        self._struck: list[tuple[int, Hit]] = []

    def _strike(self, hit: Hit) -> None:
        self._struck.append((time.monotonic_ns(), hit))
        self._forget()
        self.striker(hit)

    def _forget(self) -> None:
        if self._probe is not None:
            self._earlier.append(self._probe)
            self._probe, self.conductor.noting = None, True

    async def _look(self) -> State:
        self.saw.others |= {each.task for each in self._earlier if each.task}
        state = await super()._look()
        return (*state, len(self._struck)) if len(state) > 1 else state  # a strike is a change, too

    async def _send_probe(self, client: Client) -> None:
        struck = len(self._struck)
        await super()._send_probe(client)
        if len(self._struck) > struck:
            self._forget()

    def _found(self, word: str, begun: float, *, why: str = "", trouble: str = "", busy: bool = False) -> Found:
        """With the strikes at handshakes, which no other line tells."""
        found = super()._found(word, begun, why=why, trouble=trouble, busy=busy)
        more = (
            f"{(at - self.about.sent) / 1e9:+.3f} s  {hit.cell.point.edge:15} "
            f"{hit.cell.point.label}: {hit.cell.action}, {hit.cell.moment} it"
            for at, hit in self._struck
            if HANDSHAKE.fullmatch(hit.cell.point.label)
        )
        return replace(found, witness=tuple(sorted((*found.witness, *more), key=lambda line: float(line.split()[0]))))
