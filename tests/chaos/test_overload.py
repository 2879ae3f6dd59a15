"""More work than the workers can do: what the system does about it must not make it worse."""

from collections import Counter

import pytest

from brownout import Lab, kill, post, started
from tests.chaos.conftest import few_at_once, settings
from tests.chaos.promises import jobs_end_once

pytestmark = pytest.mark.chaos
TAKEN = 3  # messages that the killed worker has taken, at most: where they are, nobody knows
NS = 1e9  # nanoseconds in a second


def test_messages_that_wait_in_a_long_queue_are_not_published_again(lab: Lab) -> None:
    """A job takes a second, its worker dies once, and the queue is much longer than what the relay waits for the start
    of a job. Second messages would keep the worker busy with jobs that are done, and make the queue longer still."""
    lab.topology(env={"SYSTEM_PACE": "0.2"})
    lab.load(*few_at_once(post("/process-data", json={"n": "{n}"}, every="20ms"), 16))
    lab.inject(kill(), on="worker-1", when=started(nth=3))
    lab.promise(*jobs_end_once())
    outcome = lab.run()
    outcome.must_hold()
    history = outcome.result.history
    published = Counter(event.task for event in history.kind("publish"))
    first = {event.task: event.at for event in reversed(history.kind("publish"))}
    long = 2 * settings().queue_patience * NS
    waited = {event.task for event in history.kind("started") if event.at - first[event.task] > long}
    assert len(waited) >= 6, f"only {len(waited)} jobs waited for long"
    again = sum(times > 1 for times in published.values())
    assert again <= TAKEN, f"{again} of {len(published)} jobs were published again while they waited"
