"""Two ways to launch the subject's Python processes on an asyncio loop: cold, and by forks of one that waits.

Everything here runs on one loop, in whatever thread that is: ends are seen by pidfds (Linux), never by SIGCHLD.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self

from brownout.explore.spawned import Spawned
from brownout.subject import custody, table
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
GRACE = 0.5  # seconds for the forking process to end by itself; it may be importing, and it holds nothing by then
FORK_WITHIN = 30.0  # seconds; it takes milliseconds


class ZygoteEnded(RuntimeError):
    """The process that forks is gone, and with it all that it forked."""


class Launcher(Protocol):
    """Starts `python -m module args`, with `env` over this process's environment; output is appended to `log`."""

    async def spawn(
        self, name: str, module: str, args: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> Spawned:
        """Return as soon as it runs. Raises OSError when it cannot be started."""

    async def close(self) -> None:
        """End everything that was started, and what started it."""


class Cold:
    """Launches a new interpreter each time."""

    def __init__(self) -> None:
        self._spawned: set[Spawned] = set()

    async def spawn(
        self, name: str, module: str, args: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> Spawned:
        """See Launcher."""
        spawned = _launch(name, [module, *args], env=_whole(env), cwd=cwd, log=log)
        self._spawned = {spawned, *(each for each in self._spawned if not each.released)}
        return spawned

    async def close(self) -> None:
        """See Launcher."""
        await asyncio.gather(*(each.kill() for each in self._spawned))


class Forked:
    """Launches by forks of one process that has imported the libraries, hundreds of times a minute.

    `remarks` are reasons for which a forked process may differ from a cold one. A process whose environment differs in
    what the interpreter or the libraries have read already is started cold; `cold_because` names such variables.
    """

    def __init__(self, zygote: Spawned, writer: asyncio.StreamWriter, base: Mapping[str, str]) -> None:
        self.remarks: tuple[str, ...] = ()
        self.cold_because: set[str] = set()
        self._zygote, self._writer, self._base = zygote, writer, base
        self._read: set[str] = set()
        self._cold = Cold()
        self._spawned: set[Spawned] = set()
        self._running: dict[int, Spawned] = {}
        self._asked: dict[int, tuple[str, Path, asyncio.Future[Spawned]]] = {}
        self._ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._count = 0
        self._over = ""  # why no more is forked
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(
        cls,
        preload: Sequence[str] = LIBRARIES,
        *,
        scout: tuple[Sequence[str], Mapping[str, str], Path] | None = None,
        cwd: Path | None = None,
        log: Path = Path(os.devnull),
        within: float = 60.0,
    ) -> Self:
        """Start the process that forks, and return when it has imported what there is of `preload`.

        `scout` is (modules of the application, environment and working directory of its processes): a child imports
        them, and what they pull in from the libraries is imported, too. Raises ValueError when they cannot be imported,
        NeverHappened after `within` seconds, ZygoteEnded.
        """
        modules, env, cwd = scout or ((), {}, cwd or Path.cwd())
        base, package_parent = _whole(env), Path(__file__).parents[2]
        ours, theirs = socket.socketpair()
        with theirs:
            argv, fds = ["brownout.explore.zygote", str(theirs.fileno())], [theirs.fileno()]
            zygote = _launch("zygote", argv, env=base, cwd=package_parent, log=log, pass_fds=fds)
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 24)
        except BaseException:
            ours.close()
            zygote.signal(signal.SIGKILL)
            await zygote.kill()
            raise
        self = cls(zygote, writer, base)
        self._do(self._listen(reader))
        self._tell(preload=[*preload], scout=[*modules], cwd=str(cwd.absolute()))
        try:
            async with asyncio.timeout(within):
                said = await self._ready
        except BaseException as error:
            zygote.signal(signal.SIGKILL)  # it may be importing, and hear nothing
            await self.close()
            if isinstance(error, TimeoutError):
                raise NeverHappened(f"not within {within:g} s: libraries are imported\n{zygote.tail()}") from None
            raise
        self._read, self.remarks = set(said["read"]), tuple(said["remarks"])
        return self

    async def spawn(
        self, name: str, module: str, args: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> Spawned:
        """See Launcher. Raises ZygoteEnded."""
        if self._over:
            raise ZygoteEnded(self._over)
        whole = _whole(env)
        read = self._read.union(each for each in (*whole, *self._base) if each.startswith(AT_START))
        if differing := {each for each in read if whole.get(each) != self._base.get(each)}:
            self.cold_because |= differing
            return await self._cold.spawn(name, module, args, env=env, cwd=cwd, log=log)
        places = _places(cwd, log)
        self._count += 1
        answer: asyncio.Future[Spawned] = asyncio.get_running_loop().create_future()
        self._asked[self._count] = (name, log, answer)
        self._tell(id=self._count, module=module, args=[*args], env=whole, **places)
        try:
            async with asyncio.timeout(FORK_WITHIN):
                return await answer
        except TimeoutError:
            raise NeverHappened(f"not within {FORK_WITHIN:g} s: {self._zygote} forks {name}") from None
        except asyncio.CancelledError:
            if not answer.cancelled() and not answer.exception():
                self._do(answer.result().kill())  # it came, and nobody waits for it any more
            raise

    async def close(self) -> None:
        """See Launcher."""
        self._over = self._over or "the launcher is closed"
        await asyncio.gather(self._cold.close(), *(each.kill() for each in self._spawned), return_exceptions=True)
        self._writer.close()
        with suppress(NeverHappened):
            await self._zygote.wait(GRACE)
        await self._zygote.kill()
        await asyncio.gather(*self._tasks)
        await asyncio.gather(self._cold.close(), *(each.kill() for each in self._spawned))  # raises, if any is left

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self, **what: object) -> None:
        self._writer.write(json.dumps(what).encode() + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            async for line in reader:
                if line.endswith(b"\n"):  # else its writer died in the middle of it
                    self._hear(json.loads(line))
        except ConnectionError:
            pass
        except Exception:
            self._over = f"what the process that forks says is not understood\n{traceback.format_exc()}"
        self._over = self._over or f"the process that forks has ended, and all that it forked\n{self._zygote.tail()}"
        futures: list[asyncio.Future[Any]] = [self._ready, *(answer for _, _, answer in self._asked.values())]
        for future in futures:
            if not future.done():
                future.set_exception(ZygoteEnded(self._over))
        for each in self._running.values():
            each.signal_group(signal.SIGKILL)
            each.watch(lambda: -signal.SIGKILL)  # its parent is dead: nobody can know more
        self._running.clear()

    def _hear(self, said: dict[str, Any]) -> None:
        if "exit" in said:
            self._running.pop(said["exit"]).ended(said["code"])
        elif self._ready.done() and "id" not in said:
            pass  # too late: start() gave up
        elif "ready" in said:
            self._ready.set_result(said)
        elif "failed" in said:
            self._ready.set_exception(ValueError(f"the application can't be imported:\n{said['failed'][-2_000:]}"))
        else:
            self._answer(said, *self._asked.pop(said["id"]))

    def _answer(self, said: dict[str, Any], name: str, log: Path, answer: asyncio.Future[Spawned]) -> None:
        if "error" in said:
            if not answer.cancelled():
                answer.set_exception(OSError(said["error"]))
            return
        spawned = self._running[said["pid"]] = Spawned(name, said["pid"], said["started"], log)
        self._spawned = {spawned, *(each for each in self._spawned if not each.released)}
        if answer.cancelled():
            self._do(spawned.kill())
        else:
            answer.set_result(spawned)


def _whole(env: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **env, custody.RUN_VARIABLE: custody.RUN}


def _places(cwd: Path, log: Path) -> dict[str, str]:
    """Both as the process that forks, which works elsewhere, can use them. Raises the OSError of a cold start."""
    next(cwd.iterdir(), None)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.open("ab").close()
    return {"cwd": str(cwd.absolute()), "log": str(log.absolute())}


def _launch(
    name: str, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, pass_fds: Sequence[int] = ()
) -> Spawned:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        popen = subprocess.Popen(
            [sys.executable, "-m", *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    found = table.entry(popen.pid)  # still there: nobody has waited for it
    assert found is not None
    spawned = Spawned(name, popen.pid, found.started, log)
    spawned.watch(popen.wait)  # a zombie by then, so this does not wait
    return spawned
