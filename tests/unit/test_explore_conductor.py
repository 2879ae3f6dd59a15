"""The director of a trial, with passages that only keep count: names, the order, strikes, the freeze."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore.cell import Cell, Moment, Point
from brownout.explore.conductor import Conductor, Hit
from brownout.subject.waiting import NeverHappened
from brownout.wire.conversation import Answer, Conversation, Request
from brownout.wire.passage import Passage
from brownout.wire.resp import encode, error

BRPOP, POPPED, NIL = "BRPOP celery celery\x06\x163 1", encode("celery", "m"), b"_\r\n"
OK, ONE = b"+OK\r\n", b":1\r\n"
ID = "0b5ee9b1-7c4c-4d2b-9f0e-2f8a2f3a9a11"
PUBLISH = Point("client->broker", "LPUSH celery")
GET = Point("client->backend", "GET meta")
DELIVER = Point("worker->broker", "BRPOP celery")
ZADD = Point("worker->broker", "ZADD unacked_index")
STORE = Point("worker->backend", "SET meta")


@dataclass(eq=False)
class Line:
    """Stands for a passage: what would pass it is in `passed`; what is kept is let go by the conductor."""

    conductor: Conductor
    edge: str
    passed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link = SimpleNamespace(over=False)
        self._talk = Conversation()
        self._kept: dict[str, str] = {}

    @property
    def passage(self) -> Passage:
        return cast("Passage", self)  # what a conductor uses of one is here

    def ask(self, *commands: str) -> Request:
        (request,) = self._talk.asked(b"".join(encode(*command.split()) for command in commands))
        self._talk.sent(request)
        self._go("upstream", request.label, self.conductor.request(self.passage, request))
        return request

    def tell(self, reply: bytes) -> None:
        for answer in self._talk.said(reply):
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        self._go("downstream", f"{answer.label} answered", self.conductor.answer(self.passage, answer))

    def _go(self, stream: str, what: str, may: bool) -> None:
        if may:
            self.passed.append(what)
        else:
            self._kept[stream] = what

    def both(self, command: str, reply: bytes = ONE) -> None:
        self.ask(command)
        self.tell(reply)

    def refuse(self, reply: bytes) -> None:
        self._kept.pop("upstream")
        request = self._talk.pending[-1]
        request.canned = reply
        for answer in self._talk.turn():
            self._answer(answer)

    def let(self, stream: str) -> None:
        self.passed.append(self._kept.pop(stream))

    def cut(self) -> None:
        if not self.link.over:
            self.link.over = True
            self.conductor.ended(self.passage)


class Struck(list[Hit]):
    """A strike that keeps what it hits."""

    def __call__(self, hit: Hit) -> None:
        self.append(hit)


def armed(*cells: Cell, **more: Any) -> tuple[Conductor, Struck]:
    struck = Struck()
    conductor = Conductor(struck, **more)
    conductor.arm(cells)
    return conductor, struck


def cell(point: Point, moment: Moment = "before", action: str = "cut") -> Cell:
    return Cell(point, moment, action)


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(cast("Any", test(*args, **kwargs)))

    return run


async def turn() -> None:
    """What was to be called soon is called."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise NeverHappened(f"not within 2 s: {condition}")


# --- what is counted


@on_a_loop
async def test_ordinals_count_from_the_arming_on_for_each_edge_and_label() -> None:
    conductor = Conductor(Struck())
    line, other = Line(conductor, "client->broker"), Line(conductor, "worker->broker")
    line.both("LPUSH celery m")
    conductor.arm([])
    line.both("LPUSH celery m")
    line.both("LPUSH celery\x06\x163 m")
    line.both(f"GET meta-{ID}")
    other.both("LPUSH celery m")

    assert [str(point) for point in conductor.trace] == [
        "client->broker/LPUSH celery#1",
        "client->broker/LPUSH celery#2",
        "client->broker/GET meta-<id>#1",
        "worker->broker/LPUSH celery#1",
    ]
    assert {*conductor.times} == {*conductor.samples} == {*conductor.trace}
    assert conductor.samples[conductor.trace[1]] == ((b"LPUSH", b"celery\x06\x163", b"m"),)
    assert len(line.passed) == 8
    assert not conductor.hits


