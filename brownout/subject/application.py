"""The description of the application under test: its parts, its environment, and where its records are."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from brownout.history.event import Event
from brownout.plan.topology import Workers
from brownout.subject.environment import Unusable as Unusable
from brownout.subject.environment import environment_of, filled, folder_of
from brownout.subject.processes.scratch import scratch

#: A reader returns the effects, or the accepted jobs, that are new since its last call; each trial has its own reader.
EffectReader = Callable[[], Iterable[Event]]
IMPORT_WITHIN = 60  # Seconds.
NOWHERE = "redis://127.0.0.1:1"  # The broker and the result backend of a process that connects to neither of them.
_RAISED = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Warning|Exit|Configured|Interrupt)\b")
# Packages that have the same name as the module that an application imports from them
PACKAGES = frozenset({"celery", "fastapi", "httpx", "kombu", "redis", "sqlalchemy", "uvicorn"})


@dataclass(frozen=True)
class Application:
    """An application under test. The application runs unchanged; the trial configures it by environment variables.

    `celery` is the argument of `celery -A` (None means that there is no worker), `api` an ASGI application
    "module:attribute" or "module:factory()", `relay` the module and the arguments after `python -m`. In the values of
    `env`, {broker} and {backend} become Redis URLs, and {files} becomes a directory of the trial. `ready` is a path
    that answers below 400 when the API can work; without a path, every answer to GET / below 500 counts. `status` is a
    path with {task} that tells a task's state. The API's answers in JSON have the fields that `state`, `result` and
    `task` name. `effects` makes a reader of the effects in the trial's directory; `effects` is None when the
    application records no effect outside of Celery. `accepted` makes a reader of the jobs that the application's own
    store has accepted: an accepted job that never runs is lost, also when its client got no answer. `rows` makes a
    reader that tells what this store says of each job when the drain (the wait for all work) has ended; the report of a
    failure shows this. `queues` are the queues that workers read (option `-Q`); if empty, workers read the queues of
    the application's configuration. `recovery` is the time in seconds after which the application itself publishes a
    lost message again; 0 if the application never publishes one again. A job counts as lost when it is in no queue and
    on no worker for longer than `recovery` seconds. A worker that ends with an exit code in `steps_down` wants to be
    restarted, and has not failed. `polls` are patterns of Redis requests ("LLEN .*") that the application sends
    periodically, `monitors` are processes that open connections periodically; fault maps leave both out. `settings`
    names the application's own settings ("module:attribute": a mapping, a model, or a function that returns one), so
    that each trial's `conf.json` has them.

    `python` is the Python of the application's own environment; empty when the application uses the same environment as
    brownout. `pool`, `concurrency` and `options` are the options of the command that starts a worker. `folders` and
    `part_env` map a role ("worker", "api", "relay", "beat") to its working directory and its additional environment
    variables. `env_file` is the name of a file such as ".env" in the working directory of a role. `prepare` are shell
    commands that run before the processes of each trial start; the commands get the variables `env`, and {files}
    becomes a directory of the trial.
    """

    celery: str | None = None
    api: str | None = None
    relay: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    queues: tuple[str, ...] = ()
    ready: str = ""
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
    python: str = ""
    pool: str = "prefork"
    concurrency: int = 1
    options: tuple[str, ...] = ()
    folders: Mapping[str, str] = field(default_factory=dict, hash=False)
    part_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    env_file: str = ""
    prepare: tuple[str, ...] = ()

    def workers(self, count: int = 1) -> Workers:
        """Return the description of `count` workers, started as the application's own command starts them."""
        own = Workers()
        options = (*own.options, *(option for option in self.options if option not in own.options))
        return Workers(count, self.pool, self.concurrency, self.queues, options=options)

    def environment(self, **places: object) -> dict[str, str]:
        """Return `env` with {broker}, {backend} and other `places` replaced; unknown names in braces stay as they
        are."""
        return filled(self.env, {name: str(place) for name, place in places.items()})


@dataclass(frozen=True)
class Surface:
    """The tasks and routes of an application, so that a misspelt name is an error before a trial starts.

    `takes` maps a task to the names of its parameters, or to None when the task takes any keyword. `layout` describes
    the keys of the application in Redis, see `Layout.of`. `conf` has the settings of Celery, such as time-outs, from
    which a fault map calculates its waiting times. `wiring` tells where the application connects to, and the schemes of
    the URLs in its own settings. The tasks that `ignores` names store no result. `versions` are the versions of the
    application's Python and libraries.
    """

    tasks: tuple[str, ...]
    routes: tuple[str, ...]
    takes: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict, hash=False)
    layout: Mapping[str, Any] = field(default_factory=dict, hash=False)
    conf: Mapping[str, Any] = field(default_factory=dict, hash=False)
    wiring: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    ignores: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict, hash=False)


