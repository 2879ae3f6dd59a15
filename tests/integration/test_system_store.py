"""The job store out of the API's reach, and what is done with it meanwhile and afterwards."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from brownout.subject.ports import HOST
from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, NewSystem, Running


def test_an_api_whose_store_is_damaged_says_so(new_system: NewSystem) -> None:
    """Requests, readiness and WebSockets are answered, each with its own "try again later"; liveness stays green."""
    system = new_system("damaged").api().ready()
    job = system.submit("/divide", {"x": 1, "y": 2})
    with connect(f"ws://{HOST}:{system.port}/task-status/{job}/events", proxy=None) as client:
        assert "PENDING" in str(client.recv(timeout=SLACK))
        system.settings.database.write_bytes(b"no database " * 1_000)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=SLACK)
        assert client.close_code == 1013
    refused = system.http.post("/divide", json={"x": 1, "y": 2})
    assert (refused.status_code, refused.headers.get("Retry-After")) == (503, "3")
    ready = system.http.get("/health-check/ready")
    assert (ready.status_code, ready.json()["parts"]["store"]) == (503, "down")
    assert system.http.get("/health-check").status_code == 200


def test_who_waits_for_the_store_keeps_nobody_waiting(calm: Running) -> None:
    """A request that waits for SQLite's lock does so in a thread: the others are served."""
    with closing(sqlite3.connect(calm.settings.database, isolation_level=None)) as lock, ThreadPoolExecutor(1) as pool:
        lock.execute("BEGIN IMMEDIATE")
        waiting = pool.submit(calm.http.post, "/process-data", json={})
        for _ in range(20):
            assert calm.http.get("/example").status_code == 200
        assert not waiting.done(), "answered before the lock was let go"
        lock.execute("ROLLBACK")
        assert waiting.result(SLACK).status_code == 202


def test_a_job_is_forgotten_when_its_retention_is_over(new_system: NewSystem) -> None:
    system = new_system("forgetful", retention=0.5, tick_seconds=0.2, pace=0)
    system.worker("worker-1", "-c", "1").ready()
    job = system.enqueue("system.divide", 1.0, 2.0)
    assert system.job_ended(job).result == 0.5

    def forgotten() -> bool:
        system.app.tasks["system.tick"].apply_async(ignore_result=True)
        return system.rows("select id from jobs") == []

    eventually(forgotten, within=SLACK, every=0.1, what="the job is dropped by a tick")
    assert job not in system.effects()
