"""What is read of an application's code from its live objects: which calls are reached, and which numbers they have."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from brownout.probes.source.calls import calls, refuses
from brownout.probes.source.facts import _retry_delays, of_api, of_celery
from brownout.probes.source.functions import code_of, own, plain
from brownout.probes.source.numbers import number

HEAD = """
import asyncio, functools, os
from asyncio import to_thread
from celery import Celery, chain, chord, group
from celery.exceptions import Ignore, Reject
from celery.result import AsyncResult
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI
app, celery = FastAPI(), Celery("shop", broker="memory://", set_as_current=False)
MINUTE = 60

@celery.task(name="send", shared=False)
def send(*args): ...
"""
Write = Callable[[str], ModuleType]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Imports HEAD and more code as the module `written_shop`."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> ModuleType:
        (tmp_path / "written_shop.py").write_text(HEAD + source)
        return import_module("written_shop")

    yield write
    sys.modules.pop("written_shop", None)


def kinds(function: Any) -> list[tuple[str, str]]:
    return [(call["kind"], call["task"]) for call in calls(function)]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("send.delay(1)", [("publish", "send")]),
        ("send.apply_async((1,))", [("publish", "send")]),
        ("send.s(1).set(queue='q').delay()", [("publish", "send")]),
        ("chain(send.s(1), send.s(2)).apply_async()", [("publish", "")]),
        ("celery.send_task('other')", [("publish", "other")]),
        ("send(1)", [("run", "send")]),
        ("send.AsyncResult('x').status", [("result", "send")]),
        ("celery.AsyncResult('x').status", [("result", "")]),
        ("AsyncResult('x').status", [("result", "")]),
        ("chord(send.s(n) for n in range(2))(send.s())", [("publish", "")]),
        ("group(send.s(1), send.s(2))()", [("publish", "")]),
        ("chord([send.s(1)])", []),
        ("if 1:\n        for _ in [send.delay()]: pass", [("publish", "send")]),
        ("from written_shop import send as later; later.delay()", [("publish", "send")]),
        ("import written_shop as w; w.send.delay()", [("publish", "send")]),
        ("below()", [("publish", "send")]),
        ("await above()", [("publish", "send")]),
        ("cached()", [("publish", "send")]),
        ("Service().store()", []),  # what a call returns is unknown
        ("SERVICE.store()", [("publish", "send")]),
        ("await asyncio.to_thread(send.delay, 1)", []),
        ("await to_thread(below)", []),
        ("await asyncio.get_running_loop().run_in_executor(None, below)", []),
        ("await to_thread(lambda: send.delay(1))", []),
        ("def inner(): send.delay()\n    await to_thread(inner)", []),
        ("send = object(); send.delay()", []),
        ("parameter.delay()", []),
        ("parameter.add_task(below)", []),
        ("background.add_task(below)", [("background", "")]),
        ("quoted.add_task(below)", [("background", "")]),
    ],
)
def test_the_calls_of_a_function(written: Write, body: str, found: list[tuple[str, str]]) -> None:
    module = written(f"""
class Service:
    def store(self): below()
SERVICE = Service()
def below(): send.delay()
async def above(): below()
@functools.lru_cache
def cached(): below()
async def route(parameter, background: BackgroundTasks, quoted: "BackgroundTasks"):
    {body}
""")
    assert kinds(module.route) == found


def test_functions_that_call_each_other_end(written: Write) -> None:
    module = written("""
def one(): two()
def two():
    one()
    send.delay()
""")
    assert kinds(module.one) == [("publish", "send")]


def test_a_place_is_that_of_the_call(written: Write) -> None:
    module = written("""
def plainly(function):
    @functools.wraps(function)
    def wrapper(*args): return function(*args)
    return wrapper

@plainly
@plainly
def route():
    "Text."

    send.delay()
""")
    (call,) = calls(module.route)
    lines = Path(str(module.__file__)).read_text().splitlines()
    assert lines[call["line"] - 1].strip() == "send.delay()"
    assert calls(functools_partial(module.route)) == [call]


def functools_partial(function: Any) -> Any:
    import functools

    return functools.partial(function)


@pytest.mark.parametrize(
    ("options", "countdown", "ignored"),
    [
        ("countdown=5", 5, False),
        ("countdown=2 * MINUTE + 0.5", 120.5, False),
        ("countdown=max(3, int('4'))", 4, False),
        ("countdown=delay()", 7200, False),
        ("countdown=Settings.delay", 9, False),
        ("countdown=parameter", None, False),
        ("countdown=effectful()", None, False),
        ("countdown=settings.computed", None, False),
        ("countdown=10 ** 10 ** 10", None, False),
        ("countdown=True", None, False),
        ("countdown=1 / 0", None, False),
        ("ignore_result=True", None, True),
        ("ignore_result=False", None, False),
        ("**parameter", None, None),
    ],
)
def test_the_options_of_a_publish(
    written: Write, monkeypatch: pytest.MonkeyPatch, options: str, countdown: float | None, ignored: bool | None
) -> None:
    monkeypatch.delenv("SHOP_DELAY", raising=False)
    module = written(f"""
class Settings:
    delay = 9
    @property
    def computed(self): return CALLED.append(1) or 8
settings, CALLED = Settings(), []
def delay():
    "Two hours."
    return float(os.environ.get("SHOP_DELAY", 120 * MINUTE))
def effectful():
    CALLED.append(1)
    return 7
