"""One execution of a plan: launch, steady state, load and faults, settling or healing and drain, check."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from brownout.check.registry import judge_all
from brownout.check.verdict import Verdict
from brownout.history.view import History
from brownout.plan.operation import Tick
from brownout.plan.plan import Plan
from brownout.plan.promise import Promise
from brownout.plan.seed import stream
from brownout.run import capsule, store
from brownout.run.capsule import configuration
from brownout.run.drain import SAMPLE, drain
from brownout.run.events import Phase, TrialEnded, trying
from brownout.run.looking import Looking
from brownout.run.nemesis import Nemesis
from brownout.run.observed import Observed
from brownout.run.points import Points
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.trace import Trace
from brownout.run.turns import Turns, measures_soon
from brownout.run.watch import BusyWatch, Repeated
from brownout.subject.subject import Subject
from brownout.workload.clients import Clients, calls_of
from brownout.workload.generator import Generator
from brownout.workload.status_reader import FIRST, StatusReader

PUMP = 0.005  # s between two looks at the history
SETTLING_PUMP = 0.01  # the same where many trials share this process
ANSWERS_WITHIN = 30.0
AGAIN_WITHIN = 10.0
ATTEMPTS = 3
LONGEST = 4  # times a bound, in wall time: however busy the machine is, a trial ends


class Stopped(BaseException):
    """Somebody wants the trial to end: everything is taken down, and nothing is judged."""


def run(plan: Plan, setting: Setting) -> Result:
    """Run a plan; again, alone, while it is unknown because the machine was busy. At most ATTEMPTS, all are kept."""
    turns, earlier = Turns(setting.store.root / ".turns"), list[Result]()
    while True:
        with trying(setting.emit, setting.scenario):
            setting.emit(Phase("wait for a turn", setting.scenario))
            with turns.taken(alone=setting.alone or bool(earlier) or measures_soon(plan)):
                result = Trial(plan, setting).run()
        attempt = len(earlier) + 1
        again = result.busy and attempt < ATTEMPTS
        if not again:
            result = replace(result, earlier=tuple(earlier))
        setting.emit(TrialEnded(setting.scenario, result, attempt, again))
        if not again:
            return result
        earlier.append(result)


class Trial:
    """Use it once: `run()`. When it is interrupted everything is stopped, and `folder` has what was seen."""

    def __init__(self, plan: Plan, setting: Setting) -> None:
        self.plan, self.setting = plan, setting
        self.folder = setting.store.place(setting.scenario)
        self._path, self._files = self.folder / "history.ndjson", self.folder / "files"
        self._looking = Looking(self._path, setting.application, self._files, every_row=plan.settle is not None)
        self._act: Callable[[], None] = lambda: None
        self._missed: list[Verdict] = []
        self._overtaken = False  # a fault struck so late that the task had taken effect since its point
        self._pids: Callable[[], Mapping[str, Iterable[int]]] = dict
        self._busy = BusyWatch(self._looking.recorders["run"], lambda: self._pids())
        self._ends: list[Callable[[], None]] = []  # of the subject's parts; each may be called twice
        self._trace = Trace()
        self._woken = threading.Event()  # something is to be done at once
        self._places: Mapping[str, str] = {}  # what stands for the places of the environment
        self.services: dict[str, object] = {}

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
            self._looking.recorders.close()
        history = History.load(self._path)
        store.write(self.folder / "conf.json", configuration(history, self.setting.application.env, self._places))
        # Of a fault that struck elsewhere than at its point, the promises of the point tell nothing.
        judged = () if self._overtaken else judge_all(history, self._promises())
        verdicts = (*judged, *self._missed)
        spent = time.monotonic() - begin
        return Result(
            self.setting.scenario,
            self.plan,
            verdicts,
            history,
            self.folder,
            spent,
            services=self.services,
            trace=self._trace,
        )

    def _abandon(self, stack: ExitStack) -> None:
        """End everything at once. Nothing heals: what was broken goes, and with it all that a client still waits for.

        What goes wrong meanwhile is less than what went wrong before.
        """
        for end in (*reversed(self._ends), stack.close):
            with suppress(Exception):
                end()

    def _promises(self) -> tuple[Promise, ...]:
        more = (Promise("faults_acted"),) if self.plan.injections and not self.plan.settle else ()
        return (*self.plan.promises, *(promise for promise in more if promise not in self.plan.promises))

    def _carry_out(self, stack: ExitStack) -> None:
        plan, setting, looking = self.plan, self.setting, self._looking
        capsule.write(self.folder, plan, setting.scenario, setting.application_name)
        self._files.mkdir()
        self._phase("launch")
        self.services = {name: stack.enter_context(make()) for name, make in setting.services.items()}
        wire_seed = stream(plan.seed, "wire").getrandbits(63)

        def on_wire(kind: str, data: dict[str, Any]) -> None:
            looking.recorders["wire"].record(kind, **data)

        wire = setting.make_wire(wire_seed, on_wire, self.folder / "log" / "wire.log")
        stack.callback(wire.close)
        self._ends.append(wire.close)
        observed = Observed(plan, setting, wire, looking) if plan.settle else None
        points = observed.points if observed else Points.of(plan, wire, setting.application, setting.root)
        subject = Subject(
            setting.application,
            plan.topology,
            wire,
            root=setting.root,
            files=self._files,
            history=self._path,
            services={name: str(service) for name, service in self.services.items()},
            calls=calls_of(plan),
            later=["beat"] if any(isinstance(load.operation, Tick) for load in plan.load) else [],
            launcher=setting.launcher,
            on_edge=points.direct if points else lambda _: None,
        )
        stack.callback(subject.stop)
        self._ends.append(subject.stop)
        self._pids = subject.pids
        self._busy.thread.start()
        stack.callback(self._busy.thread.stop)
        subject.start(setting.rung, self._busy.clock)
        redis = f"{subject.broker.rung} {subject.broker.version}"
        parts = {"redis": redis, "wire": wire.kind, "launch": setting.launcher.kind}
        store.write(self.folder / "env.json", store.environment(**parts))
        self._places = subject.places

        clients = Clients(subject, looking.recorders["client"])
        stack.callback(clients.close)
        looking.begin(subject, stack)
        looking.sample()
        for watch in self._watches(clients, observed):
            watch.start()
            stack.callback(watch.stop)
        if observed:
            self._phase("steady state")
            observed.steady(subject, clients)

        self._phase("load")
        nemesis = Nemesis(plan.injections, subject, looking.recorders["nemesis"], points)
        generator = Generator(plan.load, plan.seed, clients.call)
        looking.seen += [nemesis.see, generator.see]
        self._act = nemesis.act
        stack.callback(generator.stop)
        self._ends.append(generator.abandon)
        if points:
            self._woken = points.woken
            points.arm()
        generator.start()
        if observed:
            self._settle(observed, nemesis, generator)
        else:
            self._load(subject, clients, nemesis, generator)

    # --- a trial that settles by evidence

    def _settle(self, observed: Observed, nemesis: Nemesis, generator: Generator) -> None:
        """Until nothing can change any more, then look once more; the faults that are still on are judged with it."""
        self._phase("settle")
        self._pump(observed.settling(nemesis).over, within=None)
        self._act = lambda: None
        if nemesis.active:
            why = "the fault was still in force"
            self._missed.append(Verdict("unknown", "the schedule", why=why, busy_ms=self._busy.waited * 1000 or 1.0))
        observed.observe()
        self._trace = observed.trace()
        self._not_reached(nemesis, generator)
        self._missed += [Verdict("unknown", "the schedule", why=why) for why in nemesis.unseen]
        for why, late in nemesis.overtaken().items():
            self._overtaken = True
            self._missed.append(Verdict("unknown", "the schedule", why=why, busy_ms=late * 1000))
        self._phase("take down")
        nemesis.give_up()
        generator.abandon()
        observed.close()

    def _not_reached(self, nemesis: Nemesis, generator: Generator) -> None:
        missed = (*generator.missed, *nemesis.missed(then=not self.plan.settle))
        self._missed += [Verdict("unknown", "the schedule", why=why) for why in missed]

    # --- a trial that ends with a drain

    def _load(self, subject: Subject, clients: Clients, nemesis: Nemesis, generator: Generator) -> None:
        plan, settled = self.plan, self._looking.settled

        def awaited() -> bool:
            """Whether a fault or a load waits for an event that may still come: something is under way, or beat is."""
            under_way = plan.topology.beat or bool(settled.waiting) or not generator.done
            return (nemesis.waiting or generator.waiting) and under_way

        self._pump(lambda: generator.sent and not nemesis.timed, within=None)
        self._pump(lambda: generator.sent and not nemesis.pending and not awaited(), within=plan.drain)
        self._pump(lambda: generator.sent and not nemesis.timed, within=None)
        self._phase("heal")
        self._act = lambda: None  # what struck from here on would never heal
        nemesis.heal()
        self._not_reached(nemesis, generator)
        self._pump(lambda: generator.done, within=ANSWERS_WITHIN)
        self._pump(subject.api_ready, within=AGAIN_WITHIN)  # a killed one is started again, and that takes a while
        clients.probe(plan)
        self._phase("drain")
        recovery = self.setting.application.recovery
        drain(self._looking, clients, self._busy, self._pump, within=plan.drain, recovery=recovery)
        self._phase("check")

    # --- looking

    def _watches(self, clients: Clients, observed: Observed | None) -> list[Repeated]:
        if observed:
            return observed.watches(clients)
        statuses = StatusReader(lambda: self._looking.settled.open, clients.read)
        return [
            Repeated("broker probe", self._looking.sample, SAMPLE),
            Repeated("status reader", statuses.round, FIRST),
        ]

    def _pump(self, until: Callable[[], bool], within: float | None) -> bool:
        """Look and act until a condition is true. `within` leaves out the time in which processes waited for a CPU."""
        fair, wall = self._busy.clock(), time.monotonic()
        while True:
            self._looking.look()
            self._act()
            if until():
                return True
            if self.setting.stopped():
                raise Stopped
            if within is not None and self._busy.clock() - fair > within:
                return False
            if within is not None and time.monotonic() - wall > LONGEST * within:
                return False
            self._woken.wait(SETTLING_PUMP if self.plan.settle else PUMP)
            self._woken.clear()

    def _phase(self, name: str) -> None:
        self._looking.recorders["run"].record("phase", name=name)
        self.setting.emit(Phase(name, self.setting.scenario))