class NotLaunched(Unusable):
    """A process of the application cannot be started."""


class NotImportable(Unusable):
    """An application can't be imported, or a library that it needs is missing.

    `trace` is the traceback, `modules` are the names of the application's own modules, and `python` is the
    application's Python. The message of this error is one line with the cause and the next step.
    """

    def __init__(self, trace: str, *modules: str | None, python: str = "") -> None:
        super().__init__(_cause(trace, [module for module in modules if module], python or sys.executable))


def _cause(trace: str, modules: Sequence[str], python: str) -> str:
    missing = re.search(r"^ModuleNotFoundError: No module named '(([^.']+)[^']*)'\s*\Z", trace, re.MULTILINE)
    if missing and missing[2] in {re.split("[.:]", module)[0] for module in modules}:
        where = "; type the command in the directory that has it" if missing[1] == missing[2] else ""
        return f"there is no module {missing[1]}{where}"
    if missing and missing[2] in PACKAGES:
        pip = shlex.join([python, "-m", "pip", "install", missing[2]])
        return f"the application needs {missing[1]}, which is not installed; type: {pip}"
    if missing:
        why = f"install the package that has it for {python}"
        return f"the application needs the module {missing[1]}, which is not installed; {why}"
    lines = trace.rstrip().splitlines() or ["its process ended without a word"]
    error = max((n for n, line in enumerate(lines) if _RAISED.match(line)), default=len(lines) - 1)
    names = re.findall(r"^(\w+)\n\s+[Ff]ield required", "\n".join(lines[error:]), re.MULTILINE)  # of pydantic
    if (unset := re.match(r"KeyError: '(\w+)'", lines[error])) and re.search(r"os(\.py|>)\", line", trace):
        names = [unset[1]]
    if names:
        given = " ".join(f"{name.upper()}=VALUE" for name in names)
        return f"the application needs {' and '.join(name.upper() for name in names)} in its environment: --env {given}"
    command = shlex.join([python, "-c", "; ".join(f"import {re.split('[:]', module)[0]}" for module in modules)])
    return f"the application can't be imported: {lines[error].strip()[:300]}; see all of it with: {command}"


@cache
def surface(application: Application, root: Path, settings: str = "{}") -> Surface:
    """Import the application in a separate process and read its tasks, routes, settings and versions.

    `settings` (JSON) override Celery settings of the application. An API with a folder or environment variables of its
    own is imported in another process than the Celery application. Raises Unusable, and NotImportable with the reason
    when the application can't be imported, or when the import takes more than IMPORT_WITHIN seconds.
    """
    celery, api = application.celery or "", application.api or ""
    apart = bool(celery and {"api", "worker"} & {*application.folders, *application.part_env})
    told = asked(application, root, settings, "worker" if celery else "api", celery, "" if apart else api)
    if api and apart:
        told["routes"] = asked(application, root, settings, "api", "", api)["routes"]
    takes = {task: None if names is None else tuple(names) for task, names in told.pop("tasks").items()}
    lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
    return Surface(tuple(takes), takes=takes, **{**told, **lists})


def asked(
    application: Application,
    root: Path,
    settings: str,
    role: str,
    celery: str,
    api: str,
    probe: str = "brownout.probes.surface",
) -> dict[str, Any]:
    """The answer of a probe in a process of this role. Raises Unusable, NotImportable."""
    argv = [application.python or sys.executable, "-m", probe, celery, api]
    hosted = {"BROWNOUT_CELERY": celery, "BROWNOUT_CONF": settings}
    folder = folder_of(application, role, root)
    try:
        with scratch() as files:  # many applications make the tables of their SQLite file when they are imported
            places = {"broker": NOWHERE + "/0", "backend": NOWHERE + "/1", "files": files}
            env = {**os.environ, **environment_of(application, role, root, hosted, **places)}
            done = subprocess.run(
                argv, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=IMPORT_WITHIN
            )
    except subprocess.TimeoutExpired:
        raise Unusable(f"the application was not imported within {IMPORT_WITHIN} s") from None
    except OSError as error:
        raise Unusable(f"the application's Python cannot be started: {error}") from error
    if done.returncode:
        raise NotImportable(done.stderr, celery, api, python=application.python)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "unusable" in answer:
        raise Unusable(answer["unusable"])
    return answer
