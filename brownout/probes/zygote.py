"""The process that imports libraries once and then forks (the forker), started as `python -m brownout.probes.zygote
FD`.

FD is the number of a stream socket's file descriptor. The launcher (`subject/processes/forks.py`), at the other end of
the socket, sends requests, one JSON object a line. The first request is {"preload", "scout", "cwd"}; the answer is
{"ready", "read", "remarks"} or {"failed"}. Every later request is {"id", "module", "args", "env", "cwd", "log"}; the
answer is {"id", "pid", "started"}, and later {"exit", "code"} when the forked process has ended. The forking process
has no threads, because a fork would copy the locks of threads without the threads. When the socket closes, this process
kills all forked processes that still run.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Dict

from brownout.probes import kernel
from brownout.probes.kernel import die_with, pidfd_open
from brownout.probes.preload import OWN, ScoutFailed, import_all, reading_environment, remarks, scouted

Dispositions = Dict[int, Any]


class Zygote:
    """Forks a process for each request, and reports the exit codes of these processes, which only their parent can
    learn."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._unread = b""
        self._children: dict[int, int] = {}  # Maps the pid of each running child to its pidfd.
        # `poll` is used and not `epoll`, because an epoll descriptor would be shared with forked processes.
        self._waiting = selectors.PollSelector()
        self._waiting.register(control, selectors.EVENT_READ)
        self._set: dict[str, str] = {}  # the environment variables that the preloaded libraries have set

    def serve(self) -> dict[str, Any] | None:
        """Answer requests until the socket closes, then return None; in a forked child, return the child's request."""
        with suppress(ConnectionError):
            while True:
                for key, _ in self._waiting.select():
                    if key.data is not None:
                        self._reap(key.data)
                        continue
                    if not (data := self._control.recv(1 << 16)):
                        raise ConnectionResetError
                    *lines, self._unread = (self._unread + data).split(b"\n")
                    for request in map(json.loads, lines):
                        if "module" not in request:
                            self._prepare(**request)
                        elif not self._fork(request["id"]):
                            return {**request, "env": {**request["env"], **self._set}}
        self._end()
        return None

    def _say(self, **answer: object) -> None:
        self._control.sendall(json.dumps(answer).encode() + b"\n")

    def _prepare(self, preload: list[str], scout: list[str], cwd: str) -> None:
        os.chdir(cwd)
        _work_in(str(Path.cwd()))
        before = dict(os.environ)
        try:
            with reading_environment() as read:
                import_all(preload)
                import_all(scouted(scout))
        except ScoutFailed as error:
            return self._say(failed=str(error))
        self._set = {name: value for name, value in os.environ.items() if before.get(name) != value}
        gc.collect()
        gc.freeze()  # without this call a garbage collection in a child would write to shared memory pages
        return self._say(ready=True, read=sorted(read), remarks=remarks())

    def _fork(self, request: int) -> int:
        """Return the child's pid, or -1 when the fork failed; 0 in the child, after closing inherited descriptors."""
        parent = os.getpid()
        sys.stdout.flush()
        try:
            pid = os.fork()
        except OSError as error:
            self._say(id=request, error=f"fork: {error}")
            return -1
        if not pid:
            die_with(parent)
            self._control.close()
            for descriptor in self._children.values():
                os.close(descriptor)
            return 0
        descriptor = self._children[pid] = pidfd_open(pid)
        self._waiting.register(descriptor, selectors.EVENT_READ, pid)
        # until waitpid is called, the kernel keeps the ended child in /proc
        self._say(id=request, pid=pid, started=kernel.started(pid))
        return pid

    def _reap(self, pid: int) -> None:
        _, status = os.waitpid(pid, 0)
        descriptor = self._children.pop(pid)
        self._waiting.unregister(descriptor)
        os.close(descriptor)
        self._say(exit=pid, code=-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))

    def _end(self) -> None:
        for pid in self._children:
            # The process is killed before its process group is killed: otherwise a child that leads no group yet could
            # create one later.
            for send in (os.kill, os.killpg):
                with suppress(ProcessLookupError):
                    send(pid, signal.SIGKILL)


# --- functions that run in the child after a fork


def _work_in(folder: str) -> None:
    """Make `folder` the first place for imports, as `python -m` does with the working directory."""
    if not getattr(sys.flags, "safe_path", False):  # `sys.flags.safe_path` is new in Python 3.11
        sys.path[0] = folder
    # without this call, Python's cached list of the folder's files may lack the newest file
    sys.path_importer_cache.pop(folder, None)


def _dispositions() -> Dispositions:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def become(request: dict[str, Any], first: Dispositions, mask: set[int | signal.Signals]) -> None:
    """Continue, in a process that was just forked, like `python -m module args` after its start.

    `first` (signal handlers) and `mask` (signal mask) have the values with which this interpreter started. An exception
    of the module, SystemExit included, reaches the interpreter, so the process ends as any other process does: with its
    exit code, traceback, threads, atexit handlers and flushed files.
    """
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)  # standard input reads from /dev/null, as with subprocess.DEVNULL
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for source, standard in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, standard)
    os.close(null)
    os.close(log)
    for number, handler in _dispositions().items():
        if handler is not first[number]:
            signal.signal(number, first[number])
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    tempfile.tempdir = None  # Python then looks for the pycache folder again, with the new environment
    _work_in(str(Path.cwd()))
    sys.argv = ["-m", *request["args"]]
    sys.orig_argv = [sys.executable, "-m", request["module"], *request["args"]]
    for name in [name for name in sys.modules if name.partition(".")[0] == OWN]:
        del sys.modules[name]
    sys.modules["__main__"] = fresh = ModuleType("__main__")
    fresh.__annotations__ = {}  # The attribute is set because the interpreter's own __main__ module has it, too.
    if "__mp_main__" in sys.modules:  # The module multiprocessing gives this name to the module __main__.
        sys.modules["__mp_main__"] = fresh
    package = request["module"].partition(".")[0]
    if package in sys.modules and getattr(sys.modules[package], "__spec__", None) is None:
        # Celery up to 5.2 replaces its own module by a module without `__spec__`, which runpy needs for a loaded
        # module.
        sys.modules[package].__spec__ = PathFinder.find_spec(package)
    runpy._run_module_as_main(request["module"])  # type: ignore[attr-defined] # what `python -m` itself calls


def main() -> None:
    """Answers the requests of the launcher (subject/processes/forks.py). A forked child returns from `serve` and runs
    the requested module."""
    first, mask = _dispositions(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    # `become` replaces this module, and without a reference Python may clear its globals.
    here = sys.modules["__main__"]
    request = Zygote(socket.socket(fileno=int(sys.argv[1]))).serve()
    if request is not None:
        become(request, first, mask)
    del here


if __name__ == "__main__":
    main()
