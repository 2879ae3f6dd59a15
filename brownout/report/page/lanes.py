"""The lanes of a trial as charts: the clients, each process, the queues and the effects, over one line of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from brownout.history.event import Event
from brownout.history.operation import SUCCESS, state_of
from brownout.history.view import History
from brownout.report.facts.lanes import Lane, Lanes
from brownout.report.page.chart import DRAWN, Bar, Chart, Mark, Note, Try, density, steps, throughput
from brownout.report.page.scale import Scale
from brownout.report.text.clock import length

HEIGHT = 24
_APART = 50  # units between the names of two phases
_OVER = ("ended", "failed", "retry", "rejected")


@dataclass(frozen=True)
class Row:
    """A lane: its name, its chart, and what it comes to in a few words."""

    name: str
    chart: Chart
    said: str
    bad: bool = False


@dataclass(frozen=True)
class Span:
    """A fault, or a phase, on the line of time. `width` is at least that of a line."""

    x: float
    width: float
    text: str
    instant: bool = False


def faults(lanes: Lanes, scale: Scale) -> list[Span]:
    """The bands of the faults."""
    found = []
    for band in lanes.bands:
        begin, end = band.begin, lanes.end if band.end is None else band.end
        if band.instant:
            end = begin
        x = scale.x(begin)
        found.append(Span(x, round(scale.x(end) - x, 1), band.text, band.instant))
    return found


def phases(history: History, scale: Scale) -> list[Span]:
    """The phases that begin on the chart. Of phases that are close together only the first is named."""
    found: list[Span] = []
    for event in history.kind("phase"):
        x = scale.x(event.at)
        if scale.begin <= event.at <= scale.end and (not found or x - found[-1].x > _APART):
            found.append(Span(x, 0, str(event.data.get("name"))))
    return found


def rows(lanes: Lanes, history: History, tries: Sequence[Try], scale: Scale, job_of: dict[str, str]) -> list[Row]:
    """All lanes, from the clients to the effects. `job_of` is the id of the page's job, by task."""
    processes = [_process(lane, history, scale, job_of) for lane in lanes.processes]
    return [_clients(tries, scale), *processes, *_depth(lanes, history, scale), *_effects(history, scale, job_of)]


def _clients(tries: Sequence[Try], scale: Scale) -> Row:
    counts = [(outcome, sum(one.outcome == outcome for one in tries)) for outcome in ("ok", "info", "fail", "open")]
    said = ", ".join(f"{n} {outcome}" for outcome, n in counts if n) or "none"
    if len(tries) > DRAWN:
        return Row("clients", replace(throughput(tries, scale, HEIGHT), top=""), said)
    marks = [Mark(scale.x(one.begin), HEIGHT / 2, one.outcome, one.title, one.job) for one in tries]
    return Row("clients", Chart(HEIGHT, marks=marks), said)


def _process(lane: Lane, history: History, scale: Scale, job_of: dict[str, str]) -> Row:
    """One process: a thin line while it lives, a bar for each execution of a task, stalls, and its ends."""
    own = history.by_source.get(lane.name, [])
    bars = [*_alive(lane, scale)]
    bars += [
        Bar(scale.x(begin), HEIGHT / 2 - 4, round(scale.x(end) - scale.x(begin), 1), 8, "frozen", "frozen (SIGSTOP)")
        for begin, end in lane.frozen
    ]
    executions = list(_executions(own, scale.end))
    if len(executions) > DRAWN:
        bars += density((begin.at for begin, *_ in executions), scale, HEIGHT, "run")
    else:
        for begin, end, look in executions:
            how = {"run": "", "cut": ", and did not end"}.get(look, f", {look}")
            title = f"task {str(begin.task)[:8]}, pid {begin.pid}: {length(end - begin.at)}{how}"
            width = max(scale.x(end) - scale.x(begin.at), 1.5)
            bars.append(
                Bar(scale.x(begin.at), 5, round(width, 1), HEIGHT - 10, look, title, job_of.get(begin.task or "", ""))
            )
    for stall in own:
        if stall.kind == "stall":
            x = scale.x(int(stall.at - stall.data["ms"] * 1e6))
            title = f"the event loop stood still for {length(int(stall.data['ms'] * 1e6))}"
            bars.append(Bar(x, 4, max(round(scale.x(stall.at) - x, 1), 1.5), HEIGHT - 8, "stall", title))
    notes = [
        Note(scale.x(end.at), HEIGHT / 2 + 5, *(("✕", "struck") if end.struck or end.orderly else ("✖", "died")))
        for end in lane.ends
    ]
    marks = [
        Mark(scale.x(event.at), HEIGHT - 5, "fail", f"raised {event.data.get('error')}")
        for event in own
        if event.kind == "raised"
    ]
    return Row(lane.name, Chart(HEIGHT, bars, marks[:DRAWN], notes=notes), said(lane), not lane.alive or _died(lane))


