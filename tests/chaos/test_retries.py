"""Retries against a service that fails, across the deaths of those who try."""

from functools import partial

import pytest

from brownout import Lab, attempts_within, backoff_within, kill, post
from brownout import event as on
from tests.chaos.conftest import settings
from tests.chaos.promises import jobs_end_once
from tests.chaos.service import Service

pytestmark = pytest.mark.chaos


def test_retries_survive_their_worker(lab: Lab) -> None:
    """The worker dies after a failed attempt: the count goes on with Celery's backoff, with one key."""
    lab.services(service=partial(Service, failures=2))
    lab.topology(env={"SYSTEM_SERVICE_URL": "{service}"})
    lab.workers(2)
    lab.load(post("/deliver", json={"n": "{n}"}, every="150ms", count=6))
    lab.inject(kill(), on="worker-1", when=on("retry", "worker-1", nth=2))
    lab.promise(*jobs_end_once(), attempts_within(settings().max_retries, task="system.deliver"))
    lab.promise(backoff_within(factor=1, maximum=settings().backoff_max, task="system.deliver"))
    outcome = lab.run()
    outcome.must_hold()
    tasks = {event.task for event in outcome.result.history.kind("ok")}
    service = outcome.services["service"]
    assert set(service.calls) == tasks
    assert all(len(calls) >= 3 for calls in service.calls.values())
