"""Every endpoint over ASGI with eager Celery: the documents' answers, and what is promised about errors."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from system.settings import Settings
from system.work import EXAMPLE_SECONDS
from tests.unit.conftest import Serve, eager, ended

pytestmark = pytest.mark.asyncio

SUBMISSIONS = [
    ("/process", {"a": 1}, "SUCCESS", {"status": "completed", "result": "processed", "data": {"a": 1}}),
    ("/process-data", {"a": [None]}, "SUCCESS", {"status": "completed", "result": "processed", "data": {"a": [None]}}),
    ("/start-task", None, "SUCCESS", 0.5),
    ("/divide", {"x": 1, "y": 2}, "SUCCESS", 0.5),
    ("/divide", {"x": 1, "y": 0}, "FAILURE", None),
    ("/compute", {"n": 10}, "SUCCESS", 55),
]


@pytest.mark.parametrize(("path", "body", "state", "result"), SUBMISSIONS)
async def test_a_submission_is_accepted_runs_and_is_found(
    client: httpx.AsyncClient, path: str, body: Any, state: str, result: Any
) -> None:
    response = await client.post(path, json=body)
    assert response.status_code == 202
    answer = response.json()
    assert answer == {"message": "Task queued", "task_id": str(uuid.UUID(answer["task_id"]))}
    status = await ended(client, answer["task_id"])
    assert (status["task_status"], status["task_result"], status["attempts"]) == (state, result, 1)
    assert (status["error"] is None) == (state == "SUCCESS")


async def test_a_failure_says_why_in_json(client: httpx.AsyncClient) -> None:
    task_id = (await client.post("/divide", json={"x": 1, "y": 0})).json()["task_id"]
    assert (await ended(client, task_id))["error"] == {"type": "ZeroDivisionError", "message": "float division by zero"}


async def test_a_quotient_past_a_floats_range_is_a_failure(client: httpx.AsyncClient) -> None:
    task_id = (await client.post("/divide", json={"x": 1e308, "y": 1e-308})).json()["task_id"]
    assert (await ended(client, task_id))["error"]["type"] == "OverflowError"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", {"message": "Hello World"}),
        ("/health-check", {"status": "ok", "parts": {}}),
        (
            "/health-check/ready",
            {"status": "ok", "parts": {"store": "up", "broker": "up", "worker": "up"}, "reasons": {}},
        ),
        ("/example", {"message": "Done"}),
    ],
)
async def test_what_a_healthy_system_answers(client: httpx.AsyncClient, app: FastAPI, path: str, answer: Any) -> None:
    await asyncio.to_thread(app.state.services.store.saw, "worker")
    await asyncio.sleep(0)  # the monitor's first ping
    response = await client.get(path)
    assert (response.status_code, response.json()) == (200, answer)


async def test_an_unknown_id_is_told_from_a_waiting_job(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/task-status/{uuid.uuid4()}")
    assert (response.status_code, response.json()) == (404, {"detail": "no job has this id"})


async def test_example_serves_others_while_it_waits(
    configure: Callable[..., Settings], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, all_wait, may_end = list[float](), asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.append(seconds)
        if len(waiting) == 20:
            all_wait.set()
        await may_end.wait()

    monkeypatch.setattr("system.routers.health.sleep", sleep)
    client = await serve(eager(configure(pace=0.02)))
    waits = [asyncio.create_task(client.get("/example")) for _ in range(20)]
    await all_wait.wait()
    assert (await client.get("/")).status_code == 200
    assert not any(task.done() for task in waits)
    may_end.set()
    assert {response.status_code for response in await asyncio.gather(*waits)} == {200}
    assert waiting == [0.02 * EXAMPLE_SECONDS] * 20


async def test_over_the_backlog_nothing_is_recorded(configure: Callable[..., Settings], serve: Serve) -> None:
    app = eager(configure(backlog_limit=2, retry_after=7))
    client = await serve(app)
    services = app.state.services
    await asyncio.to_thread(services.publisher.stop, 5)  # nothing runs, so nothing ends
    ids = [(await client.post("/start-task", headers={"Idempotency-Key": key})).json()["task_id"] for key in "ab"]
    for path, body in (("/start-task", None), ("/process-data", {}), ("/deliver", {}), ("/compute", {"n": 1})):
        refused = await client.post(path, json=body)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "7")
        assert refused.json() == {"detail": "too many unfinished jobs"}
    assert (await client.get("/stats")).json()["jobs"] == {"PENDING": 2}
    again = await client.post("/start-task", headers={"Idempotency-Key": "a"})
    assert (again.status_code, again.json()["task_id"]) == (202, ids[0])


@pytest.mark.parametrize("damage", ["missing", "nonsense"])
async def test_without_its_store_the_system_says_so(app: FastAPI, serve: Serve, config: Settings, damage: str) -> None:
    client = await serve(app)

    def harm() -> None:
        for file in config.database.parent.glob("jobs.db*"):
            file.unlink()
        if damage == "missing":
            config.database.mkdir()
        else:
            config.database.write_bytes(b"nonsense" * 1_000)

    await asyncio.to_thread(harm)
    for method, path in [
        ("POST", "/process-data"),
        ("POST", "/start-task"),
        ("GET", "/task-status/x"),
        ("GET", "/stats"),
    ]:
        response = await client.request(method, path, json={} if path == "/process-data" else None)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5"), path
        assert response.json() == {"detail": "the job store can't be used"}
    ready = await client.get("/health-check/ready")
    assert (ready.status_code, ready.json()["parts"]) == (503, {"store": "down", "broker": "up"})
    assert (await client.get("/health-check")).status_code == 200


async def test_stats_count_what_happened(client: httpx.AsyncClient) -> None:
    for y in (0, 1, 2):
        await ended(client, (await client.post("/divide", json={"x": 1, "y": y})).json()["task_id"])
    stats = (await client.get("/stats")).json()
    assert stats["jobs"] == {"SUCCESS": 2, "FAILURE": 1}
    assert (stats["unfinished"], stats["oldest_unfinished_seconds"], stats["effects"]) == (0, None, 2)
