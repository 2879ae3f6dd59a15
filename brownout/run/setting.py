"""The setting of a trial is everything except its plan: the application, a folder, a Redis server, a network proxy, and
how processes are started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from brownout.plan.plan import Plan
from brownout.run.events import Handler, nobody
from brownout.subject.application import Application
from brownout.subject.processes.launcher import Cold, Launcher
from brownout.subject.servers.ladder import Rung
from brownout.wire.interface import AnyWire

MakeWire = Callable[[int, Callable[[str, dict[str, Any]], None], Path], AnyWire]


class Place(Protocol):
    """The place in which trials store their files: a `run.store.Store`, or a folder that is removed with its
    campaign."""

    @property
    def root(self) -> Path:
        """The folder with the lock files by which trials of several processes take turns."""

    def place(self, scenario: str) -> Path:
        """A new directory for one trial."""


@dataclass(frozen=True)
class Setting:
    """How and where a trial runs: its application, the folder for its files, the kind of its Redis server (`rung`), its
    network proxy (`wire`), and how its processes are started (`launcher`)."""

    scenario: str
    application: Application
    root: Path
    store: Place
    rung: Rung
    make_wire: MakeWire
    launcher: Launcher = field(default_factory=Cold)
    emit: Handler = nobody
    alone: bool = False  # Whether already the first attempt must run while no other trial runs.
    #: Services that run beside the subject, by name; the services are made and started anew for each attempt.
    services: Mapping[str, Callable[[], AbstractContextManager[object]]] = field(default_factory=dict)
    #: For a trial that no test runs: the application, as "module:attribute" or as its fields in JSON.
    application_name: str | Mapping[str, Any] = ""
    #: The plan that the test made, or that of a capsule with its secrets; for a `job` of `capsules.within`.
    plan: Plan | None = None
    # a function that returns whether the trial must end immediately, without a verdict
    stopped: Callable[[], bool] = lambda: False
