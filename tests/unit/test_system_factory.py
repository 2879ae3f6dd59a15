"""`create_app`: no I/O before the lifespan, several applications side by side, liveness without a broker."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio import to_thread
from fastapi import FastAPI
from pydantic import TypeAdapter

from system.factory import create_app
from system.job import Job
from system.services import Services, services_of
from system.settings import Settings
from tests.unit.conftest import Broker, Serve, eager, lifespan

ROOT = Path(__file__).parents[2]

# In a process of its own: an audit hook can't be removed, and here the imports are to be seen, too.
WITHOUT_IO = """
import os, sys
def hook(event, args):
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise SystemExit(f"{event} {args}")
    if event.split(".")[0] in ("socket", "sqlite3", "subprocess") and event != "socket.__new__":
        raise SystemExit(f"{event} {args}")
sys.addaudithook(hook)
from system.main import app
from system.factory import create_app
create_app()
import threading
print(app.title, threading.active_count())
"""


def test_constructing_opens_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-B", "-c", WITHOUT_IO]
    environment = {"PYTHONPATH": str(ROOT), "SYSTEM_DATABASE": str(tmp_path / "jobs.db")}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "FastAPI with Celery 1\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
async def test_no_request_waits_for_the_models_of_the_routes(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI may make them at the first request, on the event loop."""
    made: list[object] = []
    make = TypeAdapter.__init__

    def seen(self: TypeAdapter[Any], type_: Any, **more: Any) -> None:
        made.append(type_)
        make(self, type_, **more)

    async with (
        lifespan(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        monkeypatch.setattr(TypeAdapter, "__init__", seen)
        answers = [await client.get(path) for path in ("/health-check", "/status/unknown")]
    assert [answer.status_code for answer in answers] == [200, 404]
    assert made == []


async def down() -> bool:
    """A broker that is not there."""
    raise ConnectionRefusedError("no broker")


@pytest.fixture
def pair(configure: Callable[..., Settings], tmp_path: Path) -> list[FastAPI]:
    """Two applications with different settings."""
    return [
        eager(
            configure(
                app_name=name, database=tmp_path / f"{name}.db", broker_url=f"redis://{name}:1/0", body_limit=limit
            )
        )
        for name, limit in (("one", 10), ("two", 20))
    ]


def test_two_applications_have_a_broker_and_tasks_each(pair: list[FastAPI]) -> None:
    apps = [app.state.services.celery for app in pair]
    assert [app.conf.broker_url for app in apps] == ["redis://one:1/0", "redis://two:1/0"]
    assert [app.tasks["system.divide"].app for app in apps] == apps


@pytest.mark.asyncio
async def test_two_applications_share_nothing(pair: list[FastAPI], serve: Serve) -> None:
    first, second = [await serve(app) for app in pair]
    body = {"ab": "cdef"}  # 13 bytes
    assert (await first.post("/process-data", json=body)).status_code == 413
    task_id = (await second.post("/process-data", json=body)).raise_for_status().json()["task_id"]
    assert (await second.get(f"/task-status/{task_id}")).status_code == 200
    assert (await first.get(f"/task-status/{task_id}")).status_code == 404
    assert [app.title for app in pair] == ["one", "two"]


@pytest.mark.asyncio
async def test_without_a_broker_it_starts_lives_and_is_not_ready(config: Settings, serve: Serve) -> None:
    client = await serve(create_app(config, ping=down))
    assert (await client.get("/health-check")).json() == {"status": "ok", "parts": {}}
    assert (await client.get("/")).status_code == 200
    response = await client.get("/health-check/ready")
    assert response.status_code == 503
    reasons = {"broker": "the broker did not answer the newest ping"}
    parts = {"store": "up", "broker": "down"}
    assert response.json() == {"status": "unavailable", "parts": parts, "reasons": reasons}


@pytest.mark.asyncio
async def test_without_a_broker_jobs_are_accepted_and_left_to_the_relay(
    app: FastAPI, broker: Broker, serve: Serve
) -> None:
    broker.down = True
    broker.serve(app.state.services.celery)
    client = await serve(app)
    task_id = (await client.post("/start-task")).raise_for_status().json()["task_id"]
    await asyncio.to_thread(broker.tried.get, timeout=5)
    assert (await client.get(f"/task-status/{task_id}")).json()["task_status"] == "PENDING"
    assert (await client.get("/stats")).json()["unfinished"] == 1


@pytest.mark.asyncio
async def test_dependencies_can_be_replaced(app: FastAPI, serve: Serve) -> None:
    """The unit layer's way in: no test puts something in the place of a module's global."""
    original: Services = app.state.services

    class Crowded:
        def offer(self, _job: Job) -> bool:
            return False

    replaced = Services(original.settings, original.celery, original.store, Crowded(), original.monitor)  # type: ignore[arg-type]
    app.dependency_overrides[services_of] = lambda: replaced
    client: httpx.AsyncClient = await serve(app)
    task_id = (await client.post("/start-task")).raise_for_status().json()["task_id"]
    assert (await client.get(f"/task-status/{task_id}")).json()["task_status"] == "PENDING"


@pytest.mark.asyncio
@pytest.mark.parametrize("keys", [{}, {"alice": "k" * 32}], ids=["local", "keys"])
async def test_a_job_is_accepted_while_sync_handlers_have_all_threads(
    configure: Callable[..., Settings], serve: Serve, keys: dict[str, str]
) -> None:
    """A sync dependency would wait for one of those threads, and cost each request the way there and back."""
    client: httpx.AsyncClient = await serve(eager(configure(api_keys=keys)))
    client.headers["Authorization"] = f"Bearer {'k' * 32}"
    limiter = to_thread.current_default_thread_limiter()
    handlers = [object() for _ in range(int(limiter.total_tokens))]
    for handler in handlers:
        limiter.acquire_on_behalf_of_nowait(handler)
    try:
        async with asyncio.timeout(60):  # for ever, if a dependency waits for a thread
            for body in ("/process-data", "/execute-task/"):
                (await client.post(body, json={})).raise_for_status()
            assert sum((await client.get("/stats")).json()["jobs"].values()) == 1
    finally:
        for handler in handlers:
            limiter.release_on_behalf_of(handler)


@pytest.mark.asyncio
async def test_the_lifespan_begins_and_ends_what_runs_beside_the_requests(app: FastAPI) -> None:
    def publishers() -> int:
        return sum(thread.name.startswith("publisher-") for thread in threading.enumerate())

    before, tasks = publishers(), len(asyncio.all_tasks())
    async with lifespan(app):
        assert publishers() == before + 2
    assert publishers() == before
    assert len(asyncio.all_tasks()) == tasks


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({}, "no worker has ever told that it takes messages"),
        ({"worker": 30}, "no worker has told for 30 s that it takes messages"),
        (
            {"worker": 30, "silent worker": 1},
            "no worker has told for 30 s that it takes messages; a worker is alive, but messages wait",
        ),
        ({"worker": 1, "silent worker": 1}, ""),
    ],
)
async def test_readiness_says_why_no_worker_takes_messages(
    app: FastAPI, serve: Serve, monkeypatch: pytest.MonkeyPatch, told: dict[str, float], reason: str
) -> None:
    client = await serve(app)
    monkeypatch.setattr(app.state.services.store, "silences", lambda: told)
    await asyncio.sleep(0)  # the monitor's first ping
    response = await client.get("/health-check/ready")
    assert response.status_code == (503 if reason else 200)
    assert response.json()["parts"] == {"store": "up", "broker": "up", "worker": "down" if reason else "up"}
    assert response.json()["reasons"] == ({"worker": reason} if reason else {})
