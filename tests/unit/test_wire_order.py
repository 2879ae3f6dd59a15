"""The director of a trial: the order of a life, the freeze, and who stands aside."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from brownout.plan.point import Place, Point
from brownout.wire.redis.conductor import Conductor
from tests.unit.conducted import (
    BRPOP,
    DELIVER,
    GET,
    ONE,
    POPPED,
    PUBLISH,
    STORE,
    ZADD,
    Line,
    armed,
    at,
    on_a_loop,
    turn,
    until,
)

# --- the order


def ordered(*places: Place, **more: Any) -> tuple[Conductor, Line, Line]:
    """ZADD goes before the client's GET."""
    conductor, _ = armed(*places, order=(PUBLISH, DELIVER, ZADD, GET, STORE), **more)
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
    assert conductor.turns.disorder == []


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
    assert conductor.turns.disorder == [GET]
    worker.both(BRPOP, POPPED)
    client.tell(ONE)
    assert client.passed == ["GET meta", "GET meta answered"]


@on_a_loop
async def test_a_busy_machine_does_not_give_the_order_up() -> None:
    """The clock is that of fair time, which stands while the processes have no CPU."""
    now = [1.0]
    conductor, client, worker = ordered(overdue=0.001, clock=lambda: now[0])
    client.ask("GET meta")
    for _ in range(3):
        await asyncio.sleep(0.01)
        assert client.passed == []
    now[0] += 1
    await until(lambda: client.passed == ["GET meta"])
    assert conductor.turns.disorder == [GET]
    conductor, client, worker = ordered(overdue=0.001, clock=lambda: now[0])
    client.ask("GET meta")
    worker.both(BRPOP, POPPED)
    worker.both("ZADD unacked_index 1 t")
    await until(lambda: client.passed == ["GET meta"])
    assert conductor.turns.disorder == []


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
    assert conductor.turns.disorder == [GET]


@on_a_loop
async def test_a_strike_ends_the_order() -> None:
    conductor, client, worker = ordered(at(ZADD, "after"))
    client.ask("GET meta")
    worker.both(BRPOP, POPPED)
    worker.both("ZADD unacked_index 1 t")
    assert (client.passed, len(conductor.hits)) == ([], 1)
    await turn()
    assert client.passed == ["GET meta"]
    Line(conductor, "worker->backend").both("SET meta v")
    assert conductor.turns.disorder == []


@on_a_loop
async def test_what_waits_on_a_connection_that_has_ended_is_not_asked_for() -> None:
    conductor, client, worker = ordered(at(GET))
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
    conductor, struck = armed(at(PUBLISH))
    line = Line(conductor, "client->broker")
    conductor.freeze()
    line.ask("LPUSH celery m")
    assert struck == []
    conductor.thaw()
    assert (len(struck), line.passed) == (1, [])


@on_a_loop
async def test_what_was_frozen_on_a_connection_that_has_ended_is_forgotten() -> None:
    conductor, struck = armed(at(PUBLISH))
    line = Line(conductor, "client->broker")
    conductor.freeze()
    line.ask("LPUSH celery m")
    line.cut()
    conductor.thaw()
    assert (struck, line.passed, conductor.trace) == ([], [], [])


@pytest.mark.parametrize("overdue", [0.01, 60.0], ids=["given up", "released"])
@on_a_loop
async def test_what_waited_for_its_turn_is_frozen_too(overdue: float) -> None:
    conductor, client, worker = ordered(at(DELIVER, "after"), overdue=overdue)
    client.ask("GET meta")
    worker.ask(BRPOP)
    conductor.freeze()
    if overdue > 1:
        worker.tell(POPPED)  # the strike releases what waits
        await turn()
    else:
        await until(lambda: conductor.turns.disorder == [GET])
    assert client.passed == []
    conductor.thaw()
    assert client.passed == ["GET meta"]


class Patient(Line):
    """A passage whose kept request may be asked about once more."""

    def again(self, stream: str) -> None:
        request = self._talk.pending[-1]
        self._go(stream, self._kept.pop(stream), self.conductor.request(self.passage, request))


@pytest.mark.parametrize("struck", [False, True], ids=["delivered", "struck"])
@on_a_loop
async def test_of_two_workers_one_stands_aside_until_the_other_has_its_message(struck: bool) -> None:
    """Or until the fault strikes: then whoever can may take over."""
    conductor, _ = armed(*([at(Point(DELIVER.edge, "BRPOP celery[idle]"))] if struck else []))
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
