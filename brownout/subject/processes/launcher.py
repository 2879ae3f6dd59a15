"""Launchers start the parts of an application (its processes): by a command line (here), or by a fork (see
forks.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from brownout.subject.part import Part
from brownout.subject.processes.process import Process


class Launcher(Protocol):
    """Starts parts of one application as processes. Several threads may use the same launcher (the object that starts
    processes)."""

    @property
    def kind(self) -> str:
        """How the launcher starts processes: "cold" means by a command line, "forked" means by a fork."""

    def launch(self, part: Part, log: Path) -> Process:
        """Start a part; the part's output is appended to `log`. Raises OSError when the start fails."""

    def close(self) -> None:
        """End the launcher's own processes. The caller of the method `launch` must end the processes that it starts."""


class Cold:
    """Starts each part by its command line, in a new interpreter."""

    kind = "cold"

    def launch(self, part: Part, log: Path) -> Process:
        """Start a part in a new interpreter; its output is appended to `log`."""
        return Process.launch(part.name, part.argv, log=log, env=part.env, cwd=part.folder)

    def close(self) -> None:
        """Do nothing, because this launcher has no process of its own to end."""
