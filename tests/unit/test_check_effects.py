"""Tasks succeed, and their effects belong to no operation: what is lost cannot be told."""

from __future__ import annotations

import pytest

from brownout.check.promises import at_least_once, recovers
from brownout.check.registry import judge
from brownout.plan.promise import Promise
from tests.unit.check_specimens import Story

PROMISES = [at_least_once(), recovers(within="1s")]


def story(*effects: str | None) -> Story:
    """Two operations after a fault, whose tasks succeed; `effects` are the keys of the recorded effects."""
    trial = Story()
    trial.fault(0, 20)
    for n, key in enumerate(effects, start=1):
        trial.post(n * 100, f"op-{n}", f"task-{n}")
        trial.deliver(n * 100 + 15, f"task-{n}")
        trial.say(n * 100 + 20, "worker-1", "started", task=f"task-{n}")
        if key:
            trial.say(n * 100 + 30, "effects", "effect", key, f"task-{n}", name="processed")
        trial.say(n * 100 + 40, "worker-1", "ended", task=f"task-{n}", state="SUCCESS")
    trial.say(5_000, "broker", "sample", queues={"celery": 0}, unacked=0)
    trial.say(5_001, "run", "drained", ok=True, recovery=1.0)
    return trial


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_effects_with_keys_of_no_operation_leave_a_doubt(promise: Promise) -> None:
    verdict = judge(story("{id}", "{id}").history, promise)
    assert verdict.validity == "unknown"
    assert "2 effects have keys that no client sent, such as '{id}': give the task the key" in verdict.why


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_tasks_that_record_no_effect_leave_a_doubt(promise: Promise) -> None:
    verdict = judge(story(None, None).history, promise)
    assert verdict.validity == "unknown"
    assert "tasks succeeded, but no effect was recorded" in verdict.why


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.name)
def test_one_effect_with_the_key_of_an_operation_makes_the_missing_one_an_anomaly(promise: Promise) -> None:
    verdict = judge(story("op-1", "{id}").history, promise)
    assert [anomaly.key for anomaly in verdict.anomalies] == ["op-2"]
