"""Every 202 ends once, whatever process is killed: the system's first promise, in small."""

from collections.abc import Callable
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import httpx

from brownout.subject.processes import table
from brownout.subject.processes.process import Process
from brownout.subject.waiting import eventually
from tests.integration.fragile import Fragile
from tests.integration.running import SLACK

WORKERS = ("worker-1", "worker-2")


def accepted(fragile: Fragile, n: int) -> str:
    """POST until it is accepted, always with the same key: a client can't know what became of a cut request."""

    def post() -> dict[str, Any] | None:
        path, body = ("/process-data", {"n": n}) if n % 2 else ("/compute", {"n": n})
        answer = fragile.http.post(path, json=body, headers={"Idempotency-Key": f"survival-{n}"})
        return answer.json() if answer.status_code == 202 else None

    within = 2 * SLACK
    answer = eventually(post, within=within, what=f"request {n} is accepted", ignoring=httpx.TransportError)
    return str(answer and answer["task_id"])


def stopped(process: Process) -> bool:
    found = [table.entry(pid) for pid in process.members()]
    return all(each is None or each.state == "T" for each in found)


def kill_in_the_middle(fragile: Fragile, jobs: list[str]) -> str:
    """SIGKILL the main process of a worker that runs a task; answers the task's id."""

    def killed() -> str | None:
        jobs.append(fragile.submit("/process-data", {}))
        job = jobs[-1]
        started = eventually(
            lambda: next((name for name in WORKERS if fragile.said(name, f"[{job}] received")), None),
            within=SLACK,
            what="a worker has it",
        )
        worker = fragile.process(str(started))
        eventually(lambda: fragile.status(job)["task_status"] != "PENDING", within=SLACK, what="it starts")
        worker.signal_group(SIGSTOP)  # so that the task cannot end between the look and the kill
        eventually(lambda: stopped(worker), within=SLACK, what="the worker is stopped")
        if fragile.status(job)["task_status"] != "STARTED":
            worker.signal_group(SIGCONT)
            return None
        worker.signal(SIGKILL)
        worker.wait(SLACK)
        return job

    return str(eventually(killed, within=SLACK, what="a worker is killed with a task in its hands"))


def test_every_accepted_job_ends_once(fragile: Fragile) -> None:
    settings, jobs = fragile.settings, list[str]()
    halved = list[str]()
    kills: dict[int, Callable[[], object]] = {
        5: lambda: halved.append(kill_in_the_middle(fragile, jobs)),
        11: lambda: fragile.process("relay").signal(SIGKILL),
        17: lambda: fragile.process("api").signal(SIGKILL),
        23: fragile.restart_redis,
    }
    restarts = {name: part.restarts for name, part in fragile.supervisors().items()}
    for n in range(30):
        kills.get(n, lambda: None)()
        jobs.append(accepted(fragile, n))
    # What a dead worker held comes back when its message has become visible again, or its lease has run out.
    bound = max(settings.visibility_timeout, settings.run_lease) + settings.queue_patience + 2 * SLACK
    eventually(
        lambda: fragile.rows("select count(*) from outbox") == [(0,)], within=bound, every=0.05, what="all jobs end"
    )
    assert len(set(jobs)) == len(jobs) >= 31
    assert {fragile.status(job)["task_status"] for job in jobs} == {"SUCCESS"}
    effects = fragile.effects()
    assert [effects[job] for job in jobs] == [1] * len(jobs)
    assert sum(fragile.said(name, f"[{halved[0]}] received") for name in WORKERS) > 1, (
        "it was begun twice, and done once"
    )
    again = {name: part.restarts - restarts[name] for name, part in fragile.supervisors().items()}
    assert (again["api"], again["relay"], again["worker-1"] + again["worker-2"]) >= (1, 1, 1)
