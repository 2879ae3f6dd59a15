"""The documents' own applications, as they say: uvicorn, the `celery worker` command and Redis, for real."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery

from brownout.subject.ports import free_port
from brownout.subject.processes.process import Process
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually

REPOSITORY = Path(__file__).parents[2]
SECONDS = 15.0


class Seed:
    """One of the applications, running. Processes end with the test."""

    def __init__(self, name: str, redis: RedisServer, folder: Path, stack: ExitStack) -> None:
        self.module = f"examples.seeds.{name}"
        self.folder, self._stack = folder, stack
        self.url = redis.url()
        self.effects = folder / "effects"
        self.env = {
            "BROKER_URL": self.url,
            "RESULT_URL": self.url,
            "WORK_SECONDS": "0.2",
            "EFFECTS_FILE": str(self.effects),
        }

    def launch(self, name: str, *arguments: str) -> Process:
        argv = [sys.executable, "-m", *arguments]
        log = self.folder / f"{name}.log"
        process = Process.launch(name, argv, log=log, env=self.env, cwd=REPOSITORY)
        self._stack.callback(process.kill)
        return process

    def api(self, server: str = "uvicorn", *options: str) -> httpx.Client:
        """Start the API; returns a client once it answers."""
        port = free_port()
        bind = ["--host", "127.0.0.1", "--port", str(port)] if server == "uvicorn" else ["--bind", f"127.0.0.1:{port}"]
        process = self.launch("api", server, f"{self.module}:app", *bind, *options)
        url = f"http://127.0.0.1:{port}"
        client = self._stack.enter_context(httpx.Client(base_url=url, timeout=SECONDS, trust_env=False))
        eventually(
            lambda: client.get("/openapi.json").is_success,
            within=SECONDS,
            what=f"{self.module} answers",
            evidence=process.tail,
            ignoring=httpx.TransportError,
        )
        return client

    def worker(self, celery: str) -> Process:
        return self.launch("worker", "celery", "-A", celery, "worker", "--loglevel=info", "--concurrency=1")

    @contextmanager
    def shell(self) -> Iterator[Celery]:
        """The documents' Python shell beside the application: sends tasks and reads results."""
        with Celery(broker=self.url, backend=self.url, set_as_current=False) as celery:
            yield celery
            backend: Any = celery.backend
            backend.client.close()

    def done(self, name: str, key: str | None = None) -> None:
        """Wait until this effect was taken."""
        eventually(
            lambda: (name, key) in self._effects(), within=SECONDS, what=f"{name} {key} is done", evidence=self._logs
        )

    def _effects(self) -> list[tuple[str, str | None]]:
        lines = self.effects.read_text().splitlines() if self.effects.exists() else []
        return [(line["name"], line["key"]) for line in map(json.loads, lines)]

    def _logs(self) -> str:
        return "\n".join(log.read_text()[-2000:] for log in sorted(self.folder.glob("*.log")))


@pytest.fixture
def seed(redis_server: RedisServer, tmp_path: Path) -> Iterator[Callable[[str], Seed]]:
    with ExitStack() as stack:
        yield lambda name: Seed(name, redis_server, tmp_path, stack)


def post(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body) if body else client.post(path)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert isinstance(content, dict)
    return content


def finished(client: httpx.Client, task_id: str) -> dict[str, Any]:
    def read() -> dict[str, Any] | None:
        status: dict[str, Any] = client.get(f"/task-status/{task_id}").json()
        return status if status["task_status"] in ("SUCCESS", "FAILURE") else None

    return eventually(read, within=SECONDS, what=f"task {task_id} ends") or {}


def test_async_handlers_and_celery_side_by_side(seed: Callable[[str], Seed]) -> None:
    """S0: an async handler that awaits, a sync one and an async one that send a task."""
    app = seed("async_handlers.main")
    app.worker("examples.seeds.async_handlers.main:celery")
    client = app.api()
    assert client.get("/example").json() == {"message": "Done"}
    assert post(client, "/start-task") == {"message": "Task started"}
    assert post(client, "/process", key="a") == {"message": "Task queued"}
    app.done("long_running_task")
    app.done("process_data", "a")


