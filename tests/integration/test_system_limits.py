"""Tasks that take too long: the soft limit ends the job, the hard one the process, and the slot is free again."""

from tests.integration import probe_worker
from tests.integration.running import SLACK, NewSystem


def test_a_task_that_takes_too_long_is_ended(new_system: NewSystem) -> None:
    """With one slot: as long as a task hangs, nothing else can run.

    On a busy machine the soft limit may end a task before its job is marked as started in the store. Nothing else
    than the relay knows of the job then: it publishes the job again after the lease of a run.
    """
    system = new_system("limits", pace=10, soft_time_limit=0.5, time_limit=1.5)
    system.worker("worker-1", "-c", "1", module="tests.integration.probe_worker").relay().ready()
    settings = system.settings
    within = settings.queue_patience + settings.run_lease + settings.time_limit + SLACK

    slow = system.job_ended(system.enqueue("system.process_data", {}), within=within)  # 50 s of work
    assert slow.error is not None
    assert (slow.state, slow.error["type"]) == ("FAILURE", "SoftTimeLimitExceeded")

    deaf = system.enqueue(probe_worker.deaf.name, 10 * SLACK)
    other = system.enqueue("system.fibonacci", 10)
    assert system.job_ended(other, within=within).result == 55
    system.logged("worker-1", f"Hard time limit (1.5s) exceeded for {probe_worker.deaf.name}[{deaf}]")
    assert system.effects() == {other: 1}
