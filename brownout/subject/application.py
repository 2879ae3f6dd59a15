"""The description of the application under test: its parts, its environment, and where its records are."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from brownout.history.event import Event

#: A reader returns the effects, or the accepted jobs, that are new since its last call; each trial has its own reader.
EffectReader = Callable[[], Iterable[Event]]
IMPORT_WITHIN = 60  # seconds
# Packages with the same name as their module
PACKAGES = frozenset({"celery", "fastapi", "httpx", "kombu", "redis", "sqlalchemy", "uvicorn"})


@dataclass(frozen=True)
class Application:
    """An application under test. The application runs unchanged; the trial configures it by environment variables.

    `celery` is the argument of `celery -A` (None: no worker), `api` an ASGI application "module:attribute" or
    "module:factory()", `relay` the module and the arguments after `python -m`. In the values of `env`, {broker} and
    {backend} become Redis URLs, and {files} becomes a directory of the trial. `ready` is a path that answers 200 when
    the API can work. `status` is a path with {task} that tells a task's state. `state`, `result` and `task` name fields
    of the API's JSON answers. `effects` makes a reader of the effects in the trial's directory; `effects` is None when
    the application records no effect outside of Celery. `accepted` makes a reader of the jobs that the application's
    own store has accepted: an accepted job that never runs is lost, also when its client got no answer. `rows`
    makes a reader of what this store says of each job when the drain has ended, for the report of a failure. `queues`
    are the queues that workers read (`-Q`); when empty, workers read the queues of the application's configuration.
    `recovery` is the time in seconds after which the application itself publishes a lost message again; 0 when the
    application never does. A job counts as lost when it is in no queue and on no worker for longer than `recovery`
    seconds. When a worker ends with an exit code in `steps_down`, it wants to be restarted, and has not failed. `polls`
    are patterns of Redis requests ("LLEN .*") that the application sends periodically, `monitors` are processes that
    open connections periodically; fault maps leave both out. `settings` names the application's own settings
    ("module:attribute": a mapping, a model, or a function that returns one), so that each trial's `conf.json` has them.
    """

    celery: str | None = None
    api: str | None = None
    relay: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    queues: tuple[str, ...] = ()
    ready: str = "/"
    status: str | None = None
    task: str = "task_id"
    state: str = "task_status"
    result: str = "task_result"
    effects: Callable[[Path], EffectReader] | None = None
    accepted: Callable[[Path], EffectReader] | None = None
    rows: Callable[[Path], EffectReader] | None = None
    recovery: float = 0.0
    steps_down: tuple[int, ...] = ()
    polls: tuple[str, ...] = ()
    monitors: tuple[str, ...] = ()
    settings: str | None = None

    def environment(self, **places: object) -> dict[str, str]:
        """Return `env` with {broker}, {backend} and other `places` replaced; unknown names in braces stay as they
        are."""
        return filled(self.env, {name: str(place) for name, place in places.items()})


def filled(env: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """Return `env` with each `{name}` of `places` replaced by its value; other braces, such as those of JSON, stay."""
    if not places:
        return dict(env)
    known = re.compile("|".join(re.escape(f"{{{name}}}") for name in places))
    return {name: known.sub(lambda match: places[match[0][1:-1]], value) for name, value in env.items()}


@dataclass(frozen=True)
class Surface:
    """The tasks and routes of an application, so that a misspelt name is an error before a trial starts.

    `takes` maps a task to the names of its parameters, or to None when the task takes any keyword. `layout` describes
    the Redis keys of the application, see `Layout.of`. `conf` has the settings, such as time-outs, from which a map's
    waiting times follow.
    """

    tasks: tuple[str, ...]
    routes: tuple[str, ...]
    takes: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict, hash=False)
    layout: Mapping[str, Any] = field(default_factory=dict, hash=False)
    conf: Mapping[str, Any] = field(default_factory=dict, hash=False)


class NotImportable(ValueError):
    """An application can't be imported, or a library that it needs is missing.

    `trace` is the traceback; `modules` are the names of the application's own modules. When a library is missing, the
    message is one line with the command that installs it.
    """

    def __init__(self, trace: str, *modules: str | None) -> None:
        found = re.search(r"^ModuleNotFoundError: No module named '(([^.']+)[^']*)'\s*\Z", trace, re.MULTILINE)
        if not found:
            super().__init__(f"the application can't be imported:\n{trace[-2_000:]}")
        elif found[2] in {re.split("[.:]", module)[0] for module in modules if module}:
            where = "; type the command in the directory that has it" if found[1] == found[2] else ""
            super().__init__(f"there is no module {found[1]}{where}")
        elif found[2] in PACKAGES:
            pip = shlex.join([sys.executable, "-m", "pip", "install", found[2]])
            super().__init__(f"the application needs {found[1]}, which is not installed; type: {pip}")
        else:
            why = f"install the package that has it for {sys.executable}"
            super().__init__(f"the application needs the module {found[1]}, which is not installed; {why}")


@cache
def surface(application: Application, root: Path, settings: str = "{}") -> Surface:
    """Import the application in a separate process and read its tasks, routes and settings.

    `settings` (JSON) override Celery settings of the application. Raises NotImportable with the reason when the
    application can't be imported, or not within IMPORT_WITHIN.
    """
    places = {"broker": "redis://127.0.0.1:1/0", "backend": "redis://127.0.0.1:1/1", "files": os.devnull}
    argv = [sys.executable, "-m", "brownout.probes.surface", application.celery or "", application.api or ""]
    hosted = {"BROWNOUT_CELERY": application.celery or "", "BROWNOUT_CONF": settings}
    env = {**os.environ, **hosted, **application.environment(**places)}
    try:
        done = subprocess.run(
            argv, cwd=root, env=env, capture_output=True, text=True, check=False, timeout=IMPORT_WITHIN
        )
    except subprocess.TimeoutExpired:
        raise NotImportable(f"the application was not imported within {IMPORT_WITHIN} s") from None
    if done.returncode:
        raise NotImportable(done.stderr, application.celery, application.api)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    takes = {task: None if names is None else tuple(names) for task, names in answer["tasks"].items()}
    return Surface(tuple(answer["tasks"]), tuple(answer["routes"]), takes, answer["layout"], answer["conf"])
