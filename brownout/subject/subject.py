"""The running subject of one trial: its broker, its network proxy and its processes."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, closing
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from brownout.history.layout import Layout, Unreadable
from brownout.history.tail import Tail
from brownout.plan.topology import Topology
from brownout.probes.recorder import Recorder
from brownout.subject.application import Application, NotLaunched, surface
from brownout.subject.caller import Caller
from brownout.subject.environment import environment_of, filled
from brownout.subject.parts import caller_part, hosted_env, part_of
from brownout.subject.ports import free_port
from brownout.subject.preparing import ApiHealth, prepare
from brownout.subject.processes.launcher import Cold, Launcher
from brownout.subject.processes.process import Process
from brownout.subject.processes.scratch import scratch
from brownout.subject.processes.supervisor import Supervisor
from brownout.subject.processes.table import family
from brownout.subject.servers import ladder
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import NeverHappened, eventually
from brownout.wire.interface import AnyEdge, AnyWire

Calls = Literal["", "send", "results"]
READY_WITHIN = 30.0
RESTARTS = 20  # Each process that is not a worker is restarted at most this many times.
RESTART_AFTER = 0.1  # The seconds between a process's end and its restart; systemd's default (RestartSec).
BACKEND = 1  # The number of the Redis database for results.


class Subject:
    """Starts and stops the subject, and gives faults access to its processes, edges and broker.

    `files` is the trial's directory for the application's own files. If `calls` is given, a process of the application
    is started that sends tasks for the clients ("send"), or also reads their results ("results"). Processes whose names
    are in `later` are started only when `launch` is called. `launcher` starts the processes, by default by their
    command lines. The function `on_edge` is called with each network edge to Redis before a client connects to it.
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
        self.struck: set[int] = set()  # Pids of processes that faults have ended.
        self.killed: dict[str, float] = {}  # Maps a process's name to the time (s) at which a fault last ended it.
        self._calls, self._later, self._launcher = calls, frozenset(later), launcher or Cold()
        self._layouts: list[Mapping[str, Any]] = []  # The queues and keys in Redis that the workers have reported.
        self._recorded: dict[str, int] = {}  # Maps the name of each process to the number of its exits in the history.
        self._stack = ExitStack()
        self._health = self._stack.enter_context(closing(ApiHealth(application.ready)))

    def start(self, rung: ladder.Rung, clock: Callable[[], float] = time.monotonic) -> None:
        """Start all processes and wait until they are ready, for at most READY_WITHIN seconds of `clock`.

        Raises NotLaunched when a process ends before it is ready, NeverHappened when the time is up, and OSError when a
        start fails.
        """
        log = self.history.parent / "log"
        self._scratch = self._stack.enter_context(scratch())  # the folder is removed after all processes have ended
        server = ladder.server(rung, persistence=self.topology.persistent, log=log / "redis.log")
        self.broker = self._stack.enter_context(server)
        own = f"127.0.0.1:{self.broker.port}"
        prepare(self.application, self.root, self._environment("", own, own), self.files, self._log("prepare"))
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

    def _environment(self, role: str, broker: str, backend: str) -> dict[str, str]:
        """Return the environment of a process of the role that connects to broker and backend at these addresses."""
        places = {"broker": f"redis://{broker}/0", "backend": f"redis://{backend}/{BACKEND}", "files": self.files}
        hosted = {"TMPDIR": str(self._scratch), **hosted_env(self.application, self.topology)}
        own = environment_of(self.application, role, self.root, hosted, **places, **self._services)
        return {**own, **filled(self.topology.env, self._services)}

    def _launch_caller(self) -> None:
        results = self._calls == "results"
        # A client process that reads no results has no edge to the result backend, so that faults on the backend do not
        # affect clients.
        backend = self.edges["client->backend"].address if results else f"127.0.0.1:{self.broker.port}"
        env = self._environment("worker", self.edges["client->broker"].address, backend)
        make = partial(caller_part, application=self.application, results=results, root=self.root, env=env)
        self.caller = Caller(self._launcher, make, self._log("client"))

    def _log(self, name: str) -> Path:
        return self.history.parent / "log" / f"{name}.log"

    def strike(self, name: str) -> None:
        """Note that a fault is about to end the process, so that its exit does not count as the application's own."""
        self.struck.add(self.process(name).pid)
        self.killed[name] = time.monotonic()

    def launch(self, name: str) -> None:
        """Start a process of the topology under a supervisor, which restarts the process when it ends."""
        broker, backend = (self._edge(f"{name}->{end}", self.broker.port) for end in ("broker", "backend"))
        tap = {
            "BROWNOUT_HISTORY": str(self.history),
            "BROWNOUT_SOURCE": name,
            "BROWNOUT_APP": self.application.api or "",
            "C_FORCE_ROOT": "1",  # without this variable Celery warns about a worker that runs as root
        }
        env = {**self._environment(name.partition("-")[0], broker.address, backend.address), **tap}
        places: dict[str, Any] = {"root": self.root, "env": env, "files": self.files, "port": self.api_port}
        part = part_of(name, self.application, self.topology, **places)
        budget = self.topology.workers.restarts if name.startswith("worker-") else RESTARTS
        start = partial(self._launcher.launch, part, self._log(name))
        self.supervisors[name] = Supervisor(name, start, budget=budget, delay=RESTART_AFTER)
        self._stack.callback(self.supervisors[name].stop, signal.SIGKILL)

    def renew_caller(self) -> None:
        """Replace the process that sends the clients' tasks; the attribute `caller.ready` becomes true when the new
        process is ready."""
        assert self.caller
        self.caller.stop()
        self._launch_caller()

    def _stop_caller(self) -> None:
        if self.caller:
            self.caller.stop()

    # --- methods for the nemesis, which carries out the faults

    def process(self, name: str) -> Process:
        """Return the running process of this name. Raises LookupError for "client" when the clients use HTTP."""
        if name == "client":
            if self.caller is None:
                raise LookupError("there is no client process: the clients are threads of the harness that speak HTTP")
            return self.caller.process
        return self.supervisors[name].current

    def reach(self, target: str) -> list[AnyEdge]:
        """The network edges that a target names: "worker-1->broker", or those of all workers: "worker->broker"."""
        source, _, end = target.partition("->")
        named = {name: name.partition("->") for name in self.edges}
        return [
            self.edges[name]
            for name, (own, _, to) in named.items()
            if to == end and (own == source or own.startswith(f"{source}-"))
        ]

    def broker_moved(self) -> None:
        """Make every edge to Redis lead to the broker's new port; the port of a container changes with a restart."""
        for name, edge in self.edges.items():
            if not name.endswith("->api"):
                edge.redirect(f"127.0.0.1:{self.broker.port}")

    # --- methods for the trial

    def wait_ready(self, within: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Wait until every worker consumes and the API answers that it is ready. Raises NeverHappened when the time is
        up. A process that ends once before it is ready is restarted, because two processes may clash when both create
        the same tables or bind the same port. Raises NotLaunched when a process ends twice or is not restarted."""
        tail, ready = Tail(self.history), set[str]()
        workers = {name for name in self.topology.processes if name.startswith("worker-")}
        able = workers | {"api"}  # the processes that will report that they are ready

        def works() -> bool:
            ended = self._ended()
            for event in tail.poll():
                if event.kind == "ready":
                    ready.add(event.source)
                    self._layouts += filter(None, [event.data.get("layout")])
            # An API process is checked also after its report, because it reports before it has bound its port.
            for name in sorted((ended.keys() & able) - (ready - {"api"})):
                supervisor, codes = self.supervisors[name], ended[name]
                if len(codes) > 1 or supervisor.gave_up:
                    why = supervisor.current.last_line()
                    raise NotLaunched(f"{name} ended with exit code {codes[-1]} before it was ready: {why}")
            self.check()
            sends = self.caller is None or self.caller.ready
            return sends and workers <= ready and self._consumers() >= len(workers) and self.api_ready()

        try:
            eventually(works, within=within, every=0.02, what="the subject is ready", evidence=self.tails, clock=clock)
        except NeverHappened as error:
            if refusal := self._health.refusal(within):
                raise NotLaunched(refusal) from error
            raise

    def _ended(self) -> dict[str, list[int]]:
        """Return the exit codes since the launch by process name, without the exit codes by which a worker asks for a
        restart."""
        steps_down = self.application.steps_down
        ends = {
            name: [end.code for end in list(supervisor.exits) if end.code not in steps_down]
            for name, supervisor in self.supervisors.items()
        }
        return {name: codes for name, codes in ends.items() if codes}

    @cached_property
    def layout(self) -> Layout | Unreadable:
        """Return the queues and keys of the messages in Redis, as a worker reported them, else as the configuration
        says.

        Raises Unreadable, with the reason, when neither a worker nor the configuration tells the Redis keys.
        """
        if not self.application.celery:
            return Layout(queues=(), backend=BACKEND)  # if there are no workers, a task's message may be in any list
        try:
            return Layout.of(self._layouts[0] if self._layouts else surface(self.application, self.root).layout)
        except Unreadable as reason:
            return reason
        except (ValueError, subprocess.SubprocessError) as error:
            return Unreadable(str(error))

    @property
    def places(self) -> dict[str, str]:
        """Maps each address or folder of this trial to the name, such as {broker}, that stands for it."""
        found = {edge.address: name.partition("->")[2] for name, edge in self.edges.items()}
        return found | {text: name for name, text in self._services.items()} | {str(self.files): "files"}

    def _consumers(self) -> int:
        with self.broker.client() as client:
            return sum(connection["cmd"] == "brpop" for connection in client.client_list())

    def api_ready(self) -> bool:
        """Whether the API answers that it can work, asked on a direct connection and not through the network proxy;
        true when there is no API."""
        return not self.api_port or self._health.ready(self.process("api").pid, self.api_port)

    def pids(self) -> dict[str, list[int]]:
        """The pids of the subject's processes and their descendants, of broker, network proxy and client."""
        families = {name: family(supervisor.current.pid) for name, supervisor in self.supervisors.copy().items()}
        broker = getattr(self, "broker", None)
        caller = self.caller.process.pid if self.caller else None
        others = {"broker": broker.pid if broker else None, "wire": self.wire.pid, "client": caller}
        return families | {name: [pid] for name, pid in others.items() if pid}

    def check(self) -> None:
        """Raise RuntimeError when a supervisor does not restart its process any more."""
        for supervisor in self.supervisors.values():
            if supervisor.gave_up and self.topology.workers.restarts:
                raise RuntimeError(f"{supervisor.gave_up}\n{supervisor.current.tail()}")

    def exits(self, recorder: Mapping[str, Recorder]) -> None:
        """Record the exits of processes that are not in the history yet."""
        for name, supervisor in self.supervisors.items():
            for end in supervisor.exits[self._recorded.get(name, 0) :]:
                marks = {"struck": end.pid in self.struck, "orderly": end.code in self.application.steps_down}
                true_marks: dict[str, Any] = {mark: True for mark, holds in marks.items() if holds}
                recorder[name].record("exit", at=end.at, code=end.code, ended=end.pid, **true_marks)
            self._recorded[name] = len(supervisor.exits)

    def tails(self) -> str:
        """Return the ends of the logs of all processes."""
        return "\n".join(supervisor.current.tail(8) for supervisor in self.supervisors.values())

    def stop(self) -> None:
        """End all processes and the broker, in the reverse order of their start."""
        self._stack.close()