def _died(lane: Lane) -> bool:
    return any(not end.struck and not end.orderly for end in lane.ends)


def said(lane: Lane) -> str:
    """A process in a few words: whether it lives, its restarts, its longest silence."""
    died = sum(not end.struck and not end.orderly for end in lane.ends)
    alone = not lane.alive and died == len(lane.ends) == 1  # then "ended" says the same
    parts = ["alive" if lane.alive else "ended by itself" if alone else "ended"]
    if lane.restarts:
        parts.append(f"{lane.restarts} restart{'s' * (lane.restarts > 1)}")
    if died and not alone:
        parts.append(f"ended by itself {died} time{'s' * (died > 1)}")
    if lane.silence and lane.silence[1] - lane.silence[0] > 1e9:
        parts.append(f"silent for {length(lane.silence[1] - lane.silence[0])}")
    return ", ".join(parts)


def _alive(lane: Lane, scale: Scale) -> Iterator[Bar]:
    """A thin bar for each life: from the first sign after an end to the next end."""
    begin: int | None = lane.signs[0] if lane.signs else None
    for end in lane.ends:
        if begin is not None and begin < end.at:
            yield _life(scale, begin, end.at)
        begin = next((at for at in lane.signs if at > end.at), None)
    if begin is not None:
        yield _life(scale, begin if lane.ends else scale.begin, scale.end)


def _life(scale: Scale, begin: int, end: int) -> Bar:
    x = scale.x(begin)
    return Bar(x, HEIGHT / 2 - 1, round(scale.x(end) - x, 1), 2, "life")


def _executions(own: Iterable[Event], end: int) -> Iterator[tuple[Event, int, str]]:
    """Each execution of a task: its start, its end (ns), and its look; "cut" when it did not end."""
    running: dict[str, Event] = {}
    for event in own:
        if event.kind == "started" and event.task:
            running[event.task] = event
        elif event.kind in _OVER and event.task in running:
            began = running.pop(event.task)
            yield began, event.at, _look(event)
        elif event.kind == "exit":
            for began in running.values():
                yield began, event.at, "cut"
            running.clear()
    for began in running.values():
        yield began, end, "cut"


def _look(end: Event) -> str:
    if end.kind == "retry":
        return "retried"
    if end.kind == "ended" and (state_of(end) in SUCCESS or not state_of(end)):
        return "run"
    return "ignored" if state_of(end) == "IGNORED" else "failed"


def _depth(lanes: Lanes, history: History, scale: Scale) -> Iterator[Row]:
    """The jobs that nobody has published yet, the messages that wait in queues, and those that are unacknowledged."""
    if history.by_kind.get("publish") and (outbox := list(_outbox(history))):
        yield _level("outbox", outbox, scale)
    if lanes.depth:
        yield _level("queues", [(depth.at, depth.waiting) for depth in lanes.depth], scale)
        yield _level("unacked", [(depth.at, depth.unacked) for depth in lanes.depth], scale)


def _outbox(history: History) -> Iterator[tuple[int, int]]:
    """A time and the number of jobs that were accepted by then and not published, at each change of the number."""
    waiting: dict[str | None, None] = {}
    published: set[str | None] = set()
    for event in history:
        if event.kind == "accepted" and event.task not in published:
            waiting[event.task] = None
        elif event.kind == "published":
            published.add(event.task)
            waiting.pop(event.task, None)
        else:
            continue
        yield event.at, len(waiting)


def _level(name: str, points: Sequence[tuple[int, float]], scale: Scale) -> Row:
    most, last = max(value for _, value in points), points[-1][1]
    chart = Chart(HEIGHT, lines=steps(points, scale, HEIGHT, "depth", most))
    return Row(name, chart, f"at most {most:g}, {last:g} at the end", last > 0)


def _effects(history: History, scale: Scale, job_of: dict[str, str]) -> Iterator[Row]:
    effects = history.kind("effect")
    if not effects:
        return
    seen: set[object] = set()
    marks, again = [], 0
    for event in effects:
        what = (event.task or event.key, event.data.get("name"))
        look = "twice" if what in seen else "effect"
        again += look == "twice"
        seen.add(what)
        job = job_of.get(event.task or event.key or "", "")
        marks.append(Mark(scale.x(event.at), HEIGHT / 2, look, f"effect of {event.key or str(event.task)[:8]}", job))
    bars: list[Bar] = []
    if len(marks) > DRAWN:
        bars = density((event.at for event in effects), scale, HEIGHT, "run")
        marks = [mark for mark in marks if mark.look == "twice"][:DRAWN]
    said_ = f"{len(effects)} done{f', {again} of them again' if again else ''}"
    yield Row("effects", Chart(HEIGHT, bars, marks), said_, again > 0)
