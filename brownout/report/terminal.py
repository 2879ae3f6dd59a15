"""The text of a failed trial: the broken promise, then the evidence, then the command that repeats the trial."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from brownout.check.verdict import Anomaly
from brownout.report.clean import clean
from brownout.report.row import NOT_JUDGED, WORST, Row, between, row, shown
from brownout.report.timeline import ends, timeline

if TYPE_CHECKING:
    from brownout.run.result import Result

SIGNS = {"valid": "✓", "invalid": "✗", "unknown": "?"}
SHOWN = 3  # anomalies that are shown with their evidence for the same promises; further anomalies are only counted
_LABELS = ("Promise", "Again", "Store", "…")


def headline(row: Row) -> str:
    """One line: validity, name, number of anomalies of each kind, seed, seconds."""
    kinds = [f"{kind} ×{n}" for kind, n in row.kinds.items() if kind != "unknown"]
    parts = [row.validity, *kinds, f"seed {row.seed}", f"{row.seconds:.1f} s"]
    if row.attempts > 1:
        parts.append(f"attempt {row.attempts}; the machine was busy during earlier attempts")
    return f"{SIGNS[row.validity]} {clean(row.name)}  {' · '.join(parts)}"


def failure(result: Result, again: str, root: Path) -> str:
    """Return the report of a trial whose verdict was not "valid". `again` is the command that runs the trial again.

    When the trial could not be judged because the machine was busy, one line says so and no promise is listed.
    """
    trial = row(result, root)
    lines = [trial.not_judged if trial.busy else headline(trial)]
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
    if not trial.busy:
        lines += _busy_promises(result)
    lines += [*_labelled("Again", (again,)), *_labelled("Store", (shown(result.folder, root),))]
    for n, attempt in enumerate(result.earlier, 1):
        lines += _labelled("", (f"{shown(attempt.folder, root)} (attempt {n})",))
    return "\n".join(lines)


def _broken(result: Result) -> dict[tuple[str, ...], list[Anomaly]]:
    """The anomalies of invalid verdicts without repetitions, grouped by the promises that they break."""
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
    """The reasons why promises could not be judged, each with its promises; a busy machine is left out."""
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
    """The markup of a line of `failure` for pytest's terminal writer; without a terminal the writer ignores it."""
    if line.startswith(SIGNS["invalid"]):
        return {"red": True, "bold": True}
    if line.startswith((SIGNS["unknown"], NOT_JUDGED)):
        return {"yellow": True, "bold": True}
    if line.startswith("  ") and line[2:3].strip() and not line[2:].startswith(_LABELS):
        return {"bold": True}
    return {}
