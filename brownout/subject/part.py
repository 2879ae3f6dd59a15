"""A part of an application (one of its processes) as data: the module to run, its arguments, folder, environment and
Python."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """One process of an application, started as `python -m module args` in the directory `folder`.

    The variables of `env` are added to the environment of brownout's process. `name` is the name of the process in
    histories and logs. A part that is not `forkable` must be started by its command line: as a forked process it
    behaves differently.
    """

    name: str
    module: str
    args: tuple[str, ...] = ()
    folder: Path = Path()
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    python: str = sys.executable
    forkable: bool = True

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line of the process."""
        return (self.python, "-m", self.module, *self.args)
