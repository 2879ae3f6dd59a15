"""From a history the facts of a failure follow: what broke for how many, what led to it, and where the job is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brownout.check.promises import (
    answers,
    at_least_once,
    at_most_once,
    attempts_within,
    backlog_within,
    backoff_within,
    drained,
    loop_never_stalls,
    nothing_raised,
    nothing_stuck,
)
from brownout.check.registry import judge_all
from brownout.history.event import Event
from brownout.plan.plan import Plan
from brownout.plan.promise import Promise
from brownout.plan.topology import Topology
from brownout.report.facts.failure import Failure, facts
from brownout.report.text.lanes import drawn, lanes_of, life
from brownout.report.text.place import placed
from brownout.report.timeline import said
from brownout.run.result import Result
from tests.unit.check_specimens import TASK, Story

CELERY = {"task_queues": ["celery"]}  # the settings of a worker that are not Celery's defaults


def told(story: Story, *promises: Promise, folder: Path = Path("/nowhere")) -> Failure:
    history = story.history
    return facts(Result("t::t", Plan(), judge_all(history, promises), history, folder, 1.0))


def begun(worker: str = "worker-1", **conf: Any) -> Story:
    """A trial up to its load, which begins at 100 ms; one job has been done."""
    story = Story()
    story.say(0, "api", "ready", watch=True)
    story.say(1, worker, "ready", layout={"queues": ["celery"]}, conf={"celery": {**CELERY, **conf}})
    story.say(100, "run", "phase", name="load")
    story.post(110, "op-1", "t-1")
    story.deliver(125, "t-1")
    story.run(130, "t-1")
    return story


def over(story: Story, at: float, left: Mapping[str, str] | None = None, *, ok: bool = True) -> Story:
    """The end of a trial in which the broker still has the messages of the tasks `left`."""
    story.sample(at - 200, **(left or {}))
    story.sample(at - 100, **(left or {}))
    story.say(at, "run", "drained", ok=ok, left="op-2", seconds=1.0, busy=0.0, limit=1.0)
    return story


def lines(story: Story, *promises: Promise) -> tuple[str, str, str]:
    """The headline, the cause, and the kind and time (ms) of the event that is marked."""
    found = told(story, *promises)
    assert found.cause is not None
    marked = [step for step in found.steps if step.mark]
    assert [step.event for step in marked] == [found.cause.event], "the mark is on the cause, and nowhere else"
    event = marked[0].event
    return found.headline, found.cause.sentence, f"{event.kind} {event.at // 1_000_000}"


# --- jobs that are nowhere


def test_a_message_that_a_fault_deleted() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    story.sample(400, **{"t-2": "celery"})
    story.say(450, "nemesis", "fault-start", fault="flush()", target="broker", id="1")
    story.say(451, "nemesis", "fault-acted", fault="flush()", id="1", evidence="1 key deleted")
    story.say(900, "nemesis", "fault-stop", fault="flush()", id="1")
    assert lines(over(story, 3000), at_least_once()) == (
        "1 of 2 jobs is lost after flush() on broker",
        "the message of op-2 was in queue celery until flush() on broker struck",
        "fault-acted 451",
    )


def test_a_message_that_no_process_published() -> None:
    story = begun()
    story.say(115, "api", "publish", task="t-1", to="celery")
    story.say(116, "api", "published", task="t-1", to="celery")
    story.post(200, "op-2", "t-2")
    over(story, 3000)
    assert lines(story, at_least_once())[1:] == ("no process tried to publish op-2", "ok 210")

    for at in (205, 206):
        story.say(at, "api", "publish", task="t-2", to="celery")
    assert lines(story, at_least_once()) == (
        "1 of 2 jobs is lost, without any fault",
        "api could not publish op-2 (2 attempts), and no process tried again",
        "publish 206",
    )
    where = told(story, at_least_once()).where
    assert where is not None
    assert where.publishes is not None
    assert [(one.source, one.done) for one in where.publishes] == [("api", None), ("api", None)]
    # The broker may have taken it: an answer that was lost on its way looks the same to the API.
    tried = [said(step) for step in told(story, at_least_once()).steps if step.event.kind == "publish"]
    assert tried == ["tries to publish to celery, without success"] * 2
    assert where.place == ""


@pytest.mark.parametrize("by", [{}, {"by": "key"}], ids=str)
def test_a_status_that_was_read_by_the_key(by: dict[str, str]) -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    story.say(300, "client", "read", "op-2", "op-2", state="STARTED", **by)
    where = told(over(story, 3000), at_least_once()).where
    assert where is not None
    assert (where.status, where.by_key) == ("STARTED", bool(by))


def test_a_worker_that_was_killed_with_a_message_that_it_had_acknowledged() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    story.say(230, "worker-1", "started", task="t-2")
    story.sample(300)
    story.fault(400, 500, "kill()")
    story.say(402, "worker-1", "exit", code=-9, struck=True)
    story.say(600, "worker-1", "ready")
    over(story, 3000)
    early = "; the message was acknowledged before the work was done"
    assert lines(story, at_least_once())[1] == (
        f"worker-1 was ended by a fault while it had op-2{early} (task_acks_late is off, Celery's default)"
    )
    late = begun(task_acks_late=True)
    late.events += [event for event in story.events if event.at >= 200_000_000]
    assert lines(late, at_least_once())[1:] == (
        f"worker-1 was ended by a fault while it had op-2{early}",
        "fault-acted 401",
    )
    where = told(story, at_least_once()).where
    assert where is not None
    assert (where.holder, where.state) == ("worker-1", "ended")


def test_a_look_at_the_broker_between_a_delivery_and_its_early_acknowledgement() -> None:
    """The message was in `unacked` for a millisecond, and a sample fell into it. The next one came after the death."""
    story = begun()
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    story.say(230, "worker-1", "started", task="t-2")
    story.sample(231, **{"t-2": "unacked"})
    story.fault(400, 500, "kill()")
    story.say(402, "worker-1", "exit", code=-9, struck=True)
    story.say(600, "worker-1", "ready")
    early = "; the message was acknowledged before the work was done (task_acks_late is off, Celery's default)"
    assert lines(over(story, 3000), at_least_once())[1] == f"worker-1 was ended by a fault while it had op-2{early}"


def test_a_task_that_failed() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    story.say(230, "worker-1", "started", task="t-2")
    story.say(240, "worker-1", "failed", task="t-2", error="KeyError")
    story.say(241, "worker-1", "ended", task="t-2", state="FAILURE")
    assert lines(over(story, 3000), at_least_once(or_failure=False))[1:] == (
        "op-2 failed with KeyError on worker-1",
        "failed 240",
    )


def test_a_task_that_ignores_its_deliveries() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    for at in (220, 300):
        story.deliver(at, "t-2")
        story.say(at + 10, "worker-1", "started", task="t-2")
        story.say(at + 20, "worker-1", "ended", task="t-2", state="IGNORED")
    story.sample(400)
    how = "its task ignored each of the last 2 deliveries (celery.exceptions.Ignore); the last one was on worker-1"
    assert lines(over(story, 3000), at_least_once())[1:] == (f"op-2 took no effect, because {how}", "ended 320")


def test_an_attempt_after_which_the_next_one_never_began() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    story.retry(230, "t-2")
    assert lines(over(story, 3000), at_least_once())[1:] == (
        "worker-1 asked for the next attempt of op-2, and then no worker received it",
        "retry 235",
    )


def test_the_api_that_did_the_work_itself_was_killed() -> None:
    story = begun()
    story.say(200, "client", "invoke", "op-2", op="http", method="POST", path="/x")
    story.say(210, "client", "ok", "op-2", status=202)
    story.say(300, "nemesis", "fault-start", fault="kill()", target="api")
    story.say(301, "nemesis", "fault-acted", fault="kill()", target="api", evidence="api")
    story.say(302, "api", "exit", code=-9, struck=True)
    assert lines(over(story, 3000), at_least_once())[1:] == (
        "api was ended by a fault 92 ms after it had accepted op-2",
        "fault-acted 301",
    )


# --- jobs that are late, stuck, or done twice


def late(*, frozen: bool, queued: int) -> Story:
    """The worker receives nothing for 10 s; from `queued` (ms) on the messages lie in the queue."""
    story = begun()
    if frozen:
        story.fault(150, 10_500, "stop()")
    for n in (2, 3):
        story.post(200, f"op-{n}", f"t-{n}")
    for at in range(400, 10_400, 200):
        story.sample(at, **({"t-2": "celery", "t-3": "celery"} if at >= queued else {}))
    for n in (2, 3):
        story.deliver(10_600, f"t-{n}")
        story.run(10_610, f"t-{n}")
    return over(story, 12_000)


@pytest.mark.parametrize(
    ("frozen", "state", "mark"), [(True, "frozen", "fault-acted 151"), (False, "alive", "received 125")]
)
def test_a_worker_that_stopped_consuming(frozen: bool, state: str, mark: str) -> None:
    story = late(frozen=frozen, queued=0)
    found = told(story, at_least_once(within="2s", during=True))
    assert lines(story, at_least_once(within="2s", during=True))[1:] == (
        f"worker-1 stopped consuming: the message of op-2 waited 10.4 s in queue celery, and worker-1 was {state}",
        mark,
    )
    assert found.short == "late ×2: worker-1 stopped consuming"


def test_a_message_that_was_in_no_queue_is_not_the_workers_fault() -> None:
    assert lines(late(frozen=False, queued=9_800), at_least_once(within="2s", during=True))[1:] == (
        "for 9.59 s the message of op-2 was in no queue",
        "ok 210",
    )
    story = late(frozen=False, queued=99_999)
    assert lines(story, at_least_once(within="2s", during=True))[1:] == (
        "for 10.4 s the message of op-2 was in no queue",
        "ok 210",
    )
    for at, source in ((205, "api"), (2_000, "relay"), (10_590, "relay")):
        story.say(at, source, "publish", task="t-2")
    assert lines(story, at_least_once(within="2s", during=True))[1:] == (
        "neither api nor relay could publish op-2; relay tried again only 8.59 s later",
        "publish 2000",
    )


def test_a_message_that_is_published_again_while_it_waits_still_waits() -> None:
    story = late(frozen=True, queued=0)
    for at, source in ((205, "api"), (6_000, "relay")):
        story.say(at, source, "publish", task="t-2")
        story.say(at + 1, source, "published", task="t-2")
    assert lines(story, at_least_once(within="2s", during=True))[1:] == (
        "worker-1 stopped consuming: the message of op-2 waited 10.4 s in queue celery, and worker-1 was frozen",
        "fault-acted 151",
    )


def test_a_job_that_came_back_late_from_a_worker_that_died() -> None:
    story = begun(broker_transport_options={"visibility_timeout": 6})
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    story.say(230, "worker-1", "started", task="t-2")
    story.fault(300, 400, "kill()")
    story.say(302, "worker-1", "exit", code=-9, struck=True)
    story.deliver(6_500, "t-2", redelivered=True)
    story.run(6_510, "t-2")
    assert lines(over(story, 8_000), at_least_once(within="2s", during=True))[1:] == (
        "worker-1 was ended by a fault while it had op-2, and op-2 came back 6.2 s later (visibility_timeout is 6 s)",
        "fault-acted 301",
    )


def test_a_worker_that_is_alive_and_takes_nothing_more() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    for at in range(400, 5_000, 200):
        story.sample(at, **{"t-2": "celery"})
    over(story, 5_200, {"t-2": "celery"}, ok=False)
    headline, cause, mark = lines(story, nothing_stuck())
    assert headline == "1 of 2 jobs is stuck, without any fault"
    assert cause == "worker-1 stopped consuming: it received nothing for 5.08 s while 1 message waited"
    assert mark == "received 125"
    found = told(story, drained())
    assert found.where is not None
    assert (found.where.key, found.where.place) == ("op-2", "celery"), "an example job for what names none"


def test_a_job_that_was_done_and_never_says_so() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    story.say(230, "worker-1", "started", task="t-2")
    story.say(300, "effects", "effect", task="t-2", name="processed")
    story.fault(310, 400, "kill()")
    story.say(312, "worker-1", "exit", code=-9, struck=True)
    over(story, 3_000)
    story.say(3_010, "client", "read", "op-2", "t-2", state="STARTED")
    assert lines(story, nothing_stuck())[1:] == (
        "op-2 was done, but its last status is STARTED; worker-1 was ended by a fault 12 ms after the effect",
        "fault-acted 311",
    )


def test_a_status_that_is_older_than_the_applications_own_row() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    story.run(230, "t-2")
    over(story, 3_000)
    for at in (2_000, 3_010):
        story.say(at, "client", "read", "op-2", "t-2", state="STARTED")
    story.say(3_020, "store", "row", task="t-2", state="SUCCESS", args="what a client sent")
    assert lines(story, nothing_stuck())[1] == (
        "op-2 was done, but its last status is STARTED, read 2 times after its effect; "
        "the application's own store says SUCCESS"
    )
    where = told(story, nothing_stuck()).where
    assert where is not None
    assert where.row == {"state": "SUCCESS"}


def twice(**conf: Any) -> Story:
    story = begun(**conf)
    story.say(2, "worker-2", "ready", layout={"queues": ["celery"]}, conf={"celery": {**CELERY, **conf}})
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    story.say(230, "worker-1", "started", task="t-2")
    story.deliver(2_000, "t-2", "worker-2", redelivered=True)
    story.run(2_010, "t-2", "worker-2")
    story.say(2_200, "effects", "effect", task="t-2", name="processed")
    return over(story, 3_000)


def test_a_second_delivery_that_kombu_made() -> None:
    assert lines(twice(), at_most_once())[1:] == (
        "worker-2 received op-2 again 1.78 s later while worker-1 still had it and was alive",
        "received 2000",
    )
    short = twice(broker_transport_options={"visibility_timeout": 1})
    assert "again 1.78 s later (visibility_timeout is 1 s) while" in lines(short, at_most_once())[1]


def test_a_second_delivery_that_the_application_published() -> None:
    story = twice()
    story.say(1_500, "relay", "publish", task="t-2")
    story.say(1_501, "relay", "published", task="t-2")
    assert lines(story, at_most_once())[1:] == (
        "relay published op-2 again while worker-1 still had it and was alive",
        "publish 1500",
    )


# --- attempts, exceptions, backlog, stalls


def test_retries_that_wait_for_a_default() -> None:
    story = begun()
    for n in range(2, 16):
        story.post(200 + n, f"op-{n}", f"t-{n}")
        story.retry(300 + n, f"t-{n}", countdown=180)
    story.fault(309.5, 400, "kill()")
    found = told(over(story, 3_000), backoff_within(maximum=2, jitter=False))
    assert found.lead is not None
    root = found.lead.root
    assert root.sentence == "14 of 14 retries wait 180 s; the limit is 1 s"
    assert (root.default, root.before) == ("180 s is Celery's default_retry_delay", 3)
    assert root.example.key == "op-5", "an example that the fault may have caused"
    assert found.headline.endswith(" (after kill() on worker-1)")


def test_a_task_that_is_tried_too_often() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    for retries in range(5):
        story.retry(300 + 100 * retries, "t-2", retries=retries)
    assert lines(over(story, 3_000), attempts_within(2)) == (
        "1 of 2 tasks was tried too often, up to retry 4; the limit is 2; without any fault",
        "",
        "started 600",
    )


def test_exceptions_are_counted_by_their_type() -> None:
    story = begun()
    for n in range(3):
        story.say(300 + n, "api", "raised", path=f"/jobs/{n}", error="KeyError: 'x'")
    assert lines(over(story, 3_000), nothing_raised())[:2] == (
        "3 calls of the API raised KeyError, and no code handled it, without any fault",
        "/jobs/0 raised KeyError: 'x'",
    )


def test_a_backlog_says_what_the_workers_did() -> None:
    story = begun()
    story.fault(150, 1_000, "stop()")
    story.post(200, "op-2", "t-2")
    story.sample(400, **{f"t-{n}": "celery" for n in range(9)})
    assert lines(over(story, 3_000), backlog_within(5))[:2] == (
        "9 messages waited in the queues; the limit is 5 (during stop() on worker-1 for 850 ms)",
        "worker-1 was frozen while the messages waited",
    )


def test_a_stall_is_told_once_with_the_code_that_caused_it() -> None:
    story = begun()
    stack = ["app/main.py:7 run", "app/jobs.py:31 save", "redis/client.py:9 get", "redis/socket.py:64 read"]
    for at, ms, ongoing in ((1_300, 1000.0, True), (2_300, 2000.0, False), (3_000, 150.0, False)):
        story.say(at, "api", "stall", ms=ms, starved_ms=0.0, stack=stack, own=stack[1], ongoing=ongoing)
    story.get(1_000, "get-1", took=1_400)
    story.get(2_700, "get-2", took=5)
    found = told(over(story, 5_000), loop_never_stalls("200ms"))
    assert found.headline == "the event loop of api stood still once, for 2 s, without any fault"
    assert found.cause is not None
    assert found.cause.sentence == "app/jobs.py:31 save blocked the event loop of api"
    stall = found.stalls[0]
    assert (stall.own, stall.inner, stall.libraries) == ("app/jobs.py:31 save", "redis/socket.py:64 read", 2)
    assert (stall.waiting, stall.slowest) == (1, 1_400_000_000)
    assert found.slowness is not None
    assert (found.slowness.during, found.slowness.otherwise) == (1_400_000_000, 10_000_000)


def test_a_request_that_alone_has_no_answer_says_so() -> None:
    story = begun()
    story.fault(1_100, 2_000, "locked()")
    story.fault(1_200, 1_500, "short()")
    story.post(1_000, "op-9", "t-9", "info", None, took=4_000, error="ReadTimeout: timed out")
    for key in ("get-0", "get-1"):
        story.say(1_150, "client", "invoke", key, op="http", method="GET", path="/health-check")
    story.say(1_200, "client", "info", "get-0", path="/health-check", error="RemoteProtocolError")
    promise = answers({202}, within="2s", path="/process-data")
    assert lines(story, promise)[1:] == (
        "its client gave up after 4 s without an answer; meanwhile the API answered no other request, "
        "and locked() on worker-1 had healed 3 s before",
        "info 5000",
    )
    for at in (1_500, 2_500):
        story.get(at, f"get-{at}")
    story.say(1_300, "client", "info", "get-1", path="/health-check", status=500)
    assert "meanwhile the API answered 3 other requests, and" in lines(story, promise)[1]


def test_a_connection_that_ended_is_no_client_that_gave_up() -> None:
    story = begun()
    story.post(1_000, "op-9", "t-9", "info", None, took=300, error="RemoteProtocolError: disconnected")
    story.say(1_100, "client", "read", "task-5", state="SUCCESS")  # from the result backend, not from the API
    cause = lines(over(story, 5_000), answers({202}, path="/process-data"))[1]
    assert cause == "its connection ended after 300 ms without an answer; meanwhile the API answered no other request"


def test_a_request_that_was_never_sent_has_no_connection_that_ended() -> None:
    story = begun()
    story.post(1_000, "op-9", "t-9", "info", None, took=30, error="LocalProtocolError: bad header")
    cause = lines(over(story, 5_000), answers({202}, path="/process-data"))[1]
    assert cause.startswith("its request failed after 30 ms (LocalProtocolError: bad header); meanwhile")


def test_a_late_answer_with_a_status_is_an_answer() -> None:
    story = begun()
    story.post(1_000, "op-9", "t-9", "info", 503, took=4_000)
    assert lines(over(story, 6_000), answers({202, 503}, within="2s", path="/process-data"))[1] == ""


def test_a_stall_that_is_too_short_to_explain_a_late_answer_is_left_out() -> None:
    story = begun()
    story.say(1_040, "api", "stall", ms=40.0, starved_ms=0.0, stack=["app/main.py:7 run"], own="", ongoing=False)
    story.get(1_000, "get-1", took=1_400)
    promise = answers({200}, within="1s", path="/health-check")
    assert told(over(story, 5_000), promise).stalls == ()
    story.say(1_350, "api", "stall", ms=300.0, starved_ms=0.0, stack=["app/main.py:7 run"], own="", ongoing=False)
    assert [stall.end // 1_000_000 for stall in told(story, promise).stalls] == [1_350]


# --- what leads, and what follows


def test_what_follows_from_the_root_is_named_and_no_finding_of_its_own() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    over(story, 3_000, {"t-9": "celery"})
    found = told(story, drained(), at_least_once(), nothing_stuck())
    assert found.lead is not None
    assert found.lead.root.kind == "lost"
    assert found.lead.also == ("drained",)
    assert found.lead.others == ()
    assert found.lead.counts == {"lost": 1, "undrained": 1}


def test_jobs_are_in_natural_order() -> None:
    story = begun()
    for n in (10, 9, 2):
        story.post(200 + n, f"op-{n}", f"t-{n}")
    found = told(over(story, 3_000), at_least_once())
    assert found.lead is not None
    assert found.lead.root.example.key == "op-2"
    assert found.lead.root.sentence == "3 of 4 jobs are lost"


def test_a_wrong_status_is_told_with_its_time_and_without_its_body() -> None:
    story = begun()
    story.say(500, "client", "invoke", "op-2", op="http", method="POST", path="/process-data", intended=500_000_000)
    story.say(710, "client", "info", "op-2", status=503, body='{"detail":"the store is locked"}')
    assert lines(over(story, 3_000), answers({202}, path="/process-data")) == (
        "1 of 2 requests got a wrong status, without any fault",
        "the API answered 503 after 210 ms",
        "info 710",
    )


def test_the_longest_stall_is_the_example_before_a_fault_too() -> None:
    story = begun()
    for at, ms in ((900, 700.0), (2_000, 300.0)):
        story.say(at, "api", "stall", ms=ms, starved_ms=0.0, stack=["app/main.py:7 run"], own="", ongoing=False)
    story.fault(1_000, 1_100, "refuse()")
    found = told(over(story, 5_000), loop_never_stalls("200ms"))
    assert found.headline.startswith("the event loop of api stood still 2 times, for up to 700 ms")
    assert found.stalls[0].end == 900_000_000


def test_the_place_of_a_job_names_its_task() -> None:
    story = begun()
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    found = told(over(story, 3_000), at_least_once())
    assert found.where is not None
    assert next(placed(found.where, found.zero)) == f"op-2, task t-2 ({TASK}), at the end of the trial (+2.9 s)"


def test_an_example_that_met_no_fault_says_so() -> None:
    story = begun()
    story.say(200, "client", "invoke", "op-2", op="http", method="GET", path="/up", intended=200_000_000)
    story.say(210, "client", "fail", "op-2", status=500)
    story.fault(1_000, 1_500, "flush()")
    failed = answers({200}, path="/up")
    assert told(over(story, 3_000), failed).apart == "op-2 was over 790 ms before the first fault began"
    story = begun()
    story.post(200, "op-2", "t-2")
    story.deliver(220, "t-2")
    story.fault(1_000, 1_500, "flush()")
    assert told(over(story, 3_000), at_least_once()).apart == "", "a worker still has it"
    story = begun()
    story.fault(140, 150, "flush()")
    story.post(400, "op-2", "t-2")
    assert told(over(story, 3_000), at_least_once()).apart == "op-2 began 250 ms after the last fault had healed"
    story = begun()
    story.fault(205, 300, "flush()")
    story.post(200, "op-2", "t-2")
    assert told(over(story, 3_000), at_least_once()).apart == ""


def test_a_stored_trial_marks_the_event_of_its_history() -> None:
    story = over(begun(), 3_000)
    story.say(500, "client", "invoke", "get-1", op="http", method="GET", path="/up", intended=500_000_000)
    story.say(2_500, "client", "info", "get-1", error="ReadTimeout: timed out")
    verdicts = judge_all(story.history, [answers({200}, within="1s", path="/up")])
    copied = replace(
        verdicts[0],
        anomalies=tuple(
            replace(anomaly, witness=tuple(Event.from_json(event.to_json()) for event in anomaly.witness))
            for anomaly in verdicts[0].anomalies
        ),
    )
    found = facts(Result("t::t", Plan(), (copied,), story.history, Path("/nowhere"), 1.0))
    assert [(step.event.kind, bool(step.mark)) for step in found.steps] == [("invoke", False), ("info", True)]
    assert copied.anomalies[0].sentence == "/up (get-1) got no answer within 2 s; the limit is 1 s."


# --- lanes and logs


def test_lanes_tell_deaths_restarts_and_silence() -> None:
    story = begun()
    story.say(500, "worker-1", "exit", code=-9, struck=True)
    story.say(900, "worker-1", "ready")
    story.say(1_200, "worker-10", "ready")
    story.say(1_210, "worker-2", "ready")
    story.fault(1_300, 1_800, "stop()")
    story.say(2_000, "worker-2", "exit", code=1)
    lanes = told(over(story, 4_000), at_least_once()).lanes
    assert [lane.name for lane in lanes.processes] == ["api", "worker-1", "worker-2", "worker-10"]
    one, two = lanes.processes[1:3]
    assert (one.alive, one.restarts, len(one.ends)) == (True, 1, 1)
    assert one.silence == (900_000_000, 4_000_000_000)
    assert one.frozen == ((1_300_000_000, 1_800_000_000),)
    assert (two.alive, two.restarts, two.frozen) == (False, 0, ())
    assert [depth.waiting for depth in lanes.depth] == [0, 0]


def test_lanes_are_drawn_with_what_became_of_each_process() -> None:
    story = begun()
    story.say(500, "worker-1", "exit", code=-9, struck=True)
    story.say(900, "worker-1", "ready")
    story.say(1_200, "worker-2", "ready")
    story.fault(1_300, 1_800, "stop()")
    story.say(2_000, "worker-2", "exit", code=1)
    found = told(over(story, 4_000), at_least_once())
    fault, api, one, two, queue = list(drawn(found.lanes, (), {"api"}, 9))[1:]
    assert fault == f"fault    {'·' * 12}{'█' * 6}{'·' * 22}  stop() on worker-1, +1.2 s to +1.7 s"
    assert api == f"api      ▪{'·' * 39}  alive, 0 restarts, silent for 3.88 s from +20 ms, last event +20 ms"
    assert one == (
        f"worker-1 ▪···×   ▪···░░░░░░{'·' * 22}  alive, died at +400 ms (SIGKILL; a fault), 1 restart, "
        "silent for 3.1 s from +800 ms, last event +800 ms"
    )
    assert two == (
        f"worker-2 {'·' * 11}▪{'·' * 7}×{' ' * 20}  ended at +1.9 s (exit code 1; no fault), 0 restarts, "
        "silent for 1.1 s from +0 ms, last event +1.1 s"
    )
    assert queue.endswith("queued at most 0, unacked at most 0; 0 and 0 at the end")
    few = [line.split()[0] for line in drawn(found.lanes, (), {"api"}, 2)]
    assert few == ["+0", "fault", "api", "worker-1", "and", "queue"], "worker-2 is counted, not drawn"
    assert "and 1 more process" in list(drawn(found.lanes, (), {"api"}, 2))[4]
    assert lanes_of(replace(found, lanes=replace(found.lanes, processes=())), 9, 9) == []


def test_a_process_that_gave_no_sign_has_a_lane_too() -> None:
    story = over(begun(), 4_000)
    plan = Plan(topology=Topology(relay=True))
    found = facts(Result("t::t", plan, judge_all(story.history, [drained()]), story.history, Path("/nowhere"), 1.0))
    lane = found.lanes.lane("relay")
    assert lane is not None
    assert lane.signs == ()
    assert life(found.lanes, lane) == "alive, but no event and no connection of it was seen"


LOG = """\
[2026-11-20 06:30:00,000: ERROR/MainProcess] long before
[2026-11-20 06:31:00,250: INFO/MainProcess] ready
[2026-11-20 06:31:00,300: ERROR/ForkPoolWorker-1] Task x raised unexpected: OSError()
Traceback (most recent call last):
  File "/srv/app/jobs.py", line 31, in save
    call()
  File "/venv/lib/python3.12/site-packages/redis/client.py", line 9, in get
    raise ConnectionError("gone")
