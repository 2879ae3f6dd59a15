"""The parts of a trial that ends as soon as nothing can change any more, such as a trial of a fault map: an object that
orders the Redis requests (the conductor), and a record of what happened to the operation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

from brownout.history.event import Event
from brownout.history.layout import Layout, Unreadable
from brownout.history.life import PROBE, Life
from brownout.plan.operation import Http
from brownout.plan.plan import Plan
from brownout.plan.point import Point
from brownout.run.conductor_calls import ConductorCalls
from brownout.run.nemesis import Nemesis
from brownout.run.observer import Observer
from brownout.run.phases.settling import OnWire, Settling, push_copy
from brownout.run.phases.steady import Steady
from brownout.run.phases.stored import states
from brownout.run.points import Points
from brownout.run.setting import Setting
from brownout.run.trace import WAITED, Trace
from brownout.run.watch import Repeated
from brownout.subject.application import surface
from brownout.subject.fair import FairTime
from brownout.subject.processes.table import forked_by
from brownout.subject.subject import Subject
from brownout.wire.interface import AnyWire
from brownout.wire.redis.conductor import Conductor
from brownout.wire.redis.naming import Naming
from brownout.wire.redis.probe import ProbeTrail
from brownout.wire.tcp.wire import Wire
from brownout.workload.clients import Clients
from brownout.workload.status_reader import StatusReader

ASK_EVERY = 0.03  # seconds between two requests for a status


class EvidenceTrial:
    """The state of a trial that ends as soon as nothing can change any more. This state is created before the subject
    is started, because its conductor must see the first request that the subject sends to Redis."""

    def __init__(self, plan: Plan, setting: Setting, wire: AnyWire, observer: Observer) -> None:
        if not isinstance(wire, Wire):
            raise ValueError("a trial that settles by evidence needs the built-in wire")
        assert plan.settle
        self._plan, self._settle, self._setting, self._observer = plan, plan.settle, setting, observer
        self.fair = FairTime(self._pids)
        self.order = tuple(map(Point.parse, plan.order))
        http = isinstance(plan.load[0].operation, Http)
        conductor = Conductor(
            handshakes=plan.settle.fresh,
            order=self.order,
            clock=lambda: self.fair.seconds,
            naming=Naming(setting.application.polls, setting.application.monitors),
            probes=ProbeTrail(lambda: self.life.tasks, through_api=http),
        )
        self._layout = layout_of(setting, plan)
        self.points = Points(wire, self._layout.plain, conductor).waiting_for(plan)
        self.conductor_calls = ConductorCalls(wire, conductor)
        self.life = Life(by_effect=setting.application.effects is not None)
        observer.listeners.append(self.life.see)
        self._operation = plan.load[0].operation
        self._workers = [name for name in plan.topology.processes if name.startswith("worker")]
        self._probes = count(1)
        self._subject: Subject
        self._clients: Clients
        self._settling: Settling

    def _pids(self) -> Iterable[int]:
        """Return the pids of the Redis server, of the main process of each part of the application, and of the pool
        processes of workers."""
        if not hasattr(self, "_subject"):
            return ()
        pids = [self._subject.broker.pid] if self._subject.broker.pid else []
        for name, supervisor in self._subject.supervisors.copy().items():
            pids.append(supervisor.current.pid)
            if name.startswith("worker"):
                pids += forked_by(supervisor.current.pid)
        if self._subject.caller:
            pids.append(self._subject.caller.process.pid)
        return pids

    def watches(self, clients: Clients) -> list[Repeated]:
        """The threads that read the statuses of jobs; there are none when the application's API does not tell them."""
        if not isinstance(self._operation, Http) or self._setting.application.status is None:
            return []
        statuses = StatusReader(lambda: self.life.unread, clients.read, first=ASK_EVERY)
        return [Repeated("status reader", statuses.round, ASK_EVERY)]

    def steady(self, subject: Subject, clients: Clients) -> None:
        """Bring the subject to the steady state: a warm-up task is done, and nothing happens any more. Raises
        NeverHappened when a step takes too long."""
        self._subject, self._clients = subject, clients
        if isinstance(self._operation, Http) and self._setting.application.accepted:
            self._observer.recorders["store"].record("store-read")
        clients.tell_unread()
        queues, patience, calls = self._layout.queues, self._settle.warm_up, self.conductor_calls
        steady = Steady(subject, self._observer, clients, calls, self.fair, self.life, self._workers, queues, patience)
        steady.reach(self._settle.warm, fresh=self._settle.fresh)
        self._settle = self._settle.patient(steady.took)

    def settling(self, nemesis: Nemesis) -> Settling:
        """Make the object that decides when the outcome of the operation cannot change any more."""
        self._settling = Settling(
            self._settle,
            self._operation,
            self.life,
            self._clients,
            self.fair,
            faulted=bool(self._plan.injections),
            workers=self._workers,
            wire=self._on_wire,
            active=lambda: nemesis.active,
            look=self._sample,
            push=self._push,
            probing=lambda begins: self.conductor_calls.probe(begins=begins),
            born=lambda worker: self._subject.supervisors[worker].born,
            killed=lambda worker: self._subject.killed.get(worker, 0.0),
        )
        return self._settling

    def _on_wire(self) -> OnWire:
        return self.conductor_calls.look(self._settle.held)

    def _sample(self) -> Event:
        event = self._observer.sample(changes=True)
        if event.kind == "sample":
            self.life.sample = event
        return event

    def _push(self, task: str) -> bool:
        """Put the probe, a copy of the warm-up task's message, into Redis on a direct connection that no fault
        disturbs."""
        message = self.conductor_calls.conductor.published
        if message is None:
            raise RuntimeError("the warm-up operation published no message")
        key = f"{PROBE}-{next(self._probes)}"
        self._observer.recorders["client"].record("invoke", key=key, task=task, op="probe")
        self._observer.look()
        with self._subject.broker.client(self._layout.database, timeout=1.0) as redis:
            return push_copy(redis, dict(message.raw), message.id, task, message.place)

    def observe(self) -> None:
        """Record the final state: stored results, whether a worker takes tasks, and whether a command was repeated."""
        life, run, settling = self.life, self._observer.recorders["run"], self._settling
        self._sample()
        stored = states(self._operation, life, self._subject, self._clients, self._observer)
        self._observer.recorders["backend"].record("stored", states=stored)
        run.record("consumes", ok=settling.consuming, why="" if settling.consuming else settling.silence)
        waited = life.newest - life.sent > WAITED * self._settle.held * 1e9
        again = waited or self.trace().again(self.order, life.newest)
        self._observer.look()
        if life.invoke and life.invoke.data.get("op") == "tick" and life.answered == "waiting":
            # the task that beat sends counts as accepted, because beat's schedule promises it
            self._clients.tick(str(life.invoke.key))
        run.record("settled", again=again, left=sorted(life.left.values()))
        self._observer.records.tell_rows()

    def trace(self) -> Trace:
        """Return the trace of the Redis requests that passed through the network proxy during the trial."""
        return self.conductor_calls.trace()

    def close(self) -> None:
        """End all connections of the subject to Redis."""
        self.conductor_calls.close()


def layout_of(setting: Setting, plan: Plan) -> Layout:
    """The keys and queues of the application's messages in Redis. Raises Unreadable when the application's settings do
    not tell the keys."""
    layout = Layout.of(surface(setting.application, setting.root, plan.topology.settings_json).layout)
    if setting.application.queues:
        layout = replace(layout, queues=setting.application.queues)
    if not layout.queues:
        raise Unreadable("the application's workers read from no queue")
    return layout