def route(parameter): send.apply_async((1,), {options})
""")
    (call,) = calls(module.route)
    assert (call["countdown"], call["ignored"]) == (countdown, ignored)
    assert module.CALLED == [], "nothing of the application is called"


def test_a_variable_of_the_environment_is_read(written: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    module = written(
        "def route(): return float(os.getenv('SHOP_DELAY', '3')) + float(os.environ.get('OTHER_DELAY', 1))"
    )
    monkeypatch.setenv("SHOP_DELAY", "11")
    monkeypatch.delenv("OTHER_DELAY", raising=False)
    code = code_of(module.route)
    assert code
    assert number(code, code.tree.body[0].value) == 12  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ("raise Ignore()", True),
        ("raise Reject('x', requeue=False)", True),
        ("raise Ignore", True),
        ("if self.request.delivery_info['redelivered']: return", True),
        ("raise ValueError", False),
        ("return Ignore", False),
    ],
)
def test_a_task_that_refuses_deliveries(written: Write, body: str, refused: bool) -> None:
    module = written(f"""
def inner(self):
    {body}
def run(self): inner(self)
""")
    assert refuses(module.run) is refused


@pytest.mark.parametrize(
    ("options", "body", "delays"),
    [
        ("", "pass", []),
        ("", "self.retry(countdown=20)", [20]),
        ("", "self.retry()", [180]),
        ("default_retry_delay=7", "self.retry(exc=ValueError())", [7]),
        ("", "self.retry(countdown=unknown)", []),
        ("", "self.retry(**unknown)", []),
        ("autoretry_for=(ValueError,)", "pass", [180]),
        ("autoretry_for=(ValueError,), retry_kwargs={'countdown': 4}", "pass", [4]),
        ("autoretry_for=(ValueError,), retry_backoff=True, max_retries=5", "pass", [16]),
        ("autoretry_for=(ValueError,), retry_backoff=100, max_retries=None", "pass", [600]),
        ("autoretry_for=(ValueError,), retry_backoff=3, retry_backoff_max=10, max_retries=9", "pass", [10]),
    ],
)
def test_the_longest_countdown_of_a_retry(written: Write, options: str, body: str, delays: list[float]) -> None:
    module = written(f"""
@celery.task(bind=True, shared=False, {options})
def tried(self, unknown=None): {body}
""")
    task = module.celery.tasks[module.tried.name]
    assert list(_retry_delays(task, calls(plain(task.run), thread=True))) == delays


def test_routes_with_their_dependencies_and_prefixes(written: Write) -> None:
    written("""
async def blocking(): send.delay()
def threaded(): send.delay()
router = APIRouter(prefix="/jobs")
@router.post("/new", dependencies=[Depends(blocking), Depends(threaded)])
def route(): ...
app.include_router(router, prefix="/v1")
@app.get("/own")
async def own(): send.delay()
""")
    found = {
        route["route"]: [call["on_loop"] for call in route["calls"]] for route in of_api("written_shop:app")["routes"]
    }
    assert found["POST /v1/jobs/new"] == [True, False]
    assert found["GET /own"] == [True]


def test_the_keys_that_a_route_reads_from_its_parameters(written: Write) -> None:
    written("""
other = {"a": 1}
@app.post("/jobs")
def create(payload: dict): return payload["kind"], payload["kind"], payload["to"], other["a"], payload[0]
""")
    assert [route["keys"] for route in of_api("written_shop:app")["routes"] if route["route"] == "POST /jobs"] == [
        ["kind", "to"]
    ]


def test_settings_and_tasks(written: Write) -> None:
    written("""
celery.conf.update(broker_url="redis://localhost:6379/3", result_backend="redis://127.0.0.1/3", task_time_limit=30,
    task_acks_late=True, broker_transport_options={"visibility_timeout": 90, "socket_timeout": 2},
    beat_schedule={"tick": {"task": "send", "schedule": 60, "options": {"countdown": 5, "expires": 60}}})
@celery.task(name="kept", shared=False, acks_late=False, ignore_result=True, time_limit=5)
def kept(first, *rest, second, third=3): ...
""")
    facts = of_celery("written_shop:celery")
    # Shared tasks of other tests may be there, too.
    kept, sent = (next(task for task in facts["tasks"] if task["name"] == name) for name in ("kept", "send"))
    assert (kept["name"], kept["acks_late"], kept["ignore_result"], kept["time_limit"]) == ("kept", False, True, 5)
    assert (sent["name"], sent["acks_late"], sent["ignore_result"], sent["time_limit"]) == ("send", True, False, 30)
    assert (kept["needs"], sent["needs"]) == (["first"], [])
    assert facts["beat"] == [{"task": "send", "countdown": 5, "expires": True}]
    told = ("transport", "visibility", "socket_timeout", "one_database", "backend", "watched", "channel_error_retry")
    assert [facts[name] for name in told] == ["redis", 90.0, 2, True, "redis", facts["watched"], False]


@pytest.mark.parametrize("database", ["redis://127.0.0.1/4", "redis://127.0.0.2/3", "redis://127.0.0.1:7000/3"])
def test_two_databases(written: Write, database: str) -> None:
    written(f"celery.conf.update(broker_url='redis://localhost:6379/3', result_backend={database!r})")
    assert of_celery("written_shop:celery")["one_database"] is False


def test_only_functions_of_the_application_are_its_own(written: Write) -> None:
    assert own(written("def route(): ...").route)
    assert not own(pytest.raises)
    assert not own(len)
    assert not own(eval("lambda: 1"))
