"""One execution of a plan: launch, steady state, load and faults, heal, drain, check."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from brownout.check.registry import judge_all
from brownout.check.verdict import Verdict
from brownout.history.broker_probe import probe
from brownout.history.event import Event
from brownout.history.layout import Unreadable
from brownout.history.recorder import Recorder
from brownout.history.tail import Tail
from brownout.history.view import History
from brownout.plan.operation import Submit
from brownout.plan.plan import Plan
from brownout.plan.promise import Promise
from brownout.plan.seed import stream
from brownout.run import store
from brownout.run.nemesis import Nemesis
from brownout.run.records import Records
from brownout.run.result import Result
from brownout.run.settled import Settled
from brownout.run.turns import Turns, measures_soon
from brownout.run.watch import BusyWatch, Repeated
from brownout.subject.application import Application
from brownout.subject.ladder import Rung
from brownout.subject.launcher import Cold, Launcher
from brownout.subject.subject import Subject
from brownout.wire.interface import AnyWire
from brownout.workload.clients import Clients
from brownout.workload.generator import Generator
from brownout.workload.status_reader import FIRST, StatusReader

PUMP = 0.005  # s between two looks at the history
SAMPLE = 0.2
ANSWERS_WITHIN = 30.0
AGAIN_WITHIN = 10.0
ATTEMPTS = 3
LONGEST = 4  # times a bound, in wall time: however busy the machine is, a trial ends
MakeWire = Callable[[int, Callable[[str, dict[str, Any]], None], Path], AnyWire]


@dataclass(frozen=True)
class Setting:
    """All that a trial needs beside its plan."""

    scenario: str
    application: Application
    root: Path
    store: store.Store
    rung: Rung
    make_wire: MakeWire
    launcher: Launcher = field(default_factory=Cold)
    phase: Callable[[str], None] = lambda _: None  # told of each phase as it begins
    alone: bool = False  # also the first attempt runs without another trial beside it
    #: What runs beside the subject, made and started anew for each attempt.
    services: Mapping[str, Callable[[], AbstractContextManager[object]]] = field(default_factory=dict)


def run(plan: Plan, setting: Setting) -> Result:
    """Run a plan; again, alone, while it is unknown because the machine was busy. At most ATTEMPTS, all are kept."""
    turns, earlier = Turns(setting.store.root / ".turns"), list[Result]()
    while True:
        setting.phase("wait for a turn")
        with turns.taken(alone=setting.alone or bool(earlier) or measures_soon(plan)):
            result = Trial(plan, setting).run()
        if not result.busy or len(earlier) + 1 == ATTEMPTS:
            return replace(result, earlier=tuple(earlier))
        earlier.append(result)


class Trial:
    """Use it once: `run()`. When it is interrupted everything is stopped, and `folder` has what was seen."""

    def __init__(self, plan: Plan, setting: Setting) -> None:
        self.plan, self.setting = plan, setting
        self.folder = setting.store.place(setting.scenario)
        self._path = self.folder / "history.ndjson"
        self._recorders: dict[str, Recorder] = {}
        self._tail = Tail(self._path)
        self._settled = Settled(by_effect=setting.application.effects is not None)
        self._listener: Callable[[Iterable[Event]], None] = lambda _: None
        self._act: Callable[[], None] = lambda: None
        self._missed: list[str] = []
        self._records = Records(setting.application.accepted, self.folder / "files", self._recorder("store"))
        self._pids: Callable[[], Mapping[str, Iterable[int]]] = dict
        self._busy = BusyWatch(self._recorder("run"), lambda: self._pids())
        self.services: dict[str, object] = {}
        self._ends: list[Callable[[], None]] = []  # of the subject's parts; each may be called twice

    def run(self) -> Result:
        """Carry the plan out and judge it. Raises what the harness itself gets wrong."""
        begin = time.monotonic()
        try:
            with ExitStack() as stack:
                try:
                    self._carry_out(stack)
                except BaseException:
                    self._abandon(stack)
                    raise
        except Exception as error:
            error.add_note(f"seed {self.plan.seed}; what was seen is in {self.folder}")
            raise
        finally:
            for recorder in self._recorders.values():
                recorder.close()
        history = History.load(self._path)
        verdicts = judge_all(history, self._promises()) + tuple(
            Verdict("unknown", "the schedule", why=missed) for missed in self._missed
        )
        spent = time.monotonic() - begin
        result = Result(self.setting.scenario, self.plan, verdicts, history, self.folder, spent, services=self.services)
        store.write(self.folder / "results.json", result.summary())
        return result

    def _abandon(self, stack: ExitStack) -> None:
        """End everything at once. Nothing heals: what was broken goes, and with it all that a client still waits for.

        What goes wrong meanwhile is less than what went wrong before.
        """
        for end in (*reversed(self._ends), stack.close):
            with suppress(Exception):
                end()

    def _promises(self) -> tuple[Promise, ...]:
        more = (Promise("faults_acted"),) if self.plan.injections else ()
        return (*self.plan.promises, *(each for each in more if each not in self.plan.promises))

    def _carry_out(self, stack: ExitStack) -> None:
        plan, setting = self.plan, self.setting
        (self.folder / "plan.json").write_text(plan.to_json() + "\n")
        (self.folder / "files").mkdir()
        self._phase("launch")
        self.services = {name: stack.enter_context(make()) for name, make in setting.services.items()}
        wire_seed = stream(plan.seed, "wire").getrandbits(63)
        wire = setting.make_wire(wire_seed, self._on_wire, self.folder / "log" / "wire.log")
        stack.callback(wire.close)
        self._ends.append(wire.close)
        subject = Subject(
            setting.application,
            plan.topology,
            wire,
            root=setting.root,
            files=self.folder / "files",
            history=self._path,
            services={name: str(service) for name, service in self.services.items()},
            submits=any(isinstance(load.operation, Submit) for load in plan.load),
            launcher=setting.launcher,
        )
        stack.callback(subject.stop)
        self._ends.append(subject.stop)
        self._pids = subject.pids
        self._busy.thread.start()
        stack.callback(self._busy.thread.stop)
        subject.start(setting.rung, self._busy.clock)
        parts = {
            "redis": f"{subject.broker.rung} {subject.broker.version}",
            "wire": wire.kind,
            "launch": setting.launcher.kind,
        }
        store.write(self.folder / "env.json", store.environment(**parts))

        clients = Clients(subject, self._recorder("client"))
        stack.callback(clients.close)
        effects = setting.application.effects
        self._read_effects = effects(self.folder / "files") if effects else lambda: ()
        watches = self._watches(subject, clients)
        for watch in watches:
            watch.start()
            stack.callback(watch.stop)
        # `exits` and effects are looked at here, so that triggers see them in the order in which they are recorded.
        self._look = partial(self._poll, subject)

        self._phase("load")
        nemesis = Nemesis(plan.injections, subject, self._recorder("nemesis"))
        generator = Generator(plan.load, plan.seed, clients.call)

        def listen(events: Iterable[Event]) -> None:
            nemesis.see(events)
            generator.see(events)

        self._listener, self._act = listen, nemesis.act
        stack.callback(generator.stop)
        self._ends.append(generator.abandon)
        generator.start()

        def awaited() -> bool:
            """Whether a fault or a load waits for an event that may still come: something is under way, or beat is."""
            under_way = plan.topology.beat or bool(self._settled.waiting) or not generator.done
            return (nemesis.waiting or generator.waiting) and under_way

        self._pump(lambda: generator.sent and not nemesis.timed, within=None)
        self._pump(lambda: generator.sent and not nemesis.pending and not awaited(), within=plan.drain)
        self._pump(lambda: generator.sent and not nemesis.timed, within=None)
        self._phase("heal")
        self._act = lambda: None  # what struck from here on would never heal
        nemesis.heal()
        self._missed = [*generator.missed, *nemesis.missed]
        self._pump(lambda: generator.done, within=ANSWERS_WITHIN)
        self._pump(subject.api_ready, within=AGAIN_WITHIN)  # a killed one is started again, and that takes a while
        clients.probe(plan)
        self._phase("drain")
        self._drain(subject, clients)
        self._phase("check")

    # --- looking

    def _watches(self, subject: Subject, clients: Clients) -> list[Repeated]:
        def sample() -> None:
            self._sample = self._probe(subject)

        sample()
        statuses = StatusReader(lambda: self._settled.open, clients.read)
        return [Repeated("broker probe", sample, SAMPLE), Repeated("status reader", statuses.round, FIRST)]

    def _poll(self, subject: Subject) -> None:
        for event in self._read_effects():
            self._recorder("effects").write(event)
        self._records.look()
        subject.exits(_Recorders(self._recorder))
        events = self._tail.poll()
        self._settled.see(events)
        self._listener(events)

    def _pump(self, until: Callable[[], bool], within: float | None) -> bool:
        """Look and act until a condition is true. `within` leaves out the time in which processes waited for a CPU."""
        fair, wall = self._busy.clock(), time.monotonic()
        while True:
            self._look()
            self._act()
            if until():
                return True
            if within is not None and self._busy.clock() - fair > within:
                return False
            if within is not None and time.monotonic() - wall > LONGEST * within:
                return False
            time.sleep(PUMP)

    def _drain(self, subject: Subject, clients: Clients) -> None:
        """Wait until nothing is left: not in a queue, not unacked, not running, and nothing accepted unsettled.

        When something is unsettled and nowhere, it has the application's `recovery` to come back.
        """
        quiet_since: float | None = None
        worked: float | None = None
        recovery = self.setting.application.recovery

        def over() -> bool:
            nonlocal quiet_since, worked
            if not self._quiet():
                quiet_since = None
                return False
            # The application's recovery is made of time-outs, which a busy machine does not stretch, and of a little
            # work, which it does.
            if quiet_since is None:
                quiet_since, worked = time.monotonic(), None
            if time.monotonic() - quiet_since <= (recovery if self._settled.waiting else 0.0):
                return False
            worked = worked or self._busy.clock()
            if self._busy.clock() - worked <= (5 if self._settled.waiting else 2) * SAMPLE:
                return False
            self._sample = self._probe(subject)  # beat may have sent something in this very moment
            quiet_since = None
            return self._quiet()

        begun, waited = time.monotonic(), self._busy.waited
        ended = self._pump(over, within=self.plan.drain)
        spent: dict[str, Any] = {
            "seconds": time.monotonic() - begun,
            "busy": self._busy.waited - waited,
            "limit": self.plan.drain,
        }
        if not ended:
            self._probe(subject)
        left = ", ".join(sorted(self._settled.waiting)[:8])
        self._recorder("run").record("drained", ok=ended, left=left, recovery=recovery, **spent)
        self._read_all(clients)
        self._look()
        self._records.compare()

    def _read_all(self, clients: Clients) -> None:
        """Read the status of each accepted task: what is read from here on is the last word.

        An API that does not answer is asked again for a while; what it never told is recorded as unread.
        """
        left = self._settled.accepted

        def read() -> bool:
            for task, key in list(left.items()):
                del left[task]
                if not clients.read(key, task):
                    left[task] = key  # the others come first: it may be this one alone that is not answered
                    return False
            return True

        self._pump(read, within=AGAIN_WITHIN)
        for task, key in left.items():
            self._recorder("run").record("unread", key=key, task=task)

    def _quiet(self) -> bool:
        data = self._sample.data
        return self._sample.kind == "sample" and not any(
            (*data["queues"].values(), data["unacked"], self._settled.running)
        )

    def _probe(self, subject: Subject) -> Event:
        if isinstance(layout := subject.layout, Unreadable):
            return self._recorder("broker").record("sample-failed", error=str(layout))
        with subject.broker.client(layout.database, timeout=1.0) as redis:
            return probe(redis, self._recorder("broker"), layout)

    # --- telling

    def _recorder(self, source: str) -> Recorder:
        return self._recorders.setdefault(source, Recorder(self._path, source))

    def _on_wire(self, kind: str, data: dict[str, Any]) -> None:
        self._recorder("wire").record(kind, **data)

    def _phase(self, name: str) -> None:
        self._recorder("run").record("phase", name=name)
        self.setting.phase(name)


class _Recorders(dict[str, Recorder]):
    """Makes the recorder of a source when it is first asked for."""

    def __init__(self, make: Callable[[str], Recorder]) -> None:
        self._make = make

    def __missing__(self, source: str) -> Recorder:
        return self._make(source)