@on_a_loop
async def test_what_is_jotted_down_in_haste_and_what_is_not_tell_one_story() -> None:
    transaction = ("MULTI", "ZREM unacked_index t", "HDEL unacked t", "EXEC")

    def life(**more: Any) -> Conductor:
        conductor, _ = armed(**more)
        line = Line(conductor, "worker->broker")
        for key in ("a", "b", "a"):
            line.both(f"SET {key} 1", OK)
        line.both(BRPOP, POPPED)
        line.ask(*transaction)
        line.tell(OK + b"+QUEUED\r\n" * 2 + encode("1", "1"))
        conductor.noting = False
        line.both("GET a", b"$-1\r\n")
        conductor.noting = True
        line.both("INCR a", error("OOM no"))
        assert len(line.passed) == 14
        return conductor

    hasty, slow = life(), life(order=(PUBLISH,))
    assert hasty.jotted
    assert not slow.jotted
    for what in ("trace", "samples"):
        assert getattr(hasty, what) == getattr(slow, what)
    assert [str(point) for point in hasty.times] == [str(point) for point in slow.times]
    assert list(hasty.times.values()) == sorted(hasty.times.values())
    for one, other in zip(hasty.seen, slow.seen, strict=True):
        assert (one.edge, one.what, one.telling) == (other.edge, other.what, other.telling)
    assert [each.at for each in hasty.seen] == sorted(each.at for each in hasty.seen)


@on_a_loop
async def test_what_is_jotted_down_comes_again_only_beyond_a_usual_life() -> None:
    poll = Point("client->backend", "GET a")
    conductor, struck = armed(cell(PUBLISH), order=(PUBLISH, poll, replace(poll, ordinal=2)))
    Line(conductor, PUBLISH.edge).ask("LPUSH celery m")
    assert struck
    line = Line(conductor, poll.edge)
    for _ in range(3):
        line.both("GET a")
    assert conductor.jotted
    assert [each.what for each in conductor.seen if each.edge == poll.edge and each.telling] == ["GET a again"]


@on_a_loop
async def test_who_names_points_otherwise_is_asked_for_each() -> None:
    class Deaf(Conductor):
        def _name(self, edge: str, label: str) -> Point | None:
            return None if label == "GET a" else super()._name(edge, label)

    conductor = Deaf(Struck(), counting=True)
    line = Line(conductor, "client->broker")
    for key in "ab":
        line.both(f"GET {key}")
    assert conductor.trace == [Point("client->broker", "GET b")]


TIMED = [
    "SET unacked_mutex token EX 300 NX",
    "ZRANGE unacked_index 0 0",
    "ZREVRANGEBYSCORE unacked_index 1 0 WITHSCORES",
    "EVALSHA c74b 1 unacked_mutex token",
    "SCRIPT EXISTS c74b",
    "SCRIPT LOAD return",
    "PING",
    "LLEN celery",
    "PUBLISH /0.celeryev/worker.heartbeat m",
]
NEW = [
    "HELLO 3",
    "CLIENT SETINFO LIB-NAME redis-py",
    "CLIENT MAINT_NOTIFICATIONS ON",
    "SELECT 1",
    "AUTH secret",
    "SADD _kombu.binding.celery v",
    "SMEMBERS _kombu.binding.celery",
    "SUBSCRIBE worker@host.celery.pidbox",
    "PSUBSCRIBE /0.celeryev/*",
]


