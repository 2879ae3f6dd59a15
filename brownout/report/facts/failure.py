"""Everything that a report shows of a trial that was not valid, as one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from brownout.check.interval import readable
from brownout.check.verdict import Anomaly
from brownout.history.event import Event
from brownout.history.view import History
from brownout.report.facts.account import Step, account
from brownout.report.facts.bands import Band, listed
from brownout.report.facts.case import NS, Cause
from brownout.report.facts.cause import cause
from brownout.report.facts.lanes import Lanes, lanes
from brownout.report.facts.leading import Lead, Tally, leading, moment_of
from brownout.report.facts.logs import LogLine, first_errors
from brownout.report.facts.stalls import Slowness, Stall, slowness, stalls
from brownout.report.facts.whereabouts import Whereabouts, events_of, whereabouts
from brownout.run.result import Result

DURING = frozenset({"stalled", "backlog", "unhandled"})  # kinds of anomaly that may end with the fault
#: Kinds of event that are no part of a job's own course.
UNMARKED = frozenset({"read", "unread", "left", "row", "stall", "starved", "exit"})
#: Kinds of event after which nothing more happens to a job by itself.
OVER = frozenset({"ended", "effect", "failed", "revoked", "rejected", "fail", "info"})
#: Kinds of anomaly for which the stalls of the event loop are shown.
SLOW = frozenset({"stalled", "slowed", "slow", "unanswered"})


@dataclass(frozen=True)
class Failure:
    """The facts of a trial. Without a broken promise `lead` is None, and so are the facts of the example job.

    `headline` names what broke, for how many, and the faults. `short` says it for one line of a list. `apart` says that
    the example's own events came all before the first fault, or all after the last one; it is empty otherwise.
    """

    headline: str
    short: str
    lead: Lead | None
    where: Whereabouts | None
    lanes: Lanes
    cause: Cause | None
    steps: tuple[Step, ...]
    stalls: tuple[Stall, ...]
    slowness: Slowness | None
    logs: tuple[LogLine, ...]
    apart: str = ""

    @property
    def zero(self) -> int:
        """The time that a report shows as +0: the begin of the load."""
        return self.lanes.begin


def facts(result: Result) -> Failure:
    """The facts of a trial. Reads the logs in the trial's folder; everything else comes from the result."""
    history = result.history
    lead, tracks = leading(result.verdicts, history), lanes(history, result.plan.topology.processes)
    if lead is None:
        logs = _logs(result, tracks.begin)
        return Failure("", "", None, None, tracks, None, (), (), None, logs)
    anomaly = _about(lead.root.example, history)
    where = whereabouts(history, tracks, anomaly.key, anomaly.task)
    why = cause(history, tracks, anomaly, where)
    near = why.event.at if why.event else tracks.begin
    found = _first(stalls(history, _least(anomaly)), moment_of(anomaly)) if anomaly.kind in SLOW else ()
    return Failure(
        headline(lead, tracks),
        short(lead, why),
        lead,
        where,
        tracks,
        why,
        account(history, anomaly, why),
        found,
        slowness(history, found) if found else None,
        _logs(result, near),
        _apart(history, where.name, anomaly),
    )


def _apart(history: History, name: str, anomaly: Anomaly) -> str:
    """Whether the example job met no fault at all. Reads of its status do not count: a client repeats them. A job that
    waits in a queue or on a worker is not over."""
    own = [event for event in events_of(history, anomaly.key, anomaly.task) if event.kind not in UNMARKED]
    first, stops = history.faults[0].start.at if history.faults else 0, [window.stop for window in history.faults]
    if not own or not history.faults:
        return ""
    if own[-1].at < first and own[-1].kind in OVER:
        return f"{name} was over {readable((first - own[-1].at) / NS)} before the first fault began"
    if all(stops) and own[0].at > (last := max(stop.at for stop in stops if stop)):
        return f"{name} began {readable((own[0].at - last) / NS)} after the last fault had healed"
    return ""


def headline(lead: Lead, tracks: Lanes) -> str:
    """What broke, for how many, and after which faults: "7 of 17 jobs are lost after flush() on broker"."""
    root, faults = lead.root, listed(_meeting(lead.root.example, tracks))
    if not faults:
        return f"{root.sentence}{';' if ';' in root.sentence else ','} without any fault"
    how = f"{_when(root, tracks)} {faults}"
    return f"{root.sentence} ({how})" if ";" in root.sentence else f"{root.sentence} {how}"


def _when(root: Tally, tracks: Lanes) -> str:
    """Whether the example came before, during or after the faults."""
    if root.count == root.before:
        return "before"
    moment = moment_of(root.example) if root.kind in DURING else None
    return "during" if moment and any(band.lasts(moment.at) for band in tracks.bands) else "after"


def _about(anomaly: Anomaly, history: History) -> Anomaly:
    """The anomaly with the job that the report shows, where the anomaly itself names none."""
    if anomaly.key or anomaly.task:
        return anomaly
    if anomaly.kind == "unhandled":
        keys = [event.key for event in anomaly.witness if event.key in history.ops]
        return replace(anomaly, key=keys[0] if keys else None)
    left = history.sample.data.get("by_task", {}) if history.sample and anomaly.kind == "undrained" else {}
    jobs = sorted((op.key, task) for op in history.ops.values() for task in op.tasks if task in left)
    return replace(anomaly, key=jobs[0][0], task=jobs[0][1]) if jobs else anomaly


def _least(anomaly: Anomaly) -> float:
    """The length (ms) from which a stall may explain the anomaly: a twentieth of the time that the example took."""
    if anomaly.kind == "stalled":
        return 0.0
    times = [event.at for event in anomaly.witness]
    return (max(times) - min(times)) / 1e6 / 20 if times else 0.0


def _first(found: tuple[Stall, ...], moment: Event | None) -> tuple[Stall, ...]:
    """The stalls with that of the example first."""
    at = moment.at if moment else None
    return tuple(sorted(found, key=lambda stall: stall.end != at))


def _meeting(anomaly: Anomaly, tracks: Lanes) -> tuple[Band, ...]:
    """The faults that met the example's events; all faults when none did."""
    times = [event.at for event in anomaly.witness if event.source != "nemesis"]
    met = [
        band
        for band in tracks.bands
        if times and band.begin <= times[-1] and (band.end is None or band.end >= times[0] or band.instant)
    ]
    return tuple(met) or tracks.bands


def short(lead: Lead, why: Cause) -> str:
    """The kind, the number, and the cause: "late ×14: worker-1 stopped consuming"."""
    root = lead.root
    return f"{root.kind} ×{root.count}: {why.sentence.partition(': ')[0] or root.sentence}"


def _logs(result: Result, near: int) -> tuple[LogLine, ...]:
    return first_errors(Path(result.folder), result.history, near)
