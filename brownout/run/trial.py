"""Runs a plan once: starts the subject, sends the load, causes faults, waits until the work is done, then judges."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime
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
from brownout.run.events import Phase, TrialEnded, trying
from brownout.run.evidence_trial import EvidenceTrial
from brownout.run.nemesis import Nemesis
from brownout.run.observer import Observer
from brownout.run.phases.drain import SAMPLE, drain
from brownout.run.points import Points
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.trace import Trace
from brownout.run.turns import Stopped, Turns, measures_soon
from brownout.run.watch import BusyWatch, Repeated, frozen, resource_watches
from brownout.subject.application import surface
from brownout.subject.subject import Subject
from brownout.workload.clients import Clients, calls_of
from brownout.workload.generator import Generator
from brownout.workload.status_reader import FIRST, StatusReader

PUMP = 0.005  # Seconds between two looks at the history.
# Seconds between two looks at the history in trials of fault maps; many such trials share a process.
SETTLING_PUMP = 0.01
ANSWERS_WITHIN = 30.0  # The seconds in which clients may still get their last answers.
AGAIN_WITHIN = 10.0  # The seconds within which a killed API must be ready again.
ATTEMPTS = 3  # A trial has at most so many attempts while the machine is too busy to judge it.
LONGEST = 4  # However busy the machine is, a wait ends after this many times its limit in wall time.


def run(plan: Plan, setting: Setting) -> Result:
    """Run the trial of a plan. If the verdict is unknown because the machine was busy, run the plan again while no
    other trial runs.

    There are at most ATTEMPTS attempts; the files of all attempts are stored.
    """
    turns, earlier = Turns(setting.store.root / ".turns"), list[Result]()
    while True:
        with trying(setting.emit, setting.scenario):
            setting.emit(Phase("wait for a turn", setting.scenario))
            with turns.taken(alone=setting.alone or bool(earlier) or measures_soon(plan), stopped=setting.stopped):
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
    """One attempt of a trial; call `run()` once. Also after an interrupt all processes are stopped, and the history is
    in `folder`."""

    def __init__(self, plan: Plan, setting: Setting) -> None:
        self.plan, self.setting = plan, setting
        self.folder = setting.store.place(setting.scenario)
        self._path, self._files = self.folder / "history.ndjson", self.folder / "files"
        self._observer = Observer(self._path, setting.application, self._files, every_row=plan.settle is not None)
        self._act: Callable[[], None] = lambda: None
        self._missed: list[Verdict] = []
        self._overtaken = False  # sentences about faults that struck when the task had already taken effect
        self._pids: Callable[[], Mapping[str, Iterable[int]]] = dict
        self._busy = BusyWatch(self._observer.recorders["run"], lambda: self._pids())
        # functions that stop the subject's parts; each function may be called twice
        self._ends: list[Callable[[], None]] = []
        self._trace = Trace()
        self._woken = threading.Event()  # This `threading.Event` is set when a fault must begin immediately.
        # The values that replace {broker}, {backend}, ... in environment variables.
        self._places: Mapping[str, str] = {}
        self.services: dict[str, object] = {}
        name, known = setting.application_name, capsule.secrets_of(setting)
        self._told, self._mask = capsule.write(self.folder, plan, setting.scenario, name, known)

    def run(self) -> Result:
        """Carry out the plan once, and judge the recorded history. Raises errors of brownout itself, with the seed and
        the folder of the trial."""
        begin = time.monotonic()
        try:
            with frozen(), ExitStack() as stack:
                try:
                    self._carry_out(stack)
                except BaseException:
                    self._abandon(stack)
                    raise
        except Exception as error:
            error.args = tuple(self._mask.value([*error.args]))  # it may have the end of a process's log
            error.add_note(f"seed {self.plan.seed}; the history and the logs are in {self.folder}")
            raise
        finally:
            self._observer.recorders.close()
            self._mask = self._mask.also(self._places)
            self._mask.clean(self.folder)
        history = History.load(self._path)
        conf = configuration(history, self.setting.application.env, self._places)
        store.write(self.folder / "conf.json", self._mask.value(conf))
        # When a fault did not strike at its fault point, the history proves nothing about the point, so no promise is
        # judged.
        judged = () if self._overtaken else judge_all(history, self._promises())
        missed = (replace(verdict, why=self._mask.text(verdict.why)) for verdict in self._missed)
        verdicts, spent = (*judged, *missed), time.monotonic() - begin
        result = Result(self.setting.scenario, self._told, verdicts, history, self.folder, spent)
        return replace(result, services=self.services, trace=self._trace)

    def _abandon(self, stack: ExitStack) -> None:
        """Stop everything immediately: do not heal faults, and do not wait for answers.

        Errors during the stop are dropped, because an earlier error is already on its way to the caller.
        """
        for end in (*reversed(self._ends), stack.close):
            with suppress(Exception):
                end()

    def _promises(self) -> tuple[Promise, ...]:
        plan = self._told
        more = (Promise("faults_acted"),) if plan.injections and not plan.settle else ()
        return (*plan.promises, *(promise for promise in more if promise not in plan.promises))

    def _carry_out(self, stack: ExitStack) -> None:
        plan, setting, observer = self.plan, self.setting, self._observer
        self._files.mkdir()
        self._phase("launch")
        self.services = {name: stack.enter_context(make()) for name, make in setting.services.items()}
        wire_seed = stream(plan.seed, "wire").getrandbits(63)

        def on_wire(kind: str, data: dict[str, Any]) -> None:
            observer.recorders["wire"].record(kind, **data)

        wire = setting.make_wire(wire_seed, on_wire, self.folder / "log" / "wire.log")
        stack.callback(wire.close)
        self._ends.append(wire.close)
        evidence = EvidenceTrial(plan, setting, wire, observer) if plan.settle else None
        points = evidence.points if evidence else Points.of(plan, wire, setting.application, setting.root)
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
        own = setting.application.python
        parts = {"redis": redis, "wire": wire.kind, "launch": setting.launcher.kind, "interpreter": own}
        used = surface(setting.application, setting.root, plan.topology.settings_json).versions if own else {}
        store.write(self.folder / "env.json", store.environment(**{**used, **parts}))
        self._places = subject.places

        clients = Clients(subject, observer.recorders["client"], plan.settle.warm_up if plan.settle else 0.0)
        stack.callback(clients.close)
        observer.begin(subject, stack)
        observer.sample()
        for watch in self._watches(clients, evidence):
            watch.start()
            stack.callback(watch.stop)
        if evidence:
            self._phase("steady state")
            evidence.steady(subject, clients)

        self._phase("load")
        nemesis = Nemesis(plan.injections, subject, observer.recorders["nemesis"], points)
        generator = Generator(plan.load, plan.seed, clients.call)
        observer.listeners += [nemesis.see, generator.see]
        self._act = nemesis.act
        stack.callback(generator.stop)
        self._ends.append(generator.abandon)
        if points:
            self._woken = points.woken
            points.arm()
        generator.start()
        if evidence:
            self._settle(evidence, nemesis, generator)
        else:
            self._load(subject, clients, nemesis, generator)

    # --- the end of a trial that waits until the recorded events show that the outcome is final

    def _settle(self, evidence: EvidenceTrial, nemesis: Nemesis, generator: Generator) -> None:
        """Wait until the outcome cannot change any more, then record the final state. Faults that are still active do
        not heal."""
        self._phase("settle")
        self._pump(evidence.settling(nemesis).over, within=None)
        self._act = lambda: None
        if nemesis.active:
            why = "a fault was still active at the end of the trial"
            self._missed.append(Verdict("unknown", "the schedule", why=why, busy_ms=self._busy.waited * 1000 or 1.0))
        evidence.observe()
        self._trace = evidence.trace()
        self._not_reached(nemesis, generator)
        self._missed += [Verdict("unknown", "the schedule", why=why) for why in nemesis.unseen]
        for why, late in nemesis.overtaken().items():
            self._overtaken = True
            self._missed.append(Verdict("unknown", "the schedule", why=why, busy_ms=late * 1000))
        self._phase("take down")
        nemesis.give_up()
        generator.abandon()
        evidence.close()

    def _not_reached(self, nemesis: Nemesis, generator: Generator) -> None:
        missed = (*generator.missed, *nemesis.missed(then=not self.plan.settle))
        self._missed += [Verdict("unknown", "the schedule", why=why) for why in missed]

    # --- the end of a trial that ends with a drain

    def _load(self, subject: Subject, clients: Clients, nemesis: Nemesis, generator: Generator) -> None:
        plan, settled = self.plan, self._observer.settled

        def awaited() -> bool:
            """Whether a fault or a load waits for an event that may still come, because an operation is unfinished or
            beat may send a task."""
            may_come = plan.topology.beat or bool(settled.waiting) or not generator.done
            return (nemesis.waiting or generator.waiting) and may_come

        self._pump(lambda: generator.sent and not nemesis.timed, within=None)
        self._pump(lambda: generator.sent and not nemesis.pending and not awaited(), within=plan.drain)
        self._pump(lambda: generator.sent and not nemesis.timed, within=None)
        self._phase("heal")
        self._act = lambda: None  # a fault that began after all faults were healed would never heal
        nemesis.heal()
        self._not_reached(nemesis, generator)
        self._pump(lambda: generator.done, within=ANSWERS_WITHIN)
        # wait, because the supervisor may still be restarting an API that was killed
        self._pump(subject.api_ready, within=AGAIN_WITHIN)
        clients.probe(plan)
        self._phase("drain")
        recovery = self.setting.application.recovery
        drain(self._observer, clients, self._busy, self._pump, within=plan.drain, recovery=recovery)
        self._phase("check")

    # --- observing the trial

    def _watches(self, clients: Clients, evidence: EvidenceTrial | None) -> list[Repeated]:
        if evidence:
            return evidence.watches(clients)
        statuses = StatusReader(lambda: self._observer.settled.open, clients.read)
        return [
            Repeated("broker probe", self._observer.sample, SAMPLE),
            Repeated("status reader", statuses.round, FIRST),
            *resource_watches(self.plan, self._observer.recorders["run"], self._pids),
        ]

    def _pump(self, until: Callable[[], bool], within: float | None) -> bool:
        """Record events and carry out faults until a condition is true, for at most `within` seconds. Returns False
        when the time limit was reached first. The time in which processes waited for a CPU does not count towards the
        limit."""
        fair, wall = self._busy.clock(), time.monotonic()
        while True:
            self._observer.look()
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
        wall = datetime.now().astimezone().isoformat()  # the lines of logs have wall time, in this machine's time zone
        self._observer.recorders["run"].record("phase", name=name, wall=wall)
        self.setting.emit(Phase(name, self.setting.scenario))