@on_a_loop
async def test_timers_are_never_counted_and_handshakes_only_of_a_first_call_or_a_recovery() -> None:
    for handshakes in (False, True):
        conductor, _ = armed(cell(PUBLISH), handshakes=handshakes)
        line = Line(conductor, "client->broker")
        for command in (*TIMED, *NEW):
            line.both(command)
        assert [point.label.split()[0] for point in conductor.trace] == [
            command.split()[0] for command in NEW if handshakes
        ]
        line.ask("LPUSH celery m")
        new = Line(conductor, "client->broker")
        for command in (*TIMED, *NEW):
            new.both(command)
        assert conductor.trace.count(Point("client->broker", "HELLO 3", 2 if handshakes else 1)) == 1
        assert len(conductor.trace) == 1 + len(NEW) * (2 if handshakes else 1)
        assert not any(point.label.startswith(("PING", "EVALSHA", "LLEN", "PUBLISH")) for point in conductor.trace)


@on_a_loop
async def test_an_idle_brpop_is_no_part_of_a_life_and_one_that_delivers_is() -> None:
    conductor, _ = armed()
    line = Line(conductor, "worker->broker")
    for reply in (NIL, b"*-1\r\n", error("LOADING"), POPPED, NIL, POPPED):
        line.both(BRPOP, reply)
    assert [str(point) for point in conductor.trace] == [
        "worker->broker/BRPOP celery#1",
        "worker->broker/BRPOP celery#2",
    ]
    assert conductor.samples[Point("worker->broker", "BRPOP celery[idle]")][0][0] == b"BRPOP"


@on_a_loop
async def test_a_message_is_a_point_and_an_unasked_answer_is_none() -> None:
    conductor, _ = armed()
    line = Line(conductor, "client->backend")
    push = b">3\r\n$7\r\nmessage\r\n$41\r\nmeta-%b\r\n$1\r\nm\r\n" % ID.encode()
    line.tell(push + b">2\r\n$10\r\ninvalidate\r\n_\r\n" + push + error("ERR max number of clients reached"))
    assert [str(point) for point in conductor.trace] == [f"client->backend/PUSH meta-<id>#{n}" for n in (1, 2)]
    assert len(line.passed) == 4


@on_a_loop
async def test_a_published_message_is_kept_for_the_probe_until_the_arming() -> None:
    conductor = Conductor(Struck())
    line = Line(conductor, "client->broker")

    def message(headers: dict[str, str]) -> str:
        return json.dumps({"headers": headers, "body": ""}, separators=(",", ":"))

    line.both(f"LPUSH celery {message({'task': 'work', 'id': ID})}")
    line.both(f"LPUSH reply.celery.pidbox {message({})}")
    conductor.arm([])
    line.both(f"LPUSH celery {message({'task': 'work', 'id': 'other'})}")
    assert conductor.published
    assert (conductor.published.id, conductor.published.place) == (ID, "celery")


@on_a_loop
async def test_who_consumes_is_told_by_the_brpop_that_waits() -> None:
    conductor = Conductor(Struck())
    line, mingling = Line(conductor, "worker->broker"), Line(conductor, "worker->broker")
    mingling.ask(f"BRPOP {ID}.reply.celery.pidbox 1")
    assert not conductor.consumes("worker->broker", "celery")
    line.ask("BRPOP celery mail 1")
    assert conductor.consumes("worker->broker", "celery")
    assert conductor.consumes("worker->broker", "mail")
    assert not conductor.consumes("worker-2->broker", "celery")
    line.tell(NIL)
    assert not conductor.consumes("worker->broker", "celery")
    line.ask(BRPOP)
    line.cut()
    assert not conductor.consumes("worker->broker", "celery")
    assert set(conductor.polled) == {"worker->broker"}


@on_a_loop
async def test_quiet_is_since_the_last_request_that_no_clock_sent() -> None:
    conductor = Conductor(Struck())
    line = Line(conductor, "worker->broker")
    assert conductor.quiet > 1
    for command in (*TIMED, BRPOP):
        line.both(command)
    assert conductor.quiet > 1
    line.both("GET a")
    assert conductor.quiet < 1


# --- strikes


