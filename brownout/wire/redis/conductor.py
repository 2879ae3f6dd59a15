"""Names every request of a trial's subject, keeps them in order, and tells who waits for a point that it is reached."""

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
from brownout.wire.redis.record import Record, Seen, answered, asked
from brownout.wire.redis.watch import Hit, Message, Watch

REGISTER = "ZADD unacked_index"  # what a worker sends for a message that has come


@dataclass
class Conductor(Record):
    """A `Director` of all edges of one subject. On the wire's loop only.

    Until `arm`, everything passes and is not counted. What waits for a point is a watch. What a probe makes does not
    count: no watch sees it.
    """

    handshakes: bool = False  # count them before the first strike, too
    order: Sequence[Point] = ()
    overdue: float = OVERDUE
    clock: Callable[[], float] = time.monotonic  # s; what the conductor waits for is measured with it
    hits: list[Hit] = field(default_factory=list)  # where faults struck
    naming: Naming = field(default_factory=Naming)
    watches: list[Watch] = field(default_factory=list)
    reached: Counter[Reached] = field(default_factory=Counter)  # what was, while a watch waited
    counting: bool = False
    noting: bool = True  # for witnesses; not while a probe is under way
    probes: ProbeTrail = field(default_factory=ProbeTrail)
    polling: dict[Request, Passage] = field(default_factory=dict)  # each BRPOP that waits at the server
    polled: dict[str, float] = field(default_factory=dict)  # edge -> when its newest BRPOP came
    passages: set[Passage] = field(default_factory=set)
    in_hand: dict[str, tuple[Passage, float]] = field(default_factory=dict)  # edge -> a message came there, and when
    aside: frozenset[str] = frozenset()  # edges whose BRPOPs wait until the first message is delivered elsewhere
    _aside: list[Passage] = field(default_factory=list)
    published: Message | None = None  # the last message that a client queued before `arm`
    counts: dict[tuple[str, str], int] = field(default_factory=dict)  # edge and label -> how often, since `arm`
    _last: int = 0  # ns
    _frozen: bool = False
    _hasty: bool = False
    _names: dict[Request, Point] = field(default_factory=dict)
    _held: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.connections = Connections(self.naming)
        self.turns = Order(self.order, self.overdue, self.clock)
        self._set_pace()

    def arm(self) -> None:
        """Count from here on."""
        self.counting = True
        self._set_pace()

    def watch(self, *watches: Watch) -> None:
        """Wait for these places, counted from here or from `arm` on."""
        self.watches += watches
        self._set_pace()

    def forget(self) -> None:
        """No watch waits any longer."""
        self.watches.clear()
        self._set_pace()

    def probe(self) -> None:
        """A probe is about to be sent: what it makes neither counts nor goes to witnesses."""
        self.probes.begin(argv for sample in self.samples.values() for argv in sample)
        self.noting = False
        self._set_pace()

    def unprobe(self) -> None:
        """The probe proves nothing any more: witnesses are told again."""
        self.probes.void()
        self.noting = True

    def steps(self) -> Iterator[Step]:
        """The trace, without the handshakes of connections that a clock or a probe alone asked for."""
        return self.connections.steps(dict.fromkeys(self.trace))

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
        self.turns.forget()
        for passage in list(self.passages):
            passage.cut()

    # --- Director

    def request(self, passage: Passage, request: Request) -> bool:
        """See Director."""
        self.passages.add(passage)
        label = request.label
        if self.in_hand and label.startswith(REGISTER):
            self.in_hand.pop(passage.edge, None)
        if self._hasty and self.naming.kind(label) == "plain":
            place = passage.edge, label  # nothing can happen to it but to pass: to jot it down is enough
            self.counts[place] = request.ordinal = ordinal = self.counts.get(place, 0) + 1
            self._last = now = time.monotonic_ns()
            if passage not in self.connections.told:
                self._connected(passage, label, by_probe=False)
            self.jotted += now, passage.edge, label, ordinal, self.noting, request.raw, None
            return True
        if request.blocking and passage.edge in self.aside:
            self._aside.append(passage)
            return False
        label = f"{label}{IDLE}" if request.blocking else label
        if self._frozen:
            self._held.append(partial(self._come, passage, request))
            return False
        by_probe = self.probes.sent and self.probes.asked(request)
        self._connected(passage, request.label, by_probe=by_probe)
        self._notice(passage, label, request)
        point = None if by_probe else self._name(passage, label)
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
            tells = answer.label.partition(" ")[2] and not (self.probes.sent and self.probes.made(answer.raw))
            came = self._name(passage, answer.label) if tells else None
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
        """In haste while nothing can happen to a request but to pass."""
        ordered = self.order and not self.hits
        self._hasty = self.counting and not (self.watches or self._frozen or ordered or self.probes.sent)

    def _connected(self, passage: Passage, label: str, *, by_probe: bool) -> None:
        probing, counted = not self.noting, self.counting
        self.connections.asked(passage, label, probing=probing, counted=counted, by_probe=by_probe)

    def _come(self, passage: Passage, request: Request) -> None:
        """A request that was frozen."""
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

    def _name(self, passage: Passage, label: str) -> Point | None:
        """The point, counted; None for what is none."""
        edge = passage.edge
        if not self.counting or (what := self.naming.kind(label)) == "timer":
            return None
        if what == "handshake" and not self.handshakes and not self.hits:
            return None
        if label.endswith(IDLE):
            return Point(edge, label)
        self.counts[edge, label] = ordinal = self.counts.get((edge, label), 0) + 1
        point = Point(edge, label, ordinal)
        if what == "handshake":
            self.connections.shakes(point, passage)
        self.trace.append(point)
        self.times[point] = time.monotonic()
        return point

    def _in_turn(self, point: Point, passage: Passage, stream: str, go: Callable[[], bool]) -> bool:
        """Go now, or when what comes before it on other edges was answered."""
        if not self.turns.early(point):
            return go()

        def go_on() -> None:
            if self._frozen and stream == "upstream":
                self._held.append(go_on)
            elif not passage.link.over and go():
                passage.let(stream)

        self.turns.wait(point, go_on)
        return False

    def _ask(self, point: Point, passage: Passage, request: Request) -> bool:
        self._note(asked(time.monotonic_ns(), point, self.order))
        return not self._struck(point, "before", passage, request)

    def _tell(self, point: Point, passage: Passage, request: Request | None) -> bool:
        self._note(answered(time.monotonic_ns(), point, request.error if request else None))
        if self._struck(point, "after", passage, request):
            return False
        self.turns.answered(point)
        if point.command in BLOCKING:
            self.in_hand[point.edge] = passage, self.clock()
            asyncio.get_running_loop().call_soon(self.step_in)
        return True

    def _struck(self, point: Point, moment: Moment, passage: Passage, request: Request | None) -> bool:
        """Tell the watches that wait for this point; whether one of them keeps the message."""
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
            self._set_pace()
            kept |= watch.reached(hit)
        return kept

    def _hit(self, hit: Hit) -> None:
        self.hits.append(hit)
        if not self.noting:
            self.unprobe()  # the fault may have struck what the probe made
        asyncio.get_running_loop().call_soon(self.step_in)
        self.turns.end()

    def _note(self, seen: Seen) -> None:
        if self.noting:
            self.seen.append(seen)
