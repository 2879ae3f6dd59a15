"""A rolling deploy: workers of two releases read one queue, and one of them does not know a task."""

from brownout.subject.waiting import eventually
from system.job import LOCAL, Reason, State
from tests.integration.old_worker import UNKNOWN
from tests.integration.running import SLACK, NewSystem

LIMIT = 3


def test_a_job_whose_task_nobody_knows_is_a_failure_in_the_end(new_system: NewSystem) -> None:
    """Celery drops the message. The relay sends it again, a limited number of times, and the dead letter says why."""
    system = new_system("unknown-task", queue_patience=0.3, max_starts=LIMIT, pace=0).relay()
    system.worker("worker-1", "-c", "1", module="tests.integration.old_worker").ready()
    job = system.enqueue(UNKNOWN, 3)
    ended = system.job_ended(job)
    assert ended.state == State.FAILURE
    assert ended.error is not None
    assert ended.error["type"] == "UnknownTask"
    assert UNKNOWN in ended.error["message"]
    assert system.said("worker-1", "Received unregistered task of type") == LIMIT + 1
    assert [letter.reason for letter in system.app.store.dead_letters.page(LOCAL, 5)] == [Reason.UNKNOWN_TASK]
    other = system.enqueue("system.divide", 1.0, 2.0)
    assert system.job_ended(other).state == State.SUCCESS, "other tasks go on"


def test_the_next_worker_does_what_an_old_worker_refused(new_system: NewSystem) -> None:
    """The old worker has refused each job at least twice."""
    system = new_system("deploy", queue_patience=0.3, pace=0).relay()
    system.worker("worker-1", "-c", "1", module="tests.integration.old_worker").ready()
    jobs = [system.enqueue(UNKNOWN, 3) for _ in range(3)]
    refused = "Received unregistered task of type"
    eventually(lambda: system.said("worker-1", refused) >= 3 * len(jobs), within=SLACK, what="the jobs are refused")
    assert {system.app.store.job(job).state for job in jobs} == {State.PENDING}  # type: ignore[union-attr] # accepted above
    system.end("worker-1")
    system.worker("worker-2", "-c", "1").ready()
    assert [system.job_ended(job).result for job in jobs] == [2] * len(jobs)
    assert system.effects() == dict.fromkeys(jobs, 1)
