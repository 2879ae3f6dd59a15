"""What a map is made of: an application, a workload, and a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brownout.history.effects import ledger
from brownout.plan.codec import encode
from brownout.plan.operation import Http
from brownout.probes.configuration import hidden
from brownout.subject.application import Application


@dataclass(frozen=True)
class Configuration:
    """Celery settings that are laid over the application's own."""

    name: str
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Workload:
    """What one trial submits. `kind` is "task", "chain", "group" or "chord"; `http` a request instead of a task.

    `keys` is how many effects it should have. `first` sends it from a process that has not sent anything before.
    """

    name: str
    summary: str
    kind: str = "task"
    keys: int = 1
    task: str = ""  # of the stock application; "" for the experiment's own
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    body: str = ""
    first: bool = False
    workers: int = 1
    http: Http | None = None
    beat: bool = False  # submitted by beat, which is started for it


@dataclass(frozen=True)
class Experiment:
    """One map. `task` and `args` are what is sent; without `args` a token that names the trial's effect."""

    application: Application
    root: Path
    configuration: Configuration
    workload: Workload
    task: str
    args: tuple[Any, ...] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict, hash=False)
    name: str = ""  # "module:attribute" that it was imported from

    @property
    def application_name(self) -> str | Mapping[str, Any]:
        """The application as a capsule names it: where it is imported from, else its fields, without secrets.

        Empty for one with readers that nobody named: it can be found in no other process.
        """
        app = self.application
        if app == STOCK:
            return f"{__name__}:STOCK"
        if self.name or app.effects or app.accepted:
            return self.name
        env = {name: value for name, value in app.env.items() if not hidden(name, value)}
        fields: Mapping[str, Any] = encode(replace(app, env=env))
        return fields

    @property
    def title(self) -> str:
        """As its map is called."""
        return f"{self.configuration.name}/{self.workload.name}"


STOCK = Application(
    celery="brownout.explore.stock",
    env={"BROWNOUT_BROKER": "{broker}", "BROWNOUT_BACKEND": "{backend}", "BROWNOUT_EFFECTS": "{files}/effects.ndjson"},
    effects=ledger("effects.ndjson"),
)

DEFAULTS = Configuration("defaults", "Celery as it comes")
LATE = Configuration("late", "acks_late and nothing else", {"task_acks_late": True})
HARDENED = Configuration(
    "hardened",
    "what is usually advised: late acks, one message at a time, short time-outs, retries everywhere",
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
CONFIGURATIONS = {each.name: each for each in (DEFAULTS, LATE, HARDENED, OWN)}

WORKLOADS = {
    each.name: each
    for each in (
        Workload("task", "one task, from a client that has sent one before"),
        Workload("first", "the first task that a client sends: handshakes and set-up too", first=True),
        Workload("retry", "a task that fails once and is retried", task="brownout.explore.stock.retrying"),
        Workload("countdown", "a task with a countdown", options={"countdown": 0.3}),
        Workload("chain", "two tasks, one after the other", kind="chain", keys=2),
        Workload("group", "two tasks at once", kind="group", keys=2),
        Workload("chord", "two tasks and a body", kind="chord", keys=3, body="brownout.explore.stock.gather"),
        Workload("beat", "a task that beat sends", beat=True),
        Workload("two-workers", "one task, two workers", workers=2),
    )
}
