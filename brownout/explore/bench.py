"""One place where trials run, one after the other: a server of its own, an edge for each hop, and the processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL
from typing import Any

from brownout.explore.bounds import Bounds
from brownout.explore.client import BeatClient, Client, HttpClient, TaskClient
from brownout.explore.conductor import Conductor
from brownout.explore.direct import Direct
from brownout.explore.fair import FairTime
from brownout.explore.launcher import Launcher
from brownout.explore.mission import HISTORY, Mission
from brownout.explore.spawned import Spawned
from brownout.explore.together import together, unbroken
from brownout.history.layout import Layout, Unreadable
from brownout.subject import custody, ladder
from brownout.subject.ports import free_port
from brownout.subject.waiting import NeverHappened, eventually
from brownout.wire.edge import Edge
from brownout.wire.wire import Wire

READY = 20.0  # s for a process to come up
ALONE = 5.0  # s for the connections of the last trial to end
RESTART_AFTER = 0.2  # s, the supervisor's
WORKER = ("-P", "prefork", "-c", "1", "--without-mingle", "--without-gossip", "--without-heartbeat", "-l", "WARNING")


class Unclean(RuntimeError):
    """Something of an earlier trial is still there."""


class Bench:
    """Everything on the wire's loop. `open`, then for each trial `set_up` … `clear`, then `close`.

    What runs in the background of a trial belongs to the `TaskGroup` that `set_up` is given: an error in it ends the
    trial. `close` may be called after an `open` that failed, and when nothing was opened.
    """

    def __init__(self, mission: Mission, number: int, wire: Wire, rung: ladder.Rung) -> None:
        self.mission, self.number, self.wire = mission, number, wire
        self._control = f"brownout-{custody.RUN}-{number}"  # an abstract socket: a path may be too long for one
        self.folder = Path(tempfile.mkdtemp(prefix=f"brownout-map-{number}-"))
        custody.hold_directory(self.folder)
        self.server = ladder.server(rung, persistence=True, log=self.folder / "redis.log")
        self.edges: dict[str, Edge] = {}
        self.processes: dict[str, Spawned] = {}
        self.born: dict[str, float] = {}  # role: s on the monotonic clock
        self.killed: dict[str, float] = {}
        self.deaths: list[tuple[int, str, int | None]] = []  # by itself: ns, role, exit code
        self.api_port = 0
        self.files = self.folder
        self._ending: set[Spawned] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._callers: asyncio.Queue[TaskClient] = asyncio.Queue()
        self._direct: Direct | None = None
        self._to_close = AsyncExitStack()
        self._to_close.push_async_callback(asyncio.to_thread, _remove, self.folder)
        self._trials = 0

    async def open(self) -> None:
        """Start the server and listen. When it raises, `close` is still to be called."""
        self._to_close.push_async_callback(asyncio.to_thread, self.server.stop)
        await unbroken(self.server.start)
        self._direct = Direct(self.server.port)
        self._to_close.callback(self._direct.close)
        beat = ("beat",) if self.mission.workload.beat else ()
        for role in ("client", *self.mission.roles, *beat):
            for end in ("broker", "backend"):
                name = f"{role}->{end}"
                upstream = f"127.0.0.1:{self.server.port}"
                self.edges[name] = self.wire.create(f"{self.number}.{name}", upstream, "127.0.0.1:0")
                self._to_close.callback(self.edges[name].dispose)
        listener = await asyncio.start_unix_server(self._called, "\0" + self._control)
        self._to_close.callback(listener.close)
        self._to_close.push_async_callback(self.clear)

    @property
    def direct(self) -> Direct:
        """The connection past the faulted network. Raises RuntimeError when the bench is not open."""
        if self._direct is None:
            raise RuntimeError(f"bench {self.number} is not open")
        return self._direct

    @property
    def pids(self) -> Iterator[int]:
        """The server, the main process of each role that lives, and the pool processes of workers."""
        if self.server.pid:
            yield self.server.pid
        for role, process in self.processes.items():
            if process.alive:
                yield process.pid
                if role.startswith("worker"):
                    yield from _forked_by(process.pid)

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._callers.put_nowait(TaskClient(self.mission, reader, writer))

    async def set_up(self, conductor: Conductor, launcher: Launcher, tasks: asyncio.TaskGroup, layout: Layout) -> None:
        """Empty the server and start the processes; raises Unclean when a connection that is not ours exists."""
        self._launcher, self._tasks = launcher, tasks
        self.direct.use(layout)
        self._trials += 1
        self.files = self.folder / str(self._trials)
        self.files.mkdir()
        self.deaths.clear()
        self.killed.clear()
        await self._alone()
        for edge in self.edges.values():
            edge.direct(conductor, layout.plain)
        await together(self._start(role) for role in self.mission.roles)

    async def _alone(self) -> None:
        fair = FairTime(lambda: self.pids)
        fair.look()
        while others := await self.direct.clients():
            if await fair.nap(0.005) > ALONE:
                raise Unclean("\n".join(others))
        await self.direct.ask(("FLUSHALL",))

    async def client(self) -> Client:
        """A new client that is ready: a process, or one that speaks HTTP to the API. The caller limits the time."""
        if self.mission.workload.http:
            client = HttpClient(self.mission, f"http://127.0.0.1:{self.api_port}", self.mission.workload.http)
            try:
                await client.ready()
            except BaseException:
                await client.close()
                raise
            return client
        return await self._caller()

    def beat(self, other: Client) -> Client:
        """A client that submits by starting beat."""
        return BeatClient(lambda: self._do(self._start("beat")), other)

    async def ask(self, launcher: Launcher) -> tuple[Bounds, Layout]:
        """From the configuration as a process of the application has it.

        Raises Unreadable where nobody knows in which keys its messages lie.
        """
        self._launcher = launcher
        self.files = self.folder / "bounds"
        self.files.mkdir()
        caller = await FairTime(lambda: self.pids).within(READY, self._caller(), "the client process is ready")
        told = caller.told.result()
        await caller.close()
        await self.clear()
        layout = Layout.of(told["layout"])
        named = self.mission.application.queues
        layout = replace(layout, queues=named) if named else layout
        if not layout.queues:
            raise Unreadable("its workers read no queue")
        return Bounds.of(told["conf"], self.mission.application.recovery), layout

    async def _caller(self) -> TaskClient:
        await self._start("client", "brownout.explore.caller", (self._control,))
        process = self.processes["client"]
        get, ended = asyncio.ensure_future(self._callers.get()), asyncio.ensure_future(process.exited.wait())
        try:
            await asyncio.wait({get, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not get.done():
                raise RuntimeError(f"the client process ended with {process.returncode}\n{process.tail()}")
        finally:
            ended.cancel()
            get.cancel()
        caller = get.result()
        await asyncio.shield(caller.told)
        return caller

    async def _start(self, role: str, module: str = "", args: tuple[str, ...] = ()) -> None:
        if not module:
            module, args = self._command(role)
        broker, backend = (self.edges[f"{role}->{end}"].address for end in ("broker", "backend"))
        env = self.mission.environment(role, broker, backend, self.files)
        log = self.files / f"{role}.log"
        self.born[role] = time.monotonic()
        process = await self._launcher.spawn(role, module, args, env=env, cwd=self.mission.root, log=log)
        self.processes[role] = process
        if role != "client":
            self._do(self._supervise(role, process))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _command(self, role: str) -> tuple[str, tuple[str, ...]]:
        app = self.mission.application
        if role == "api":
            self.api_port = self.api_port or free_port()
            return "uvicorn", ("brownout.history.api_tap:app", "--host", "127.0.0.1", "--port", str(self.api_port))
        if role == "beat":
            return "celery", ("-A", self.mission.celery, "beat", "-l", "WARNING", "-s", str(self.files / "schedule"))
        if role == "relay":
            return app.relay[0], app.relay[1:]
        queues = ("-Q", ",".join(app.queues)) if app.queues else ()
        tap = ("-I", "brownout.history.celery_tap")
        return "celery", ("-A", self.mission.celery, "worker", *tap, *WORKER, *queues, "-n", f"{role}@brownout")

    async def _supervise(self, role: str, process: Spawned) -> None:
        """Start it again a little after it has ended, as whatever supervises it in production does."""
        await process.exited.wait()
        if process not in self._ending:
            self.deaths.append((time.monotonic_ns(), role, process.returncode))
        self._ending.discard(process)
        await together((process.kill(), asyncio.sleep(RESTART_AFTER)))
        await self._start(role)

    @property
    def history(self) -> Path:
        """Where the witnesses of this trial write."""
        return self.files / HISTORY

    def kill(self, role: str, *, children_only: bool = False) -> None:
        """See strike.Stage. Raises ProcessLookupError when nobody was there to be killed: that proves nothing."""
        process = self.processes[role]
        if children_only:
            if not (children := process.children()):
                raise ProcessLookupError(f"{process} has no pool process to kill")
            for child in children:
                with suppress(ProcessLookupError):
                    os.kill(child, SIGKILL)
        elif not process.alive:
            raise ProcessLookupError(f"{process} has ended already")
        else:
            self._ending.add(process)
            self.killed[role] = time.monotonic()
            process.signal_group(SIGKILL)

    def signal(self, role: str, number: int) -> None:
        """See strike.Stage."""
        self.processes[role].signal_group(number)

    async def restart_broker(self, outage: float) -> None:
        """See strike.Stage."""
        before = self.server.run_id
        await unbroken(self.server.kill)
        self.direct.close()
        for edge in self.edges.values():
            edge.listen(False)
        try:
            await asyncio.sleep(outage)
            await unbroken(self.server.restart)
        finally:
            for edge in self.edges.values():
                edge.listen(True)
        if self.server.run_id == before:
            raise RuntimeError("the server was not started again")

    async def clear(self) -> None:
        """End the processes of a trial. Raises what went wrong with that when all was tried."""
        background = list(self._background)
        for task in background:
            task.cancel()
        for process in self.processes.values():
            process.signal_group(SIGKILL)
        if background:
            await asyncio.wait(background)  # their errors are the TaskGroup's
        done = await asyncio.gather(*(process.kill() for process in self.processes.values()), return_exceptions=True)
        self.processes.clear()
        self._ending.clear()
        while not self._callers.empty():
            await self._callers.get_nowait().close()
        if wrong := [error for error in done if isinstance(error, Exception)]:
            raise ExceptionGroup(f"processes of bench {self.number} did not end", wrong)

    async def mend(self) -> None:
        """Whatever a fault has left: the server runs, and every edge listens."""
        if self.server.state() != "running":
            with suppress(OSError, NeverHappened):
                await asyncio.to_thread(self.server.restart)
        for edge in self.edges.values():
            edge.listen(True)

    async def close(self) -> None:
        """Give up what there is. All of it is tried, then the last error is raised."""
        await self._to_close.aclose()

    def logs(self) -> Mapping[str, str]:
        """The ends of all logs of this trial."""
        return {path.name: path.read_text(errors="replace")[-4000:] for path in sorted(self.files.glob("*.log"))}


def _forked_by(pid: int) -> Iterator[int]:
    """What its main thread has forked, without a look at its other threads: this is asked many times a second."""
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:  # noqa: PTH123
        yield from map(int, file.read().split())


def _remove(folder: Path) -> None:
    """Take it away; what a process that was about to start has written meanwhile, too. Else it is the reaper's."""

    def gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    with suppress(NeverHappened):
        eventually(gone, within=2.0, what=f"{folder} is gone")
        custody.release_directory(folder)
