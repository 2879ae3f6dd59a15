"""The director of a trial: names of points, strikes, and what witnesses are told."""

import json
from dataclasses import replace
from typing import Any

from brownout.plan.point import Point
from brownout.wire.redis.conductor import Conductor
from brownout.wire.redis.resp import encode, error
from brownout.wire.redis.watch import Hit
from tests.unit.conducted import (
    BRPOP,
    DELIVER,
    ID,
    NIL,
    OK,
    ONE,
    POLLING,
    POPPED,
    PUBLISH,
    STORE,
    Line,
    armed,
    at,
    on_a_loop,
)

# --- what is counted


@on_a_loop
async def test_ordinals_count_from_the_arming_on_for_each_edge_and_label() -> None:
    conductor = Conductor()
    line, other = Line(conductor, "client->broker"), Line(conductor, "worker->broker")
    line.both("LPUSH celery m")
    conductor.arm()
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
    assert [seen.at for seen in hasty.seen] == sorted(seen.at for seen in hasty.seen)


@on_a_loop
async def test_what_is_jotted_down_comes_again_only_beyond_a_usual_life() -> None:
    poll = Point("client->backend", "GET a")
    conductor, struck = armed(at(PUBLISH), order=(PUBLISH, poll, replace(poll, ordinal=2)))
    Line(conductor, PUBLISH.edge).ask("LPUSH celery m")
    assert struck
    line = Line(conductor, poll.edge)
    for _ in range(3):
        line.both("GET a")
    assert conductor.jotted
    assert [seen.what for seen in conductor.seen if seen.edge == poll.edge and seen.telling] == ["GET a again"]


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
        conductor, _ = armed(at(PUBLISH), handshakes=handshakes, naming=POLLING)
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
async def test_what_an_application_sends_by_a_clock_is_its_own_affair() -> None:
    conductor, _ = armed()
    line = Line(conductor, "worker->broker")
    line.both("LLEN celery")
    line.ask("MULTI", "LLEN celery", "LLEN celery\x06\x163", "EXEC")  # kombu's own, when it declares a queue
    assert [point.label for point in conductor.trace] == ["LLEN celery"]
    assert not conductor.naming.monitored("api->broker")
    assert POLLING.monitored("api->broker")


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
    conductor = Conductor()
    line = Line(conductor, "client->broker")

    def message(headers: dict[str, str]) -> str:
        return json.dumps({"headers": headers, "body": ""}, separators=(",", ":"))

    line.both(f"LPUSH celery {message({'task': 'work', 'id': ID})}")
    line.both(f"LPUSH reply.celery.pidbox {message({})}")
    conductor.arm()
    line.both(f"LPUSH celery {message({'task': 'work', 'id': 'other'})}")
    assert conductor.published
    assert (conductor.published.id, conductor.published.place) == (ID, "celery")


@on_a_loop
async def test_who_consumes_is_told_by_the_brpop_that_waits() -> None:
    conductor = Conductor()
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
async def test_a_message_is_in_hand_until_its_worker_registers_it_or_is_gone() -> None:
    conductor, _ = armed(at(DELIVER, "after"))
    worker, other = Line(conductor, "worker->broker"), Line(conductor, "worker->broker")
    worker.both(BRPOP, POPPED)
    assert not conductor.holds(60), "it was struck: the worker does not have it"
    worker.let("downstream")
    worker.both(BRPOP, NIL)
    assert not conductor.holds(60)
    for end in (lambda: other.ask("ZADD unacked_index 1 t"), worker.cut):
        worker.both(BRPOP, POPPED)
        assert conductor.holds(60)
        assert not conductor.holds(0), "so long ago it came"
        end()
        assert not conductor.holds(60)


@on_a_loop
async def test_the_latest_request_is_one_that_no_clock_sent() -> None:
    conductor = Conductor(naming=POLLING)
    line = Line(conductor, "worker->broker")
    for command in (*TIMED, BRPOP):
        line.both(command)
    assert conductor.latest == 0
    line.both("GET a")
    assert conductor.latest > 0


# --- strikes


@on_a_loop
async def test_the_place_alone_is_struck_and_kept() -> None:
    conductor, struck = armed(at(Point(PUBLISH.edge, PUBLISH.label, 2)))
    line = Line(conductor, "client->broker")
    line.both("LPUSH celery m")
    request = line.ask("LPUSH celery m")
    Line(conductor, "worker->broker").both("LPUSH celery m")

    second = Point(PUBLISH.edge, PUBLISH.label, 2)
    assert struck == conductor.hits == [Hit(second, "before", line.passage, request)]
    assert line.passed == ["LPUSH celery", "LPUSH celery answered"]


@on_a_loop
async def test_after_it_is_when_it_was_answered() -> None:
    conductor, struck = armed(at(PUBLISH, "after"))
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
    idle, delivers = at(Point(DELIVER.edge, "BRPOP celery[idle]")), at(DELIVER, "after")
    conductor, struck = armed(idle, delivers)
    line = Line(conductor, "worker->broker")
    line.ask(BRPOP)
    line.cut()
    again = Line(conductor, "worker->broker")
    again.both(BRPOP, NIL)
    again.both(BRPOP, POPPED)
    assert [at(hit.point, hit.moment) for hit in struck] == [idle, delivers]
    assert again.passed == ["BRPOP celery", "BRPOP celery answered", "BRPOP celery"]


@on_a_loop
async def test_a_request_that_is_refused_is_answered_and_polls_no_more() -> None:
    conductor, struck = armed(at(Point(DELIVER.edge, "BRPOP celery[idle]")))
    line = Line(conductor, "worker->broker")
    line.ask(BRPOP)
    assert conductor.consumes("worker->broker", "celery")
    line.refuse(error("LOADING"))
    assert (len(struck), conductor.polling, conductor.trace) == (1, {}, [])


@on_a_loop
async def test_of_two_places_the_second_is_struck_when_the_first_was() -> None:
    second = Point(PUBLISH.edge, PUBLISH.label, 2)
    conductor, struck = armed(at(PUBLISH, "after"), at(second))
    line = Line(conductor, "client->broker")
    line.both("LPUSH celery m")
    assert (len(struck), [watch.place for watch in conductor.watches]) == (1, [at(second)])
    line.cut()
    again = Line(conductor, "client->broker")
    again.ask("LPUSH celery m")
    assert [hit.point for hit in struck] == [PUBLISH, second]
    assert (again.passed, conductor.watches) == ([], [])


@on_a_loop
async def test_a_second_place_that_is_reached_first_is_not_struck() -> None:
    conductor, struck = armed(at(STORE), at(PUBLISH))
    Line(conductor, "client->broker").both("LPUSH celery m")
    Line(conductor, "worker->backend").ask("SET meta v")
    assert [hit.point for hit in struck] == [STORE]
    assert [watch.place for watch in conductor.watches] == [at(PUBLISH)]


# --- what witnesses are told


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
    assert [(seen.what, seen.telling) for seen in conductor.seen] == [
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
    asked = [seen for seen in conductor.seen if "answered" not in seen.what]
    assert [each.telling for each in asked] == [False, False, True]
