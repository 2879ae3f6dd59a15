"""The process that imports libraries once and then forks: `python -m brownout.explore.zygote FD`.

FD is a stream socket to launcher.py, which asks with one JSON object a line. The first is {"preload", "scout", "cwd"},
answered by {"ready", "read", "remarks"} or {"failed"}; each further one {"id", "module", "args", "env", "cwd", "log"},
answered by {"id", "pid", "started"}, and by {"exit", "code"} when that process has ended. There is no thread here: a
fork would copy its locks and not the thread. When the socket closes, all that still runs is killed.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import site
import socket
import sys
import sysconfig
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from brownout.subject import table

PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)
OWN = "brownout"  # this package: forked processes import it for themselves
Dispositions = dict[int, Any]


class Zygote:
    """Forks on request, and tells each end: it is the parent, so nobody else can."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._unread = b""
        self._children: dict[int, int] = {}  # pid: its pidfd
        self._waiting = selectors.PollSelector()  # unlike epoll it has no descriptor that a fork would share
        self._waiting.register(control, selectors.EVENT_READ)
        self._set: dict[str, str] = {}  # what the preloaded libraries put into the environment

    def serve(self) -> dict[str, Any] | None:
        """Answer until the socket closes: None then, but in a forked child what it is to become."""
        with suppress(ConnectionError):
            while True:
                for key, _ in self._waiting.select():
                    if key.data is not None:
                        self._reap(key.data)
                        continue
                    if not (data := self._control.recv(1 << 16)):
                        raise ConnectionResetError
                    *lines, self._unread = (self._unread + data).split(b"\n")
                    for asked in map(json.loads, lines):
                        if "module" not in asked:
                            self._prepare(**asked)
                        elif not self._fork(asked["id"]):
                            return {**asked, "env": {**asked["env"], **self._set}}
        self._end()
        return None

    def _say(self, **what: object) -> None:
        self._control.sendall(json.dumps(what).encode() + b"\n")

    def _prepare(self, preload: list[str], scout: list[str], cwd: str) -> None:
        os.chdir(cwd)
        _work_in(str(Path.cwd()))
        before = dict(os.environ)
        try:
            with _reading_environment() as read:
                _import_all(preload)
                _import_all(_scouted(scout))
        except ScoutFailed as error:
            return self._say(failed=str(error))
        self._set = {name: value for name, value in os.environ.items() if before.get(name) != value}
        gc.collect()
        gc.freeze()  # a collection in a child must not write to, and so copy, the pages of all that was imported
        return self._say(ready=True, read=sorted(read), remarks=_remarks())

    def _fork(self, request: int) -> int:
        """The child's pid, -1 when there is none; 0 in the child, which then has none of the descriptors of here."""
        parent = os.getpid()
        sys.stdout.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self._say(id=request, error=f"fork: {error}")
            return -1
        if not pid:
            _die_with(parent)
            self._control.close()
            for descriptor in self._children.values():
                os.close(descriptor)
            return 0
        found = table.entry(pid)  # nobody has waited for it, so it is there
        assert found is not None
        descriptor = self._children[pid] = os.pidfd_open(pid)
        self._waiting.register(descriptor, selectors.EVENT_READ, pid)
        self._say(id=request, pid=pid, started=found.started)
        return pid

    def _reap(self, pid: int) -> None:
        _, status = os.waitpid(pid, 0)
        descriptor = self._children.pop(pid)
        self._waiting.unregister(descriptor)
        os.close(descriptor)
        self._say(exit=pid, code=os.waitstatus_to_exitcode(status))

    def _end(self) -> None:
        for pid in self._children:
            for send in (os.kill, os.killpg):  # the process first: it may not lead a group yet, and then never will
                with suppress(ProcessLookupError):
                    send(pid, signal.SIGKILL)


def _die_with(parent: int) -> None:
    # A child whose pid was not told yet could otherwise outlive this process, and nobody would know of it.
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


# --- before the first fork


class ScoutFailed(Exception):
    """A module of the application cannot be imported; the message is the traceback."""


def _import_all(names: Iterable[str]) -> None:
    for name in names:
        with suppress(Exception, SystemExit):  # whoever needs it will see the error
            importlib.import_module(name)


def _scouted(modules: list[str]) -> list[str]:
    """Import an application in a child, and name the library modules that came with it, in their order.

    The application's own modules are not imported here: they read at import what differs from process to process.
    Raises ScoutFailed.
    """
    own = {name.partition(".")[0] for name in (*modules, OWN, "__main__")}
    receive, send = os.pipe()
    parent, pid = os.getpid(), os.fork()
    if not pid:
        _die_with(parent)
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
def _reading_environment() -> Iterator[set[str]]:
    """Collect the names of the variables that are read, whether they are set or not.

    celery, kombu and billiard read forty at import: a process to which one of them says something else cannot be a fork
    of this one. Who takes a copy of all (wsgiref.handlers) has read none.
    """
    kind, read, copied = type(os.environ), set[str](), list[Any]()
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


def _remarks() -> list[str]:
    """What may make a forked process differ from a cold one: a line each."""
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


# --- after a fork


def _work_in(folder: str) -> None:
    """What `python -m` does with the working directory."""
    if not sys.flags.safe_path:
        sys.path[0] = folder
    sys.path_importer_cache.pop(folder, None)  # its listing may be older than the newest file


def _dispositions() -> Dispositions:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def become(asked: dict[str, Any], first: Dispositions, mask: set[int | signal.Signals]) -> None:
    """Go on, in a child just forked, as `python -m module args` does after its start.

    `first` and `mask` are how this interpreter began to treat signals. Whatever the module raises, SystemExit included,
    goes up to the interpreter, whose end is then an ordinary one: exit code, traceback, threads, atexit, flush.
    """
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)  # as subprocess.DEVNULL
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for source, standard in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, standard)
    os.close(null)
    os.close(log)
    for number, handler in _dispositions().items():
        if handler is not first[number]:
            signal.signal(number, first[number])
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    time.tzset()
    tempfile.tempdir = None  # to be found anew, by this environment
    _work_in(str(Path.cwd()))
    sys.argv = ["-m", *asked["args"]]
    sys.orig_argv = [sys.executable, "-m", asked["module"], *asked["args"]]
    for name in [name for name in sys.modules if name.partition(".")[0] == OWN]:
        del sys.modules[name]
    sys.modules["__main__"] = fresh = ModuleType("__main__")
    fresh.__annotations__ = {}  # the interpreter's own has them, too
    if "__mp_main__" in sys.modules:  # multiprocessing's name for it
        sys.modules["__mp_main__"] = fresh
    runpy._run_module_as_main(asked["module"])  # type: ignore[attr-defined] # what `python -m` itself calls


def main() -> None:
    """Serve, and in a forked child become what was asked for."""
    first, mask = _dispositions(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    here = sys.modules["__main__"]  # kept: a module that nobody holds takes its names away
    asked = Zygote(socket.socket(fileno=int(sys.argv[1]))).serve()
    if asked is not None:
        become(asked, first, mask)
    del here


if __name__ == "__main__":
    main()
