"""Starts the subject's Python processes by forking a process (the forker) that has already imported their libraries
(Linux)."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

from brownout.subject.application import NotImportable
from brownout.subject.environment import KIT, is_own, probes_folder
from brownout.subject.part import Part
from brownout.subject.processes import custody
from brownout.subject.processes.handle import Fork
from brownout.subject.processes.launcher import Cold
from brownout.subject.processes.process import Process
from brownout.subject.waiting import NeverHappened

#: Modules that Celery's and uvicorn's commands import only after their start.
LIBRARIES = (
    *("celery", "celery.bin.celery", "celery.apps.worker", "celery.apps.beat", "celery.fixups.django"),
    *("celery.loaders.app", "celery.app.log", "celery.app.amqp", "celery.app.control", "celery.app.events"),
    *("celery.concurrency.prefork", "celery.concurrency.solo", "celery.concurrency.thread", "celery.backends.redis"),
    *("celery.worker.autoscale", "celery.worker.consumer", "celery.worker.consumer.delayed_delivery"),
    *("celery.worker.consumer.agent", "celery.worker.pidbox", "celery.worker.strategy", "kombu.transport.redis"),
    *("billiard.heap", "billiard.popen_fork", "billiard.sharedctypes", "billiard.synchronize", "psutil"),
    *("uvicorn", "uvicorn.main", "uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.loops.uvloop"),
    *("uvicorn.protocols.http.auto", "uvicorn.protocols.http.h11_impl", "uvicorn.protocols.http.httptools_impl"),
    *("uvicorn.protocols.websockets.auto", "redis.asyncio"),
)
#: Prefixes of variables that the interpreter reads only when it starts, so a forked process cannot have other values
#: for them.
AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_")
IMPORT_WITHIN = 60.0  # Seconds in which the forking process must have imported the libraries.
FORK_WITHIN = 30.0  # Seconds in which a forked process must have started; usually this takes milliseconds.
GRACE = 0.5  # Seconds for the forking process to end by itself before it is killed.


class ForkerEnded(RuntimeError):
    """The forker (the process that forks) has ended, so nothing can be forked any more; its forked processes are
    killed."""


class NotForkable(ValueError):
    """The application's processes cannot be forked: its import fails, or a forked process may differ from a process
    started by its command line."""


class Forked:
    """Starts parts of an application as forked processes. Several threads may use the same object of this class.

    `remarks` has the reasons why a forked process may differ from a process that is started by its command line. A part
    is started by its command line, and not forked, if it is not forkable, uses another Python than the forker, or needs
    another value of a variable that the forker has already read; `cold_because` has the names of the variables that
    needed another value.
    """

    kind = "forked"

    def __init__(
        self,
        preload: Sequence[str] = LIBRARIES,
        *,
        modules: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
        python: str = "",
        log: Path = Path(os.devnull),
        within: float = IMPORT_WITHIN,
    ) -> None:
        """Start the forking process, and return when it has imported those modules of `preload` that are installed.

        To find the libraries, a child of the forking process imports the application's `modules` with the environment
        `env` in the folder `folder`. The forking process then imports the libraries that these modules import. Raises
        NotForkable when the import fails, NeverHappened after `within` seconds, ForkerEnded when the forking process
        ends.
        """
        self._modules, self._python = modules, python or sys.executable
        self.remarks: tuple[str, ...] = ()
        self.cold_because: set[str] = set()
        self._base, self._read = _complete(env or {}), set[str]()
        self._cold, self._lock, self._numbers = Cold(), threading.Lock(), count(1)
        self._pending: dict[int, Future[Fork]] = {}
        self._running: dict[int, Fork] = {}
        self._ready: Future[dict[str, Any]] = Future()
        self._over = ""  # the reason why the forking process cannot fork any more; "" while it can fork
        ours, theirs = socket.socketpair()
        self._control = ours
        with theirs:
            argv = [self._python, "-m", "brownout.probes.zygote", str(theirs.fileno())]
            package_parent = KIT.parent if is_own(python) else probes_folder()
            fds = (theirs.fileno(),)
            self.process = Process.launch("forker", argv, log=log, env=self._base, cwd=package_parent, pass_fds=fds)
        self._thread = threading.Thread(target=self._listen, name="forks", daemon=True)
        self._thread.start()
        where = str((folder or Path.cwd()).absolute())
        try:
            self._tell(preload=[*preload], scout=[*modules], cwd=where)
            report = self._ready.result(within)
        except BaseException as error:
            self.process.signal(signal.SIGKILL)  # the forking process does not notice a closed socket while it imports
            self.close()
            if isinstance(error, TimeoutError):
                text = f"still not true after {within:g} s: libraries are imported\n{self.process.tail()}"
                raise NeverHappened(text) from None
            raise
        self._read, self.remarks = set(report["read"]), tuple(report["remarks"])

    def launch(self, part: Part, log: Path) -> Process:
        """Start a part of the application by a fork, with the behaviour that `Launcher.launch` describes. Also raises
        ForkerEnded, and NeverHappened when the fork takes more than FORK_WITHIN seconds."""
        env = _complete(part.env)
        read = self._read.union(name for name in (*env, *self._base) if name.startswith(AT_START))
        differing = {name for name in read if env.get(name) != self._base.get(name)}
        if differing or part.python != self._python or not part.forkable:
            self.cold_because |= differing
            return self._cold.launch(part, log)
        next(part.folder.iterdir(), None)  # this call raises the OSError that a start by the command line would raise
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
        answer: Future[Fork] = Future()
        with self._lock:
            if self._over:
                raise ForkerEnded(self._over)
            number = next(self._numbers)
            self._pending[number] = answer
        places = {"cwd": str(part.folder.absolute()), "log": str(log.absolute())}
        self._tell(id=number, module=part.module, args=[*part.args], env=env, **places)
        try:
            fork = answer.result(FORK_WITHIN)
        except TimeoutError:
            answer.add_done_callback(_undo)
            text = f"still not true after {FORK_WITHIN:g} s: {self.process} has forked {part.name}"
            raise NeverHappened(text) from None
        except KeyboardInterrupt:
            answer.add_done_callback(_undo)
            raise
        return Process(part.name, fork, log)

    def close(self) -> None:
        """End the forker (the process that forks); it then kills the processes that it has forked."""
        with self._lock:
            self._over = self._over or "the launcher is closed"
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        if not self.process.handle.ended(GRACE):
            self.process.signal(signal.SIGKILL)
        self.process.kill()
        self._thread.join()

    def _tell(self, **request: object) -> None:
        line = json.dumps(request).encode() + b"\n"
        try:
            with self._lock:
                self._control.sendall(line)
        except OSError:  # the listening thread notices the end of the forking process and reports the reason
            pass

    def _listen(self) -> None:
        why = ""
        try:
            with self._control.makefile("rb") as lines:
                for line in lines:
                    # a line without a newline means that the forking process died while it wrote the line
                    if line.endswith(b"\n"):
                        self._handle(json.loads(line))
        except ConnectionError:
            pass
        except Exception as error:
            why = f"a message of the forker cannot be read: {type(error).__name__}: {error}"
        with self._lock:
            self._over = self._over or why or f"the forker has ended\n{self.process.tail()}"
            pending, self._pending = [*self._pending.values()], {}
            running, self._running = [*self._running.values()], {}
        waiting: list[Future[Any]] = [self._ready, *pending]
        for future in waiting:
            if not future.done():
                future.set_exception(ForkerEnded(self._over))
        for fork in running:
            fork.signal(signal.SIGKILL)
            # this exit code is assumed, because only the forking process could read the real exit code of the forked
            # process
            fork.end(-signal.SIGKILL)
        self._control.close()

    def _handle(self, message: dict[str, Any]) -> None:
        if "exit" in message:
            with self._lock:
                fork = self._running.pop(message["exit"])
            fork.end(message["code"])
        elif "ready" in message:
            self._ready.set_result(message)
        elif "failed" in message:
            self._ready.set_exception(
                NotForkable(NotImportable(message["failed"], *self._modules, python=self._python))
            )
        elif "error" in message:
            with self._lock:
                answer = self._pending.pop(message["id"])
            answer.set_exception(OSError(message["error"]))
        else:
            fork = Fork(message["pid"], message["started"])
            with self._lock:
                self._running[fork.pid] = fork
                answer = self._pending.pop(message["id"])
            answer.set_result(fork)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _complete(env: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **env, custody.RUN_VARIABLE: custody.RUN}


def _undo(answer: Future[Fork]) -> None:
    """Kill a forked process when nobody waits for its start any more."""
    if not answer.exception():
        answer.result().signal(signal.SIGKILL)
