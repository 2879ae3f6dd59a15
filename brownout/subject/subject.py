"""The running subject of one trial: its broker, its wire and its processes."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import httpx

from brownout.history.layout import Layout, Unreadable
from brownout.history.tail import Tail
from brownout.plan.topology import Topology
from brownout.probes.recorder import Recorder
from brownout.subject import ladder
from brownout.subject.application import Application, filled, surface
from brownout.subject.caller import Caller
from brownout.subject.launcher import Cold, Launcher
from brownout.subject.parts import caller_part, hosted_env, part_of
from brownout.subject.ports import free_port, listens
from brownout.subject.process import Process
from brownout.subject.redis_server import RedisServer
from brownout.subject.scratch import scratch
from brownout.subject.supervisor import Supervisor
from brownout.subject.table import family
from brownout.subject.waiting import eventually
from brownout.wire.interface import AnyEdge, AnyWire

Calls = Literal["", "send", "results"]
READY_WITHIN = 30.0
RESTARTS = 20  # of each process that is no worker
RESTART_AFTER = 0.1  # s; systemd's default (RestartSec)
BACKEND = 1  # the number of the database that an application is told for its results


class NotLaunched(RuntimeError):
    """The application, or the command line that the scenario gives it, cannot be started. Says why, in one line."""


class Subject:
    """Start it, break it, stop it. `files` is the directory that is the application's own.

    `calls`: clients send tasks by name ("send"), or call them and read their results ("results"), so a process of the
    application is started that does it for them. Processes of the topology that are `later` are started by `launch`.
    `launcher` starts the processes; without one, their command lines do. `on_edge` is called with each edge that leads
    to Redis, before anything connects to it.
    """

    def __init__(
        self,
        application: Application,
        topology: Topology,
        wire: AnyWire,
        *,
        root: Path,
        files: Path,
        history: Path,
        services: Mapping[str, str] | None = None,
        calls: Calls = "",
        later: Collection[str] = (),
        launcher: Launcher | None = None,
        on_edge: Callable[[AnyEdge], None] = lambda _: None,
    ) -> None:
        self._services = dict(services or {})
        self.application, self.topology, self.wire = application, topology, wire
        self.root, self.files, self.history = root, files, history
        self.broker: RedisServer
        self.api_port = 0
        self.edges: dict[str, AnyEdge] = {}
        self.supervisors: dict[str, Supervisor] = {}
        self.caller: Caller | None = None
        self._on_edge = on_edge
        self.struck: set[int] = set()  # pids that a fault has ended
        self.killed: dict[str, float] = {}  # when (s, monotonic) a fault has last ended a process of this name
        self._calls, self._later, self._launcher = calls, frozenset(later), launcher or Cold()
        self._layouts: list[Mapping[str, Any]] = []  # as workers told them
        self._told: dict[str, int] = {}
        self._stack = ExitStack()
        self._http = self._stack.enter_context(httpx.Client(timeout=2.0, trust_env=False))

    def start(self, rung: ladder.Rung, clock: Callable[[], float] = time.monotonic) -> None:
        """Start everything and return when there is evidence that it works. Raises NotLaunched, NeverHappened, OSError.

        `clock` (seconds) measures how long that may take.
        """
        log = self.history.parent / "log"
        self._scratch = self._stack.enter_context(scratch())  # removed last: whoever writes there has ended
        server = ladder.server(rung, persistence=self.topology.persistent, log=log / "redis.log")
        self.broker = self._stack.enter_context(server)
        if "api" in self.topology.processes:
            self.api_port = free_port()
            self._edge("client->api", self.api_port)
        self._edge("client->broker", self.broker.port)
        if self._calls:
            if self._calls == "results":
                self._edge("client->backend", self.broker.port)
            self._stack.callback(self._stop_caller)
            self._launch_caller()
        for name in self.topology.processes:
            if name not in self._later:
                self.launch(name)
        self.wait_ready(READY_WITHIN, clock)

    def _edge(self, name: str, port: int) -> AnyEdge:
        edge = self.wire.edge(name, f"127.0.0.1:{port}")
        self.edges[name] = edge
        if not name.endswith("->api"):
            self._on_edge(edge)
        return edge

    def _environment(self, broker: str, backend: str) -> dict[str, str]:
        """Of a process that finds broker and backend at these addresses."""
        places = {"broker": f"redis://{broker}/0", "backend": f"redis://{backend}/{BACKEND}", "files": self.files}
        own = self.application.environment(**places, **self._services)
        hosted = hosted_env(self.application, self.topology)
        return {"TMPDIR": str(self._scratch), **hosted, **own, **filled(self.topology.env, self._services)}

    def _launch_caller(self) -> None:
        results = self._calls == "results"
        # Without results no edge leads to the backend: what a client sends must not depend on it.
        backend = self.edges["client->backend"].address if results else f"127.0.0.1:{self.broker.port}"
        env = self._environment(self.edges["client->broker"].address, backend)
        make = partial(caller_part, results=results, root=self.root, env=env)
        self.caller = Caller(self._launcher, make, self._log("client"))

    def _log(self, name: str) -> Path:
        return self.history.parent / "log" / f"{name}.log"

    def strike(self, name: str) -> None:
        """A fault is about to end the process of this name: its end is not one by itself."""
        self.struck.add(self.process(name).pid)
        self.killed[name] = time.monotonic()

    def launch(self, name: str) -> None:
        """Start a process of the topology, under a supervisor that starts it again whenever it ends."""
        broker, backend = (self._edge(f"{name}->{end}", self.broker.port) for end in ("broker", "backend"))
        tap = {
            "BROWNOUT_HISTORY": str(self.history),
            "BROWNOUT_SOURCE": name,
            "BROWNOUT_APP": self.application.api or "",
            "C_FORCE_ROOT": "1",  # Celery warns a worker that runs as root
        }
        env = {**self._environment(broker.address, backend.address), **tap}
        places: dict[str, Any] = {"root": self.root, "env": env, "files": self.files, "port": self.api_port}
        part = part_of(name, self.application, self.topology, **places)
        budget = self.topology.workers.restarts if name.startswith("worker-") else RESTARTS
        start = partial(self._launcher.launch, part, self._log(name))
        self.supervisors[name] = Supervisor(name, start, budget=budget, delay=RESTART_AFTER)
        self._stack.callback(self.supervisors[name].stop, signal.SIGKILL)

    def renew_caller(self) -> None:
        """End the process that calls for the clients, and start another one; `caller.ready` tells when it is ready."""
        assert self.caller
        self.caller.stop()
        self._launch_caller()

    def _stop_caller(self) -> None:
        if self.caller:
            self.caller.stop()

    # --- what the nemesis takes hold of

    def process(self, name: str) -> Process:
        """The process of this name that runs now. LookupError when there is no process that calls for the clients."""
        if name == "client":
            if self.caller is None:
                raise LookupError("no process calls for the clients: they speak HTTP")
            return self.caller.process
        return self.supervisors[name].current

    def reach(self, target: str) -> list[AnyEdge]:
        """The edges that a target names: one ("worker-1->broker"), or those of all processes of a role."""
        source, _, end = target.partition("->")
        named = {name: name.partition("->") for name in self.edges}
        return [
            self.edges[name]
            for name, (own, _, to) in named.items()
            if to == end and (own == source or own.startswith(f"{source}-"))
        ]

    def broker_moved(self) -> None:
        """The broker was started again, perhaps on another port (a container's moves): lead every edge to it."""
        for name, edge in self.edges.items():
            if not name.endswith("->api"):
                edge.redirect(f"127.0.0.1:{self.broker.port}")

    # --- what the trial asks

    def wait_ready(self, within: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Wait until every worker consumes and the API says that it is ready. Raises NotLaunched, NeverHappened.

        A process that ends once before it is ready is started again: two that create the same tables, or the same
        port, may get in each other's way. One that ends twice, or that is not started again, is not launched.
        """
        tail, ready = Tail(self.history), set[str]()
        workers = {name for name in self.topology.processes if name.startswith("worker-")}
        able = workers | {"api"}  # to say so

        def works() -> bool:
            ended = self._ended()
            for event in tail.poll():
                if event.kind == "ready":
                    ready.add(event.source)
                    self._layouts += filter(None, [event.data.get("layout")])  # an API tells none
            for name in sorted((ended.keys() & able) - (ready - {"api"})):  # an API says so before it has its port
                supervisor, codes = self.supervisors[name], ended[name]
                if len(codes) > 1 or supervisor.gave_up:
                    why = supervisor.current.last_line()
                    raise NotLaunched(f"{name} ended with {codes[-1]} before it was ready: {why}")
            self.check()
            sends = self.caller is None or self.caller.ready
            return sends and workers <= ready and self._consumers() >= len(workers) and self.api_ready()

        eventually(works, within=within, every=0.02, what="the subject is ready", evidence=self.tails, clock=clock)

    def _ended(self) -> dict[str, list[int]]:
        """The exit codes of each process that has ended since the launch, other than to be started again."""
        steps_down = self.application.steps_down
        ends = {
            name: [end.code for end in list(each.exits) if end.code not in steps_down]
            for name, each in self.supervisors.items()
        }
        return {name: codes for name, codes in ends.items() if codes}

    @cached_property
    def layout(self) -> Layout | Unreadable:
        """Where the messages lie, as a worker told it, else the application's configuration; or why nobody knows."""
        if not self.application.celery:
            return Layout(queues=(), backend=BACKEND)  # nobody consumes; messages in any list are seen
        try:
            told = self._layouts[0] if self._layouts else surface(self.application, self.root).layout
            return Layout.of(told)
        except Unreadable as reason:
            return reason
        except (ValueError, subprocess.SubprocessError) as error:
            return Unreadable(str(error))

    @property
    def places(self) -> dict[str, str]:
        """What stands for each {place} of the environment in this trial, by what stands there."""
        found = {edge.address: name.partition("->")[2] for name, edge in self.edges.items()}
        return found | {text: name for name, text in self._services.items()} | {str(self.files): "files"}

    def _consumers(self) -> int:
        with self.broker.client() as client:
            return sum(each["cmd"] == "brpop" for each in client.client_list())

    def api_ready(self) -> bool:
        """Whether the API says so, asked directly; true when there is none. Another program on its port is not it."""
        if not self.api_port:
            return True
        try:
            url = f"http://127.0.0.1:{self.api_port}{self.application.ready}"
            answered = self._http.get(url).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
        return answered and listens(self.process("api").pid, self.api_port)

    def pids(self) -> dict[str, list[int]]:
        """The pids of each process of the subject and of its wire, as far as they are known, with all they started."""
        found = {name: family(each.current.pid) for name, each in list(self.supervisors.items())}
        broker = getattr(self, "broker", None)
        caller = self.caller.process.pid if self.caller else None
        others = {"broker": broker.pid if broker else None, "wire": self.wire.pid, "client": caller}
        return found | {name: [pid] for name, pid in others.items() if pid}

    def check(self) -> None:
        """Raise RuntimeError when a process was given up by its supervisor."""
        for each in self.supervisors.values():
            if each.gave_up and self.topology.workers.restarts:
                raise RuntimeError(f"{each.gave_up}\n{each.current.tail()}")

    def exits(self, recorder: Mapping[str, Recorder]) -> None:
        """Record the ends of processes that were not told yet."""
        for name, each in self.supervisors.items():
            told = self._told.get(name, 0)
            for end in each.exits[told:]:
                marks = {"struck": end.pid in self.struck, "orderly": end.code in self.application.steps_down}
                told_of: dict[str, Any] = {mark: True for mark, holds in marks.items() if holds}
                recorder[name].record("exit", at=end.at, code=end.code, ended=end.pid, **told_of)
            self._told[name] = len(each.exits)

    def tails(self) -> str:
        """The ends of all logs."""
        return "\n".join(each.current.tail(8) for each in self.supervisors.values())

    def stop(self) -> None:
        """End everything, the newest first."""
        self._stack.close()