@on_a_loop
async def test_the_armed_point_alone_is_struck_and_kept() -> None:
    conductor, struck = armed(cell(Point(PUBLISH.edge, PUBLISH.label, 2)))
    line = Line(conductor, "client->broker")
    line.both("LPUSH celery m")
    request = line.ask("LPUSH celery m")
    Line(conductor, "worker->broker").both("LPUSH celery m")

    assert struck == conductor.hits == [Hit(cell(Point(PUBLISH.edge, PUBLISH.label, 2)), line.passage, request)]
    assert line.passed == ["LPUSH celery", "LPUSH celery answered"]
    assert [each.what for each in conductor.seen if each.telling][-1] == "LPUSH celery: cut, before it"


@on_a_loop
async def test_after_it_is_when_it_was_answered() -> None:
    conductor, struck = armed(cell(PUBLISH, "after", "held"))
    line = Line(conductor, "client->broker")
    line.ask("LPUSH celery m")
    assert (line.passed, struck) == (["LPUSH celery"], [])
    line.tell(ONE)
    assert (line.passed, len(struck)) == (["LPUSH celery"], 1)
    line.let("downstream")
    line.both("LPUSH celery m")
    assert len(struck) == 1


@on_a_loop
async def test_an_idle_brpop_is_struck_before_and_a_delivery_after() -> None:
    idle, delivers = cell(Point(DELIVER.edge, "BRPOP celery[idle]")), cell(DELIVER, "after", "never")
    conductor, struck = armed(idle, delivers)
    line = Line(conductor, "worker->broker")
    line.ask(BRPOP)
    line.cut()
    again = Line(conductor, "worker->broker")
    again.both(BRPOP, NIL)
    again.both(BRPOP, POPPED)
    assert [hit.cell for hit in struck] == [idle, delivers]
    assert again.passed == ["BRPOP celery", "BRPOP celery answered", "BRPOP celery"]


@on_a_loop
async def test_a_request_that_is_refused_is_answered_and_polls_no_more() -> None:
    conductor, struck = armed(cell(Point(DELIVER.edge, "BRPOP celery[idle]"), action="loading"))
    line = Line(conductor, "worker->broker")
    line.ask(BRPOP)
    assert conductor.consumes("worker->broker", "celery")
    line.refuse(error("LOADING"))
    assert (len(struck), conductor.polling, conductor.trace) == (1, {}, [])


@on_a_loop
async def test_a_schedule_of_two_arms_the_second_when_the_first_has_struck() -> None:
    second = Point(PUBLISH.edge, PUBLISH.label, 2)
    conductor, struck = armed(cell(PUBLISH, "after"), cell(second))
    line = Line(conductor, "client->broker")
    line.both("LPUSH celery m")
    assert (len(struck), conductor.schedule) == (1, [cell(second)])
    line.cut()
    again = Line(conductor, "client->broker")
    again.ask("LPUSH celery m")
    assert [hit.cell.point for hit in struck] == [PUBLISH, second]
    assert (again.passed, conductor.schedule) == ([], [])


@on_a_loop
async def test_a_second_point_that_comes_first_is_not_struck() -> None:
    conductor, struck = armed(cell(STORE), cell(PUBLISH))
    Line(conductor, "client->broker").both("LPUSH celery m")
    Line(conductor, "worker->backend").ask("SET meta v")
    assert [hit.cell.point for hit in struck] == [STORE]
    assert conductor.schedule == [cell(PUBLISH)]


# --- the order


def ordered(*cells: Cell, **more: Any) -> tuple[Conductor, Line, Line]:
    """ZADD goes before the client's GET."""
    conductor, _ = armed(*cells, order=(PUBLISH, DELIVER, ZADD, GET, STORE), **more)
    client, worker = Line(conductor, "client->backend"), Line(conductor, "worker->broker")
    Line(conductor, "client->broker").both("LPUSH celery m")
    return conductor, client, worker


@on_a_loop
async def test_what_comes_early_waits_until_what_is_before_it_was_answered() -> None:
    conductor, client, worker = ordered()
    client.ask("GET meta")
    worker.both(BRPOP, POPPED)
    await turn()
    worker.ask("ZADD unacked_index 1 t")
    await turn()
    assert client.passed == []
    worker.tell(ONE)
    assert client.passed == []  # the answer goes first
    await turn()
    assert client.passed == ["GET meta"]
    assert conductor.disorder == []


