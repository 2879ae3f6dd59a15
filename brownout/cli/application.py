"""The options of a campaign: what is broken (application, workload, settings), which cells, and how it is run."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from brownout.cli.options.http import HttpOptions, whole
from brownout.cli.output import SaveOptions
from brownout.cli.parser import MANY, QUIET, Usage, duration, json_of, option, positive, shard
from brownout.plan.near import known
from brownout.plan.secrets import FILL_IN, typed
from brownout.plan.settle import WARM_UP
from brownout.plan.shard import Shard
from brownout.probes.configuration import hidden
from brownout.report.stored import Stored
from brownout.run.events import Stream

if TYPE_CHECKING:
    from brownout.explore.experiment import Experiment
    from brownout.explore.options import Options
    from brownout.subject.application import Application
    from brownout.subject.servers.redis_server import RungName

CELLS: Any = option("CELL", "only 'worker->broker/ZADD#1/before-cut', for example (default: the whole map)", nargs="*")
_POINT = "points of this name, edge or command, or a part of it (default: all)"
_ACTIONS = "standard, all, or names of `brownout list actions` (default: standard; all of a stored map's)"

_JOBS = "trials at once (default: 8 for each core, fewer on a busy machine)"
_SHARD = "the N-th of M equal parts, which `brownout merge PART…` joins (default: all)"

#: What Celery asks before its own settings (celery.app.utils.Settings).
CELERY_ENV: Final = {"CELERY_BROKER_URL": "{broker}", "CELERY_RESULT_BACKEND": "{backend}"}
_ENV = f"""environment of --app, {{files}} is a directory of the trial
(default: {" ".join(f"{name}={value}" for name, value in CELERY_ENV.items())})"""
_WORKLOAD = "what is sent: `brownout list workloads`, or one of the project's file (default: task)"
PROJECT = "the project's file; none for none (default: brownout.toml, or [tool.brownout] of pyproject.toml)"
_WORKER = """how its owner starts a worker, as 'cd app && celery -A tasks worker -Q high -c 4'; takes the place
of --app (default: celery -A, one pool process)"""
_API = "how its owner starts the API, as 'uvicorn main:app' (default: none)"
_PREPARE = "shell commands before each trial, as 'alembic upgrade head'; {files} as in --env (default: none)"
PYTHON = """Python of the application's environment, or that environment (default: .venv or VIRTUAL_ENV where Celery
is installed there, else the kit's own)"""
_WARM_UP = "how long the task may take without a fault (default: %(default)g)"
_CONFIG = "Celery's settings: `brownout list configs` (default: defaults, or --experiment's)"
_SET = """settings over --config, as task_acks_late=true or broker_transport_options.socket_timeout=2
(default: none)"""


