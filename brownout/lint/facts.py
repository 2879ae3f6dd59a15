"""What the rules look at, as an application's own process tells it (probes/source/facts.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from brownout.subject.application import Application, asked

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Call:
    """A call in the application's code: it publishes a task, runs it in place, reads its result, hands work away.

    `kind` is "publish", "run", "result", "retry" or "background". `countdown` and `ignored` are None when only a run
    could tell them.
    """

    kind: str
    task: str
    file: str
    line: int
    on_loop: bool = False
    countdown: float | None = None
    ignored: bool | None = False
    by_default: bool = False

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Route:
    """A route of the API, and what its function, its dependencies and the functions that they call do."""

    route: str
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Entry:
    """An entry of beat's schedule."""

    task: str
    countdown: float | None = None
    expires: bool = False


@dataclass(frozen=True)
class Task:
    """A task with the options that are in effect. Times are in seconds.

    `bounded`: the task can end a delivery that came too often. `retry_delay`: its longest known countdown. `needs` are
    the parameters that a call must give.
    """

    name: str
    acks_late: bool = False
    requeues: bool = False
    ignore_result: bool = False
    time_limit: float | None = None
    retry_delay: float | None = None
    bounded: bool = False
    needs: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Celery:
    """A Celery application. `backend` is "redis", "other" or "" for none; `watched`: it has worker code of its own."""

    transport: str = "redis"
    channel_error_retry: bool = False
    prefetch: int = 4
    watched: bool = False
    one_database: bool | None = None
    backend: str = ""
    visibility: float = 3600.0
    socket_timeout: float | None = None
    retry_on_timeout: bool = False
    tasks: tuple[Task, ...] = ()
    beat: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Everything; without `celery` there is only an API."""

    celery: Celery | None
    routes: tuple[Route, ...] = ()
    openapi: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks by their names."""
        return {task.name: task for task in self.celery.tasks} if self.celery else {}

    def calls(self, kind: str) -> Iterator[tuple[str, Call]]:
        """The calls of one kind with who makes them: a route or a task."""
        for route in self.routes:
            yield from ((route.route, call) for call in route.calls if call.kind == kind)
        for task in self.tasks.values():
            yield from ((task.name, call) for call in task.calls if call.kind == kind)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Facts:
        """From what the process prints."""
        celery = answer["celery"]
        if celery is not None:
            more = ({"calls": _calls(task), "needs": tuple(task.get("needs", ()))} for task in celery["tasks"])
            tasks = tuple(_made(Task, task | own) for task, own in zip(celery["tasks"], more, strict=True))
            beat = tuple(_made(Entry, entry) for entry in celery["beat"])
            celery = _made(Celery, celery | {"tasks": tasks, "beat": beat})
        routes = tuple(Route(route["route"], _calls(route)) for route in answer["routes"])
        return cls(celery, routes, answer.get("openapi", {}))


def _calls(holder: Mapping[str, Any]) -> tuple[Call, ...]:
    return tuple(_made(Call, call) for call in holder["calls"])


def _made(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]  # always a dataclass
    return kind(**{name: value for name, value in values.items() if name in names})


def read(celery: str, api: str, root: Path, env: Mapping[str, str], python: str = "") -> Facts:
    """Import an application in a process of its own, with `env` over the environment, and ask it.

    `celery` is the argument of `celery -A`, `api` an ASGI application; "" where there is none. `python` is that of the
    application's environment, "" for the kit's own. Raises Unusable, NotImportable.
    """
    application = Application(celery=celery or None, api=api or None, env=env, python=python, env_file=".env")
    role = "worker" if celery else "api"
    return Facts.of(asked(application, root, "{}", role, celery, api, probe="brownout.probes.source.facts"))