@on_a_loop
async def test_an_early_delivery_is_kept_too() -> None:
    conductor, _ = armed(order=(PUBLISH, DELIVER))
    worker = Line(conductor, "worker->broker")
    worker.both(BRPOP, POPPED)
    assert worker.passed == ["BRPOP celery"]
    Line(conductor, "client->broker").both("LPUSH celery m")
    await turn()
    assert worker.passed == ["BRPOP celery", "BRPOP celery answered"]


@on_a_loop
async def test_order_is_kept_between_edges_and_for_known_points_alone() -> None:
    _, client, worker = ordered()
    worker.both("ZADD unacked_index 1 t")  # its own edge keeps its own order
    client.both("GET other")
    assert (len(worker.passed), len(client.passed)) == (2, 2)
    client.ask("GET meta")
    assert len(client.passed) == 2  # the delivery has not been seen


@on_a_loop
async def test_what_never_comes_is_waited_for_so_long_and_no_longer() -> None:
    conductor, client, worker = ordered(overdue=0.02)
    client.ask("GET meta")
    assert client.passed == []
    await until(lambda: client.passed == ["GET meta"])
    assert conductor.disorder == [GET]
    worker.both(BRPOP, POPPED)
    client.tell(ONE)
    assert client.passed == ["GET meta", "GET meta answered"]


@on_a_loop
async def test_who_polls_is_waited_for_once() -> None:
    """A client that polls for a chord's result would be held for all of its time-out."""
    again = replace(GET, ordinal=2)
    conductor, _ = armed(order=(PUBLISH, DELIVER, GET, ZADD, again), overdue=0.02)
    client, worker = Line(conductor, "client->backend"), Line(conductor, "worker->broker")
    Line(conductor, "client->broker").both("LPUSH celery m")
    client.ask("GET meta")
    await until(lambda: client.passed == ["GET meta"])
    client.tell(ONE)
    client.both("GET meta")  # though the worker's ZADD was not seen
    assert len(client.passed) == 4
    worker.both(BRPOP, POPPED)
    assert conductor.disorder == [GET]


@on_a_loop
async def test_a_strike_ends_the_order() -> None:
    conductor, client, worker = ordered(cell(ZADD, "after", "never"))
    client.ask("GET meta")
    worker.both(BRPOP, POPPED)
    worker.both("ZADD unacked_index 1 t")
    assert (client.passed, len(conductor.hits)) == ([], 1)
    await turn()
    assert client.passed == ["GET meta"]
    Line(conductor, "worker->backend").both("SET meta v")
    assert conductor.disorder == []


@on_a_loop
async def test_what_waits_on_a_connection_that_has_ended_is_not_asked_for() -> None:
    conductor, client, worker = ordered(cell(GET))
    client.ask("GET meta")
    client.cut()
    worker.both(BRPOP, POPPED)
    worker.both("ZADD unacked_index 1 t")
    await turn()
    assert (client.passed, conductor.hits) == ([], [])


# --- the freeze


@on_a_loop
async def test_frozen_requests_are_kept_in_order_and_answers_pass() -> None:
    conductor, _ = armed()
    line, other = Line(conductor, "worker->broker"), Line(conductor, "client->broker")
    line.ask("GET a")
    conductor.freeze()
    line.tell(ONE)
    other.ask("LPUSH celery m")
    line.ask(BRPOP)
    assert (line.passed, other.passed) == (["GET a", "GET a answered"], [])
    assert [point.label for point in conductor.trace] == ["GET a"]  # counted when it comes through
    conductor.thaw()
    assert (line.passed[2:], other.passed) == (["BRPOP celery"], ["LPUSH celery"])
    assert [point.label for point in conductor.trace] == ["GET a", "LPUSH celery"]
    assert conductor.consumes("worker->broker", "celery")


