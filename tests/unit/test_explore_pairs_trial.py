"""The trace of a recovery: without what a probe or a clock makes, and each handshake with what it is for."""

import asyncio
import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore.bounds import Bounds
from brownout.explore.cell import Cell, Point
from brownout.explore.client import Knowledge
from brownout.explore.conductor import Hit
from brownout.explore.mission import DEFAULTS, STOCK, WORKLOADS, Mission
from brownout.explore.pairs import Step
from brownout.explore.pairs_trial import PairTrial, Talk, Tracer
from brownout.explore.trial import Trial
from brownout.wire.conversation import Conversation
from brownout.wire.passage import Passage
from brownout.wire.resp import encode

ONE = b":1\r\n"
TASK, PROBE, TAG, CLIENT = (f"{n}b5ee9b1-7c4c-4d2b-9f0e-2f8a2f3a9a11" for n in range(4))
BIND = "SADD _kombu.binding.celery x"
BOUND = "SADD _kombu.binding.celery"
STRUCK = Cell(Point("worker->broker", "GET start"), "after", "cut")


def on_a_loop(test: Callable[..., None]) -> Callable[..., None]:
    @wraps(test)
    def run(**given: Any) -> None:
        async def go() -> None:
            test(**given)

        asyncio.run(go())

    return run


class Line:
    """A connection that nothing keeps."""

    def __init__(self, tracer: Tracer, edge: str) -> None:
        self.tracer, self.edge, self.talk = tracer, edge, Conversation()

    def both(self, *command: str, reply: bytes = ONE) -> None:
        for request in self.talk.asked(encode(*command)):
            self.talk.sent(request)
            self.tracer.request(cast("Passage", self), request)
        for answer in self.talk.said(reply):
            self.tracer.answer(cast("Passage", self), answer)

    def says(self, *commands: str) -> None:
        for command in commands:
            self.both(*command.split())


def recovering(**more: Any) -> Tracer:
    """A tracer whose first fault has struck: it counts handshakes from here on."""
    tracer = Tracer(lambda _: None, **more)
    tracer.arm([STRUCK])
    tracer.hits.append(cast("Any", None))
    return tracer


def steps(tracer: Tracer) -> list[tuple[str, str]]:
    return [(f"{step.point.label}#{step.point.ordinal}", step.purpose) for step in tracer.steps()]


def message(task: str, tag: str) -> str:
    properties = {"delivery_tag": tag, "reply_to": CLIENT}
    return json.dumps({"headers": {"id": task}, "properties": properties}, separators=(",", ":"))


def popped(text: str) -> bytes:
    return encode("celery", text)


@on_a_loop
def test_a_probe_that_was_pushed_past_the_network_is_not_counted() -> None:
    tracer = recovering()
    worker = Line(tracer, "worker->broker")
    worker.both("BRPOP", "celery", "1", reply=popped(message(PROBE, f"probe-{PROBE}")))
    worker.says(f"ZADD unacked_index 1 probe-{PROBE}", f"ZREM unacked_index probe-{PROBE}")
    Line(tracer, "worker->backend").says(f"GET celery-task-meta-{PROBE}")
    worker.both("BRPOP", "celery", "1", reply=popped(message(TASK, TAG)))
    worker.says(f"ZADD unacked_index 1 {TAG}")
    assert steps(tracer) == [("BRPOP celery#1", ""), ("ZADD unacked_index#1", "")]


@pytest.mark.parametrize("known", ["published before", "told by the api", "not at all"])
@on_a_loop
def test_a_probe_through_an_api_is_a_task_that_is_new(known: str) -> None:
    own: list[str] = []
    tracer = recovering(own=lambda: own, through_api=True)
    api = Line(tracer, "api->broker")
    if known == "published before":
        api.both("LPUSH", "celery", message(TASK, TASK))
    elif known == "told by the api":
        own.append(TASK)
    tracer.noting = False  # a probe is under way
    api.both("LPUSH", "celery", message(PROBE, TAG))
    api.both("LPUSH", "celery", message(TASK, TASK))
    Line(tracer, "worker->broker").says(f"ZADD unacked_index 1 {TAG}", f"ZADD unacked_index 1 {TASK}")
    pushed = {"published before": 2, "told by the api": 1, "not at all": 0}[known]
    assert [label for label, _ in steps(tracer)] == [
        *(f"LPUSH celery#{n + 1}" for n in range(pushed)),
        *(["ZADD unacked_index#1"] if pushed else []),
    ]


@on_a_loop
def test_a_handshake_knows_what_its_connection_is_for() -> None:
    tracer = recovering()
    Line(tracer, "client->broker").says("HELLO 3", "PING")
    Line(tracer, "client->broker").says("HELLO 3", "CLIENT SETINFO", BIND, "LPUSH celery x")
    Line(tracer, "worker->broker").says("HELLO 3", "PSUBSCRIBE /0.celery.pidbox")
    Line(tracer, "worker->backend").says("HELLO 3", "SELECT 1", "GET meta")
    assert steps(tracer) == [
        ("HELLO 3#1", "PING"),
        ("HELLO 3#2", "_kombu.binding"),
        ("CLIENT SETINFO#1", "_kombu.binding"),
        (f"{BOUND}#1", "_kombu.binding"),
        ("LPUSH celery#1", ""),
        ("HELLO 3#1", "celery.pidbox"),
        ("PSUBSCRIBE /0.celery.pidbox#1", "celery.pidbox"),
        ("HELLO 3#1", "GET meta"),
        ("SELECT#1", "GET meta"),
        ("GET meta#1", ""),
    ]


