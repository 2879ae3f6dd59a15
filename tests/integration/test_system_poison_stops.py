"""What is no poison: a healthy task whose workers are stopped before it ends, again and again."""

from signal import SIGTERM

from brownout.subject.waiting import eventually
from tests.integration import probe_worker
from tests.integration.running import SLACK, NewSystem


def test_a_worker_that_is_stopped_again_and_again_makes_no_poison(new_system: NewSystem) -> None:
    """By its operator, as a supervisor does it: SIGTERM, and SIGKILL when that takes too long."""
    system = new_system("stopped", max_starts=2)
    gate = system.folder / "gate"
    job_id = system.enqueue(probe_worker.gated.name, str(gate))
    started = "select count(*) from jobs where state = 'STARTED' and started_at is not null"
    for _ in range(system.settings.max_starts + 1):
        system.worker("worker-1", "-c", "1", module="tests.integration.probe_worker")
        eventually(lambda: system.rows(started) == [(1,)], within=2 * SLACK, what="the task runs")
        system.process("worker-1").signal(SIGTERM)
        eventually(lambda: system.rows(started) == [(0,)], within=SLACK, what="the worker excuses its task")
        system.end("worker-1")
        job = system.app.store.job(job_id)
        assert job is not None
        assert not job.finished, job.error
        system.publish(job)  # as the relay does when the lease of the run is over
    system.worker("worker-1", "-c", "1", module="tests.integration.probe_worker")
    gate.touch()
    ended = system.job_ended(job_id)
    assert (ended.result, ended.error) == ("done", None)
