"""The input of a fault map: an application, a workload, and a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brownout.history.effects import ledger
from brownout.plan.codec import encode
from brownout.plan.operation import Http
from brownout.plan.secrets import typed
from brownout.plan.settle import WARM_UP
from brownout.subject.application import Application


@dataclass(frozen=True)
class Configuration:
    """A named set of Celery settings that replace those of the application."""

    name: str
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def shown(self) -> dict[str, Any]:
        """The settings as a map stores them, with … in the place of each secret."""
        shown: dict[str, Any] = typed("settings", dict(self.settings))
        return shown


@dataclass(frozen=True)
class Workload:
    """The work that one trial submits. `kind` is "task", "chain", "group" or "chord"; `http` is an HTTP request that is
    sent instead of a task.

    `keys` is the number of effects that the submitted work should have. If `first` is true, the work is sent by a
    process that has sent nothing before.
    """

    name: str
    summary: str
    kind: str = "task"
    keys: int = 1
    task: str = ""  # the name of a task of the stock application; "" means the task that the experiment names
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    body: str = ""
    first: bool = False
    workers: int = 1
    http: Http | None = None
    beat: bool = False  # whether Celery's beat submits the task; if so, the trial starts beat


@dataclass(frozen=True)
class Experiment:
    """The input of one fault map. A trial sends the task named `task` with the arguments `args`; if `args` is None, the
    only argument is a text (token) that names the trial's effect."""

    application: Application
    root: Path
    configuration: Configuration
    workload: Workload
    task: str
    args: tuple[Any, ...] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    name: str = ""  # The experiment was imported from this "module:attribute".
    results: bool = True  # Whether the task's caller can read its result.
    warm_up: float = WARM_UP

    @property
    def application_name(self) -> str | Mapping[str, Any]:
        """The application as a capsule names it: the "module:attribute" to import, else the application's fields.
        A capsule stores them without secrets.

        The name is empty for an application that has readers of effects or jobs but no "module:attribute", because
        another process cannot import such an application.
        """
        app = self.application
        if app == STOCK:
            return f"{__name__}:STOCK"
        if self.name or app.effects or app.accepted:
            return self.name
        fields: Mapping[str, Any] = encode(app)
        return fields

    @property
    def title(self) -> str:
        """The title of the experiment's map, such as "defaults/task"."""
        return f"{self.configuration.name}/{self.workload.name}"


def remarks_of(experiment: Experiment, versions: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a campaign says first: the versions that the application really uses, and what is not judged."""
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    first = f"{used}; {experiment.application.python or 'the Python of brownout itself'}"
    more = [] if experiment.results else ["the task stores no result: unread and wrong results are not judged"]
    if "{key}" in (experiment.application.status or ""):
        more.append("the status was judged by the key: --status has {key}, and not {id}")
    return (first, *more)


STOCK = Application(
    celery="brownout.explore.stock",
    env={"BROWNOUT_BROKER": "{broker}", "BROWNOUT_BACKEND": "{backend}", "BROWNOUT_EFFECTS": "{files}/effects.ndjson"},
    effects=ledger("effects.ndjson"),
)

DEFAULTS = Configuration("defaults", "Celery's default settings")
LATE = Configuration("late", "Celery's default settings with task_acks_late", {"task_acks_late": True})
HARDENED = Configuration(
    "hardened",
    "settings that are usually advised: late acks, one message at a time, short time-outs, retries everywhere",
    {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "broker_transport_options": {
            "visibility_timeout": 2,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
            "socket_timeout": 1.5,
            "socket_connect_timeout": 1.5,
            "health_check_interval": 1,
        },
        "result_backend_always_retry": True,
        "redis_retry_on_timeout": True,
        "redis_socket_timeout": 1.5,
        "redis_socket_connect_timeout": 1.5,
        "redis_backend_health_check_interval": 1,
        "task_publish_retry_policy": {"max_retries": 5, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
    },
)
OWN = Configuration("own", "the application's own settings")
CONFIGURATIONS = {configuration.name: configuration for configuration in (DEFAULTS, LATE, HARDENED, OWN)}

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("task", "one task, from a client that has sent a task before"),
        Workload("first", "the first task that a client sends, so its connections are opened, too", first=True),
        Workload("retry", "a task that fails once and is retried", task="brownout.explore.stock.retrying"),
        Workload("countdown", "a task with a countdown", options={"countdown": 0.3}),
        Workload("chain", "two tasks, one after the other", kind="chain", keys=2),
        Workload("group", "two tasks at once", kind="group", keys=2),
        Workload(
            "chord", "a chord of two tasks and a body", kind="chord", keys=3, body="brownout.explore.stock.gather"
        ),
        Workload("beat", "a task that beat sends", beat=True),
        Workload("two-workers", "one task, two workers", workers=2),
    )
}