@on_a_loop
async def test_a_frozen_request_can_be_struck_when_it_is_thawed() -> None:
    conductor, struck = armed(cell(PUBLISH))
    line = Line(conductor, "client->broker")
    conductor.freeze()
    line.ask("LPUSH celery m")
    assert struck == []
    conductor.thaw()
    assert (len(struck), line.passed) == (1, [])


@on_a_loop
async def test_what_was_frozen_on_a_connection_that_has_ended_is_forgotten() -> None:
    conductor, struck = armed(cell(PUBLISH))
    line = Line(conductor, "client->broker")
    conductor.freeze()
    line.ask("LPUSH celery m")
    line.cut()
    conductor.thaw()
    assert (struck, line.passed, conductor.trace) == ([], [], [])


@pytest.mark.parametrize("overdue", [0.01, 60.0], ids=["given up", "released"])
@on_a_loop
async def test_what_waited_for_its_turn_is_frozen_too(overdue: float) -> None:
    conductor, client, worker = ordered(cell(DELIVER, "after"), overdue=overdue)
    client.ask("GET meta")
    worker.ask(BRPOP)
    conductor.freeze()
    if overdue > 1:
        worker.tell(POPPED)  # the strike releases what waits
        await turn()
    else:
        await until(lambda: conductor.disorder == [GET])
    assert client.passed == []
    conductor.thaw()
    assert client.passed == ["GET meta"]


@on_a_loop
async def test_the_end_of_a_trial_ends_every_connection() -> None:
    conductor, _ = armed()
    lines = [Line(conductor, "client->broker"), Line(conductor, "worker->broker")]
    for line in lines:
        line.ask("GET a")
    lines[0].cut()
    conductor.close()
    assert [line.link.over for line in lines] == [True, True]
    assert conductor.passages == set()


@on_a_loop
async def test_a_probe_is_no_part_of_what_witnesses_tell() -> None:
    conductor, _ = armed()
    line = Line(conductor, "client->broker")
    line.both("LPUSH celery m", error("OOM no"))
    line.ask("LPUSH celery m")
    conductor.noting = False
    line.tell(ONE)
    assert [(each.what, each.telling) for each in conductor.seen] == [
        ("LPUSH celery", False),
        ("LPUSH celery answered: OOM no", True),
        ("LPUSH celery again", True),
    ]


@on_a_loop
async def test_what_a_life_without_a_fault_repeats_proves_nothing() -> None:
    second = replace(PUBLISH, ordinal=2)
    conductor, _ = armed(order=(PUBLISH, second))
    for _ in range(3):
        Line(conductor, "client->broker").both("LPUSH celery m")
    asked = [each for each in conductor.seen if "answered" not in each.what]
    assert [each.telling for each in asked] == [False, False, True]


class Patient(Line):
    """A passage whose kept request may be asked about once more."""

    def again(self, stream: str) -> None:
        request = self._talk.pending[-1]
        self._go(stream, self._kept.pop(stream), self.conductor.request(self.passage, request))


@pytest.mark.parametrize("struck", [False, True], ids=["delivered", "struck"])
@on_a_loop
async def test_of_two_workers_one_stands_aside_until_the_other_has_its_message(struck: bool) -> None:
    """Or until the fault strikes: then whoever can may take over."""
    conductor, _ = armed(*([cell(Point(DELIVER.edge, "BRPOP celery[idle]"))] if struck else []))
    conductor.aside = frozenset({"worker-2->broker"})
    first, second = Line(conductor, "worker->broker"), Patient(conductor, "worker-2->broker")
    second.ask(BRPOP)
    assert second.passed == []
    assert not conductor.consumes("worker-2->broker", "celery")
    first.ask(BRPOP)
    if not struck:
        assert second.passed == []
        first.tell(POPPED)
    for _ in range(3):
        await asyncio.sleep(0)
    assert second.passed == ["BRPOP celery"]
    assert conductor.consumes("worker-2->broker", "celery")
