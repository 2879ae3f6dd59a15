"""Keeps one launcher for each application that this process of brownout starts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from brownout.subject.application import NOWHERE, Application
from brownout.subject.environment import environment_of, folder_of, on_path
from brownout.subject.processes.forks import LIBRARIES, Forked, ForkerEnded, NotForkable
from brownout.subject.processes.launcher import Cold, Launcher
from brownout.subject.processes.scratch import scratch
from brownout.subject.waiting import NeverHappened

Launch = Literal["auto", "forked", "cold"]
LAUNCHES: tuple[Launch, ...] = ("auto", "forked", "cold")
#: When an application is started this many times, it gets its own forker, which is a process that forks.
OWN_FROM = 2
#: The forking process that all applications share imports these modules. Each forked process imports the other modules
#: of its application itself.
COMMON = (*LIBRARIES, "fastapi", "httpx")


class Launchers:
    """Chooses how the processes of an application are started, and keeps the objects that start them.

    The import of an application's libraries takes about as long as one start by the command line. Because that import
    takes time, the first start of an application uses a forking process that all applications share; at the second
    start the application gets its own forking process.
    """

    def __init__(self) -> None:
        self.why_cold: dict[Application | str, str] = {}
        self._cold = Cold()
        self._forked: dict[Application | str, Forked | None] = {}
        self._starts: Counter[Application] = Counter()

    def of(self, application: Application, root: Path, launch: Launch) -> Launcher:
        """Return the launcher (the object that starts processes) for an application. "auto" forks processes, unless a
        forked process may differ from a process started by the command line.

        With "forked", raises NotForkable when a forked process may differ from a process started by the command line.
        """
        if launch == "cold":
            return self._cold
        self._starts[application] += 1
        python = application.python
        forked = self._kept(python, lambda: Forked(COMMON, folder=root, python=python, env=on_path(python, {})))
        if forked is not None and self._starts[application] >= OWN_FROM:
            forked = self._kept(application, lambda: forks_of(application, root))
        if forked is not None:
            return forked
        if launch == "forked":
            raise NotForkable(self.why_cold.get(application) or self.why_cold[python])
        return self._cold

    def _kept(self, application: Application | str, start: Callable[[], Forked]) -> Forked | None:
        kept = self._forked.get(application)
        if kept is None and application not in self._forked:
            kept = self._forked[application] = self._started(application, start)
        if kept is not None and not kept.process.alive:  # the old process for this application was killed
            kept = self._forked[application] = self._started(application, start)
        return kept

    def _started(self, application: Application | str, start: Callable[[], Forked]) -> Forked | None:
        if sys.platform != "linux":
            self.why_cold[application] = "forks need Linux"
            return None
        try:
            forked = start()
        except (NotForkable, ForkerEnded, NeverHappened) as error:
            self.why_cold[application] = str(error)
            return None
        if forked.remarks:
            self.why_cold[application] = "; ".join(forked.remarks)
            forked.close()
            return None
        return forked

    def close(self) -> None:
        """End all forking processes."""
        for forked in self._forked.values():
            if forked is not None:
                forked.close()
        self._forked.clear()


def forks_of(application: Application, root: Path) -> Forked:
    """Start a forking process for the parts of an application. Raises the exceptions that the class Forked raises when
    it is created.

    The modules of an API with a folder of its own are not imported before the fork.
    """
    role = "worker" if application.celery else "api"
    apart = folder_of(application, "api", root) != folder_of(application, role, root)
    named = (application.celery, None if apart else application.api, *application.relay[:1])
    modules = [name.partition(":")[0] for name in named if name]
    with scratch() as files:  # only the import in a child of the forking process needs it
        places = {"broker": f"{NOWHERE}/0", "backend": f"{NOWHERE}/1", "files": files}
        env = environment_of(application, role, root, {}, **places)
        return Forked(modules=modules, env=env, folder=folder_of(application, role, root), python=application.python)