redis.exceptions.ConnectionError: gone
[2026-11-20 06:31:00,310: CRITICAL/MainProcess] later
"""


def test_the_first_error_near_the_mark_is_told_with_the_applications_own_frame(tmp_path: Path) -> None:
    story = begun()
    story.events[2] = replace(story.events[2], data={"name": "load", "wall": "2026-11-20T06:31:00.100000+00:00"})
    story.post(200, "op-2", "t-2")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "worker-1.log").write_text(LOG)
    (tmp_path / "log" / "api.log").write_text("INFO: fine\n")
    (line,) = told(over(story, 3_000), at_least_once(), folder=tmp_path).logs
    assert (line.process, line.number, line.at) == ("worker-1", 3, 300_000_000)
    assert (line.raised, line.own) == ("redis.exceptions.ConnectionError: gone", "app/jobs.py:31 save")


NEVER = """\
INFO:     127.0.0.1:1 - "GET / HTTP/1.1" 200 OK
WARNING:  a warning with its own traceback
Traceback (most recent call last):
  File "/srv/app/mail.py", line 7, in send
TimeoutError: slow
INFO:     127.0.0.1:1 - "GET / HTTP/1.1" 200 OK
Task exception was never retrieved
future: <Task finished name='Task-52' coro=<Intake._run() done>>
Traceback (most recent call last):
  File "/srv/app/intake.py", line 46, in _record
sqlite3.OperationalError: database is locked
INFO:     127.0.0.1:1 - "GET / HTTP/1.1" 200 OK
"""


def test_an_exception_that_nobody_handled_is_told_without_a_level(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "api.log").write_text(NEVER)
    story = begun()
    story.post(200, "op-2", "t-2")
    (line,) = told(over(story, 3_000), at_least_once(), folder=tmp_path).logs
    assert (line.number, line.text, line.at) == (7, "Task exception was never retrieved", None)
    (tmp_path / "log" / "api.log").write_text(
        NEVER.replace("Task exc", "Exception in callback send({'to': 'x'})\nTask exc")
    )
    (shown,) = told(story, at_least_once(), folder=tmp_path).logs
    assert (shown.text, shown.raised) == ("Exception in callback", line.raised), "arguments are not shown"
    assert (line.raised, line.own) == ("sqlite3.OperationalError: database is locked", "app/intake.py:46 _record")
