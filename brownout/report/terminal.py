"""The text of a failed trial: what broke and why, where the example is now, lanes, events, and what to type next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brownout.report.clean import clean
from brownout.report.facts.failure import Failure, facts
from brownout.report.facts.leading import Lead
from brownout.report.maps.row import NOT_JUDGED, WORST, Row, between, row, shown
from brownout.report.text.lanes import cut, lanes_of
from brownout.report.text.place import placed
from brownout.report.text.stall import stalled
from brownout.report.timeline import ends, timeline

if TYPE_CHECKING:
    from brownout.run.result import Result

SIGNS = {"valid": "✓", "invalid": "✗", "unknown": "?"}
LONGEST = 40  # lines
PAGE = "report.html"
REASONS = 2  # of unknown verdicts that are shown
NAMES = 6  # promises that one line names
_LABELS = (
    *("Cause", "Also", "Beside", "Promise", "Where", "Stall", "Lanes"),
    *("Events", "Again", "Store", "Logs", "Page", " "),
)


@dataclass(frozen=True)
class Detail:
    """How much of the lanes and events is shown; `events` is the least number of their lines."""

    processes: int
    logs: int
    events: int


#: From the most detail to the least. The first with which the text has no more than LONGEST lines is taken.
DETAILS = (Detail(6, 3, 12), Detail(5, 2, 9), Detail(4, 2, 7), Detail(3, 1, 5), Detail(2, 1, 4), Detail(2, 0, 3))


def headline(row: Row, counts: Mapping[str, int]) -> str:
    """One line: validity, name, number of anomalies of each kind, seed, seconds."""
    kinds = [f"{kind} ×{n}" for kind, n in counts.items()]
    parts = [row.validity, *kinds, f"seed {row.seed}", f"{row.seconds:.1f} s"]
    if row.attempts > 1:
        parts.append(f"attempt {row.attempts}; the machine was busy during earlier attempts")
    return f"{SIGNS[row.validity]} {clean(row.name)}  {' · '.join(parts)}"


def failure(result: Result, again: Sequence[str], root: Path) -> str:
    """The report of a trial that was not valid, in at most LONGEST lines. `again` are commands that show it again.

    When the trial could not be judged because the machine was busy, one line says so and no promise is listed.
    """
    trial = row(result, root)
    if trial.busy:
        return "\n".join([trial.not_judged, *_tail(result, again[-1:], root)])
    found = facts(result)
    for detail in DETAILS:
        lines = _lines(result, trial, found, detail, [*_tail(result, again, root)])
        if len(lines) <= LONGEST:
            break
    return "\n".join(lines)


def _lines(result: Result, trial: Row, found: Failure, detail: Detail, tail: list[str]) -> list[str]:
    counts = found.lead.counts if found.lead else {}
    why = [*_why(found), *_labelled("Beside", beside(result))]
    blocks = [[headline(trial, counts), *_head(result, found)], why, [*_unknown(result)]]
    blocks += [[*_where(found)], [*_lanes(found, detail)], [], tail]
    used = sum(len(block) + 1 for block in blocks if block)  # with an empty line below each block
    blocks[-2] = [*_events(result, found, max(detail.events, LONGEST - used))]
    lines: list[str] = []
    for block in blocks:
        lines += ["", *block] if lines and block else block
    return lines


def _head(result: Result, found: Failure) -> Iterator[str]:
    if found.headline:
        yield f"  {clean(found.headline, 240)}"
    if unexplained := [*ends(result.history)]:
        more = f"; and {len(unexplained) - 2} more" if len(unexplained) > 2 else ""
        yield f"  {clean('; '.join(unexplained[:2]) + more, 240)}"


def _why(found: Failure) -> Iterator[str]:
    """The cause, what it breaks too, and whether it came before the fault."""
    if found.lead is None:
        return
    root = found.lead.root
    yield from _labelled("Cause", [clean(cause, 200) for cause in causes(found)])
    proof = [clean(root.example.sentence, 200)] if root.example.sentence.rstrip(".") not in root.sentence else []
    yield from _labelled("Promise", [clean(root.promises[0], 160), *proof])
    if also := _also(found.lead):
        yield from _labelled("Also", also)


def causes(found: Failure) -> Iterator[str]:
    """The cause, the default that the measured value is, and whether the anomaly came before the fault."""
    if found.cause and found.cause.sentence:
        yield found.cause.sentence
    if found.lead and found.lead.root.default:
        yield found.lead.root.default
    if found.lead and (before := found.lead.root.before):
        which = "all" if before == found.lead.root.count else f"{before} of {found.lead.root.count}"
        yield f"{which} came before the fault: the fault is not the cause"
    elif found.apart:
        yield found.apart


def beside(result: Result) -> list[str]:
    """Which variants of a parametrised test fail, pass, and could not be judged, among those that have ended: a failure
    is shown while others still run, or have not begun."""
    from brownout.report.page.handlers import siblings_of
    from brownout.report.summary import listed

    names: dict[str, list[str]] = {}
    for name, validity, _ in siblings_of(result.scenario, result.folder):
        names.setdefault(validity, []).append(name)
    said = {"invalid": "fails", "unknown": NOT_JUDGED, "valid": "passes"}
    parts = [f"{said[validity]} {listed([*dict.fromkeys(names[validity])])}" for validity in WORST if validity in names]
    return [f"of the other parameters that have ended: {'; '.join(parts)}"] if parts else []


def fitted(lines: Iterable[str], columns: int) -> Iterator[str]:
    """The lines of `failure` for a terminal of so many columns: lanes and lines of logs are cut, others are not."""
    inside = False
    for line in lines:
        inside = line.startswith("  Lanes") or (inside and bool(line.strip()))
        yield cut(line, columns) if inside else line


def _also(lead: Lead) -> list[str]:
    lines = [f"broken: {_listed(lead.also)}"] if lead.also else []
    if lead.others:
        more = f"; and {len(lead.others) - 1} other kinds of anomaly" if len(lead.others) > 1 else ""
        lines.append(f"{clean(lead.others[0].sentence, 160)} ({lead.others[0].kind}){more}")
    return lines


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return f"{', '.join(clean(name, 160) for name in names[:NAMES])}{more}"


def _unknown(result: Result) -> Iterator[str]:
    """The reasons why promises could not be judged, each with its promises; a busy machine is one line."""
    reasons: dict[str, list[str]] = {}
    for verdict in result.verdicts:
        if verdict.validity == WORST[1] and not verdict.busy_ms:
            why = clean(verdict.why or "nothing was judged", 300)
            reasons.setdefault(why, []).append(clean(verdict.promise, 60))
    for why, promises in list(reasons.items())[:REASONS]:
        yield f"  Unknown: {why}"
        yield from _labelled("Promise", [_listed(promises)])
    if len(reasons) > REASONS:
        yield f"  … and {len(reasons) - REASONS} more reasons; all of them are in results.json"
    if busy := [verdict for verdict in result.verdicts if verdict.busy_ms > 0]:
        promises_ = "1 promise" if len(busy) == 1 else f"{len(busy)} promises"
        ms = max(verdict.busy_ms for verdict in busy)
        yield f"  Not judged because the machine was busy for {between([ms])}: {promises_}"


def _where(found: Failure) -> Iterator[str]:
    if found.stalls:
        yield from _labelled("Stall", [*stalled(found.stalls, found.slowness, found.zero)])
    elif found.where is not None and (found.where.key or found.where.task):
        yield from _labelled("Where", [*placed(found.where, found.zero)])


def _lanes(found: Failure, detail: Detail) -> Iterator[str]:
    yield from _labelled("Lanes", lanes_of(found, detail.processes, detail.logs))


def _events(result: Result, found: Failure, room: int) -> Iterator[str]:
    yield from _labelled("Events", [*timeline(found.steps, result.history, found.zero, room)])


def _tail(result: Result, again: Sequence[str], root: Path) -> Iterator[str]:
    yield from _labelled("Again", again)
    yield from _labelled("Store", [shown(result.folder, root)])
    logs = sorted(path.stem for path in (result.folder / "log").glob("*.log"))
    if logs:
        yield from _labelled("Logs", [f"in the store, log/: {', '.join(f'{name}.log' for name in logs)}"])
    if (result.folder / PAGE).exists():
        yield from _labelled("Page", [shown(result.folder / PAGE, root)])
    for n, attempt in enumerate(result.earlier, 1):
        yield from _labelled("", [f"{shown(attempt.folder, root)} (attempt {n})"])


def _labelled(label: str, values: Iterable[str]) -> Iterator[str]:
    for n, value in enumerate(values):
        yield f"  {'' if n else label:<9} {value}"


def style(line: str) -> dict[str, bool]:
    """The markup of a line of `failure` for pytest's terminal writer; without a terminal the writer ignores it."""
    if line.startswith(SIGNS["invalid"]):
        return {"red": True, "bold": True}
    if line.startswith((SIGNS["unknown"], NOT_JUDGED)):
        return {"yellow": True, "bold": True}
    if line.startswith("  ") and line[2:3].strip() and not line[2:].startswith(_LABELS):
        return {"bold": True}
    if line.startswith("  Cause"):
        return {"bold": True}
    return {}
