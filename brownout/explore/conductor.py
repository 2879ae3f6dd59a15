"""Names every request of a trial's subject, keeps the reference order, and strikes at the armed point."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Literal

from brownout.explore.cell import IDLE, Cell, Point
from brownout.explore.direct import Message
from brownout.explore.record import Record, Seen, answered, asked
from brownout.wire.conversation import BLOCKING, Answer, Request
from brownout.wire.passage import Passage

#: What comes by a clock and not by a task: kombu's sweep for unacked messages and its lock, health checks, binding
#: expiry, heartbeats (celery.events), and the questions of watchdogs and monitors.
TIMERS = re.compile(
    r"SET unacked_mutex|ZRANGE unacked_index|ZREVRANGEBYSCORE unacked_index|EVALSHA|EVAL|SCRIPT EXISTS|SCRIPT LOAD"
    r"|PING|LLEN .*|(PUBLISH|PUSH) .*worker\.heartbeat"
)
#: What every new connection begins with.
HANDSHAKE = re.compile(
    r"HELLO .*|CLIENT .*|SELECT|AUTH|SCRIPT LOAD|.*_kombu\.binding\..*|.*celery\.pidbox.*|.*celeryev.*"
)
REGISTER = "ZADD unacked_index"  # what a worker sends for a message that has come
OVERDUE = 1.0  # s; what has not come by then will not come: the order is given up for this point


Kind = Literal["timer", "handshake", "idle", "plain"]


@lru_cache(maxsize=4096)
def kind(label: str) -> Kind:
    """What is behind a request: a clock, a new connection, a wait for messages, or a task."""
    if TIMERS.fullmatch(label):
        return "timer"
    if HANDSHAKE.fullmatch(label):
        return "handshake"
    return "idle" if label.partition(" ")[0] in BLOCKING else "plain"


@dataclass(frozen=True)
class Hit:
    """An armed point was reached, and is kept."""

    cell: Cell
    passage: Passage
    request: Request | None


Strike = Callable[[Hit], None]


@dataclass
class Conductor(Record):
    """A `Director` of all edges of one subject. On the wire's loop only.

    Until `arm`, everything passes and is not counted. `strike` is called with the armed point, which is kept until it
    lets it pass, refuses it or cuts; the next cell of the schedule is armed then.
    """

    strike: Strike
    handshakes: bool = False  # count them before the first strike, too
    order: Sequence[Point] = ()
    overdue: float = OVERDUE
    clock: Callable[[], float] = time.monotonic  # s; what the conductor waits for is measured with it
    schedule: list[Cell] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    disorder: list[Point] = field(default_factory=list)
    counting: bool = False
    noting: bool = True  # for witnesses; not what a probe does
    polling: dict[Request, Passage] = field(default_factory=dict)  # each BRPOP that waits at the server
    polled: dict[str, float] = field(default_factory=dict)  # edge -> when its newest BRPOP came
    passages: set[Passage] = field(default_factory=set)
    in_hand: dict[str, tuple[Passage, float]] = field(default_factory=dict)  # edge -> a message came there, and when
    aside: frozenset[str] = frozenset()  # edges whose BRPOPs wait until the first message is delivered elsewhere
    _aside: list[Passage] = field(default_factory=list)
    published: Message | None = None  # the last message that a client queued before `arm`
    _last: int = 0  # ns
    _frozen: bool = False
    _hasty: bool = False
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _answered: set[Point] = field(default_factory=set)
    _names: dict[Request, Point] = field(default_factory=dict)
    _waiting: dict[Point, Callable[[], None]] = field(default_factory=dict)
    _held: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._set_pace()

    def arm(self, schedule: Sequence[Cell]) -> None:
        """Count from here on, and strike at these, one after the other."""
        self.schedule, self.counting = list(schedule), True
        self._set_pace()

    def freeze(self) -> None:
        """Keep every new request; answers still pass."""
        self._frozen = True
        self._set_pace()

    def thaw(self) -> None:
        """Let go of them."""
        self._frozen = False
        self._set_pace()
        held, self._held = self._held, []
        for go in held:
            go()

    def consumes(self, edge: str, queue: str) -> bool:
        """Whether a BRPOP for this queue waits at the server now; mingle and remote control have their own queues."""
        return any(
            where.edge == edge and queue in request.label.partition(" ")[2].split(",")
            for request, where in self.polling.items()
        )

    def holds(self, within: float) -> bool:
        """Whether a message came to a worker that has not registered it yet, for so many seconds at most: it is in
        its memory alone.
        """
        return any(self.clock() - at < within for _, at in self.in_hand.values())

    @property
    def latest(self) -> int:
        """When (ns) the last request came that does not come by a clock."""
        return self._last

    def step_in(self) -> None:
        """Those that stood aside may ask for messages now."""
        waiting, self._aside, self.aside = self._aside, [], frozenset()
        for passage in waiting:
            if not passage.link.over:
                passage.again("upstream")

    def close(self) -> None:
        """The trial is over: no connection of it stays, not even one whose client has left."""
        self._waiting.clear()
        for passage in list(self.passages):
            passage.cut()

    # --- Director

    def request(self, passage: Passage, request: Request) -> bool:
        """See Director."""
        self.passages.add(passage)
        label = request.label
        if self.in_hand and label.startswith(REGISTER):
            self.in_hand.pop(passage.edge, None)
        if self._hasty and kind(label) == "plain":
            place = passage.edge, label  # nothing can happen to it but to pass: to jot it down is enough
            self._counts[place] = request.ordinal = ordinal = self._counts.get(place, 0) + 1
            self._last = now = time.monotonic_ns()
            self.jotted += now, passage.edge, label, ordinal, self.noting, request.raw, None
            return True
        if request.blocking and passage.edge in self.aside:
            self._aside.append(passage)
            return False
        label = f"{label}{IDLE}" if request.blocking else label
        if self._frozen:
            self._held.append(partial(self._come, passage, request))
            return False
        self._notice(passage, label, request)
        point = self._name(passage.edge, label)
        if point is not None:
            self.samples.setdefault(point, tuple(command.argv for command in request.commands))
        if point is None or request.blocking:
            return not self._struck(point, "before", passage, request) if point else True
        self._names[request] = point
        return self._in_turn(point, passage, "upstream", partial(self._ask, point, passage, request))

    def answer(self, passage: Passage, answer: Answer) -> bool:
        """See Director."""
        request = answer.request
        if request is not None and request.ordinal:
            if self.noting:
                error = request.error if request.several or answer.raw[0] in b"-!|" else None  # |: attributes
                self.jotted += time.monotonic_ns(), passage.edge, request.label, request.ordinal, True, None, error
            return True
        if request is not None:
            self.polling.pop(request, None)
        if request is None or request.delivered:
            came = self._name(passage.edge, answer.label) if answer.label.partition(" ")[2] else None
            return came is None or self._in_turn(
                came, passage, "downstream", partial(self._tell, came, passage, request)
            )
        if (point := self._names.pop(request, None)) is None:
            return True
        return self._tell(point, passage, request)

    def ended(self, passage: Passage) -> None:
        """See Director."""
        self.passages.discard(passage)
        self.in_hand = {edge: each for edge, each in self.in_hand.items() if each[0] is not passage}
        for request in [each for each, where in self.polling.items() if where is passage]:
            del self.polling[request]

    # --- in between

    def _set_pace(self) -> None:
        """In haste while nothing can happen to a request; who has names of its own is asked for each."""
        watched = not self.counting or self.schedule or self._frozen or (self.order and not self.hits)
        self._hasty = type(self)._name is Conductor._name and not watched

    def _come(self, passage: Passage, request: Request) -> None:
        """A request that was frozen."""
        if not passage.link.over and self.request(passage, request):
            passage.let("upstream")

    def _notice(self, passage: Passage, label: str, request: Request) -> None:
        if request.blocking:
            self.polling[request] = passage
            self.polled[passage.edge] = time.monotonic()
        elif kind(label) != "timer":
            self._last = time.monotonic_ns()
            argv = request.commands[0].argv
            if not self.counting and argv[0] == b"LPUSH" and b'"headers"' in argv[2]:
                raw = json.loads(argv[2])
                if "task" in raw["headers"]:
                    self.published = Message(raw["headers"]["id"], argv[1].decode(), raw)

    def _name(self, edge: str, label: str) -> Point | None:
        """The point, counted; None for what is none."""
        if not self.counting or (what := kind(label)) == "timer":
            return None
        if what == "handshake" and not self.handshakes and not self.hits:
            return None
        if label.endswith(IDLE):
            return Point(edge, label)
        self._counts[edge, label] = ordinal = self._counts.get((edge, label), 0) + 1
        point = Point(edge, label, ordinal)
        self.trace.append(point)
        self.times[point] = time.monotonic()
        return point

    def _in_turn(self, point: Point, passage: Passage, stream: str, go: Callable[[], bool]) -> bool:
        """Go now, or when what comes before it on other edges was answered."""
        if not self._early(point):
            return go()

        def go_on() -> None:
            if self._frozen and stream == "upstream":
                self._held.append(go_on)
            elif not passage.link.over and go():
                passage.let(stream)

        self._waiting[point] = go_on
        asyncio.get_running_loop().call_later(self.overdue, self._give_up, point, self.clock())
        return False

    def _early(self, point: Point) -> bool:
        """Whether something else comes first. An edge that has waited in vain is one that polls: it keeps no order."""
        if self.hits or point not in self.order or any(each.edge == point.edge for each in self.disorder):
            return False
        before = self.order[: self.order.index(point)]
        return any(each.edge != point.edge and each not in self._answered for each in before)

    def _give_up(self, point: Point, since: float) -> None:
        left = self.overdue - (self.clock() - since)
        if left > 0 and point in self._waiting:
            asyncio.get_running_loop().call_later(max(left, 0.01), self._give_up, point, since)
        elif go := self._waiting.pop(point, None):
            self.disorder.append(point)
            go()

    def _release(self) -> None:
        for point in [each for each in self._waiting if not self._early(each)]:
            if go := self._waiting.pop(point, None):
                go()

    def _ask(self, point: Point, passage: Passage, request: Request) -> bool:
        self._note(asked(time.monotonic_ns(), point, self.order))
        return not self._struck(point, "before", passage, request)

    def _tell(self, point: Point, passage: Passage, request: Request | None) -> bool:
        self._note(answered(time.monotonic_ns(), point, request.error if request else None))
        if self._struck(point, "after", passage, request):
            return False
        self._answered.add(point)
        if point.command in BLOCKING:
            self.in_hand[point.edge] = passage, self.clock()
            asyncio.get_running_loop().call_soon(self.step_in)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._release)  # those that waited for this one, after it has passed
        return True

    def _struck(self, point: Point, moment: str, passage: Passage, request: Request | None) -> bool:
        if not self.schedule or (self.schedule[0].point, self.schedule[0].moment) != (point, moment):
            return False
        asyncio.get_running_loop().call_soon(self.step_in)
        hit = Hit(self.schedule.pop(0), passage, request)
        self.hits.append(hit)
        self._set_pace()
        self._note(Seen(time.monotonic_ns(), passage.edge, f"{point.label}: {hit.cell.action}, {moment} it", True))
        asyncio.get_running_loop().call_soon(self._release)  # the order has served
        self.strike(hit)
        return True

    def _note(self, seen: Seen) -> None:
        if self.noting:
            self.seen.append(seen)