@pytest.mark.parametrize(
    ("edge", "asked", "purpose"),
    [
        ("worker->broker", ["HELLO 3", "LLEN celery", "PING"], ""),
        ("api->broker", ["HELLO 3", "PING"], ""),
        ("client->broker", ["HELLO 3", "PING"], "PING"),
        ("client->broker", ["HELLO 3", "CLIENT SETINFO"], ""),
        ("worker->broker", ["HELLO 3", "WATCH unacked", BOUND], "_kombu.binding"),
        ("worker->broker", ["HELLO 3", "PING", "BRPOP celery"], "BRPOP celery"),
        ("worker->broker", ["HELLO 3", "SREM _kombu.binding.celery.pidbox"], "celery.pidbox"),
    ],
)
def test_the_purpose_of_a_connection(edge: str, asked: list[str], purpose: str) -> None:
    assert Talk(edge, probing=False, counted=True, labels=asked).purpose == purpose


@on_a_loop
def test_connections_that_a_probe_asked_for_are_left_out() -> None:
    tracer = recovering()
    tracer.probes.add(PROBE)
    Line(tracer, "worker->backend").says("HELLO 3", "GET meta")  # before the probe was sent
    tracer.noting = False
    Line(tracer, "relay->broker").says("HELLO 3", "PING")  # kombu's, before the one that publishes
    Line(tracer, "relay->broker").says("HELLO 3", BIND, f"LPUSH celery {PROBE}")
    Line(tracer, "worker->backend").says("HELLO 3", f"GET celery-task-meta-{PROBE}")
    Line(tracer, "worker->broker").says("HELLO 3", BIND, f"ZADD unacked_index 1 {PROBE}")  # comes with any start
    Line(tracer, "relay->broker").says("HELLO 3", "PING")
    Line(tracer, "relay->broker").says("HELLO 3", BIND, f"LPUSH celery {TASK}", f"LPUSH celery {PROBE}")
    assert [(step.spot, step.point.ordinal) for step in tracer.steps() if step.point.command == "HELLO"] == [
        ("worker->backend/connect: GET meta", 1),
        ("worker->broker/connect: _kombu.binding", 1),
        ("relay->broker/connect: PING", 3),
        ("relay->broker/connect: _kombu.binding", 4),
    ]


@on_a_loop
def test_connections_of_a_life_without_a_fault_are_known_though_not_counted() -> None:
    tracer = Tracer(lambda _: None)
    Line(tracer, "client->broker").says("HELLO 3", BIND)  # while it warms up
    tracer.arm([])
    Line(tracer, "worker->broker").says("HELLO 3", "PING")
    Line(tracer, "worker->broker").says("HELLO 3", "LLEN celery")
    assert tracer.trace == []
    assert [*tracer.opened()] == [Step(Point("worker->broker", "HELLO 3"), "PING")]


# --- the probe


class Prober:
    """A client that can be probed, and what happens meanwhile."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.sent = 0
        self._meanwhile = meanwhile

    async def probe(self, *_: object) -> Knowledge:
        self.sent += 1
        self._meanwhile()
        return Knowledge(tasks=(PROBE,))


def trial() -> PairTrial:
    """One whose strikes do nothing."""
    mission = Mission(STOCK, Path(), DEFAULTS, WORKLOADS["task"], "work")
    bench = SimpleNamespace(
        mission=mission, direct=None, born={"worker": 0.0}, killed={}, kill=0, signal=0, restart_broker=0, pids=()
    )
    made = PairTrial(bench, None, bounds=Bounds.of({}))
    made.striker, made.saw = cast("Any", lambda _: None), cast("Any", SimpleNamespace(others=set()))
    return made


def hit(action: str, edge: str = "worker->broker") -> Hit:
    return Hit(Cell(Point(edge, "HELLO 3"), "after", action), cast("Any", None), None)


def send(made: PairTrial, client: Prober) -> Knowledge | None:
    asyncio.run(made._send_probe(cast("Any", client)))
    return made._probe


def test_a_strike_makes_the_probe_that_is_under_way_worthless() -> None:
    made = trial()
    assert send(made, Prober())
    assert not made.conductor.noting
    made.conductor.strike(hit("cut"))
    assert made._probe is None
    assert made.conductor.noting
    assert [each.task for each in made._earlier] == [PROBE]


def test_so_does_a_strike_while_it_is_sent() -> None:
    made = trial()
    assert send(made, Prober(lambda: made.conductor.strike(hit("cut")))) is None
    assert [each.task for each in made._earlier] == [PROBE]
    assert send(made, Prober())


def test_nothing_is_settled_when_a_fault_has_just_struck(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = [("a queue", "an effect")] * 2 + [(1.0,)]

    async def look(_: Trial) -> tuple[Any, ...]:
        return seen.pop(0)

    monkeypatch.setattr(Trial, "_look", look)
    made = trial()
    before = asyncio.run(made._look())
    made.conductor.strike(hit("cut"))
    assert asyncio.run(made._look()) != before
    assert asyncio.run(made._look()) == (1.0,)  # the server could not be asked


@pytest.mark.parametrize(("killed", "at_once"), [({"worker": 1.0}, False), ({}, True), ({"client": 1.0}, True)])
def test_no_probe_is_sent_to_a_worker_that_dies(killed: dict[str, float], at_once: bool) -> None:
    made, client = trial(), Prober()
    made.bench.killed.update(killed)
    assert bool(send(made, client)) is at_once
    assert client.sent == at_once
    made.bench.born["worker"] = 2.0  # it was started again
    assert send(made, client)
