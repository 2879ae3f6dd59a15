"""Makes the plan of a trial for cells of a fault map: one operation, a fault at each cell's fault point, and the
promises of a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from brownout.check.promises import loop_never_stalls
from brownout.check.promises.life import (
    Proof,
    told_truly,
    took_effect_once,
    workers_consume,
    workers_survive,
)
from brownout.explore.bounds import Bounds
from brownout.explore.experiment import Experiment
from brownout.explore.maps.cell import Cell
from brownout.faults import cut, error_reply, hold, kill, kill_child, lose_reply, reset, stop, tear_reply
from brownout.plan.fault import Fault
from brownout.plan.operation import Call, Load, Operation, Tick
from brownout.plan.plan import Injection, Plan
from brownout.plan.point import IDLE, Point
from brownout.plan.promise import Promise
from brownout.plan.settle import Settle
from brownout.plan.topology import Topology
from brownout.plan.trigger import OnEvent, after, point

OUTAGE = 0.3  # Seconds; the time after which a killed server is started again.
STALL = "250ms"  # When the event loop of the API is blocked for this time, the API counts as stalled.
MESSAGE, PROCESS, BROKER = "message", "process", "broker"  # What the fault of an action can strike.

#: The fault of each action, its target, and whether the fault heals after `Bounds.held` seconds.
FAULTS: Mapping[str, tuple[Callable[[], Fault], str, bool]] = {
    "cut": (cut, MESSAGE, False),
    "reset": (reset, MESSAGE, False),
    "truncated": (tear_reply, MESSAGE, False),
    "held": (hold, MESSAGE, True),
    "late": (hold, MESSAGE, True),
    "never": (lose_reply, MESSAGE, False),
    "kill": (partial(kill, children=True), PROCESS, False),
    "kill-child": (kill_child, PROCESS, False),
    "stop": (stop, PROCESS, True),
    "restart-broker": (kill, BROKER, False),
}


def plan_of(experiment: Experiment, bounds: Bounds, cells: Sequence[Cell] = (), order: Sequence[Point] = ()) -> Plan:
    """Return the plan of a trial that has the faults of these cells; each fault waits until the previous fault has
    struck.

    Without cells, the plan has no fault.
    """
    operation = operation_of(experiment)
    load = Load(operation, every=1.0, count=1)
    if cells and cells[0].point.label.endswith(IDLE):
        load = load.on(trigger_of(experiment, cells[0]))
    return Plan(
        topology_of(experiment),
        (load,),
        tuple(replace(injection_of(experiment, cell, bounds), then=n > 0) for n, cell in enumerate(cells)),
        promises_of(experiment),
        settle=Settle(
            warm=warm_of(experiment),
            held=bounds.held,
            probe=bounds.probe,
            result=bounds.result,
            recover=bounds.recover,
            republished=bounds.republished,
            limit=bounds.limit,
            still=bounds.still,
            fresh=experiment.workload.first,
            warm_up=experiment.warm_up,
        ),
        order=tuple(inward(experiment, point).full for point in order),
    )


def topology_of(experiment: Experiment) -> Topology:
    """Return the topology of a trial of a fault map."""
    app, load = experiment.application, experiment.workload
    return Topology(
        replace(app.workers(load.workers), log_level="WARNING"),
        servers=1 if load.http else 0,
        relay=bool(app.relay),
        beat=load.beat,
        settings=dict(experiment.configuration.settings),
    )


def operation_of(experiment: Experiment) -> Operation:
    """Return the operation that the trial's load sends."""
    load = experiment.workload
    if load.http:
        return load.http
    if load.beat:
        return Tick()
    return Call(
        load.task or experiment.task,
        experiment.args,
        dict(experiment.kwargs),
        dict(load.options),
        canvas=load.kind,
        effects=load.keys,
        body=load.body,
        result=experiment.results,
    )


def warm_of(experiment: Experiment) -> Operation:
    """Return the operation that runs before the load so that all processes are connected: one plain task, or one
    request."""
    if experiment.workload.http:
        return experiment.workload.http
    task = experiment.workload.task or experiment.task
    options = dict(experiment.workload.options)
    return Call(task, experiment.args, dict(experiment.kwargs), options, result=experiment.results)


def promises_of(experiment: Experiment) -> tuple[Promise, ...]:
    """Return the promises that every trial of a fault map checks."""
    proof: Proof = "effect" if experiment.application.effects else "ended"
    more = (loop_never_stalls(STALL),) if experiment.workload.http else ()
    return (took_effect_once(proof=proof), told_truly(proof=proof), workers_survive(), workers_consume(), *more)


def injection_of(experiment: Experiment, cell: Cell, bounds: Bounds) -> Injection:
    """Return the injection of a cell's fault at the cell's fault point."""
    edge = cell.point.edge
    if cell.action not in FAULTS:
        return Injection(error_reply(cell.action), edge, trigger_of(experiment, cell))
    make, strikes, heals = FAULTS[cell.action]
    on = {MESSAGE: edge, PROCESS: inward(experiment, cell.point).edge.partition("->")[0], BROKER: "broker"}[strikes]
    heal = after(bounds.held) if heals else after(OUTAGE) if strikes == BROKER else None
    return Injection(make(), on, trigger_of(experiment, cell), heal)


def trigger_of(experiment: Experiment, cell: Cell) -> OnEvent:
    """Return the trigger that fires at the cell's fault point."""
    place = inward(experiment, cell.point)
    return point(cell.point.edge, place.label.removesuffix(IDLE), nth=place.ordinal, moment=cell.moment)


def inward(experiment: Experiment, point: Point) -> Point:
    """Convert a fault point of a map to a point of a trial: a trial calls the only worker "worker-1"."""
    if experiment.workload.workers == 1 and point.edge.startswith("worker->"):
        return replace(point, edge=point.edge.replace("worker", "worker-1", 1))
    return point


def outward(experiment: Experiment, point: Point) -> Point:
    """Convert a fault point of a trial to a point of a map: a map calls the only worker "worker"."""
    if experiment.workload.workers == 1 and point.edge.startswith("worker-1->"):
        return replace(point, edge=point.edge.replace("worker-1", "worker", 1))
    return point
