"""Where eager mode lies: the same lines of code, in the caller's process and on a real worker.

Each row is a difference that a unit test on eager Celery can't see. Were a row to become equal, it would be red.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.result import AsyncResult

from system.celery_app import App, make_celery
from tests.integration import probe_worker  # noqa: F401  (its tasks belong to every application of this process)
from tests.integration.running import SLACK, Running

Scenario = Callable[[App, Path], Any]
PATIENCE = 0.4  # seconds that eager mode blocks its caller for


def call(app: App, task: str, *args: Any, **options: Any) -> AsyncResult[Any]:
    return app.tasks[f"tests.{task}"].apply_async(args=args, **options)


def get(result: AsyncResult[Any]) -> Any:
    return result.get(timeout=2 * SLACK)


def raised(function: Callable[[], object]) -> str:
    try:
        function()
    except Exception as error:
        return type(error).__name__
    return "nothing"


def mutated(app: App, _: Path) -> list[int]:
    mine: list[int] = []
    get(call(app, "append", mine))
    return mine


def meanwhile(app: App, folder: Path) -> bool:
    gate = folder / "gate"
    result = call(app, "opened", str(gate), PATIENCE if app.conf.task_always_eager else SLACK)
    gate.touch()
    return bool(get(result))


def first_state(app: App, folder: Path) -> str:
    gate = folder / "gate"
    result = call(app, "opened", str(gate), 0.0 if app.conf.task_always_eager else SLACK)
    state = "final" if result.state == "SUCCESS" else "not final"
    gate.touch()
    get(result)
    return state


def propagated(app: App, _: Path) -> str:
    app.conf.task_eager_propagates = True
    try:
        return raised(lambda: call(app, "fail"))
    finally:
        app.conf.task_eager_propagates = False


def remembered(app: App, _: Path) -> str:
    result = call(app, "pair")
    get(result)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # eager Celery warns of exactly this lie
        return str(app.AsyncResult(result.id).state)


def countdown(app: App) -> float:
    """Seconds: for eager mode so many that no busy machine takes them, because it does not wait for them."""
    return SLACK if app.conf.task_always_eager else PATIENCE


def held_back(app: App, _: Path) -> bool:
    seconds = countdown(app)
    return bool(get(call(app, "since", time.monotonic(), countdown=seconds)) >= seconds)


def limited(app: App, _: Path) -> str:
    patience = PATIENCE if app.conf.task_always_eager else SLACK
    return str(get(call(app, "endless", patience, soft_time_limit=PATIENCE / 5)))


def expired(app: App, _: Path) -> str:
    return raised(lambda: get(call(app, "pair", expires=-1)))


def in_queue(app: App, _: Path) -> int:
    call(app, "pair", queue="nobody")
    with app.connection_for_read() as connection:
        return int(connection.default_channel.client.llen("nobody"))  # type: ignore[attr-defined]


TABLE: list[tuple[str, Scenario, Any, Any]] = [
    # what,                                scenario,                                          eager, real
    ("a result keeps its type", lambda app, _: type(get(call(app, "pair"))).__name__, "tuple", "list"),
    ("it runs in this process", lambda app, _: get(call(app, "pid")) == os.getpid(), True, False),
    ("the caller goes on meanwhile", meanwhile, False, True),
    ("the first state that is seen", first_state, "final", "not final"),
    ("an error reaches the caller of delay()", propagated, "ValueError", "nothing"),
    ("the backend knows the id", remembered, "PENDING", "SUCCESS"),
    ("a retry waits for its countdown", lambda app, _: get(call(app, "patient", countdown(app))), False, True),
    ("a task waits for its countdown", held_back, False, True),
    ("time limits hold", limited, "finished", "stopped"),
    ("what has expired runs", expired, "nothing", "TaskRevokedError"),
    ("ignore_result ignores", lambda app, _: get(call(app, "pid", ignore_result=True)) is None, False, True),
    ("the message is kept until the end", lambda app, _: get(call(app, "unacked")), False, True),
    ("a queue that nobody reads holds it", in_queue, 0, 1),
]  # fmt: skip

# What eager mode is often blamed for, and does as a worker does (Celery 5.1 and later encode the arguments).
AGREED: list[tuple[str, Scenario, Any]] = [
    ("a tuple becomes a list", lambda app, _: get(call(app, "kind", (1, 2))), "list"),
    ("keys become text", lambda app, _: get(call(app, "key_kind", {1: 1})), "str"),
    ("a set is refused", lambda app, _: raised(lambda: call(app, "kind", {1})), "EncodeError"),
    ("the caller's list is its own", mutated, []),
]


@pytest.fixture(scope="module")
def eager(probe: Running) -> Iterator[App]:
    app = make_celery(probe.settings)
    app.conf.task_always_eager = True
    yield app
    app.close()


@pytest.mark.parametrize(("scenario", "in_eager", "in_real"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_eager_mode_lies(
    eager: App, probe: Running, tmp_path: Path, scenario: Scenario, in_eager: Any, in_real: Any
) -> None:
    (tmp_path / "eager").mkdir()
    (tmp_path / "real").mkdir()
    assert in_eager != in_real
    assert scenario(eager, tmp_path / "eager") == in_eager
    assert scenario(probe.app, tmp_path / "real") == in_real


@pytest.mark.parametrize(("scenario", "both"), [row[1:] for row in AGREED], ids=[row[0] for row in AGREED])
def test_eager_mode_agrees(eager: App, probe: Running, tmp_path: Path, scenario: Scenario, both: Any) -> None:
    assert scenario(eager, tmp_path) == both
    assert scenario(probe.app, tmp_path) == both
