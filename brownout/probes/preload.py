"""Prepares the process that forks: imports libraries, and notes why a forked process may differ from a process started
by its command line."""

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

from brownout.probes.kernel import die_with

OWN = "brownout"  # this package is no part of `libraries`, because every forked process imports it again


class ScoutFailed(Exception):
    """A module of the application cannot be imported; the message is the traceback."""


def import_all(names: Iterable[str]) -> None:
    """Import the modules, and skip those that cannot be imported."""
    for name in names:
        # the error is ignored here: a process that needs this module will raise it
        with suppress(Exception, SystemExit):
            importlib.import_module(name)


def import_named(name: str) -> None:
    """Import a module as `celery -A` does, which accepts `module.attribute` as a name of the module, too."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        module, _, attribute = name.rpartition(".")
        if error.name != name or not module or not hasattr(importlib.import_module(module), attribute):
            raise


def scouted(modules: list[str]) -> list[str]:
    """Import an application in a child process; return the library modules that it imports, in order of import.

    The application's own modules are not imported in this process, because their import reads settings that differ from
    process to process. Raises ScoutFailed when the import fails.
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
                import_named(name)
            foreign = {name: module for name, module in sys.modules.items() if name.partition(".")[0] not in own}
            answer["names"] = [name for name, module in foreign.items() if _in_library(module, nowhere=False)]
        except BaseException:
            answer["failed"] = traceback.format_exc()
        with os.fdopen(send, "w") as out:
            out.write(json.dumps(answer) + "\n")
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as lines:
        answer = json.loads(lines.readline() or '{"failed": "the process ended during the import"}')
    for kill in (os.kill, os.killpg):
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if "failed" in answer:
        raise ScoutFailed(answer["failed"])
    return [name for name in answer["names"] if name not in sys.modules]


_LIBRARY = tuple(
    os.path.realpath(place) + os.sep
    for place in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *site.getsitepackages(),
        site.getusersitepackages(),
    )
)


def _in_library(module: ModuleType, *, nowhere: bool) -> bool:
    """Whether a module belongs to Python or site-packages. The result is `nowhere` for a module without a file."""
    file = getattr(module, "__file__", None)
    return os.path.realpath(file).startswith(_LIBRARY) if file else nowhere


@contextmanager
def reading_environment() -> Iterator[set[str]]:
    """Within the block, collect the names of all environment variables that code reads, whether they are set or not.

    The packages celery, kombu and billiard read forty environment variables when they are imported. When libraries were
    imported here, they read some environment variables. A process for which one of these variables has another value
    must not be a fork of this process. A module that copies all environment variables (wsgiref.handlers) counts as
    reading none of them.
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
        copied[:] = reversed(names)  # dict(os.environ) reads all names first, and then the value of each name
        return iter(names)

    # Every read of one variable calls __getitem__; every read of all variables calls __iter__, then __getitem__.
    kind.__getitem__, kind.__iter__ = reading, walking  # type: ignore[method-assign] # until the libraries are loaded
    try:
        yield read
    finally:
        kind.__getitem__, kind.__iter__ = plain, walk  # type: ignore[method-assign] # the original methods


def remarks() -> list[str]:
    """Return the reasons why a forked process may differ from a process started by its command line, one line for each
    reason."""
    threads = len(list(Path("/proc/self/task").iterdir())) - 1
    state: Any = sys.modules.get("celery._state")
    apps = len(state._apps) + (state.default_app is not None) if state else 0
    skipped = (OWN, "__main__", "__mp_main__")
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] not in skipped]
    strangers = [module.__name__ for module in modules if not _in_library(module, nowhere=True)]
    return [
        *([f"preloading started {threads} threads, which a fork does not have"] if threads else []),
        *(["preloading made a Celery application, which reads its settings too early"] if apps else []),
        *([f"preloaded modules that are not in libraries: {', '.join(sorted(strangers))}"] if strangers else []),
    ]
