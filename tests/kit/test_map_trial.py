"""Trials that settle by evidence, on real Redis with a real worker: what they are called when nothing was proved."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from brownout.explore.bounds import Bounds
from brownout.explore.experiment import DEFAULTS, STOCK, WORKLOADS, Experiment
from brownout.explore.finding import Finding
from brownout.explore.maps.cell import Cell
from brownout.explore.plans import plan_of
from brownout.explore.trials import Trials
from brownout.faults import cut
from brownout.faults.strike import Strike
from brownout.plan.fault import FAULTS, Fault
from brownout.plan.point import Point
from brownout.run import observer
from brownout.subject.application import surface
from brownout.subject.servers import ladder
from brownout.subject.subject import Subject
from brownout.subject.waiting import eventually

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfds (Linux)")

ROOT = Path(__file__).parents[2]
EXPERIMENT = Experiment(STOCK, ROOT, DEFAULTS, WORKLOADS["task"], "brownout.explore.stock.work")
ZADD = Point("worker->broker", "ZADD unacked_index;HSET unacked")
LPUSH = Point("client->broker", "LPUSH celery")


@pytest.fixture(scope="module")
def trials() -> Iterator[Trials]:
    try:
        rung = ladder.choose("local", "auto")
    except ladder.NoRedis as error:
        pytest.skip(str(error))
    with Trials(EXPERIMENT, rung, 1) as made:
        yield made


def tried(trials: Trials, *cells: Cell) -> Finding:
    bounds = Bounds.of(surface(STOCK, ROOT).conf)
    return trials.trial(plan_of(EXPERIMENT, bounds, cells), trials.forked, cells)


def edges(points: Sequence[Point]) -> set[str]:
    return {point.edge for point in points}


def test_a_life_without_a_fault_is_whole(trials: Trials) -> None:
    found = tried(trials)
    assert (found.word, found.why, found.reached) == ("once", "", 0)
    assert edges(found.points) == {"client->broker", "client->backend", "worker->broker", "worker->backend"}
    assert [line.split()[3:] for line in found.witness][:2] == [["submits"], ["accepted"]]


def test_a_cut_registration_loses_the_task(trials: Trials) -> None:
    found = tried(trials, Cell(ZADD, "before", "cut"))
    assert (found.word, found.reached) == ("lost", 1)
    assert any(line.endswith("ZADD unacked_index;HSET unacked: cut(), before it") for line in found.witness)


def test_a_worker_that_a_fault_has_killed_did_not_end_by_itself(trials: Trials) -> None:
    assert tried(trials, Cell(ZADD, "before", "kill")).word == "lost"


def test_a_point_that_is_not_reached_proves_nothing(trials: Trials) -> None:
    found = tried(trials, Cell(replace(LPUSH, ordinal=9), "before", "cut"))
    assert (found.word, found.reached, found.busy) == ("unknown", 0, False)
    assert "never struck: point client->broker LPUSH celery #9 before was not reached" in found.why


def test_a_fault_that_is_not_seen_to_act_proves_nothing(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Strike(heal=lambda: None, acted=lambda: "")
    kind = replace(FAULTS["cut"], strike_there=lambda hit, _: hit.passage.link.edge.loop.call_soon(hit.let) and idle)
    monkeypatch.setitem(FAULTS, "cut", kind)
    found = tried(trials, Cell(LPUSH, "before", "cut"))
    assert (found.word, found.why) == ("unknown", f"{cut()} on client->broker was never seen to act")


def test_a_harness_that_breaks_is_no_verdict(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the look broke")

    monkeypatch.setattr(observer, "looked", broken)
    found = tried(trials)
    assert (found.word, found.busy) == ("unknown", False)
    assert found.why.startswith("ZeroDivisionError: the look broke")
    assert "Traceback" in found.trouble
    assert found.logs.keys() >= {"worker-1.log", "redis.log"}


def test_a_pool_process_that_is_killed_after_the_effect_was_not_killed_at_its_point(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike = FAULTS["kill_child"].strike
    assert strike

    def late(subject: Subject, target: str, fault: Fault) -> Strike:
        effects = subject.files / "effects.ndjson"
        before = effects.stat().st_size  # of the steady state
        eventually(lambda: effects.stat().st_size > before, within=60.0, what="an effect")
        struck: Strike = strike(subject, target, fault)
        return struck

    cell = Cell(Point("worker->broker", "ZREM unacked_index;HDEL unacked"), "after", "kill-child")
    monkeypatch.setitem(FAULTS, "kill_child", replace(FAULTS["kill_child"], strike=late))
    found = tried(trials, cell)
    assert (found.word, found.busy) == ("unknown", True)
    assert found.why == "kill_child() on worker-1 struck too late, when the task had already taken effect"
