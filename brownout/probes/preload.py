"""What the forking process does before its first fork: it imports libraries, and notes what a fork could lack."""

from __future__ import annotations

import importlib
import json
import os
import signal
import site
import sys
import sysconfig
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Iterable, Iterator

from brownout.probes.syscalls import die_with

OWN = "brownout"  # this package: forked processes import it for themselves


class ScoutFailed(Exception):
    """A module of the application cannot be imported; the message is the traceback."""


def import_all(names: Iterable[str]) -> None:
    """Import those of the modules that can be imported."""
    for name in names:
        with suppress(Exception, SystemExit):  # a process that needs the module will show the error
            importlib.import_module(name)


def scouted(modules: list[str]) -> list[str]:
    """Import an application in a child, and name the library modules that came with it, in their order.

    The application's own modules are not imported here: they read at import what differs from process to process.
    Raises ScoutFailed.
    """
    own = {name.partition(".")[0] for name in (*modules, OWN, "__main__")}
    receive, send = os.pipe()
    parent, pid = os.getpid(), os.fork()
    if not pid:
        die_with(parent)
        os.setsid()
        answer: dict[str, Any] = {}
        try:
            for name in modules:
                importlib.import_module(name)
            found = {name: module for name, module in sys.modules.items() if name.partition(".")[0] not in own}
            answer["names"] = [name for name, module in found.items() if _in_library(module, nowhere=False)]
        except BaseException:
            answer["failed"] = traceback.format_exc()
        with os.fdopen(send, "w") as out:
            out.write(json.dumps(answer) + "\n")
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as lines:
        said = json.loads(lines.readline() or '{"failed": "it ended while it was imported"}')
    for kill in (os.kill, os.killpg):
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if "failed" in said:
        raise ScoutFailed(said["failed"])
    return [name for name in said["names"] if name not in sys.modules]


_LIBRARY = tuple(
    os.path.realpath(place) + os.sep
    for place in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
)


def _in_library(module: ModuleType, *, nowhere: bool) -> bool:
    """Whether a module is one of Python's or of site-packages; `nowhere` is the answer when it has no file."""
    file = getattr(module, "__file__", None)
    return os.path.realpath(file).startswith(_LIBRARY) if file else nowhere


@contextmanager
def reading_environment() -> Iterator[set[str]]:
    """Collect the names of the variables that are read, whether they are set or not.

    celery, kombu and billiard read forty variables at import. A process in which one of them has another value
    cannot be a fork of this one. A module that copies all variables (wsgiref.handlers) counts as having read none.
    """
    read: set[str]
    copied: list[Any]
    kind, read, copied = type(os.environ), set(), []
    plain, walk = kind.__getitem__, kind.__iter__

    def reading(self: Any, name: Any) -> Any:
        if copied[-1:] == [name]:
            copied.pop()
        else:
            copied.clear()
            read.add(os.fsdecode(name))
        return plain(self, name)

    def walking(self: Any) -> Iterator[Any]:
        names = list(walk(self))
        copied[:] = reversed(names)  # dict(os.environ) asks for all names first, and then for each value
        return iter(names)

    # Every way of reading one variable leads through the first, and of reading all through both.
    kind.__getitem__, kind.__iter__ = reading, walking  # type: ignore[method-assign] # for as long as libraries load
    try:
        yield read
    finally:
        kind.__getitem__, kind.__iter__ = plain, walk  # type: ignore[method-assign] # as before


def remarks() -> list[str]:
    """Reasons for which a forked process may differ from a cold one, one line each."""
    threads = len(list(Path("/proc/self/task").iterdir())) - 1
    state: Any = sys.modules.get("celery._state")
    apps = len(state._apps) + (state.default_app is not None) if state else 0
    mine = [m for n, m in sys.modules.items() if n.partition(".")[0] not in (OWN, "__main__", "__mp_main__")]
    strangers = [module.__name__ for module in mine if not _in_library(module, nowhere=True)]
    return [
        *(["preloading started threads, which no fork has: " + str(threads)] if threads else []),
        *(["preloading made a Celery application, which reads its settings too early"] if apps else []),
        *([f"preloaded from outside of the libraries: {', '.join(sorted(strangers))}"] if strangers else []),
    ]
