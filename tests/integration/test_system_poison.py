"""Tasks that kill the process they run in."""

from signal import SIGKILL

from tests.integration import probe_worker
from tests.integration.running import SLACK, Running

POOL_TIMER = 5.0  # seconds after which Celery's prefork pool looks for dead processes by itself (asynpool)


def test_poison_ends_as_a_failure_and_others_go_on(probe: Running) -> None:
    settings = probe.settings
    poison = probe.enqueue(probe_worker.poison.name)
    once = probe.enqueue(probe_worker.fatal_once.name, str(probe.folder / "once"))
    others = [probe.enqueue("system.divide", 1.0, 2.0) for _ in range(6)]
    assert [probe.job_ended(job).result for job in others] == [0.5] * len(others)

    bound = settings.max_starts * POOL_TIMER + SLACK  # far below the visibility time-out, which would help in the end
    assert probe.job_ended(once, within=bound).result == "done", "a pool process that is killed takes no job with it"
    ended = probe.job_ended(poison, within=bound)
    assert ended.state == "FAILURE"
    assert ended.error == {"type": "Poison", "message": f"started {settings.max_starts} times without an end"}
    deaths = probe.said("worker-1", f"signal {SIGKILL.value} (SIGKILL)")
    assert probe.said("worker-1", f"[{poison}] received") == settings.max_starts + 1, deaths
    assert probe.effects()[poison] == 0
    assert probe.effects()[once] == 1
    assert probe.process("worker-1").alive
