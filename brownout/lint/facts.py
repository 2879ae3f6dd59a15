"""The facts that the rules of `brownout lint` look at, as a process of the application reports them
(probes/source/facts.py)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from brownout.subject.application import Application, asked

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Call:
    """A call in the application's code that publishes a task, runs a task in place, reads a task's result, retries a
    task, or hands work to FastAPI's BackgroundTasks.

    `kind` is "publish", "run", "result", "retry" or "background". `countdown` and `ignored` are None when their values
    are known only at run time.
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
        """The place of the call in the code, as file and line."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Route:
    """A route of the API, and what its function, its dependencies and the functions that they call do.

    `keys` are what the function reads from its parameters, as `payload["kind"]` does.
    """

    route: str
    calls: tuple[Call, ...] = ()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """An entry of the schedule of Celery's beat."""

    task: str
    countdown: float | None = None
    expires: bool = False


@dataclass(frozen=True)
class Task:
    """A task with the options that are in effect. Times are in seconds.

    `bounded` says whether the task can end a message that was delivered too often. `retry_delay` is the longest known
    countdown before a retry of the task. `needs` are the parameters that a call of the task must give.
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
    """A Celery application. `backend` is "redis", "other", or "" without a result backend; `watched` says whether the
    application adds code of its own to the worker's start."""

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
    """All facts about an application; `celery` is None when the application has only an API."""

    celery: Celery | None
    routes: tuple[Route, ...] = ()
    openapi: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks of the Celery application, by their names."""
        return {task.name: task for task in self.celery.tasks} if self.celery else {}

    def calls(self, kind: str) -> Iterator[tuple[str, Call]]:
        """Return the calls of one kind, each with the route or task that makes the call."""
        for route in self.routes:
            yield from ((route.route, call) for call in route.calls if call.kind == kind)
        for task in self.tasks.values():
            yield from ((task.name, call) for call in task.calls if call.kind == kind)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Facts:
        """Make the facts from the JSON that the application's process prints."""
        celery = answer["celery"]
        if celery is not None:
            more = ({"calls": _calls(task), "needs": tuple(task.get("needs", ()))} for task in celery["tasks"])
            tasks = tuple(_made(Task, task | own) for task, own in zip(celery["tasks"], more, strict=True))
            beat = tuple(_made(Entry, entry) for entry in celery["beat"])
            celery = _made(Celery, celery | {"tasks": tasks, "beat": beat})
        routes = tuple(Route(one["route"], _calls(one), tuple(one.get("keys", ()))) for one in answer["routes"])
        return cls(celery, routes, answer.get("openapi", {}))


def _calls(holder: Mapping[str, Any]) -> tuple[Call, ...]:
    return tuple(_made(Call, call) for call in holder["calls"])


def _made(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]  # always a dataclass
    return kind(**{name: value for name, value in values.items() if name in names})


def read(
    celery: str,
    api: str,
    root: Path,
    env: Mapping[str, str],
    python: str = "",
    folders: Mapping[str, str] | None = None,
) -> Facts:
    """Import an application in a process of its own, with `env` over the environment, and ask it.

    `celery` is the argument of `celery -A`, `api` an ASGI application; "" where there is none. `python` is that of the
    application's environment, "" for the kit's own. `folders` are those of the roles "worker" and "api"; with them each
    role is asked in a process of its own. Raises Unusable, NotImportable.
    """
    places = folders or {}
    application = Application(
        celery=celery or None, api=api or None, env=env, python=python, env_file=".env", folders=places
    )
    probe = "brownout.probes.source.facts"
    if not (celery and api and places):
        return Facts.of(asked(application, root, "{}", "worker" if celery else "api", celery, api, probe=probe))
    told = asked(application, root, "{}", "worker", celery, "", probe=probe)
    return Facts.of(told | asked(application, root, "{}", "api", "", api, probe=probe) | {"celery": told["celery"]})
