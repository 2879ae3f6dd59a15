"""A failure as a person reads it: the broken promise first, then the evidence, then what to type next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from brownout.check.verdict import Anomaly
from brownout.report.clean import clean
from brownout.report.ends import ends
from brownout.report.row import NOT_JUDGED, WORST, Row, between, row, shown
from brownout.report.timeline import timeline

if TYPE_CHECKING:
    from brownout.run.result import Result

SIGNS = {"valid": "✓", "invalid": "✗", "unknown": "?"}
SHOWN = 3  # anomalies of the same promises with their evidence; the others are counted
_LABELS = ("Promise", "Again", "Store", "…")


def headline(row: Row) -> str:
    """One line: verdict, anomalies, seed, time."""
    kinds = [f"{kind} ×{n}" for kind, n in row.kinds.items() if kind != "unknown"]
    parts = [row.validity, *kinds, f"seed {row.seed}", f"{row.seconds:.1f} s"]
    if row.attempts > 1:
        parts.append(f"attempt {row.attempts}; the machine was busy before")
    return f"{SIGNS[row.validity]} {clean(row.name)}  {' · '.join(parts)}"


def failure(result: Result, again: str, root: Path) -> str:
    """Everything about a trial that was not valid. `again` is the command that runs it again.

    One line says that the trial could not be judged because the machine was busy; its promises are not listed.
    """
    known = row(result, root)
    lines = [known.not_judged if known.busy else headline(known)]
    if unexplained := [f"  {end}" for end in ends(result.history)]:
        lines += [*unexplained, ""]
    for promises, anomalies in _broken(result).items():
        for anomaly in anomalies[:SHOWN]:
            lines += [f"  {clean(anomaly.sentence)}", "", *timeline(anomaly, result.history), ""]
        if len(anomalies) > SHOWN:
            lines += [f"  … and {len(anomalies) - SHOWN} more; all of them are in results.json", ""]
        lines += [*_labelled("Promise", promises), ""]
    for why, promises in _unknown(result).items():
        lines += [f"  Unknown: {why}", "", *_labelled("Promise", promises), ""]
    if not known.busy:
        lines += _busy_promises(result)
    lines += [*_labelled("Again", (again,)), *_labelled("Store", (shown(result.folder, root),))]
    for n, before in enumerate(result.earlier, 1):
        lines += _labelled("", (f"{shown(before.folder, root)} (attempt {n})",))
    return "\n".join(lines)


def _broken(result: Result) -> dict[tuple[str, ...], list[Anomaly]]:
    """Each anomaly once, with all the promises that it breaks."""
    promises: dict[str, list[str]] = {}
    anomalies: dict[str, Anomaly] = {}
    for verdict in result.verdicts:
        for anomaly in verdict.anomalies if verdict.validity == WORST[0] else ():
            promises.setdefault(anomaly.sentence, []).append(clean(verdict.promise))
            anomalies.setdefault(anomaly.sentence, anomaly)
    groups: dict[tuple[str, ...], list[Anomaly]] = {}
    for sentence, broken in promises.items():
        groups.setdefault(tuple(dict.fromkeys(broken)), []).append(anomalies[sentence])
    return groups


def _unknown(result: Result) -> dict[str, tuple[str, ...]]:
    """Each reason why something could not be judged, with all its promises; a busy machine is not among them."""
    reasons: dict[str, tuple[str, ...]] = {}
    for verdict in result.verdicts:
        if verdict.validity == WORST[1] and not verdict.busy_ms:
            why = clean(verdict.why or "nothing was judged", 2_000)
            reasons[why] = (*reasons.get(why, ()), clean(verdict.promise))
    return reasons


def _busy_promises(result: Result) -> list[str]:
    """One line for all promises of a failed trial that could not be judged because the machine was busy."""
    if not (busy := [verdict for verdict in result.verdicts if verdict.busy_ms > 0]):
        return []
    promises = "1 promise" if len(busy) == 1 else f"{len(busy)} promises"
    ms = max(verdict.busy_ms for verdict in busy)
    return [f"  Not judged because the machine was busy for {between([ms])}: {promises}", ""]


def _labelled(label: str, values: tuple[str, ...]) -> Iterator[str]:
    for n, value in enumerate(values):
        yield f"  {'' if n else label:<9} {value}"


def style(line: str) -> dict[str, bool]:
    """How pytest's terminal writer shows a line of `failure`; it does so on a terminal only, and heeds NO_COLOR."""
    if line.startswith(SIGNS["invalid"]):
        return {"red": True, "bold": True}
    if line.startswith((SIGNS["unknown"], NOT_JUDGED)):
        return {"yellow": True, "bold": True}
    if line.startswith("  ") and line[2:3].strip() and not line[2:].startswith(_LABELS):
        return {"bold": True}
    return {}
