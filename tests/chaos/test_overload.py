"""More work than the workers can do: what the system does about it must not make it worse."""

from collections import Counter

import pytest

from brownout import Lab, after, post, started, stop
from tests.chaos.conftest import few_at_once
from tests.chaos.promises import jobs_end_once

pytestmark = pytest.mark.chaos
PATIENCE = 3.0  # s
TAKEN = 3  # messages that the worker has taken and not begun, at most: where they are, nobody knows
NS = 1e9  # nanoseconds in a second


def test_messages_that_wait_in_a_long_queue_are_not_published_again(lab: Lab) -> None:
    """The worker is frozen for much longer than the relay waits for the start of a job. Second messages would keep the
    worker busy with jobs that are done, and so make the queue longer still, also after the cause has gone."""
    lab.topology(env={"SYSTEM_QUEUE_PATIENCE": str(PATIENCE), "SYSTEM_PUBLISH_LEASE": str(PATIENCE)})
    lab.load(*few_at_once(post("/process-data", json={"n": "{n}"}, every="20ms"), 20))
    lab.inject(stop(), on="worker-1", when=started(nth=2), heal=after(3 * PATIENCE))
    lab.promise(*jobs_end_once())
    outcome = lab.run()
    outcome.must_hold()
    history = outcome.result.history
    published = Counter(event.task for event in history.kind("publish"))
    first = {event.task: event.at for event in reversed(history.kind("publish"))}
    waited = [event for event in history.kind("started") if event.at - first[event.task] > 2 * PATIENCE * NS]
    assert len(waited) >= 10, f"only {len(waited)} jobs waited for long"
    again = sum(times > 1 for times in published.values())
    assert again <= TAKEN, f"{again} of {len(published)} jobs were published again while they waited"
