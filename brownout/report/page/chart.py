"""Charts as data, which the template `chart.html` draws as SVG: bars, marks, lines and notes over the line of time.

A chart is WIDTH units wide and is stretched to the width of the page. Marks are lines of no length with round or square
ends, so that stretching does not change their shape. Looks are CSS classes; each outcome differs in shape, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from brownout.report.page.scale import WIDTH, Scale
from brownout.report.text.clock import length

DRAWN: Final = 400  # operations, or executions of a process, that are drawn one by one; more are counted in bins
BINS: Final = 200
LEAST: Final = 1.5  # the least height of a bar: a single failure among many answers is seen
OUTCOMES: Final = ("ok", "info", "fail", "open")  # `open`: no answer came
MEANING: Final = {
    "ok": "done: the client got its answer",
    "info": "unknown: nobody knows whether it was done",
    "fail": "refused or failed",
    "open": "never answered",
}


@dataclass(frozen=True)
class Bar:
    """A rectangle; `title` is shown under the pointer, `job` is the id of the job that a click selects."""

    x: float
    y: float
    width: float
    height: float
    look: str
    title: str = ""
    job: str = ""


@dataclass(frozen=True)
class Mark:
    """A point."""

    x: float
    y: float
    look: str
    title: str = ""
    job: str = ""


@dataclass(frozen=True)
class Note:
    """Text at a place of the chart; it is not stretched."""

    x: float
    y: float
    text: str
    look: str = ""


@dataclass(frozen=True)
class Chart:
    """What is drawn. `lines` are SVG paths and their looks; `top` is the label of the upper edge of the y axis."""

    height: int
    bars: Sequence[Bar] = ()
    marks: Sequence[Mark] = ()
    lines: Sequence[tuple[str, str]] = ()
    notes: Sequence[Note] = ()
    top: str = ""


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt of a client: when it began and ended (ns), what came out, and the id of its job on the page."""

    begin: int
    end: int | None
    outcome: str
    title: str
    job: str = ""


def operations(tries: Sequence[Try], scale: Scale, height: int = 150) -> Chart:
    """Each try as a bar from its start to its end, in as few rows as they need. Only for at most DRAWN tries."""
    free: list[int] = []  # for each row, when its last try ended
    placed: list[tuple[int, Try]] = []
    for one in sorted(tries, key=lambda one: one.begin):
        end = scale.end if one.end is None else one.end
        # A bar has at least a width that can be seen; the next one in the row begins after it.
        taken = max(end, one.begin + scale.span // 150)
        row = next((n for n, until in enumerate(free) if until <= one.begin), len(free))
        free[row : row + 1] = [taken]
        placed.append((row, one))
    step = min(12.0, height / max(len(free), 1))
    bars = [
        Bar(scale.x(one.begin), round(row * step + 1, 1),
            max(scale.x(scale.end if one.end is None else one.end) - scale.x(one.begin), 2.0), round(step - 2, 1),
            one.outcome, one.title, one.job)
        for row, one in placed
    ]  # fmt: skip
    return Chart(round(step * len(free)) + 2, bars)


def throughput(tries: Iterable[Try], scale: Scale, height: int = 90) -> Chart:
    """Tries that ended, by time: those that were answered above the line, all others below it."""
    counts: list[Counter[str]] = [Counter() for _ in range(BINS)]
    for one in tries:
        counts[scale.bin(one.begin if one.end is None else one.end, BINS)][one.outcome] += 1
    most = max((max(count["ok"], count.total() - count["ok"]) for count in counts), default=0) or 1
    unit, middle, width = height / 2 / most, height / 2, WIDTH / BINS
    bars = []
    for n, count in enumerate(counts):
        title = ", ".join(f"{count[outcome]} {outcome}" for outcome in OUTCOMES if count[outcome])
        below = middle
        for outcome in OUTCOMES:
            if count[outcome]:
                tall = max(count[outcome] * unit, LEAST)
                y = middle - tall if outcome == "ok" else below
                below += 0 if outcome == "ok" else tall
                bars.append(Bar(round(n * width, 1), round(y, 1), width, round(tall, 1), f"{outcome} bin", title))
    every = scale.span / BINS
    return Chart(height, bars, lines=[(f"M0 {middle}H{WIDTH}", "axis")], top=f"{most} in {length(round(every))}")


def latency(tries: Sequence[Try], scale: Scale, height: int = 110) -> Chart:
    """How long each try took, as marks; the median and the greatest of each bin where there are many."""
    ended = [one for one in tries if one.end is not None]
    most = max((one.end - one.begin for one in ended if one.end is not None), default=0) or 1

    def y(ns: float) -> float:
        return round(height - 4 - ns / most * (height - 8), 1)

    if len(ended) <= DRAWN:
        marks = [
            Mark(scale.x(one.begin), y((one.end or 0) - one.begin), one.outcome, one.title, one.job) for one in ended
        ]
        return Chart(height, marks=marks, top=length(most))
    bins: dict[int, list[int]] = {}
    for one in ended:
        bins.setdefault(scale.bin(one.begin, BINS), []).append((one.end or 0) - one.begin)
    width, bars = WIDTH / BINS, []
    for n, times in sorted(bins.items()):
        times.sort()
        middle, slow, worst = times[len(times) // 2], times[int((len(times) - 1) * 0.99)], times[-1]
        title = f"{len(times)} tries: median {length(middle)}, p99 {length(slow)}, longest {length(worst)}"
        bars += [
            Bar(round(n * width, 1), y(worst), width, round(y(middle) - y(worst) or 0.5, 1), "spread", title),
            Bar(round(n * width, 1), y(middle) - 1, width, 2, "median", title),
        ]
    return Chart(height, bars, top=length(most))


def steps(
    points: Sequence[tuple[int, float]], scale: Scale, height: int, look: str, most: float
) -> Sequence[tuple[str, str]]:
    """A value over time as a filled step line; of many points the greatest of each bin."""
    if len(points) > 2 * DRAWN:
        greatest: dict[int, tuple[int, float]] = {}
        for at, value in points:
            n = scale.bin(at, DRAWN)
            greatest[n] = max(greatest.get(n, (at, value)), (at, value), key=lambda point: point[1])
        points = [greatest[n] for n in sorted(greatest)]
    if not points:
        return ()
    drawn, base = [], height - 1
    for at, value in points:
        drawn.append(f"H{scale.x(at)}V{round(base - value / (most or 1) * (height - 4), 1)}")
    path = f"M{scale.x(points[0][0])} {base}{''.join(drawn)}H{WIDTH}V{base}Z"
    return ((path, look),)


def density(times: Iterable[int], scale: Scale, height: int, look: str) -> list[Bar]:
    """Bars whose heights tell how many of the times fall into each bin."""
    counts: Mapping[int, int] = Counter(scale.bin(at, BINS) for at in times)
    most, width = max(counts.values(), default=1), WIDTH / BINS
    return [
        Bar(round(n * width, 1), round(height - 2 - count / most * (height - 4), 1), width,
            round(count / most * (height - 4), 1), f"{look} bin", f"{count}")
        for n, count in sorted(counts.items())
    ]  # fmt: skip
