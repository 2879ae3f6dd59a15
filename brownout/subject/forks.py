"""Starts the subject's Python processes by forks of one process that has imported their libraries (Linux)."""

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

from brownout.subject import custody
from brownout.subject.application import NotImportable
from brownout.subject.handle import Fork
from brownout.subject.launcher import Cold
from brownout.subject.part import Part
from brownout.subject.process import Process
from brownout.subject.waiting import NeverHappened

#: What Celery's and uvicorn's commands import only after their start; the libraries that these import come along.
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
#: The interpreter and its libraries read these when they start, so a fork cannot be given others.
AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_")
IMPORT_WITHIN = 60.0  # s for the libraries to be imported
FORK_WITHIN = 30.0  # s; a fork takes milliseconds
GRACE = 0.5  # s for the process that forks to end by itself


class ForkerEnded(RuntimeError):
    """The process that forks is gone, and with it all that it has forked."""


class NotForkable(ValueError):
    """The application cannot be started by forks: it can't be imported, or a fork might behave differently."""


class Forked:
    """Starts parts by forks, hundreds of times a minute. May be used from several threads.

    `remarks` are reasons for which a forked process may differ from a cold one. A part whose environment differs in
    what the interpreter or the libraries have read already is started cold, as is one of another Python;
    `cold_because` names such variables.
    """

    kind = "forked"

    def __init__(
        self,
        preload: Sequence[str] = LIBRARIES,
        *,
        modules: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        folder: Path | None = None,
        log: Path = Path(os.devnull),
        within: float = IMPORT_WITHIN,
    ) -> None:
        """Start the process that forks, and return when it has imported what there is of `preload`.

        A child of it imports the application's `modules` with the environment `env` in `folder`; what these pull in
        from libraries is imported by the process that forks, too. Raises NotForkable, NeverHappened after `within`
        seconds, ForkerEnded.
        """
        self._modules = modules
        self.remarks: tuple[str, ...] = ()
        self.cold_because: set[str] = set()
        self._base, self._read = _whole(env or {}), set[str]()
        self._cold, self._lock, self._numbers = Cold(), threading.Lock(), count(1)
        self._asked: dict[int, Future[Fork]] = {}
        self._running: dict[int, Fork] = {}
        self._ready: Future[dict[str, Any]] = Future()
        self._over = ""  # why nothing is forked any more
        ours, theirs = socket.socketpair()
        self._control = ours
        with theirs:
            argv = [sys.executable, "-m", "brownout.probes.zygote", str(theirs.fileno())]
            package_parent = Path(__file__).parents[2]
            fds = (theirs.fileno(),)
            self.process = Process.launch("forker", argv, log=log, env=self._base, cwd=package_parent, pass_fds=fds)
        self._thread = threading.Thread(target=self._listen, name="forks", daemon=True)
        self._thread.start()
        where = str((folder or Path.cwd()).absolute())
        try:
            self._tell(preload=[*preload], scout=[*modules], cwd=where)
            said = self._ready.result(within)
        except BaseException as error:
            self.process.signal(signal.SIGKILL)  # while it imports it hears nothing
            self.close()
            if isinstance(error, TimeoutError):
                what = f"not within {within:g} s: libraries are imported\n{self.process.tail()}"
                raise NeverHappened(what) from None
            raise
        self._read, self.remarks = set(said["read"]), tuple(said["remarks"])

    def launch(self, part: Part, log: Path) -> Process:
        """See Launcher. Raises ForkerEnded."""
        whole = _whole(part.env)
        read = self._read.union(name for name in (*whole, *self._base) if name.startswith(AT_START))
        differing = {name for name in read if whole.get(name) != self._base.get(name)}
        if differing or part.python != sys.executable:
            self.cold_because |= differing
            return self._cold.launch(part, log)
        next(part.folder.iterdir(), None)  # raises the OSError of a cold start
        log.parent.mkdir(parents=True, exist_ok=True)
        log.open("ab").close()
        answer: Future[Fork] = Future()
        with self._lock:
            if self._over:
                raise ForkerEnded(self._over)
            number = next(self._numbers)
            self._asked[number] = answer
        places = {"cwd": str(part.folder.absolute()), "log": str(log.absolute())}
        self._tell(id=number, module=part.module, args=[*part.args], env=whole, **places)
        try:
            fork = answer.result(FORK_WITHIN)
        except TimeoutError:
            answer.add_done_callback(_undo)
            raise NeverHappened(f"not within {FORK_WITHIN:g} s: {self.process} forks {part.name}") from None
        except KeyboardInterrupt:
            answer.add_done_callback(_undo)
            raise
        return Process(part.name, fork, log)

    def close(self) -> None:
        """See Launcher. Forks that still run are killed with the process that forks."""
        with self._lock:
            self._over = self._over or "the launcher is closed"
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        if not self.process.handle.ended(GRACE):
            self.process.signal(signal.SIGKILL)
        self.process.kill()
        self._thread.join()

    def _tell(self, **what: object) -> None:
        line = json.dumps(what).encode() + b"\n"
        try:
            with self._lock:
                self._control.sendall(line)
        except OSError:  # the thread that listens says why
            pass

    def _listen(self) -> None:
        why = ""
        try:
            with self._control.makefile("rb") as lines:
                for line in lines:
                    if line.endswith(b"\n"):  # else the process died in the middle of it
                        self._hear(json.loads(line))
        except ConnectionError:
            pass
        except Exception as error:
            why = f"what the process that forks says is not understood: {type(error).__name__}: {error}"
        with self._lock:
            self._over = self._over or why or f"the process that forks has ended\n{self.process.tail()}"
            asked, self._asked = [*self._asked.values()], {}
            running, self._running = [*self._running.values()], {}
        waiting: list[Future[Any]] = [self._ready, *asked]
        for future in waiting:
            if not future.done():
                future.set_exception(ForkerEnded(self._over))
        for fork in running:
            fork.signal(signal.SIGKILL)
            fork.end(-signal.SIGKILL)  # its parent is gone: nobody can know more
        self._control.close()

    def _hear(self, said: dict[str, Any]) -> None:
        if "exit" in said:
            with self._lock:
                fork = self._running.pop(said["exit"])
            fork.end(said["code"])
        elif "ready" in said:
            self._ready.set_result(said)
        elif "failed" in said:
            self._ready.set_exception(NotForkable(NotImportable(said["failed"], *self._modules)))
        elif "error" in said:
            with self._lock:
                answer = self._asked.pop(said["id"])
            answer.set_exception(OSError(said["error"]))
        else:
            fork = Fork(said["pid"], said["started"])
            with self._lock:
                self._running[fork.pid] = fork
                answer = self._asked.pop(said["id"])
            answer.set_result(fork)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _whole(env: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **env, custody.RUN_VARIABLE: custody.RUN}


def _undo(answer: Future[Fork]) -> None:
    """End a fork that nobody waits for any more."""
    if not answer.exception():
        answer.result().signal(signal.SIGKILL)
