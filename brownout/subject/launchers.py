"""The launchers that one process of the harness keeps: one for each application that it starts."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from brownout.subject.application import Application
from brownout.subject.forks import LIBRARIES, Forked, ForkerEnded, NotForkable
from brownout.subject.launcher import Cold, Launcher
from brownout.subject.waiting import NeverHappened

Launch = Literal["auto", "forked", "cold"]
LAUNCHES: tuple[Launch, ...] = ("auto", "forked", "cold")


#: So often an application must be started before it gets a process that forks of its own.
OWN_FROM = 2
#: Imported for every application; what else an application imports, its forks import until it has a forker of its own.
COMMON = (*LIBRARIES, "fastapi", "httpx")


class Launchers:
    """Chooses and keeps launchers, for one process of the harness.

    To import an application's libraries takes about as long as to start its processes once. So applications that are
    started once share one process that forks, and only the next start of one gives it a process of its own.
    """

    def __init__(self) -> None:
        self.why_cold: dict[Application | None, str] = {}
        self._cold = Cold()
        self._forked: dict[Application | None, Forked | None] = {}
        self._starts: Counter[Application] = Counter()

    def of(self, application: Application, root: Path, launch: Launch) -> Launcher:
        """The launcher for an application. "auto" forks where a fork is known to behave as the command line does.

        Raises NotForkable with "forked" where that is not known.
        """
        if launch == "cold":
            return self._cold
        self._starts[application] += 1
        forked = self._kept(None, lambda: Forked(COMMON, folder=root))
        if forked is not None and self._starts[application] >= OWN_FROM:
            forked = self._kept(application, lambda: forks_of(application, root))
        if forked is not None:
            return forked
        if launch == "forked":
            raise NotForkable(self.why_cold.get(application) or self.why_cold[None])
        return self._cold

    def _kept(self, application: Application | None, start: Callable[[], Forked]) -> Forked | None:
        kept = self._forked.get(application)
        if kept is None and application not in self._forked:
            kept = self._forked[application] = self._started(application, start)
        if kept is not None and not kept.process.alive:  # somebody has ended it
            kept = self._forked[application] = self._started(application, start)
        return kept

    def _started(self, application: Application | None, start: Callable[[], Forked]) -> Forked | None:
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
        """End the processes that fork."""
        for forked in self._forked.values():
            if forked is not None:
                forked.close()
        self._forked.clear()


def forks_of(application: Application, root: Path) -> Forked:
    """Start the process that forks the parts of an application. Raises what Forked raises."""
    nowhere = "127.0.0.1:1"
    places = {"broker": f"redis://{nowhere}/0", "backend": f"redis://{nowhere}/1", "files": os.devnull}
    modules = [name.partition(":")[0] for name in (application.celery, application.api) if name]
    modules += [*application.relay[:1]]
    return Forked(modules=modules, env=application.environment(**places), folder=root)
