"""The broker forgets the message of a job that had begun, and nobody else holds it: the relay brings the job back."""

from functools import partial

import pytest

from brownout import Lab, OnEvent, Outcome, event, flush, kill, post, started
from tests.chaos.promises import jobs_end_once
from tests.chaos.service import Service

pytestmark = pytest.mark.chaos


def forget(lab: Lab, when: OnEvent) -> None:
    """The only worker is killed, and its broker emptied before the next one is up: the store alone knows the job."""
    lab.inject(kill(), on="worker-1", when=when)
    lab.inject(flush(), on="broker", when=event("exit", "worker-1"))


def in_hand(outcome: Outcome, kind: str) -> list[str | None]:
    """The tasks of which the last thing that a worker told before the flush was an event of this kind."""
    history = outcome.result.history
    (flushed,) = [event for event in history.kind("fault-start") if event.data["fault"] == "flush()"]
    last = {event.task: event.kind for event in history.kind("started", "retry", "effect") if event.at < flushed.at}
    return [task for task, told in last.items() if told == kind]


@pytest.mark.launch("cold")
def test_a_job_that_was_started_comes_back(lab: Lab) -> None:
    """Its worker is killed in the middle of it, and its message is gone with the broker's data."""
    lab.topology(env={"SYSTEM_PACE": "0.2"})  # a second each, to be killed in the middle of one
    lab.load(post("/process-data", json={"n": "{n}"}, every="80ms", count=4))
    forget(lab, started(nth=2, delay="300ms"))  # its start is in the store by then
    lab.promise(*jobs_end_once())
    outcome = lab.run()
    outcome.must_hold()
    assert in_hand(outcome, "started"), "a job had begun"


def test_a_job_that_waits_for_its_next_attempt_comes_back(lab: Lab) -> None:
    """The broker is emptied during the countdown of a retry, and the worker that counted is dead."""
    lab.services(service=partial(Service, failures=3))
    lab.topology(env={"SYSTEM_SERVICE_URL": "{service}"})
    lab.load(post("/deliver", json={"n": "{n}"}, every="30ms", count=8))
    forget(lab, event("retry", "worker-1", nth=8))
    lab.promise(*jobs_end_once())
    outcome = lab.run()
    outcome.must_hold()
    assert in_hand(outcome, "retry"), "a job waited for its next attempt"
