"""What goes wrong between two Redis commands: faults that strike one named request, or its reply."""

from dataclasses import replace

import pytest

from brownout import (
    Lab,
    after,
    answers,
    at_least_once,
    cut,
    error_reply,
    evict_key,
    hold,
    kill,
    lose_reply,
    point,
    post,
    queued_within,
    submit,
)
from tests.chaos.conftest import few_at_once, settings
from tests.chaos.promises import bound, by_name, jobs_end_once

pytestmark = pytest.mark.chaos
JOBS = post("/process-data", json={"n": "{n}"}, every="80ms", count=10)
ANSWERED = answers({202}, within="2s", path="/process-data")


def test_a_registration_that_fails_loses_nothing(lab: Lab) -> None:
    """kombu takes a message off the list before it registers it; the worker dies between the two."""
    lab.load(JOBS)
    lab.inject(kill(), on="worker-1", when=point("worker-1->broker", "ZADD unacked_index", nth=3))
    lab.promise(*jobs_end_once())
    lab.run().must_hold()


def test_a_worker_dies_while_the_reply_to_its_registration_is_on_its_way(lab: Lab) -> None:
    """Redis has the message as unacked, and the worker that took it never began."""
    lab.workers(2)
    lab.load(submit("system.divide", 1, 2, every="80ms", count=8))
    lab.inject(kill(), on="worker-1", when=point("worker-1->broker", "ZADD unacked_index", nth=2, moment="after"))
    lab.promise(*by_name())
    lab.run().must_hold()


def test_a_lost_publish_reply_never_runs_a_job_twice(lab: Lab) -> None:
    """Redis has the message, the publisher never hears so, and the relay sends it again: the key absorbs the second."""
    # The API itself publishes up to four submissions that share a transaction, so all of these. A job takes 1.5 s: the
    # last one waits for 4.5 s, and the relay publishes it again after the lease of two.
    lab.topology(env={"SYSTEM_PACE": "0.3", "SYSTEM_QUEUE_PATIENCE": "20"})
    lab.load(replace(JOBS, count=4))
    lab.inject(cut(), when=point("api->broker", "LPUSH", nth=4, moment="after"))
    lab.promise(*jobs_end_once(), ANSWERED)
    outcome = lab.run()
    outcome.must_hold()
    assert outcome.result.history.kind("publish", source="relay"), "nothing was published twice"


def test_a_delivery_that_is_lost_on_its_way_comes_back(lab: Lab) -> None:
    """Redis has popped a message, and the worker that waits for it never gets it: nobody else has it either."""
    lab.load(JOBS)
    lab.inject(cut(), when=point("worker-1->broker", "BRPOP", nth=3, moment="after"))
    lab.promise(*jobs_end_once())
    lab.run().must_hold()


def test_a_result_that_is_stored_without_a_word_holds_no_worker(lab: Lab) -> None:
    """The reply to SETEX never comes: the pool process gives up in time, before any limit ends its task."""
    lab.topology(env={"SYSTEM_SOFT_TIME_LIMIT": "4", "SYSTEM_TIME_LIMIT": "5", "SYSTEM_VISIBILITY_TIMEOUT": "9"})
    lab.load(submit("system.divide", 1, 2, every="80ms", count=8))
    lab.inject(lose_reply(), when=point("worker-1->backend", "SETEX", nth=3, moment="after"), heal=after("6s"))
    lab.promise(*by_name(), at_least_once(within="3500ms", during=True))
    lab.run().must_hold()


def test_a_publish_into_a_full_memory_is_sent_again(lab: Lab) -> None:
    """Redis refuses one LPUSH of the API with OOM; the outbox still has the job, and the relay publishes it."""
    lab.load(*few_at_once(JOBS, 10))
    lab.inject(error_reply("oom"), when=point("api->broker", "LPUSH", nth=3))
    lab.promise(*jobs_end_once(), ANSWERED)
    lab.run().must_hold()


def evicted_queue(lab: Lab) -> None:
    """The queue's key is evicted just after the 12th message is in it. A job takes a second, so that messages wait
    however slow the submissions are."""
    lab.topology(env={"SYSTEM_PACE": "0.2"})
    lab.load(*few_at_once(post("/process-data", json={"n": "{n}"}, every="20ms"), 16))
    lab.inject(evict_key("celery"), on="broker", when=point("api->broker", "LPUSH", nth=12, moment="after"))


def test_an_evicted_queue_is_published_again(lab: Lab) -> None:
    """Redis evicts the list with all messages that wait; the outbox still has their jobs."""
    evicted_queue(lab)
    lab.promise(*jobs_end_once(), queued_within(bound()))
    lab.run().must_hold()


def test_an_ack_that_never_reaches_redis_runs_nothing_twice(lab: Lab) -> None:
    """The job has ended and its message stays unacked: it is delivered again, and must not be done again."""
    lab.load(JOBS)
    lab.inject(cut(), when=point("worker-1->broker", "ZREM unacked_index", nth=3))
    lab.promise(*jobs_end_once())
    lab.run().must_hold()


def test_the_broker_restarts_between_a_registration_and_its_task(lab: Lab) -> None:
    """The message is unacked on disk, and the worker that registered it lost every connection."""
    lab.load(JOBS)
    registered = point("worker-1->broker", "ZADD unacked_index", nth=3, moment="after")
    lab.inject(kill(), on="broker", when=registered, heal=after("300ms"))
    lab.promise(*jobs_end_once(), ANSWERED)
    lab.run().must_hold()


def test_an_ack_that_arrives_after_the_second_delivery(lab: Lab) -> None:
    """A network keeps the ack for longer than the visibility timeout, then delivers it for a client that has left."""
    lab.load(JOBS)
    held = after(settings().visibility_timeout + 2)
    lab.inject(hold(), when=point("worker-1->broker", "ZREM unacked_index", nth=3), heal=held)
    lab.promise(*jobs_end_once())
    lab.run().must_hold()
