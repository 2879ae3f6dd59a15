"""The seeds' mistakes in-process: every wrong application shows its mistake, every mended one does not."""

import difflib
import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from blockbuster import BlockingError, blockbuster_ctx
from celery import _state

from examples.seeds.catalogue import MISTAKES, Mistake, Request

SEEDS = Path(__file__).parents[2] / "examples" / "seeds"
BY_NAME = {mistake.name: mistake for mistake in MISTAKES}
Load = Callable[[str, str], ModuleType]
Patch = pytest.MonkeyPatch
both = pytest.mark.parametrize("variant", ["wrong", "mended"])
each = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)

NO_IO = """
import importlib, os, sys
def watch(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event.startswith("subprocess.") or event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
        raise SystemExit(f"{event} {args} while importing {name}")
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@pytest.fixture
def load(monkeypatch: Patch, tmp_path: Path) -> Iterator[Load]:
    """Import an application anew, with its results in memory and no pretended work."""
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1:1/0")  # never called: publishing is replaced, or eager
    monkeypatch.setenv("RESULT_URL", "cache+memory://")
    monkeypatch.setenv("WORK_SECONDS", "0")
    monkeypatch.setenv("EFFECTS_FILE", str(tmp_path / "effects"))

    def load(name: str, variant: str) -> ModuleType:
        forget()
        return importlib.import_module(f"examples.seeds.{name}.{variant}")

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("examples.seeds.")]:
            del sys.modules[name]

    # Celery keeps the tasks of every application (`shared=True` is the default of `app.task`) and gives them to the
    # applications that are made later, here those of other tests.
    finalizers: set[Any] = vars(_state)["_on_app_finalizers"]
    shared = set(finalizers)
    yield load
    forget()
    finalizers.clear()
    finalizers.update(shared)


def effects(tmp_path: Path) -> list[tuple[str, str]]:
    path = tmp_path / "effects"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(line["name"], line["key"]) for line in map(json.loads, lines)]


def eager(module: ModuleType) -> None:
    module.celery.conf.update(task_always_eager=True, task_store_eager_result=True)


def publishing(monkeypatch: Patch, module: ModuleType, seconds: float = 0.0) -> list[Any]:
    """Replace publishing by a wait of so many seconds; returns the list of what was published."""
    published: list[Any] = []

    def apply_async(args: Any, *_: Any, **__: Any) -> None:
        time.sleep(seconds)
        published.append(args)

    monkeypatch.setattr(module.process_data, "apply_async", apply_async)
    return published


async def send(module: ModuleType, request: Request, key: str = "k", *, raises: bool = True) -> httpx.Response:
    """One operation. With `raises` an exception that leaves the application is raised here, not turned into a 500."""
    transport = httpx.ASGITransport(app=module.app, raise_app_exceptions=raises)
    async with httpx.AsyncClient(transport=transport, base_url="http://seeds") as client:
        method, path, body = request.with_key(key)
        return await client.request(method, path, json=body)


def failing_service(times: int) -> Callable[[str], None]:
    left = iter(range(times))

    def call_service(key: str) -> None:
        if next(left, None) is not None:
            raise ConnectionRefusedError(key)

    return call_service


def test_all_eleven_mistakes_are_there_and_nothing_else() -> None:
    assert len(MISTAKES) == len(BY_NAME) == 11
    assert {path.parent.name for path in SEEDS.glob("*/wrong.py")} == set(BY_NAME)
    assert {path.parent.name for path in SEEDS.glob("*/mended.py")} == set(BY_NAME)
    for mistake in MISTAKES:
        assert all([mistake.sentence.endswith("."), mistake.seeds, mistake.detector, mistake.fault])


def test_importing_does_no_io() -> None:
    files = sorted(SEEDS.rglob("*.py"))
    names = [".".join(file.relative_to(SEEDS.parents[1]).with_suffix("").parts) for file in files]
    assert len(names) > 3 * len(MISTAKES)
    command = [sys.executable, "-B", "-c", NO_IO, *names]
    subprocess.run(command, cwd=SEEDS.parents[1], timeout=60, check=True)


@each
def test_wrong_and_mended_are_launched_and_called_alike(mistake: Mistake, load: Load) -> None:
    seen = []
    for variant in ("wrong", "mended"):
        module = load(mistake.name, variant)
        paths = module.app.openapi()["paths"]
        operations = {(method.upper(), path) for path, methods in paths.items() for method in methods}
        assert ("GET", "/") in operations
        shape = mistake.request.path.replace("{key}", "")
        assert any(m == mistake.request.method and path.split("{")[0] == shape for m, path in operations)
        assert hasattr(module, "celery") == mistake.worker
        seen.append(operations)
    assert seen[0] == seen[1]


@each
def test_the_difference_is_the_mend(mistake: Mistake) -> None:
    wrong, mended = (
        (SEEDS / mistake.name / f"{variant}.py").read_text().splitlines() for variant in ("wrong", "mended")
    )
    changes = [line for line in difflib.ndiff(wrong, mended) if line[0] in "+-"]
    removed = [line for line in changes if line[0] == "-"]
    assert 1 <= len(changes) - len(removed) <= 16
    assert len(removed) <= 5


def test_the_factory_makes_applications_with_different_settings(load: Load, monkeypatch: Patch) -> None:
    create_app = load("definitive_guide.factory", "app_factory").create_app
    made = []
    for database in (3, 4):
        monkeypatch.setenv("BROKER_URL", f"redis://127.0.0.1:1/{database}")
        monkeypatch.setenv("RESULT_URL", f"redis://127.0.0.1:2/{database}")
        made.append(create_app())
    confs = [app.state.celery.conf for app in made]
    assert [conf.broker_url for conf in confs] == ["redis://127.0.0.1:1/3", "redis://127.0.0.1:1/4"]
    assert [conf.result_backend for conf in confs] == ["redis://127.0.0.1:2/3", "redis://127.0.0.1:2/4"]


# -- each mistake: the wrong one shows it, the mended one does not


@both
@pytest.mark.asyncio
async def test_blocking_loop(variant: str, load: Load, monkeypatch: Patch) -> None:
    module = load("blocking_loop", variant)
    published = publishing(monkeypatch, module, 0.001)
    await send(module, Request("GET", "/"))  # whatever a first request does once
    with blockbuster_ctx():
        if variant == "wrong":
            with pytest.raises(BlockingError, match=r"time\.sleep"):
                await send(module, BY_NAME["blocking_loop"].request)
        else:
            assert (await send(module, BY_NAME["blocking_loop"].request)).status_code == 200
            assert published == [({"key": "k"},)]


@both
@pytest.mark.asyncio
async def test_background_error(
    variant: str, load: Load, monkeypatch: Patch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module, request = load("background_error", variant), BY_NAME["background_error"].request
    monkeypatch.setattr(module, "call_service", failing_service(1))
    if variant == "wrong":
        with pytest.raises(ConnectionRefusedError):
            await send(module, request)
        assert effects(tmp_path) == []
    else:
        assert (await send(module, request)).status_code == 200
        assert effects(tmp_path) == [("write_notification", "k")]
        monkeypatch.setattr(module, "call_service", failing_service(99))
        await send(module, request, "never")
        assert effects(tmp_path)[1:] == [("notification_given_up", "never")]
        assert "attempt 3 of 3 to notify never" in caplog.text


@both
@pytest.mark.asyncio
async def test_no_retry(variant: str, load: Load, monkeypatch: Patch, tmp_path: Path) -> None:
    module = load("no_retry", variant)
    eager(module)
    monkeypatch.setattr(module, "call_service", failing_service(1))
    assert (await send(module, BY_NAME["no_retry"].request)).status_code == 200
    assert effects(tmp_path) == ([] if variant == "wrong" else [("process_data", "k")])


@both
@pytest.mark.asyncio
async def test_overusing_background(variant: str, load: Load, monkeypatch: Patch, tmp_path: Path) -> None:
    module = load("overusing_background", variant)
    published = publishing(monkeypatch, module)
    assert (await send(module, BY_NAME["overusing_background"].request)).status_code == 200
    in_this_process = effects(tmp_path) == [("process_data", "k")]
    assert (in_this_process, len(published)) == ((True, 0) if variant == "wrong" else (False, 1))


@both
@pytest.mark.asyncio
async def test_not_monitoring(variant: str, load: Load, monkeypatch: Patch) -> None:
    class Broker:
        waiting: int | None = 0

        def llen(self, queue: str) -> int:
            if self.waiting is None:
                raise redis.ConnectionError(queue)
            return self.waiting

    module, request, broker = load("not_monitoring", variant), BY_NAME["not_monitoring"].request, Broker()
    monkeypatch.setenv("BACKLOG_LIMIT", "5")
    monkeypatch.setattr(module, "broker", broker, raising=variant == "mended")
    published = publishing(monkeypatch, module)
    answers = []
    for broker.waiting in (4, 5, None):
        answers.append([(await send(module, r)).status_code for r in (Request("GET", "/health-check"), request)])
    assert answers == ([[200, 200]] * 3 if variant == "wrong" else [[200, 200], [503, 503], [503, 503]])
    assert len(published) == (3 if variant == "wrong" else 1)


@both
@pytest.mark.asyncio
async def test_ignoring_results(variant: str, load: Load, tmp_path: Path) -> None:
    module, mistake = load("ignoring_results", variant), BY_NAME["ignoring_results"]
    eager(module)
    task_id = (await send(module, mistake.request)).json()["task_id"]
    assert effects(tmp_path) == [("process_data", "k")]
    assert mistake.read
    status = (await send(module, mistake.read, task_id)).json()["task_status"]
    assert status == ("PENDING" if variant == "wrong" else "SUCCESS")


@both
@pytest.mark.asyncio
async def test_cpu_on_loop(variant: str, load: Load, monkeypatch: Patch) -> None:
    module = load("cpu_on_loop", variant)
    published = publishing(monkeypatch, module)
    computed_on: list[int] = []
    monkeypatch.setattr(module, "compute", lambda _: computed_on.append(threading.get_ident()))
    await send(module, BY_NAME["cpu_on_loop"].request)
    assert computed_on == ([threading.get_ident()] if variant == "wrong" else [])
    assert len(published) == (0 if variant == "wrong" else 1)


@both
def test_acks_early(variant: str, load: Load) -> None:
    task = load("acks_early", variant).process_data
    assert [bool(task.acks_late), bool(task.reject_on_worker_lost)] == [variant == "mended"] * 2


@both
@pytest.mark.parametrize("delay", [None, "4"])
def test_short_visibility(variant: str, delay: str | None, load: Load, monkeypatch: Patch) -> None:
    if delay:
        monkeypatch.setenv("DELAY_SECONDS", delay)
        monkeypatch.setenv("VISIBILITY_SECONDS", "1")
    module = load("short_visibility", variant)
    options = module.celery.conf.broker_transport_options
    assert (options["visibility_timeout"] < module.delay_seconds()) == (variant == "wrong")


@both
@pytest.mark.asyncio
async def test_failure_result(variant: str, load: Load) -> None:
    module, mistake = load("failure_result", variant), BY_NAME["failure_result"]
    eager(module)
    task_id = (await send(module, mistake.request)).json()["task_id"]
    assert mistake.read
    answer = await send(module, mistake.read, task_id, raises=False)
    if variant == "wrong":
        assert answer.status_code == 500
    else:
        reason = "ZeroDivisionError('division by zero')"
        assert answer.json() == {"task_id": task_id, "task_status": "FAILURE", "task_result": reason}


@both
@pytest.mark.parametrize("given", [2, 3])
def test_one_database(variant: str, given: int, load: Load, monkeypatch: Patch) -> None:
    monkeypatch.setenv("BROKER_URL", "redis://127.0.0.1:1/2")
    monkeypatch.setenv("RESULT_URL", f"redis://127.0.0.1:2/{given}")  # another edge to the same server
    conf = load("one_database", variant).celery.conf
    broker, results = urlsplit(conf.broker_url), urlsplit(conf.result_backend)
    assert results.netloc == "127.0.0.1:2"
    assert (broker.path == results.path) == (variant == "wrong")
