"""The job store out of the API's reach, and what is done with it meanwhile and afterwards."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from signal import SIGKILL

import httpx
import pytest
from sqlalchemy import update
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from brownout.subject.ports import HOST
from brownout.subject.waiting import eventually
from system.job import LOCAL
from system.tables import applied, dead_letters, effects, jobs
from tests.conftest import ON_POSTGRES
from tests.integration.running import SLACK, NewSystem, Running


@pytest.mark.skipif(ON_POSTGRES, reason="the store is no file")
def test_an_api_whose_store_is_damaged_says_so(new_system: NewSystem) -> None:
    """Requests, readiness and WebSockets are answered, each with its own "try again later"; liveness stays green."""
    system = new_system("damaged").api().ready()
    job = system.submit("/divide", {"x": 1, "y": 2})
    with connect(f"ws://{HOST}:{system.port}/task-status/{job}/events", proxy=None) as client:
        assert "PENDING" in str(client.recv(timeout=SLACK))
        other, database = system.folder / "other", system.settings.database
        other.write_bytes(b"no database " * 1_000)
        for log in ("-wal", "-shm"):
            database.with_name(f"{database.name}{log}").unlink()
        other.replace(database)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=SLACK)
        assert client.close_code == 1013
    refused = system.http.post("/divide", json={"x": 1, "y": 2})
    assert (refused.status_code, refused.headers.get("Retry-After")) == (503, "3")
    ready = system.http.get("/health-check/ready")
    assert (ready.status_code, ready.json()["parts"]["store"]) == (503, "down")
    assert system.http.get("/health-check").status_code == 200


def test_who_waits_for_the_store_keeps_nobody_waiting(calm: Running) -> None:
    """A request that waits for the store's lock does so in a thread: the others are served."""
    with calm.store_locked() as unlock, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(calm.http.post, "/process-data", json={})
        for _ in range(20):
            assert calm.http.get("/example").status_code == 200
        assert not waiting.done(), "answered before the lock was let go"
        unlock()
        assert waiting.result(SLACK).status_code == 202


def test_a_job_is_forgotten_when_its_retention_is_over(new_system: NewSystem) -> None:
    """A dead letter is kept for longer, with its job."""
    system = new_system("forgetful", tick_seconds=0.2, pace=0, max_retries=0)
    system.worker("worker-1", "-c", "1").ready()
    job, dead = system.enqueue("system.divide", 1.0, 2.0), system.enqueue("system.deliver", {"failures": 1})
    assert system.job_ended(job).result == 0.5
    assert system.job_ended(dead).state == "FAILURE"
    past = system.settings.retention + 1  # all that is there becomes so old
    with system.app.store._database.write() as connection:
        connection.execute(update(jobs).values(finished_at=jobs.c.finished_at - past))
        for table in (effects, applied, dead_letters):
            connection.execute(update(table).values(at=table.c.at - past))

    def forgotten() -> bool:
        system.app.tasks["system.tick"].apply_async(ignore_result=True)
        return (job,) not in system.rows("select id from jobs")

    eventually(forgotten, within=SLACK, every=0.1, what="the job is dropped by a tick")
    assert job not in system.effects()
    assert [letter.job_id for letter in system.app.store.dead_letters.page(LOCAL, 5)] == [dead], (
        "it outlives the others"
    )
    assert system.rows("select id from jobs") == [(dead,)]


def test_what_was_answered_is_recorded_when_the_api_is_killed(new_system: NewSystem) -> None:
    """Eight clients at once: the API gets SIGKILL as soon as one of them has its 202, again and again."""
    system = new_system("killed")
    answered: list[str] = []

    def submit(first: threading.Event) -> None:
        with suppress(httpx.TransportError), httpx.Client(timeout=SLACK, trust_env=False) as client:
            for _ in range(1_000):
                answer = client.post(f"http://{HOST}:{system.port}/process-data", json={"n": 1})
                assert answer.status_code == 202, answer.text
                answered.append(answer.json()["task_id"])
                first.set()

    for _ in range(5):
        api, first = system.api().ready().process("api"), threading.Event()
        with ThreadPoolExecutor(8) as clients:
            running = [clients.submit(submit, first) for _ in range(8)]
            assert first.wait(SLACK), "a job is accepted"
            api.signal(SIGKILL)
            api.wait(SLACK)
        for client in running:
            client.result()
    recorded = {str(row[0]) for row in system.rows("select id from jobs")}
    assert set(answered) <= recorded
    assert len(answered) == len(set(answered)) >= 5
