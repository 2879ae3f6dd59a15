"""The steps of a recovery: without what a probe or a clock makes, and each handshake with what it is for."""

import asyncio
import json
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import pytest

from brownout.plan.point import Point, Step
from brownout.wire.redis.conductor import Conductor
from brownout.wire.redis.connections import Connection
from brownout.wire.redis.conversation import Conversation
from brownout.wire.redis.passage import Passage
from brownout.wire.redis.probe import ProbeTrail
from brownout.wire.redis.resp import encode
from tests.unit.conducted import ONE, POLLING, armed, at

TASK, PROBE, TAG, CLIENT, WARM = (f"{n}b5ee9b1-7c4c-4d2b-9f0e-2f8a2f3a9a11" for n in range(5))
BIND = "SADD _kombu.binding.celery x"
BOUND = "SADD _kombu.binding.celery"
START = Point("worker->broker", "GET start")


def on_a_loop(test: Callable[..., None]) -> Callable[..., None]:
    @wraps(test)
    def run(**given: Any) -> None:
        async def go() -> None:
            test(**given)

        asyncio.run(go())

    return run


class Line:
    """A connection that nothing keeps."""

    def __init__(self, conductor: Conductor, edge: str) -> None:
        self.conductor, self.edge, self.talk = conductor, edge, Conversation()

    def both(self, *command: str, reply: bytes = ONE) -> None:
        for request in self.talk.requests(encode(*command)):
            self.talk.sent(request)
            self.conductor.request(cast("Passage", self), request)
        for answer in self.talk.answers(reply):
            self.conductor.answer(cast("Passage", self), answer)

    def says(self, *commands: str) -> None:
        for command in commands:
            self.both(*command.split())


def recovering(**more: Any) -> Conductor:
    """A conductor whose first fault has struck: it counts handshakes from here on."""
    conductor, struck = armed(at(START), **more)
    Line(conductor, START.edge).says("GET start")
    assert struck
    return conductor


def steps(conductor: Conductor) -> list[tuple[str, str]]:
    found = [(f"{step.point.label}#{step.point.ordinal}", step.purpose) for step in conductor.steps()]
    assert found[0] == ("GET start#1", "")
    return found[1:]


def message(task: str, tag: str) -> str:
    properties = {"delivery_tag": tag, "reply_to": CLIENT}
    return json.dumps({"headers": {"id": task}, "properties": properties}, separators=(",", ":"))


def popped(text: str) -> bytes:
    return encode("celery", text)


@on_a_loop
def test_a_probe_that_was_pushed_past_the_network_is_not_counted() -> None:
    conductor = recovering()
    conductor.probe()
    worker = Line(conductor, "worker->broker")
    worker.both("BRPOP", "celery", "1", reply=popped(message(PROBE, f"probe-{PROBE}")))
    worker.says(f"ZADD unacked_index 1 probe-{PROBE}", f"ZREM unacked_index probe-{PROBE}")
    Line(conductor, "worker->backend").says(f"GET celery-task-meta-{PROBE}")
    worker.both("BRPOP", "celery", "1", reply=popped(message(TASK, TAG)))
    worker.says(f"ZADD unacked_index 1 {TAG}")
    assert steps(conductor) == [("BRPOP celery#1", ""), ("ZADD unacked_index#1", "")]


@on_a_loop
def test_a_second_place_is_not_struck_by_a_probe_that_has_become_void() -> None:
    conductor, struck = armed(at(START), at(Point(START.edge, "ZADD unacked_index")))
    worker = Line(conductor, START.edge)
    conductor.probe()
    assert not conductor.noting
    worker.says("GET start")
    assert conductor.noting, "the strike makes the probe void"
    worker = Line(conductor, START.edge)
    worker.says(f"ZADD unacked_index 1 probe-{PROBE}")
    assert len(struck) == 1
    worker.says(f"ZADD unacked_index 1 {TAG}")
    assert len(struck) == 2


