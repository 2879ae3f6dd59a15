"""Draws the lanes: the faults as bands, a line for each process, the depth of the queues, the first errors of logs."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator
from itertools import zip_longest

from brownout.report.clean import clean
from brownout.report.facts.bands import Band
from brownout.report.facts.failure import Failure
from brownout.report.facts.lanes import Lane, Lanes
from brownout.report.facts.logs import LogLine
from brownout.report.text.clock import length, since

WIDTH = 40  # cells of a lane
COLUMNS = 108  # of a line: 120 with the label that stands before it
SILENT, ACTIVE, GONE, FROZEN, DIED = "·", "▪", " ", "░", "×"
BAND, OUTSIDE = "█", "·"
LEVELS = " ▁▂▃▄▅▆▇█"


def lanes_of(found: Failure, most: int, logs: int) -> list[str]:
    """The lanes of a failure as lines of at most COLUMNS characters, with at most `most` processes and `logs` lines of
    logs: the process that is the cause and the one that holds the example's task come first."""
    if not found.lanes.processes:
        return []
    first = {found.cause.event.source} if found.cause and found.cause.event else set()
    first |= {found.where.holder} if found.where else set()
    return [cut(line, COLUMNS) for line in drawn(found.lanes, found.logs[:logs], first, most)]


def cut(line: str, columns: int) -> str:
    """The line, with an ellipsis where it is longer than so many columns."""
    return line if len(line) <= columns else f"{line[: max(0, columns - 1)]}…"


def drawn(lanes: Lanes, logs: tuple[LogLine, ...], first: Collection[str], most: int) -> Iterator[str]:
    """The lanes as lines. At most `most` processes are drawn: those of `first`, and those that ended, before others."""
    end = since(lanes.end - lanes.begin)
    shown = _chosen(lanes.processes, first, most)
    room = max(len(name) for name in ("queue", "fault", *(lane.name for lane in shown)))
    yield f"{'':<{room}} +0{end:>{WIDTH - 2}}"
    for band in lanes.bands[: max(1, most // 2)]:
        yield f"{'fault':<{room}} {_band(lanes, band)}  {_told(lanes, band)}"
    if more := len(lanes.bands[max(1, most // 2) :]):
        yield f"{'':<{room}} and {more} more fault{'s' * (more > 1)}"
    for lane in shown:
        yield f"{clean(lane.name, 20):<{room}} {_process(lanes, lane)}  {life(lanes, lane)}"
    if others := len(lanes.processes) - len(shown):
        yield f"{'':<{room}} and {others} more process{'es' * (others > 1)}"
    if lanes.depth:
        yield f"{'queue':<{room}} {_depth(lanes)}  {_most(lanes)}"
    for line in logs:
        yield _log(line, lanes)


def _chosen(lanes: tuple[Lane, ...], first: Collection[str], most: int) -> list[Lane]:
    """At most `most` lanes, in their order; lanes of `first` and lanes that ended are kept before others."""
    ranked = sorted(lanes, key=lambda lane: (lane.name not in first, not lane.ends, not lane.frozen))
    kept = {lane.name for lane in ranked[:most]}
    return [lane for lane in lanes if lane.name in kept]


def _cell(lanes: Lanes, at: int) -> int:
    """The cell of a time, from 0 to WIDTH - 1."""
    span = max(1, lanes.end - lanes.begin)
    return min(WIDTH - 1, max(0, (at - lanes.begin) * WIDTH // span))


def _band(lanes: Lanes, band: Band) -> str:
    first = _cell(lanes, band.begin)
    last = first if band.instant else _cell(lanes, lanes.end if band.end is None else band.end)
    return "".join(BAND if first <= n <= last else OUTSIDE for n in range(WIDTH))


def _told(lanes: Lanes, band: Band) -> str:
    begin = since(band.begin - lanes.begin)
    if band.instant:
        when = f"at {begin}"
    elif band.end is None:
        when = f"from {begin}, never healed"
    else:
        when = f"{begin} to {since(band.end - lanes.begin)}"
    return f"{clean(band.name, 80)}, {when}{'' if band.acted is not None else ', never seen to act'}"


def _process(lanes: Lanes, lane: Lane) -> str:
    cells = [SILENT] * WIDTH
    for at in lane.signs:
        cells[_cell(lanes, at)] = ACTIVE
    for begin, end in lane.frozen:
        for n in range(_cell(lanes, begin), _cell(lanes, end) + 1):
            cells[n] = FROZEN
    for death in lane.ends:
        back = next((at for at in lane.signs if at > death.at), None)
        for n in range(_cell(lanes, death.at), WIDTH if back is None else _cell(lanes, back)):
            cells[n] = GONE
        cells[_cell(lanes, death.at)] = DIED
    return "".join(cells)


def life(lanes: Lanes, lane: Lane) -> str:
    """Whether a process lives, how it ended, its restarts, its longest silence, its last event."""
    if not lane.signs and not lane.ends:
        return "alive, but no event and no connection of it was seen"
    words = ["alive" if lane.alive else f"ended {_ending(lanes, lane)}"]
    if lane.ends and lane.alive:
        words.append(f"died {_ending(lanes, lane)}")
    words.append("1 restart" if lane.restarts == 1 else f"{lane.restarts} restarts")
    if lane.silence:
        begin, end = lane.silence
        words.append(f"silent for {length(end - begin)} from {since(begin - lanes.begin)}")
    if lane.last is not None:
        words.append(f"last event {since(lane.last - lanes.begin)}")
    return ", ".join(words)


def _ending(lanes: Lanes, lane: Lane) -> str:
    last = lane.ends[-1]
    why = "a fault" if last.struck else "it asked for a restart" if last.orderly else "no fault"
    times = f"{len(lane.ends)} times, last " if len(lane.ends) > 1 else ""
    return f"{times}at {since(last.at - lanes.begin)} ({ended_with(last.code)}; {why})"


def ended_with(code: int) -> str:
    """How a process ended: "exit code 1", or the name of the signal."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _depth(lanes: Lanes) -> str:
    cells = [0] * WIDTH
    for depth, then in zip_longest(lanes.depth, lanes.depth[1:]):  # a sample holds until the next one
        for n in range(_cell(lanes, depth.at), _cell(lanes, then.at if then else lanes.end) + 1):
            cells[n] = max(cells[n], depth.waiting + depth.unacked)
    most = max(1, *cells)
    return "".join(LEVELS[0 if not depth else max(1, depth * (len(LEVELS) - 1) // most)] for depth in cells)


def _most(lanes: Lanes) -> str:
    waiting, unacked = max(d.waiting for d in lanes.depth), max(d.unacked for d in lanes.depth)
    last = lanes.depth[-1]
    return f"queued at most {waiting}, unacked at most {unacked}; {last.waiting} and {last.unacked} at the end"


def _log(line: LogLine, lanes: Lanes) -> str:
    when = f" {since(line.at - lanes.begin)}" if line.at is not None else ""
    own = f" in {clean(line.own, 80)}" if line.own else ""
    # A line is cut at its end, so what was raised, and where, comes first.
    raised = f"{clean(line.raised, 80)}{own} ← " if line.raised else ""
    return f"{clean(line.process, 20)}.log:{line.number}{when}  {raised}{clean(_shortened(line.text), 80)}"


def _shortened(text: str) -> str:
    """A line of a log without its time: "[2026-11-20 06:31:00,000: ERROR/MainProcess] x" is "ERROR/MainProcess] x"."""
    for level in ("CRITICAL", "ERROR"):
        if 0 <= (at := text.find(level)) < 60:
            return text[at:]
    return text
