"""Workers die, stand still and shut down, in every phase of a task."""

from collections.abc import Callable

import pytest

from brownout import (
    Lab,
    OnEvent,
    after,
    cold_shutdown,
    effect,
    ended,
    graceful,
    kill,
    kill_child,
    post,
    received,
    started,
    stop,
    submit,
    terminate,
)
from tests.chaos.conftest import settings
from tests.chaos.promises import by_name, jobs_end_once

pytestmark = pytest.mark.chaos
JOBS = post("/process-data", json={"n": "{n}"}, every="80ms", count=12)
PHASES: dict[str, Callable[..., OnEvent]] = {
    "received": received,
    "started": started,
    "effect-before-ack": effect,
    "ended-before-ack": ended,
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_worker_is_killed(lab: Lab, phase: str) -> None:
    """Its main process gets SIGKILL in each phase of a task; the other worker, or its successor, ends the task."""
    lab.workers(2)
    lab.load(JOBS)
    lab.inject(kill(), on="worker-1", when=PHASES[phase](nth=4))
    lab.promise(*jobs_end_once())
    lab.run().must_hold()


@pytest.mark.parametrize("phase", PHASES)
def test_a_pool_process_is_killed(lab: Lab, phase: str) -> None:
    """Its pool process gets SIGKILL in each phase of a task; the worker lives and the task ends once."""
    lab.load(JOBS)
    lab.inject(kill_child(), on="worker-1", when=PHASES[phase](nth=4))
    lab.promise(*jobs_end_once())
    lab.run().must_hold()


def test_a_worker_stands_still_past_the_visibility_timeout(lab: Lab) -> None:
    """Its task is delivered again and runs elsewhere; when it goes on, the second end must not count."""
    lab.workers(2)
    lab.load(JOBS)
    # Not in the transaction with which a job begins: there it would hold SQLite's lock, which another scenario has.
    begun = started(source="worker-1", nth=2, delay="60ms")
    lab.inject(stop(), on="worker-1", when=begun, heal=after(settings().visibility_timeout + 3))
    lab.promise(*jobs_end_once())
    lab.run().must_hold()


def test_a_warm_shutdown_under_load_finishes_what_runs(lab: Lab) -> None:
    """SIGTERM in the middle of a task: the worker finishes it, ends in time, and its successor goes on.

    Not in its first moment: a job whose start the pool has not read yet is discarded by celery's `AsynPool.flush`. It
    runs all the same, and its process then waits 30 s for somebody to read the result (`billiard.pool.Worker`).
    """
    lab.load(JOBS)
    lab.inject(terminate(), on="worker-1", when=started(nth=4, delay="60ms"))
    lab.promise(*jobs_end_once(), graceful(within=settings().time_limit + 2))
    lab.run().must_hold()


@pytest.mark.launch("cold")
def test_a_cold_shutdown_under_load_loses_nothing(lab: Lab) -> None:
    """SIGQUIT drops what runs; late acks and the relay bring it back."""
    lab.load(JOBS)
    lab.inject(cold_shutdown(), on="worker-1", when=started(nth=4))
    lab.promise(*jobs_end_once())
    lab.run().must_hold()


def test_a_task_that_was_sent_past_the_store_survives_its_worker(lab: Lab) -> None:
    """Submitted by name, a task has nothing but late acks and the visibility timeout; they bring it back.

    The task takes a second, and the kill comes in its middle: an early ack would have left the worker by then.
    """
    lab.workers(2)
    lab.topology(env={"SYSTEM_PACE": "0.2"})
    lab.load(submit("system.divide", 1, 2, every="80ms", count=8))
    lab.inject(kill(), on="worker-1", when=started(source="worker-1", nth=2, delay="300ms"))
    lab.promise(*by_name())
    lab.run().must_hold()


@pytest.mark.launch("cold")
def test_the_relay_is_killed(lab: Lab) -> None:
    """Nobody notices: the API publishes by itself, and the relay's supervisor starts it again."""
    lab.load(JOBS)
    lab.inject(kill(), on="relay", when=started(nth=2))
    lab.promise(*jobs_end_once())
    lab.run().must_hold()
