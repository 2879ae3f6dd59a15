"""Operations of clients, and loads, which say at which times clients start the operations."""

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
    """Options of `apply_async` whose values JSON can express (celery.app.task). All times of a load are in seconds.

    The option `task_id` is not in this list, because the operation's key is used as the task's id.
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
    """Send a task by its name, not through the application's HTTP API; `options` are options of `apply_async`, see
    SendOptions."""

    task: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"submit {self.task}"


@dataclass(frozen=True)
class Call:
    """Call a task as a process of the application does, by `apply_async` and then `get()` on the result.

    `canvas` is "task", "chain", "group" or "chord". The call consists of `effects` tasks, each with one effect; in a
    chord the last task is `body`. Each task gets one argument, the name of its effect; if `args` is not None, each task
    gets the arguments `args`. After an exception of `apply_async` the caller knows that no message was sent. If
    `result` is false, the caller does not ask for a result, because the application stores none.
    """

    task: str
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    canvas: str = "task"
    effects: int = 1
    body: str = ""
    result: bool = True

    def __str__(self) -> str:
        return f"call {self.task if self.canvas == 'task' else f'a {self.canvas} of {self.task}'}"


@dataclass(frozen=True)
class Tick:
    """Start Celery's beat with a schedule of one task that is due once. The task that beat sends is the only operation
    of the load; no client reads its result."""

    def __str__(self) -> str:
        return "a tick of beat"


@dataclass(frozen=True)
class Http:
    """Send an HTTP request with a JSON body or a form to the API.

    In `path`, `json`, `headers` and `form`, "{key}" and "{n}" become the operation's key and number.
    """

    method: str
    path: str
    json: Any = field(default=None, hash=False)
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    form: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Operation = Submit | Call | Http | Tick


@dataclass(frozen=True)
class Load:
    """A load: an operation that clients start at planned times (open-loop), even when the subject is slow to answer.

    An operation starts every `every` seconds. The first operation starts `begin` seconds after the start of all
    loads or, with `when`, after that event. The load ends after `count` operations or after `lasting` seconds.
    `spread` "even" means equal gaps between operations; with "poisson" the gaps are random with the mean `every`.
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
            raise ValueError(f"{self.operation}: `every` must be more than 0 s, not {self.every!r}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"{self.operation}: `count` must be at least 1, not {self.count!r}")
        if self.spread not in ("even", "poisson"):
            raise ValueError(f'{self.operation}: `spread` must be "even" or "poisson", not {self.spread!r}')

    def on(self, trigger: OnEvent) -> Load:
        """Return a load like this that starts when an event comes. Raises ValueError when the trigger is a time and not
        an event.

        All times of the load count from the moment of the event.
        """
        if trigger.kind is None:
            hint = "on(event('ok', 'client')), for instance"
            raise ValueError(f"a load begins on an event, not at a time: {self.operation} needs {hint}")
        return replace(self, when=trigger)

    def with_options(self, **options: Unpack[SendOptions]) -> Load:
        """Return this load with options of `apply_async`, such as `queue="slow"`, `countdown=2` or `expires=1`.

        Raises ValueError when the operation is not a `submit`, and UnknownName, with similar names, for unknown
        options.
        """
        if not isinstance(self.operation, Submit):
            hint = "options are for tasks: submit(...).with_options(...)"
            raise ValueError(f"{self.operation} is a request and has no options of apply_async; {hint}")
        for name in options:
            known("option of apply_async", name, OPTIONS)
        operation = replace(self.operation, options={**self.operation.options, **options})
        return replace(self, operation=operation)

    def until(self, lasting: Duration) -> Load:
        """Return a load that ends after `lasting`; a load that already has an end does not change."""
        return self if self.bounded else replace(self, lasting=seconds(lasting))

    @property
    def bounded(self) -> bool:
        """Whether the load has an end."""
        return self.count is not None or self.lasting is not None

    def check(
        self,
        tasks: Collection[str] | None,
        routes: Collection[str] | None,
        takes: Mapping[str, Collection[str] | None] | None = None,
    ) -> None:
        """Raise ValueError when the load has no end, or when it names a task or route that the application does not
        have.

        When `tasks` or `routes` is None, the names of tasks or routes are not checked. `takes` maps each task to the
        names of its parameters. An option of `apply_async` among the task's arguments is an error, unless the task has
        a parameter of that name.
        """
        if not self.bounded:
            raise ValueError(f"{self.operation} has no end: set its `count`, or `lasting` of the load")
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
            # The route "/jobs/{id}" matches every path "/jobs/...".
            if not any(re.fullmatch(re.sub(r"\{[^/]+\}", "[^/]+", route), bare) for route in routes):
                known("route", bare, routes)

    def times(self, chance: random.Random) -> Iterator[float]:
        """Yield the intended start times in seconds after the load began."""
        n, time = 0, self.begin
        while (self.count is None or n < self.count) and (self.lasting is None or time < self.begin + self.lasting):
            yield time
            n += 1
            gap = chance.expovariate(1 / self.every) if self.spread == "poisson" else 0
            time = time + gap if self.spread == "poisson" else self.begin + n * self.every


def submit(task: str, *args: Any, every: Duration, count: int | None = None, **kwargs: Any) -> Load:
    """Submit a task with these arguments once in each period `every`, `count` times or for the duration `lasting` that
    `lab.load` gets.

    All keyword arguments except `every` and `count` are passed to the task. Options of `apply_async` are set with the
    method `with_options`, for example `submit("shop.pay", 1, every="1s").with_options(queue="slow", countdown=2)`.
    """
    return Load(Submit(task, args, kwargs), seconds(every), count)


def get(path: str, *, every: Duration, count: int | None = None, lasting: Duration | None = None) -> Load:
    """Send a GET request to `path` once in each period `every`, `count` times or for the duration `lasting`."""
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
    """Send a POST request to `path` once in each period `every`, `count` times or for the duration `lasting`."""
    return Load(Http("POST", _path(path), json, headers or {}), seconds(every), count, _time(lasting))


def _time(value: Duration | None) -> float | None:
    return None if value is None else seconds(value)


def _path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"a path begins with a slash: {path!r}")
    return path
