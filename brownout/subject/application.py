"""Which application is tested, and how it is told where its broker, its backend and its files are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from brownout.history.event import Event

#: Reads what was done, or accepted, since the last call; made for one trial's directory.
EffectReader = Callable[[], Iterable[Event]]


@dataclass(frozen=True)
class Application:
    """An application, unchanged. Everything is given to it by its environment.

    `celery` is what `celery -A` takes (None: there is no worker), `api` an ASGI application "module:attribute" or
    "module:factory()", `relay` and other helpers an argv after `python`. In the values of `env`, {broker} and {backend}
    become Redis URLs and {files} a directory of the trial. `ready` is a path that answers 200 when the API can work,
    `status` one that tells a task's state, with {task} in it. `state`, `result` and `task` name fields of the JSON
    answers. `effects` makes, for the trial's directory, the reader of what was really done; None when nothing outside
    Celery tells. `accepted` makes such a reader of the jobs that the application's own store has accepted: one of them
    that is never done is a loss, also when its client never got an answer. `queues` are those that workers read (`-Q`);
    none are those that the configuration names for a worker without `-Q`. `recovery` is how long (seconds) a job may be
    in no queue and on no worker before the application itself brings it back, 0 for one that never does: what has been
    nowhere for longer is lost. A worker that ends with an exit code of `steps_down` asks to be started again, and has
    not failed. `polls` are patterns of the Redis requests ("LLEN .*") that the application itself sends by a clock,
    `monitors` the processes that open connections by a clock; a fault map counts neither as part of a task's life.
    `settings` names the application's own settings ("module:attribute": a mapping, a model, or a function that returns
    one), so that each trial's `conf.json` has them.
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
    recovery: float = 0.0
    steps_down: tuple[int, ...] = ()
    polls: tuple[str, ...] = ()
    monitors: tuple[str, ...] = ()
    settings: str | None = None

    def environment(self, **places: object) -> dict[str, str]:
        """`env` with its places filled in; other braces stay as they are."""
        return filled(self.env, {name: str(place) for name, place in places.items()})


def filled(env: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """The environment with each `{name}` of a place replaced; every other brace, such as those of JSON, stays."""
    if not places:
        return dict(env)
    known = re.compile("|".join(re.escape(f"{{{name}}}") for name in places))
    return {name: known.sub(lambda found: places[found[0][1:-1]], value) for name, value in env.items()}


@dataclass(frozen=True)
class Surface:
    """What an application offers, for misspelt names to be found before anything runs.

    `takes` has the names of each task's parameters, None for a task that takes any keyword. `layout` is for Layout.of,
    `conf` has the settings from which it follows how long to wait for what.
    """

    tasks: tuple[str, ...]
    routes: tuple[str, ...]
    takes: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict, hash=False)
    layout: Mapping[str, Any] = field(default_factory=dict, hash=False)
    conf: Mapping[str, Any] = field(default_factory=dict, hash=False)


@cache
def surface(application: Application, root: Path, settings: str = "{}") -> Surface:
    """Import the application in a process of its own and ask it. `settings` (JSON) are laid over its own.

    Raises ValueError with the reason when it can't be imported.
    """
    places = {"broker": "redis://127.0.0.1:1/0", "backend": "redis://127.0.0.1:1/1", "files": os.devnull}
    argv = [sys.executable, "-m", "brownout.probes.surface", application.celery or "", application.api or ""]
    hosted = {"BROWNOUT_CELERY": application.celery or "", "BROWNOUT_CONF": settings}
    env = {**os.environ, **hosted, **application.environment(**places)}
    done = subprocess.run(argv, cwd=root, env=env, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise ValueError(f"the application can't be imported:\n{done.stderr[-2_000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    takes = {task: None if names is None else tuple(names) for task, names in answer["tasks"].items()}
    return Surface(tuple(answer["tasks"]), tuple(answer["routes"]), takes, answer["layout"], answer["conf"])
