"""Maps as the command line has them: stored, shown, judged, compared."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from brownout.check.verdict import Validity
from brownout.explore import baseline, diff
from brownout.explore.action import Action, chosen
from brownout.explore.faultmap import EXIT, FaultMap
from brownout.explore.mission import CONFIGURATIONS, WORKLOADS
from brownout.options import LISTS, Usage
from brownout.report.clean import clean
from brownout.report.grid import Line, Span, columns, detail, grid, markdown, write
from brownout.report.stored import STORE
from brownout.report.terminal import SIGNS


def shown(given: argparse.Namespace) -> int:
    """Show a stored map, and run nothing."""
    stored = load(given.show)
    accepted = accepted_cells(given, stored.title)
    wanted = {each.name for each in chosen(given.actions)} & {each.cell.action for each in stored.cells}
    part = stored.filtered(given.points, wanted)
    if given.cells:
        part = replace(part, cells=tuple(part.result(name) for name in dict.fromkeys(given.cells)))
    names = [name for cell, short in stored.names.items() for name in (short, cell.full)]
    validity, remarks = judged(part, accepted, names)
    return present(given, part, EXIT[validity], (validity, remarks))


# --- files


def load(name: str | Path) -> FaultMap:
    """By its file, or by its name in the store; Usage where there is none."""
    path = Path(name)
    if not path.exists() and len(path.parts) == 1:
        path = STORE / f"{path.name.removesuffix('.json')}.json"
    if not path.exists():
        there = ", ".join(sorted(each.stem for each in STORE.glob("*.json"))) or "none"
        raise Usage(f"no map is stored at {name}; in {STORE}: {there}")
    try:
        return FaultMap.load(path)
    except (OSError, ValueError) as error:
        raise Usage(error) from error


def make(folder: Path) -> None:
    """With its parents; Usage where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Usage(error) from error


def accepted_cells(given: argparse.Namespace, title: str) -> tuple[baseline.Accepted, ...]:
    """What the baseline, if any, accepts; it may name the map `title`, and those that can be drawn by name."""
    if not given.baseline:
        return ()
    titles = {f"{config}/{workload}" for config in CONFIGURATIONS for workload in WORKLOADS}
    try:
        return baseline.load(given.baseline, {title, *titles})
    except (OSError, ValueError) as error:
        raise Usage(error) from error


def judged(
    map_: FaultMap, accepted: Sequence[baseline.Accepted], names: Collection[str] | None
) -> tuple[Validity, list[str]]:
    """With a baseline it is the judge; its remarks leave out what is good and what is simply accepted."""
    if not accepted:
        return map_.validity, []
    judgement = baseline.judge(map_, accepted, datetime.now(UTC).date(), names)
    remarks = [f"{each.kind}: {each.sentence}" for each in judgement.rulings if each.kind not in ("good", "accepted")]
    return judgement.validity, [*remarks, f"{len(judgement.of('accepted'))} accepted by the baseline"]


# --- what a person sees


def present(given: argparse.Namespace, map_: FaultMap, code: int, said: tuple[str, Sequence[str]]) -> int:
    """Print what is wanted of it, with a verdict and remarks; returns the exit code."""
    shown = map_.filtered(only_bad=given.only_bad)
    if given.markdown:
        given.markdown.write_text(markdown(map_))
    if _as_json(given, shown.to_json()):
        return code
    lines: list[Line] = []
    if given.cells or given.only_bad or given.again:
        for each in (map_ if given.cells else shown).cells:
            name = map_.names[each.cell]
            lines += [*detail(each, name, _again(map_, name)), ()]
            lines += [*((Span(f"      {clean(line)}"),) for line in each.evidence), *([()] if each.evidence else ())]
    else:
        words = {each.cell: each.primary.partition(":")[0] for each in shown.cells if each.verdict != "valid"}
        room = max(map(len, words.values()), default=0)
        for cell, word in words.items():
            lines.append((Span(f"  {word:<{room}}  ", "bold"), Span(_again(map_, map_.names[cell]))))
        lines.append(())
    if map_.repeats:
        lines.append((Span(f"{map_.repeats} trials were run again because the machine was busy"),))
    if given.cells:
        lines += [(Span(why),) for why in (*map_.void, *map_.doubts)]
    else:
        lines += grid(shown, columns())[:-1] if shown.cells else [(Span("nothing to show"),)]
    lines += [(Span(each),) for each in said[1]]
    lines.append((Span(f"{SIGNS.get(said[0], SIGNS['unknown'])} {said[0]}: exit code {code}", "bold"),))
    write(lines)
    return code


def _as_json(given: argparse.Namespace, text: str) -> bool:
    """Whether that was all that is wanted on standard output."""
    if given.json and given.json != "-":
        Path(given.json).write_text(text)
    elif given.json:
        sys.stdout.write(text)
    return bool(given.json == "-")


def _again(map_: FaultMap, cell: str) -> str:
    """The command that tries the cell again."""
    options = {
        "--config": map_.name if map_.name != "defaults" else "",
        "--workload": map_.workload if map_.workload != "task" else "",
    }
    words = map_.options or [word for name, value in options.items() if value for word in (name, value)]
    return shlex.join(["brownout", "map", cell, *words])


def compared(given: argparse.Namespace) -> int:
    """Two stored maps; red when the second is worse anywhere."""
    one, two = (load(name).filtered(given.points) for name in given.diff)
    found = diff.diff(one, two)
    if not _as_json(given, found.to_json()):
        sys.stdout.write(f"{diff.text(found)}\n")
    if found.worse or any(each.step > 0 for each in found.changed):
        return EXIT["invalid"]
    return EXIT["unknown" if found.unknown or found.warnings else "valid"]


def listed(what: str) -> int:
    """What can be named."""
    for each in LISTS[what].values():
        moments = f"{', '.join(each.moments):<14}  " if isinstance(each, Action) else ""
        more = " (all)" if isinstance(each, Action) and each.everything else ""
        sys.stdout.write(f"{each.name:<14}  {moments}{each.summary}{more}\n")
    return EXIT["valid"]
