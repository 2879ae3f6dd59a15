"""Loads are carried out in the open loop: a slow subject does not slow its clients."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from brownout.history.event import Event
from brownout.plan.operation import get, post
from brownout.plan.plan import Plan
from brownout.plan.promise import Promise
from brownout.plan.trigger import event
from brownout.probes.line import now
from brownout.subject.waiting import eventually
from brownout.workload.generator import THREADS, Generator

WITHIN = 10.0


def test_every_operation_is_sent_once_with_a_key_of_its_own() -> None:
    seen: list[tuple[Any, ...]] = []
    generator = Generator(
        [get("/a", every="1ms", count=5), post("/b", every="1ms", count=3)], 7, lambda *job: seen.append(job)
    )
    generator.start()
    eventually(lambda: generator.sent, within=WITHIN, what="everything was begun")
    generator.stop()
    assert generator.done
    assert sorted(key for _, key, _, _ in seen) == sorted(
        [f"op-{n}" for n in range(1, 6)] + [f"op-1-{n}" for n in range(1, 4)]
    )
    assert all(intended > 0 for *_, intended in seen)


def test_operations_that_hang_do_not_keep_the_next_ones_from_being_sent() -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    def call(*_: object) -> None:
        begun.release()
        assert go.wait(WITHIN)

    generator = Generator([get("/", every="1ms", count=THREADS)], 7, call)
    generator.start()
    for _ in range(THREADS):
        assert begun.acquire(timeout=WITHIN)
    assert not generator.done
    go.set()
    generator.stop()
    assert generator.done


def test_an_abandoned_one_waits_for_nothing_even_when_something_comes_back() -> None:
    first = threading.Event()

    def call(_operation: object, key: str, *_: object) -> None:
        assert (first if key == "op-1" else threading.Event()).wait(WITHIN if key == "op-1" else None)

    generator = Generator([get("/", every="1ms", count=3)], 7, call)
    generator.start()
    eventually(lambda: generator.sent, within=WITHIN, what="everything was begun")
    assert not generator.done
    generator.abandon()
    first.set()
    generator.stop()


def test_a_mistake_of_the_harness_is_raised() -> None:
    def call(*_: object) -> None:
        raise ZeroDivisionError("in the client")

    generator = Generator([get("/", every="1ms", count=2)], 7, call)
    generator.start()
    eventually(lambda: generator.sent, within=WITHIN, what="everything was begun")
    with pytest.raises(ZeroDivisionError, match="in the client"):
        generator.stop()


def test_stopped_early_it_sends_no_more() -> None:
    seen: list[Any] = []
    generator = Generator([get("/", every="60s", count=5)], 7, lambda *job: seen.append(job))
    generator.start()
    generator.stop()
    assert len(seen) <= 1
    assert generator.sent


def test_a_load_may_begin_on_an_event() -> None:
    """Its times count from the event; a load whose event never comes is told and keeps nobody waiting."""
    seen: list[Any] = []
    late = replace(post("/b", every="1ms", count=2), when=event("ok", "client", nth=2))
    never = replace(post("/c", every="1ms", count=2), when=event("ready", "beat"))
    generator = Generator([get("/a", every="1ms", count=1), late, never], 7, lambda *job: seen.append(job))
    generator.start()
    eventually(lambda: generator.done, within=WITHIN, what="the first load was carried out")
    generator.see([Event(now(), "client", "ok")])
    assert (generator.waiting, len(seen)) == (True, 1)
    second = Event(now(), "client", "ok")
    generator.see([second, Event(now() + 1, "client", "ok")])
    eventually(lambda: generator.done and len(seen) == 3, within=WITHIN, what="the second load was carried out")
    assert next(intended for _, key, _, intended in seen if key.startswith("op-1-")) == second.at
    generator.stop()
    (told,) = generator.missed
    assert "POST /c never began: waited for beat ready #1; 0 matching events came" in told


def test_a_load_that_begins_on_an_event_of_nobody_is_refused() -> None:
    load = replace(post("/b", every="1ms", count=2), when=event("ok", "beat"))
    plan = Plan(load=(load,), promises=(Promise("drained"),))
    with pytest.raises(ValueError, match="beat"):
        plan.validated()