@dataclass(frozen=True, kw_only=True)
class ApplicationOptions(HttpOptions):
    """What is broken."""

    app: str | None = option("--app MODULE", "your own application, as for `celery -A` (default: a stock one)")
    task: str | None = option("--task NAME", "the task of --app that is sent (default: the stock one)")
    args: tuple[Any, ...] | None = option("--args JSON", "positional arguments (default: [])", type=json_of(list))
    kwargs: dict[str, Any] | None = option("--kwargs JSON", "keyword arguments (default: {})", type=json_of(dict))
    env: tuple[str, ...] = option("--env NAME=VALUE", _ENV, **MANY)
    queue: tuple[str, ...] = option("--queue NAME", "queues that --app's workers read (default: its own)", **MANY)
    worker: str | None = option("--worker COMMAND", _WORKER)
    api: str | None = option("--api COMMAND", _API)
    ready: str | None = option("--ready PATH", "a path of --api that answers when it can work (default: any answer)")
    prepare: tuple[str, ...] = option("--prepare COMMAND", _PREPARE, **MANY)
    python: str | None = option("--python PATH", PYTHON)
    warm_up: float = option("--warm-up SECONDS", _WARM_UP, type=duration, default=WARM_UP)
    workload: str | None = option("--workload NAME", _WORKLOAD)
    project: str | None = option("--project FILE", PROJECT)
    experiment: str | None = option(
        "--experiment MODULE:NAME", "your own brownout.explore.experiment.Experiment (default: none)"
    )
    config: str | None = option("--config NAME", _CONFIG)
    settings: tuple[str, ...] = option("--set NAME=VALUE", _SET, **MANY)
    provider: str = option(
        "--provider", "where Redis comes from (default: auto, a local server first)", default="auto",
        choices=("auto", "container", "local", "embedded"),
    )  # fmt: skip

    #: Fields that the table `parts` of a project's file may give.
    PARTS: ClassVar[tuple[str, ...]] = ("app", "worker", "api", "ready", "env", "queue", "prepare", "python", "warm_up")

    @classmethod
    def fill(cls, values: Mapping[str, Any], typed: Collection[str]) -> Mapping[str, Any]:
        """The options, with those of the project's file for what was not typed. Raises Usage, UnknownName."""
        from brownout.cli.options.project import fill

        return fill(cls, values, typed)

    @property
    def rung(self) -> RungName | None:
        """Return the Redis provider that the user chose; None for any provider that works."""
        return None if self.provider == "auto" else cast("RungName", self.provider)

    def experiment_of(self) -> Experiment:
        """Return the Experiment that follows from the options. Raises Usage, UnknownName or Unusable for options that
        cannot be carried out."""
        from brownout.explore.session import configured, experiment, setting
        from brownout.subject.application import Unusable
        from brownout.subject.environment import interpreter

        load = self.own_workload(self.workload)
        request = load.http if load else None
        application = self.app or self.worker
        own = self.task or self.args or self.kwargs or self.env or self.queue or self.api or self.prepare or self.ready
        if self.experiment and (application or self.workload or own or load):
            raise Usage("an --experiment has its own application, task and workload")
        if (own or load) and not application:
            names = "--task, --args, --kwargs, --env, --queue, --api, --prepare, --ready and a request"
            raise Usage(f"{names} belong to an --app of your own, or to a --worker")
        if self.app and self.worker:
            raise Usage("--worker names its application itself: no --app")
        if request and (self.task or self.args or self.kwargs):
            raise Usage("a request or a --task is sent, not both")
        if request and not self.api:
            raise Usage("a request needs an --api that answers it")
        for name, value in {**self._arguments, "prepare": self.prepare}.items():
            whole(f"--{name}", value)
        try:
            settings = dict(map(setting, self.settings))
            if self.experiment:
                found = replace(_imported(self.experiment), name=self.experiment, warm_up=self.warm_up)
                if self.python:
                    python = interpreter(self.python)
                    found = replace(found, application=replace(found.application, python=python))
                config = self.config or found.configuration.name
                changed = self.config or settings
                return replace(found, configuration=configured(config, settings)) if changed else found
            return experiment(
                Path.cwd(),
                config=self.config or ("own" if request else "defaults"),
                workload=load or self.workload or "task",
                settings=settings,
                application=self._application() if application else None,
                python=interpreter(self.python) if self.python else "",
                given={name for name, _ in _pairs(self.env)},
                warm_up=self.warm_up,
                task=self.task or "",
                args=self.args,
                kwargs=self.kwargs,
            )
        except Unusable:
            raise
        except ValueError as error:
            raise Usage(error) from error

    def words(self, asked: Experiment) -> tuple[str, ...]:
        """Return the options to type for the same Experiment again; instead of the value of an --env that looks like a
        secret it has NAME=…."""
        env = tuple(f"{name}={FILL_IN if hidden(name, value) else value}" for name, value in _pairs(self.env))
        named = {
            **{"--app": self.app, "--task": self.task, "--env": env, "--queue": self.queue},
            **self.http_words(),
            **{f"--{name}": value and _json(typed(name, value)) for name, value in self._arguments.items()},
            **{"--worker": _command(self.worker), "--api": _command(self.api)},
            **{"--ready": self.ready, "--prepare": typed("prepare", list(self.prepare))},
            "--python": self.python,
            "--warm-up": f"{self.warm_up:g}" if self.warm_up != WARM_UP else None,
            "--experiment": self.experiment,
            "--config": asked.configuration.name if self.config or self.settings else None,
            "--workload": self.label or self.workload,
            "--provider": self.rung,
        }
        return tuple(
            word
            for name, value in named.items()
            if value
            for word in (name, *([value] if isinstance(value, str) else value))
        )

    @property
    def _arguments(self) -> Mapping[str, Any]:
        return {"args": self.args, "kwargs": self.kwargs}

    def _application(self) -> Application:
        from brownout.subject import commands
        from brownout.subject.application import Application
        from brownout.subject.environment import interpreter, python_of

        if wrong := [word for word in self.env if not word.partition("=")[1]]:
            raise Usage(f"--env is NAME=VALUE: {wrong[0]!r}")
        env = dict(_pairs(self.env))
        if missing := [name for name, value in env.items() if value == FILL_IN]:
            raise Usage(f"--env {missing[0]}={FILL_IN} needs its value: values that look like secrets are not stored")
        if missing := [
            word for text in (self.worker, self.api) if text for word in shlex.split(text) if FILL_IN in word
        ]:
            raise Usage(f"{missing[0]} needs its value: values that look like secrets are not stored")
        worker = commands.worker(self.worker) if self.worker else commands.Command(self.app or "")
        api = commands.api(self.api) if self.api else None
        parts = {"worker": worker} | ({"api": api} if api else {})
        return Application(
            celery=worker.name,
            api=api.name if api else None,
            env=CELERY_ENV | env,
            queues=self.queue or worker.queues,
            ready=self.ready or "",
            status=self.status_path,
            python=interpreter(self.python) if self.python else python_of(Path.cwd()),
            pool=worker.pool,
            concurrency=worker.concurrency,
            options=worker.options,
            folders={role: part.folder for role, part in parts.items() if part.folder != "."},
            part_env={role: part.env for role, part in parts.items() if part.env},
            env_file=(api and api.env_file) or ".env",
            prepare=self.prepare,
        )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _command(text: str | None) -> str | None:
    """A command as it is stored, with NAME=… in the place of a variable that looks like a secret."""
    for name, value in _pairs(word for word in shlex.split(text or "") if "=" in word):
        text = str(text).replace(f"{name}={value}", f"{name}={FILL_IN}") if hidden(name, value) else text
    shown: str | None = text and typed("command", text)
    return shown


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Filters. A word of `actions` may have several names, with commas."""

    points: tuple[str, ...] = option("--point GLOB", _POINT, **MANY)
    actions: tuple[str, ...] = option("--actions NAME,…", _ACTIONS, **MANY)

    @property
    def action_names(self) -> list[str]:
        """The names of the actions. Raises UnknownName with the near match."""
        from brownout.explore.maps.action import chosen

        names = [name for word in self.actions for name in word.split(",")]
        chosen(names)
        return names


@dataclass(frozen=True, kw_only=True)
class CampaignOptions(ApplicationOptions, Filters, SaveOptions):
    """The campaign."""

    jobs: int = option("--jobs N", _JOBS, type=positive, default=0)
    shard: Shard | None = option("--shard N/M", _SHARD, type=shard)
    quiet: bool = option("-q", QUIET, action="store_true")

    def place(self, asked: Experiment, prefix: str = "") -> Path:
        """Where the result is stored: as --save says, or in the store by its name and its shard."""
        one = f".{self.shard}".replace("/", "-of-") if self.shard else ""
        return self.saved(f"{prefix}{asked.configuration.name}-{asked.workload.name}", one)

    def options(self, asked: Experiment, place: Path | None, **more: Any) -> Options:
        """How the campaign is made. It is stored in `place`; what is neither whole nor a shard only with --save."""
        from brownout.explore.options import Options
        from brownout.report.progress import to_stream

        stored = [Stored(place, parts=bool(self.save or self.shard))] if place else []
        given: dict[str, Any] = {
            "actions": self.action_names or ["standard"],
            "points": self.points,
            "jobs": self.jobs,
            "provider": self.rung,
            "words": self.words(asked),
            "shard": self.shard,
            "emit": Stream(to_stream(sys.stderr, quiet=self.quiet), *stored),
        }
        return Options(**given | more)


def _pairs(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, _, value = word.partition("=")
        yield name, value


def _imported(place: str) -> Experiment:
    from brownout.explore.experiment import Experiment

    name, _, attribute = place.partition(":")
    sys.path.insert(0, str(Path.cwd()))  # `celery -A` also looks for modules in the current folder first
    try:
        there = {key: value for key, value in vars(import_module(name)).items() if isinstance(value, Experiment)}
    except Exception as error:  # importing a user's module may raise any exception
        raise Usage(f"{name} can't be imported from {Path.cwd()}: {type(error).__name__}: {error}") from error
    return there[known(f"experiment of {name}", attribute, there)]
