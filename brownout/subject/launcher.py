"""How a part of an application is started: by its command line, or by a fork of a process with libraries imported."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from brownout.subject.part import Part
from brownout.subject.process import Process


class Launcher(Protocol):
    """Starts parts of one application. May be used from several threads."""

    @property
    def kind(self) -> str:
        """How it starts processes: "cold" or "forked"."""

    def launch(self, part: Part, log: Path) -> Process:
        """Start a part; its output is appended to `log`. Raises OSError when it cannot be started."""

    def close(self) -> None:
        """End what it needs for itself. What it has started is ended by whoever asked for it."""


class Cold:
    """Starts a new interpreter each time: the real command line."""

    kind = "cold"

    def launch(self, part: Part, log: Path) -> Process:
        """See Launcher."""
        return Process.launch(part.name, part.argv, log=log, env=part.env, cwd=part.folder)

    def close(self) -> None:
        """See Launcher."""
