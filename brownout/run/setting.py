"""The setting of a trial, which is everything but its plan: the application, a folder, a Redis server, a wire, a
launcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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
        """The folder whose lock files let trials of several processes take turns."""

    def place(self, scenario: str) -> Path:
        """A new directory for one trial."""


@dataclass(frozen=True)
class Setting:
    """How and where a trial runs: its application, its store, its Redis server (`rung`), its wire, its launcher."""

    scenario: str
    application: Application
    root: Path
    store: Place
    rung: Rung
    make_wire: MakeWire
    launcher: Launcher = field(default_factory=Cold)
    emit: Handler = nobody
    alone: bool = False  # whether even the first attempt runs without another trial beside it
    #: Services that run beside the subject, by name; the services are made and started anew for each attempt.
    services: Mapping[str, Callable[[], AbstractContextManager[object]]] = field(default_factory=dict)
    #: The application of a trial without a test, as its capsule names it: "module:attribute", or its fields as JSON.
    application_name: str | Mapping[str, Any] = ""
    stopped: Callable[[], bool] = lambda: False  # returns whether the trial must end at once, without a verdict