def test_rest_api_submits_a_task_and_tells_its_state(seed: Callable[[str], Seed]) -> None:
    """S2: PENDING before a worker is there, then SUCCESS with the result.

    The reason of a failure is lost: as the post prints it, FastAPI makes an empty object of the exception.
    """
    app = seed("rest_api.main")
    client = app.api()
    answer = post(client, "/process-data", key="a")
    task_id = answer["task_id"]
    assert answer == {"task_id": task_id, "message": "Data processing task submitted"}
    pending = {"task_id": task_id, "task_status": "PENDING", "task_result": None}
    assert client.get(f"/task-status/{task_id}").json() == pending
    app.worker("examples.seeds.rest_api.tasks")
    result = {"status": "completed", "result": "processed"}
    assert finished(client, task_id) == {"task_id": task_id, "task_status": "SUCCESS", "task_result": result}
    app.done("process_data", "a")
    with app.shell() as celery:
        failing = celery.send_task("examples.seeds.rest_api.tasks.process_data", (["no dict"],)).id
    assert finished(client, failing) == {"task_id": failing, "task_status": "FAILURE", "task_result": {}}


@pytest.mark.parametrize(
    ("name", "path", "effect", "key", "message"),
    [
        (
            "rest_api.notifications",
            "/send-notification/a@b.c",
            "write_notification",
            "a@b.c",
            "Notification scheduled to be sent in the background",
        ),
        (
            "background_tasks.main",
            "/execute-task/",
            "task_to_run_in_background",
            None,
            "Task is running in the background.",
        ),
    ],
)
def test_a_background_task_runs_after_the_response(
    seed: Callable[[str], Seed], name: str, path: str, effect: str, key: str | None, message: str
) -> None:
    """S2, S4. The effect goes into a pipe, where it waits for a reader: the response cannot have waited for it."""
    app = seed(name)
    os.mkfifo(app.effects)
    assert post(app.api(), path) == {"message": message}
    line = json.loads(app.effects.read_text())
    assert (line["name"], line["key"], line["task"]) == (effect, key, None)


def test_the_guide_divides(seed: Callable[[str], Seed]) -> None:
    """S3, chapter 3: hello world; 1/2 is PENDING, then SUCCESS 0.5; 1/0 is FAILURE with a ZeroDivisionError."""
    app = seed("definitive_guide.main")
    assert app.api().get("/").json() == {"message": "Hello World"}
    with app.shell() as celery:
        divide = "examples.seeds.definitive_guide.main.divide"
        half, never = celery.send_task(divide, (1, 2)), celery.send_task(divide, (1, 0))
        assert (half.state, half.result) == ("PENDING", None)
        worker = app.worker("examples.seeds.definitive_guide.main.celery")
        eventually(lambda: half.ready() and never.ready(), within=SECONDS, what="both end", evidence=worker.tail)
        assert (half.state, half.result) == ("SUCCESS", 0.5)
        assert (never.state, repr(never.result)) == ("FAILURE", "ZeroDivisionError('division by zero')")
        assert worker.tail(200).count("succeeded in") == 1


def test_the_application_factory(seed: Callable[[str], Seed]) -> None:
    """S3, chapter 4: the router answers, and a worker starts on the factory's own Celery application."""
    app = seed("definitive_guide.factory.main")
    assert app.api().get("/health-check").json() == {"status": "ok"}
    worker = app.worker("examples.seeds.definitive_guide.factory.main:celery")
    eventually(lambda: "ready." in worker.tail(), within=SECONDS, what="the worker is ready", evidence=worker.tail)
    banner = worker.tail(40)
    assert "FastAPI with Celery" in banner
    assert f"results:     {app.url}" in banner


def test_gunicorn_with_four_uvicorn_workers(seed: Callable[[str], Seed]) -> None:
    """S1: gunicorn's master with four workers (their class has left uvicorn for a package of its own)."""
    client = seed("definitive_guide.main").api("gunicorn", "--workers=4", "--worker-class=uvicorn_worker.UvicornWorker")
    assert client.get("/").json() == {"message": "Hello World"}