@pytest.mark.parametrize("known", ["published before", "told by the api", "not at all"])
@on_a_loop
def test_a_probe_through_an_api_is_a_task_that_is_new(known: str) -> None:
    own: list[str] = []
    conductor = recovering(probes=ProbeTrail(lambda: own, through_api=True))
    api = Line(conductor, "api->broker")
    if known == "published before":
        api.both("LPUSH", "celery", message(TASK, TASK))
    elif known == "told by the api":
        own.append(TASK)
    conductor.probe()
    api.both("LPUSH", "celery", message(PROBE, TAG))
    api.both("LPUSH", "celery", message(TASK, TASK))
    Line(conductor, "worker->broker").says(f"ZADD unacked_index 1 {TAG}", f"ZADD unacked_index 1 {TASK}")
    pushed = {"published before": 2, "told by the api": 1, "not at all": 0}[known]
    assert [label for label, _ in steps(conductor)] == [
        *(f"LPUSH celery#{n + 1}" for n in range(pushed)),
        *(["ZADD unacked_index#1"] if pushed else []),
    ]


@on_a_loop
def test_what_is_published_after_a_probe_has_become_void_is_the_operations() -> None:
    conductor = recovering(probes=ProbeTrail(through_api=True))
    conductor.probe()
    conductor.unprobe()
    Line(conductor, "api->broker").both("LPUSH", "celery", message(TASK, TASK))
    assert steps(conductor) == [("LPUSH celery#1", "")]


@on_a_loop
def test_a_handshake_knows_what_its_connection_is_for() -> None:
    conductor = recovering()
    Line(conductor, "client->broker").says("HELLO 3", "PING")
    Line(conductor, "client->broker").says("HELLO 3", "CLIENT SETINFO", BIND, "LPUSH celery x")
    Line(conductor, "worker->broker").says("HELLO 3", "PSUBSCRIBE /0.celery.pidbox")
    Line(conductor, "worker->backend").says("HELLO 3", "SELECT 1", "GET meta")
    assert steps(conductor) == [
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
    connection = Connection(edge, probing=False, counted=True, naming=POLLING, labels=dict.fromkeys(asked))
    assert connection.purpose == purpose


@on_a_loop
def test_in_haste_a_connection_is_known_by_its_first_plain_request() -> None:
    conductor, _ = armed()
    line = Line(conductor, "worker->backend")
    line.says("HELLO 3", "GET meta", "GET other")
    assert conductor.jotted, "it was in haste"
    assert [*conductor.connections.opened()] == [Step(Point("worker->backend", "HELLO 3"), "GET meta")]
    line.says(BIND)
    assert [step.purpose for step in conductor.connections.opened()] == ["_kombu.binding"]


@on_a_loop
def test_connections_that_a_probe_asked_for_are_left_out() -> None:
    conductor = recovering()
    Line(conductor, "worker->backend").says("HELLO 3", "GET meta")  # before the probe was sent
    conductor.probe()
    Line(conductor, "other").both("GET", f"probe-{PROBE}")  # the probe's id is known from here on
    Line(conductor, "relay->broker").says("HELLO 3", "PING")  # kombu's, before the one that publishes
    Line(conductor, "relay->broker").says("HELLO 3", BIND, f"LPUSH celery {PROBE}")
    Line(conductor, "worker->backend").says("HELLO 3", f"GET celery-task-meta-{PROBE}")
    Line(conductor, "worker->broker").says("HELLO 3", BIND, f"ZADD unacked_index 1 {PROBE}")  # comes with any start
    Line(conductor, "relay->broker").says("HELLO 3", "PING")
    Line(conductor, "relay->broker").says("HELLO 3", BIND, f"LPUSH celery {TASK}", f"LPUSH celery {PROBE}")
    assert [(step.spot, step.point.ordinal) for step in conductor.steps() if step.point.command == "HELLO"] == [
        ("worker->backend/connect: GET meta", 1),
        ("worker->broker/connect: _kombu.binding", 1),
        ("relay->broker/connect: PING", 3),
        ("relay->broker/connect: _kombu.binding", 4),
    ]


@on_a_loop
def test_connections_of_a_life_without_a_fault_are_known_though_not_counted() -> None:
    conductor = Conductor(naming=POLLING)
    Line(conductor, "client->broker").says("HELLO 3", BIND)  # while it warms up
    conductor.arm()
    Line(conductor, "worker->broker").says("HELLO 3", "PING")
    Line(conductor, "worker->broker").says("HELLO 3", "LLEN celery")
    assert conductor.trace == []
    assert [*conductor.connections.opened()] == [Step(Point("worker->broker", "HELLO 3"), "PING")]
