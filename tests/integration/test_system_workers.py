"""Workers: every pool, several at once, queues apart."""

from pathlib import Path

from brownout.subject.waiting import eventually
from tests.integration import probe_worker
from tests.integration.fragile import Fragile
from tests.integration.running import SLACK, NewSystem, Running


def test_two_workers_share_the_work(fragile: Fragile) -> None:
    jobs = [fragile.submit("/process-data", {"n": n}) for n in range(6)]
    for job in jobs:
        done = fragile.ended(job)
        assert (done["task_status"], done["attempts"]) == ("SUCCESS", 1), "no job ran twice"
        assert fragile.effects()[job] == 1
    did = {name: [job for job in jobs if fragile.said(name, f"[{job}] received")] for name in ("worker-1", "worker-2")}
    assert all(did.values()), did


def test_pools_and_a_queue_of_its_own_for_processor_work(new_system: NewSystem) -> None:
    """Threads take the ordinary queue, a solo worker the one for processor work; prefork is what all others use."""
    system = new_system("pools", pace=0.01)
    system.worker("worker-threads", "-P", "threads", "-c", "2", "-Q", "celery")
    system.worker("worker-solo", "-P", "solo", "-Q", "cpu").ready()
    with system.frozen("worker-solo"):
        heavy = [system.enqueue("system.fibonacci", n) for n in (10, 11)]
        light = [system.enqueue("system.divide", 1.0, y) for y in (2.0, 0.0, 4.0)]
        ended = [system.job_ended(job) for job in light]
        assert [job.result for job in ended] == [0.5, None, 0.25], "no worker for the other queue is needed"
        assert ended[1].error == {"type": "ZeroDivisionError", "message": "float division by zero"}
        assert [system.app.store.job(job).state for job in heavy] == ["PENDING", "PENDING"]  # type: ignore[union-attr]
    assert [system.job_ended(job).result for job in heavy] == [55, 89]
    for job, worker in [*((job, "worker-solo") for job in heavy), *((job, "worker-threads") for job in light)]:
        system.logged(worker, f"[{job}] received")
    assert system.effects() == dict.fromkeys([*heavy, light[0], light[2]], 1)


def test_a_worker_without_a_free_slot_leaves_what_waits_to_others(probe: Running, tmp_path: Path) -> None:
    gate, slots = tmp_path / "gate", 3
    opened = probe.app.tasks[probe_worker.opened.name]
    try:
        for _ in range(slots):
            opened.apply_async(args=(str(gate), 4 * SLACK), ignore_result=True)
        with probe.server.client(probe.db) as client:
            eventually(lambda: client.hlen("unacked") == slots, within=SLACK, what="all slots are taken")
            eventually(lambda: probe.waiting() == 0, within=SLACK, what="the worker asks for no more")
            job = probe.enqueue("system.divide", 1.0, 2.0)
            assert client.llen("celery") == 1, "where a worker with a free slot would find it"
    finally:
        gate.touch()
    assert probe.job_ended(job).result == 0.5
