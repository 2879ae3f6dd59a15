"""Names and orders all Redis requests of a subject, and tells watches when their points are reached."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from brownout.plan.point import IDLE, Moment, Point, Reached, Step
from brownout.wire.redis.connections import Connections
from brownout.wire.redis.conversation import BLOCKING, Answer, Request
from brownout.wire.redis.naming import Naming
from brownout.wire.redis.order import OVERDUE, Order
from brownout.wire.redis.passage import Passage
from brownout.wire.redis.probe import ProbeTrail
from brownout.wire.redis.record import Record, Seen, answer_seen, request_seen
from brownout.wire.redis.watch import Hit, Message, Watch

REGISTER = "ZADD unacked_index"  # a worker sends this command for each message that it has received


@dataclass
class Conductor(Record):
    """The director of all edges of one subject (see `Director`). Use the conductor only on the proxy's event loop.

    Until `arm` is called, all requests pass and are not counted. A `Watch` waits for a point (a request or its reply).
    Requests of a probe (a test task) are not counted, and no watch gets them.
    """

    handshakes: bool = False  # whether the handshakes of connections are counted also before the first fault strikes
    order: Sequence[Point] = ()
    overdue: float = OVERDUE
    clock: Callable[[], float] = time.monotonic  # A clock in seconds: how long requests and messages wait.
    hits: list[Hit] = field(default_factory=list)  # The points at which faults struck.
    naming: Naming = field(default_factory=Naming)
    watches: list[Watch] = field(default_factory=list)
    reached: Counter[Reached] = field(default_factory=Counter)  # the points that requests passed while a watch waited
    counting: bool = False
    noting: bool = True  # whether requests are recorded for reports; false while a probe is running
    probes: ProbeTrail = field(default_factory=ProbeTrail)
    polling: dict[Request, Passage] = field(default_factory=dict)  # The BRPOP requests that wait at the Redis server.
    polled: dict[str, float] = field(default_factory=dict)  # Maps an edge to the time (s) of its newest BRPOP.
    passages: set[Passage] = field(default_factory=set)
    # Maps an edge to the message that its worker has not registered yet, and the time (s) at which the message came
    in_hand: dict[str, tuple[Passage, float]] = field(default_factory=dict)
    aside: frozenset[str] = frozenset()  # BRPOPs on these edges wait until another edge has got the first message.
    _aside: list[Passage] = field(default_factory=list)  # The connections whose BRPOP is delayed, as `aside` asks for.
    published: Message | None = None  # The last message that a client put into a queue before `arm` was called.
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # Counts requests by edge and label.
    _last: int = 0  # The time (ns) of the last request that a process did not send periodically.
    _frozen: bool = False
    _fast: bool = False  # Whether a request for which no watch waits takes the fast path.
    _points: dict[Request, Point] = field(default_factory=dict)  # The points of requests without an answer.
    _held: list[Callable[[], None]] = field(default_factory=list)  # Functions by which `thaw` lets requests pass.

    def __post_init__(self) -> None:
        super().__init__()
        self.connections = Connections(self.naming)
        self.turns = Order(self.order, self.overdue, self.clock)
        self._choose_path()

    def arm(self) -> None:
        """Begin to count points (Redis requests and replies)."""
        self.counting = True
        self._choose_path()

    def watch(self, *watches: Watch) -> None:
        """Add watches; the points for which these watches wait are counted from this call on, but not before `arm`."""
        self.watches += watches
        self._choose_path()

    def forget(self) -> None:
        """Remove all watches of points."""
        self.watches.clear()
        self._choose_path()

    def probe(self) -> None:
        """Note that a test task will be sent: its requests are neither counted nor recorded for reports."""
        self.probes.begin(argv for sample in self.samples.values() for argv in sample)
        self.noting = False
        self._choose_path()

    def unprobe(self) -> None:
        """Note that the running test task proves nothing any more; requests are recorded for reports again."""
        self.probes.void()
        self.noting = True

    def steps(self) -> Iterator[Step]:
        """Yield the points that passed, without handshakes of connections for only a probe or periodic requests."""
        return self.connections.steps(dict.fromkeys(self.trace))

    def freeze(self) -> None:
        """Keep back every new request until `thaw` is called; answers still pass."""
        self._frozen = True
        self._choose_path()

    def thaw(self) -> None:
        """Let those requests pass that were kept back since `freeze` was called."""
        self._frozen = False
        self._choose_path()
        held, self._held = self._held, []
        for resume in held:
            resume()

    def consumes(self, edge: str, queue: str) -> bool:
        """Whether a BRPOP on this edge now waits for a message of this queue. BRPOPs of Celery's remote control
        use other queues and do not count."""
        return any(
            passage.edge == edge and queue in request.label.partition(" ")[2].split(",")
            for request, passage in self.polling.items()
        )

    def holds(self, within: float) -> bool:
        """Whether a worker received a message in the last `within` seconds and has not registered it yet.

        A message that is not registered exists only in the worker's memory.
        """
        return any(self.clock() - at < within for _, at in self.in_hand.values())

    @property
    def latest(self) -> int:
        """The time (ns) of the last request that a process did not send periodically."""
        return self._last

    def step_in(self) -> None:
        """Let those BRPOP requests pass now that the method `aside` has delayed."""
        waiting, self._aside, self.aside = self._aside, [], frozenset()
        for passage in waiting:
            if not passage.link.over:
                passage.again("upstream")

    def close(self) -> None:
        """Close all connections at the end of the trial, also those whose client has left."""
        self.turns.forget()
        for passage in list(self.passages):
            passage.cut()

    # --- the methods that a director of passages needs

    def request(self, passage: Passage, request: Request) -> bool:
        """Decide whether a request passes, as `Director.request` says."""
        self.passages.add(passage)
        label = request.label
        if self.in_hand and label.startswith(REGISTER):
            self.in_hand.pop(passage.edge, None)
        if self._fast and self.naming.kind(label) == "plain":
            place = passage.edge, label  # nothing can hold this request back, so it is only counted and recorded
            self.counts[place] = request.ordinal = ordinal = self.counts.get(place, 0) + 1
            self._last = now = time.monotonic_ns()
            if passage not in self.connections.classified:
                self._add_to_connection(passage, label, by_probe=False)
            self.jotted += now, passage.edge, label, ordinal, self.noting, request.raw, None
            return True
        if request.blocking and passage.edge in self.aside:
            self._aside.append(passage)
            return False
        label = f"{label}{IDLE}" if request.blocking else label
        if self._frozen:
            self._held.append(partial(self._resume, passage, request))
            return False
        by_probe = self.probes.sent and self.probes.causes(request)
        self._add_to_connection(passage, request.label, by_probe=by_probe)
        self._notice(passage, label, request)
        point = None if by_probe else self._count(passage, label)
        if point is not None:
            self.samples.setdefault(point, tuple(command.argv for command in request.commands))
        if point is None or request.blocking:
            return not self._kept(point, "before", passage, request) if point else True
        self._points[request] = point
        return self._in_order(point, passage, "upstream", partial(self._pass_request, point, passage, request))

    def answer(self, passage: Passage, answer: Answer) -> bool:
        """Decide whether an answer passes, as `Director.answer` says."""
        request = answer.request
        if request is not None and request.ordinal:
            if self.noting:
                error = request.error if request.several or answer.raw[0] in b"-!|" else None  # "|" begins attributes
                self.jotted += time.monotonic_ns(), passage.edge, request.label, request.ordinal, True, None, error
            return True
        if request is not None:
            self.polling.pop(request, None)
        if request is None or request.delivered:
            counts = answer.label.partition(" ")[2] and not (self.probes.sent and self.probes.made(answer.raw))
            point = self._count(passage, answer.label) if counts else None
            return point is None or self._in_order(
                point, passage, "downstream", partial(self._pass_answer, point, passage, request)
            )
        if (point := self._points.pop(request, None)) is None:
            return True
        return self._pass_answer(point, passage, request)

    def ended(self, passage: Passage) -> None:
        """Forget a connection that has ended, as `Director.ended` says."""
        self.passages.discard(passage)
        self.in_hand = {edge: came for edge, came in self.in_hand.items() if came[0] is not passage}
        self.polling = {request: where for request, where in self.polling.items() if where is not passage}

    # --- what happens between a request's arrival and its passing

    def _choose_path(self) -> None:
        """Requests take a fast path while nothing can keep them back: no watch, no freeze, no fixed order, no probe."""
        ordered = self.order and not self.hits
        self._fast = self.counting and not (self.watches or self._frozen or ordered or self.probes.sent)

    def _add_to_connection(self, passage: Passage, label: str, *, by_probe: bool) -> None:
        probing, counted = not self.noting, self.counting
        self.connections.add(passage, label, probing=probing, counted=counted, by_probe=by_probe)

    def _resume(self, passage: Passage, request: Request) -> None:
        """Handle a request that `freeze` has kept back."""
        if not passage.link.over and self.request(passage, request):
            passage.let("upstream")

    def _notice(self, passage: Passage, label: str, request: Request) -> None:
        if request.blocking:
            self.polling[request] = passage
            self.polled[passage.edge] = time.monotonic()
        elif self.naming.kind(label) != "timer":
            self._last = time.monotonic_ns()
            argv = request.commands[0].argv
            if not self.counting and argv[0] == b"LPUSH" and b'"headers"' in argv[2]:
                raw = json.loads(argv[2])
                if "task" in raw["headers"]:
                    self.published = Message(raw["headers"]["id"], argv[1].decode(), raw)

    def _count(self, passage: Passage, label: str) -> Point | None:
        """Count the point of a request or message and return the point, or None for a label that is not counted now."""
        edge = passage.edge
        if not self.counting or (kind := self.naming.kind(label)) == "timer":
            return None
        if kind == "handshake" and not self.handshakes and not self.hits:
            return None
        if label.endswith(IDLE):
            return Point(edge, label)
        self.counts[edge, label] = ordinal = self.counts.get((edge, label), 0) + 1
        point = Point(edge, label, ordinal)
        if kind == "handshake":
            self.connections.add_handshake(point, passage)
        self.trace.append(point)
        self.times[point] = time.monotonic()
        return point

    def _in_order(self, point: Point, passage: Passage, stream: str, go: Callable[[], bool]) -> bool:
        """Call the function `go` now, or when earlier points on other edges have been answered."""
        if not self.turns.early(point):
            return go()

        def go_on() -> None:
            if self._frozen and stream == "upstream":
                self._held.append(go_on)
            elif not passage.link.over and go():
                passage.let(stream)

        self.turns.wait(point, go_on)
        return False

    def _pass_request(self, point: Point, passage: Passage, request: Request) -> bool:
        self._note(request_seen(time.monotonic_ns(), point, self.order))
        return not self._kept(point, "before", passage, request)

    def _pass_answer(self, point: Point, passage: Passage, request: Request | None) -> bool:
        self._note(answer_seen(time.monotonic_ns(), point, request.error if request else None))
        if self._kept(point, "after", passage, request):
            return False
        self.turns.answered(point)
        if point.command in BLOCKING:
            self.in_hand[point.edge] = passage, self.clock()
            asyncio.get_running_loop().call_soon(self.step_in)
        return True

    def _kept(self, point: Point, moment: Moment, passage: Passage, request: Request | None) -> bool:
        """Tell the watches that wait for this point; return whether a watch keeps the request or answer."""
        if not self.watches:
            return False
        self.reached[point.edge, point.label.removesuffix(IDLE), moment] += 1
        met = [watch for watch in self.watches if watch.met(point, moment, request)]
        kept = False
        for watch in met:
            self.watches.remove(watch)
            hit = Hit(point, moment, passage, request)
            if watch.strikes:
                self._hit(hit)
            self._choose_path()
            kept |= watch.reached(hit)
        return kept

    def _hit(self, hit: Hit) -> None:
        self.hits.append(hit)
        if not self.noting:
            self.unprobe()  # the fault may have struck a request of the test task
        asyncio.get_running_loop().call_soon(self.step_in)
        self.turns.end()

    def _note(self, seen: Seen) -> None:
        if self.noting:
            self.seen.append(seen)
