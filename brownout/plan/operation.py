"""What a client does, and when it intends to."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict, Unpack

from brownout.plan.duration import Duration, seconds
from brownout.plan.near import known
from brownout.plan.trigger import OnEvent, Trigger


class SendOptions(TypedDict, total=False):
    """What `apply_async` takes beside the arguments of the task, as far as JSON can say it (celery.app.task).

    Times are in seconds. `task_id` is not among them: the operation's key is the task's id.
    """

    compression: str
    countdown: float
    delivery_mode: int | str
    eta: str
    exchange: str
    expires: float | str
    headers: Mapping[str, Any]
    ignore_result: bool
    link: Any
    link_error: Any
    priority: int
    queue: str
    retry: bool
    retry_policy: Mapping[str, Any]
    routing_key: str
    serializer: str
    shadow: str
    soft_time_limit: float
    time_limit: float


OPTIONS = SendOptions.__optional_keys__


@dataclass(frozen=True)
class Submit:
    """Send a task by its name, past the application's own HTTP surface; `options` are those of `apply_async`."""

    task: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"submit {self.task}"


@dataclass(frozen=True)
class Call:
    """Call a task as a process of the application does: `apply_async`, then `get()` on its result.

    `canvas` is "task", "chain", "group" or "chord", which has `effects` tasks with an effect each; the last task of a
    chord is `body`. Each task is given the name of its effect, or `args` where there are any. An exception of
    `apply_async` tells the caller that nothing was sent.
    """

    task: str
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    canvas: str = "task"
    effects: int = 1
    body: str = ""

    def __str__(self) -> str:
        return f"call {self.task if self.canvas == 'task' else f'a {self.canvas} of {self.task}'}"


@dataclass(frozen=True)
class Tick:
    """Start beat, whose schedule has one tick that is due: the tick is the operation, and nobody reads its result."""

    def __str__(self) -> str:
        return "a tick of beat"


@dataclass(frozen=True)
class Http:
    """Send a request. `path` and `json` may contain "{key}" and "{n}": the operation's key and its number."""

    method: str
    path: str
    json: Any = field(default=None, hash=False)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Operation = Submit | Call | Http | Tick


@dataclass(frozen=True)
class Load:
    """An operation at intended times: open-loop, so a slow subject does not slow its clients down.

    `every` seconds from `begin`, which counts from the beginning of all loads or, with `when`, from that event; it ends
    after `count` operations or after `lasting` seconds, whichever is given.
    `spread` "even" keeps the distance, "poisson" draws it with `every` as its mean.
    """

    operation: Operation
    every: float
    count: int | None = None
    lasting: float | None = None
    begin: float = 0.0
    spread: str = "even"
    when: Trigger | None = None

    def __post_init__(self) -> None:
        if self.every <= 0:
            raise ValueError(f"{self.operation}: `every` is more than 0")
        if self.count is not None and self.count < 1:
            raise ValueError(f"{self.operation}: `count` is at least 1")
        if self.spread not in ("even", "poisson"):
            raise ValueError(f'{self.operation}: `spread` is "even" or "poisson", not {self.spread!r}')

    def on(self, trigger: OnEvent) -> Load:
        """The same, begun by an event: its times count from there. ValueError for a time, which is `begin`'s."""
        if trigger.kind is None:
            raise ValueError(f"{self.operation} begins on an event, such as event('ok', 'client'), not at a time")
        return replace(self, when=trigger)

    def with_options(self, **options: Unpack[SendOptions]) -> Load:
        """The same, sent with these options of `apply_async`: `queue="slow"`, `countdown=2`, `expires=1`, ...

        Raises ValueError for a request, and UnknownName, with near matches, for what is no option.
        """
        if not isinstance(self.operation, Submit):
            raise ValueError(f"{self.operation} is a request, and options are for tasks: submit(...).with_options(...)")
        for name in options:
            known("option of apply_async", name, OPTIONS)
        operation = replace(self.operation, options={**self.operation.options, **options})
        return replace(self, operation=operation)

    def until(self, lasting: Duration) -> Load:
        """The same with an end, when it has none."""
        return self if self.bounded else replace(self, lasting=seconds(lasting))

    @property
    def bounded(self) -> bool:
        """Whether it has an end."""
        return self.count is not None or self.lasting is not None

    def check(
        self,
        tasks: Collection[str] | None,
        routes: Collection[str] | None,
        takes: Mapping[str, Collection[str] | None] | None = None,
    ) -> None:
        """Raise ValueError when it has no end, or names what the application has not; None leaves names unchecked.

        `takes` has the names of each task's parameters: an option of `apply_async` that is none of them would fail the
        task, or be taken for its argument.
        """
        if not self.bounded:
            raise ValueError(f"{self.operation} has no end: give it `count`, or the load `lasting`")
        if isinstance(self.operation, Submit):
            if tasks is not None:
                known("task", self.operation.task, tasks)
            parameters = (takes or {}).get(self.operation.task)
            for name in sorted(OPTIONS.intersection(self.operation.kwargs)):
                if parameters is not None and name not in parameters:
                    hint = f"as an option of apply_async it is submit(...).with_options({name}=...)"
                    raise ValueError(f"{self.operation}: the task has no parameter {name!r}; {hint}")
        elif isinstance(self.operation, Http) and routes is not None:
            bare = self.operation.path.partition("?")[0]
            # "/jobs/{id}" takes every name in the place of its parameter.
            if not any(re.fullmatch(re.sub(r"\{[^/]+\}", "[^/]+", route), bare) for route in routes):
                known("route", bare, routes)

    def times(self, chance: random.Random) -> Iterator[float]:
        """Intended times in seconds after the load began."""
        n, time = 0, self.begin
        while (self.count is None or n < self.count) and (self.lasting is None or time < self.begin + self.lasting):
            yield time
            n += 1
            gap = chance.expovariate(1 / self.every) if self.spread == "poisson" else 0
            time = time + gap if self.spread == "poisson" else self.begin + n * self.every


def submit(task: str, *args: Any, every: Duration, count: int | None = None, **kwargs: Any) -> Load:
    """Submit a task with these arguments again and again; a time instead of `count` is given to `lab.load`.

    All other keywords are the task's own. Options of `apply_async` have a place of their own:
    `submit("shop.pay", 1, every="1s").with_options(queue="slow", countdown=2)`.
    """
    return Load(Submit(task, args, kwargs), seconds(every), count)


def get(path: str, *, every: Duration, count: int | None = None, lasting: Duration | None = None) -> Load:
    """GET a path again and again, `count` times or for the time `lasting`."""
    return Load(Http("GET", _path(path)), seconds(every), count, _time(lasting))


def post(
    path: str,
    *,
    every: Duration,
    count: int | None = None,
    lasting: Duration | None = None,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """POST to a path again and again, `count` times or for the time `lasting`."""
    return Load(Http("POST", _path(path), json, headers or {}), seconds(every), count, _time(lasting))


def _time(value: Duration | None) -> float | None:
    return None if value is None else seconds(value)


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"a path begins with a slash: {path!r}")
    return path
