"""What is no poison: a healthy task whose workers are stopped before it ends, again and again. And what is."""

from functools import partial
from signal import SIGKILL, SIGTERM

import pytest

from brownout.subject.waiting import eventually
from tests.integration import probe_worker
from tests.integration.running import SLACK, NewSystem
from tests.integration.test_system_poison import POOL_TIMER


@pytest.mark.parametrize("group", [False, True], ids=["the worker", "its pool too"])
def test_a_worker_that_is_stopped_again_and_again_makes_no_poison(new_system: NewSystem, *, group: bool) -> None:
    """By its operator, as a supervisor does it: SIGTERM to the worker or to all its processes, later SIGKILL."""
    system = new_system("stopped", max_starts=2)
    gate = system.folder / "gate"
    job_id = system.enqueue(probe_worker.gated.name, str(gate))
    started = "select count(*) from jobs where state = 'STARTED' and started_at is not null"
    for _ in range(system.settings.max_starts + 1):
        system.worker("worker-1", "-c", "1", module="tests.integration.probe_worker")
        eventually(lambda: system.rows(started) == [(1,)], within=2 * SLACK, what="the task runs")
        worker = system.process("worker-1")
        (worker.signal_group if group else worker.signal)(SIGTERM)
        eventually(lambda: system.rows(started) == [(0,)], within=SLACK, what="the worker excuses its task")
        if group:
            worker.wait(SLACK + POOL_TIMER)
            assert system.said("worker-1", "signal 15 (SIGTERM)"), "the worker noticed that its pool had ended"
        system.end("worker-1")
        job = system.app.store.job(job_id)
        assert job is not None
        assert not job.finished, job.error
        system.publish(job)  # as the relay does when the lease of the run is over
    system.worker("worker-1", "-c", "1", module="tests.integration.probe_worker")
    gate.touch()
    ended = system.job_ended(job_id)
    assert (ended.result, ended.error) == ("done", None)


def test_a_death_counts_although_the_worker_is_stopped_because_of_it(new_system: NewSystem) -> None:
    """As a supervisor stops a worker when the kernel has killed one of its processes: its pool notices that later."""
    system = new_system("killed", max_starts=2)
    job_id = system.enqueue(probe_worker.gated.name, str(system.folder / "gate"))
    started = "select count(*) from jobs where state = 'STARTED' and started_at is not null"
    for run in range(1, system.settings.max_starts + 1):
        system.worker("worker-1", "-c", "1", module="tests.integration.probe_worker")
        eventually(lambda: system.rows(started) == [(1,)], within=2 * SLACK, what="the task runs")
        worker = system.process("worker-1")
        (task,) = worker.children()
        worker.signal(SIGTERM)
        eventually(lambda: system.rows(started) == [(0,)], within=SLACK, what="the worker excuses its task")
        task.send_signal(SIGKILL)
        counted = partial(system.rows, f"select 1 from jobs where starts = {run}")
        eventually(counted, within=SLACK + POOL_TIMER, what="the death counts")
        system.end("worker-1")
        job = system.app.store.job(job_id)
        assert job is not None
        system.publish(job)
    system.worker("worker-1", "-c", "1", module="tests.integration.probe_worker")
    assert system.job_ended(job_id).state == "FAILURE"
