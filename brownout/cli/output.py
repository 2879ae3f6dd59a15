"""What comes out of `map`, `pairs`, `show` and `merge`: text, JSON, a page, GitHub's summary, judged by a baseline."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from brownout.cli.options.http import JsonOrFile
from brownout.cli.parser import Usage, option
from brownout.explore.maps.kept import Kept
from brownout.report.stored import STORE, write

if TYPE_CHECKING:
    from brownout.check.verdict import Validity
    from brownout.explore.experiment import Experiment
    from brownout.explore.maps.baseline import Accepted
    from brownout.explore.maps.diff import Diff
    from brownout.explore.maps.faultmap import FaultMap
    from brownout.explore.maps.pairs_map import PairMap

_SAVE = f"store the result there (default: in {STORE}, when it is whole)"
_ONLY_BAD = "only what is not good, with its proof (default: all cells, a grid)"


@dataclass(frozen=True, kw_only=True)
class JsonOption:
    """The result."""

    json: Path | None = option(
        "--json FILE", "write it as JSON, - for standard output (default: text)", action=JsonOrFile
    )

    def as_json(self, result: Kept | Diff) -> bool:
        """If the user asked for JSON, write the result as JSON; return whether nothing else may be printed on standard
        output."""
        if self.json == Path("-"):
            sys.stdout.write(result.to_json())
        elif self.json and isinstance(result, Kept):
            write(result, self.json)
        elif self.json:
            self.json.write_text(result.to_json())
        return self.json == Path("-")


@dataclass(frozen=True, kw_only=True)
class SaveOptions(JsonOption):
    """The store."""

    save: Path | None = option("--save FILE", _SAVE, type=Path)

    def saved(self, name: str, suffix: str = "") -> Path:
        """Where the result is stored: as --save says, or in the store by its name."""
        from brownout.run.store import folder_of

        return self.save or STORE / f"{folder_of(name)}{suffix}.json"


@dataclass(frozen=True, kw_only=True)
class OutputOptions(JsonOption):
    """The options that choose what is shown."""

    only_bad: bool = option("--only-bad", _ONLY_BAD, action="store_true")
    html: Path | None = option("--html FILE", "write it as a page that opens in a browser (default: no)", type=Path)
    markdown: Path | None = option("--markdown FILE", "write it as a table for a page (default: no)", type=Path)
    baseline: str | None = option("--baseline FILE", "a file of accepted outcomes (default: none)")

    def present(
        self, map_: FaultMap, code: int, word: str, remarks: Iterable[str], *, cells: bool = False, full: bool = False
    ) -> int:
        """Print a map and the verdict `word`. Returns `code`.

        --only-bad and `full` show cells in full above the grid, `cells` in its place.
        """
        from brownout.report.clean import clean
        from brownout.report.maps import grid
        from brownout.report.maps.grid import Line, Span, detail
        from brownout.report.terminal import SIGNS

        shown = map_.filtered(only_bad=self.only_bad)
        if self.html:
            from brownout.report.page import maps
            from brownout.report.page.render import save

            save(self.html, maps.page(shown, again, accepted(self.baseline, map_.title)))
        if self.markdown:
            self.markdown.write_text(grid.markdown(shown))
        if self.as_json(shown):
            return code
        lines: list[Line] = []
        if cells or full or self.only_bad:
            for result in shown.cells:
                name = map_.names[result.cell]
                lines += [*detail(result, name, again(map_, name)), ()]
                lines += [(Span(f"      {clean(line)}"),) for line in result.evidence]
                lines += [()] if result.evidence else []
        else:
            words = {
                result.cell: result.primary.partition(":")[0] for result in shown.cells if result.verdict != "valid"
            }
            room = max(map(len, words.values()), default=0)
            for cell, outcome in words.items():
                lines.append((Span(f"  {outcome:<{room}}  ", "bold"), Span(again(map_, map_.names[cell]))))
            lines.append(())
        if map_.repeats:
            lines.append((Span(f"{map_.repeats} trials were run again because the machine was busy"),))
        if cells:
            lines += [(Span(why),) for why in (*map_.void, *map_.doubts)]
        elif shown.cells:
            lines += grid.grid(shown, grid.columns())[:-1]
        lines += [] if shown.cells else [(Span("nothing to show"),)]
        lines += [(Span(remark),) for remark in remarks]
        lines.append((Span(f"{SIGNS.get(word, SIGNS['unknown'])} {word}: exit code {code}", "bold"),))
        grid.write(lines)
        return code


def present_pairs(options: JsonOption, pair_map: PairMap, code: int, word: str, remarks: Iterable[str] = ()) -> int:
    """Print a map of pairs and the verdict `word`. Returns `code`."""
    from brownout.report.maps.pairs import report

    if not options.as_json(pair_map):
        sys.stdout.write(report(pair_map, code, word, remarks))
    return code


def accepted(baseline: str | None, title: str) -> tuple[Accepted, ...]:
    """Return the entries of the baseline, if the user gives one. An entry may name the map `title` or a map that
    brownout itself names.

    Raises Usage for a mistake in the baseline.
    """
    from brownout.explore.experiment import CONFIGURATIONS, WORKLOADS
    from brownout.explore.maps.baseline import load

    if not baseline:
        return ()
    titles = {f"{config}/{workload}" for config in CONFIGURATIONS for workload in WORKLOADS}
    try:
        return load(Path(baseline), {title, *titles})
    except (OSError, ValueError) as error:
        raise Usage(error) from error


def judged(map_: FaultMap, accepted: tuple[Accepted, ...], names: Collection[str] | None) -> tuple[Validity, list[str]]:
    """The verdict on a map, with remarks for the user. A baseline, if given, decides the verdict; `names` are the cells
    that the baseline may name."""
    from brownout.explore.maps.baseline import judge

    if not accepted:
        return map_.validity, []
    judgement = judge(map_, accepted, datetime.now(UTC).date(), names)
    remarks = [
        f"{ruling.kind}: {ruling.sentence}" for ruling in judgement.rulings if ruling.kind not in ("good", "accepted")
    ]
    return judgement.validity, [*remarks, f"{len(judgement.of('accepted'))} accepted by the baseline"]


def found(name: str | Path) -> Path:
    """The file of a stored map, by its path or by its name in the store. Raises Usage where there is none."""
    path = Path(name)
    if not path.exists() and len(path.parts) == 1:
        path = STORE / f"{path.name.removesuffix('.json')}.json"
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in STORE.glob("*.json"))) or "none"
        raise Usage(f"no map is stored at {name}; in {STORE}: {there}")
    return path


def load(name: str | Path) -> FaultMap:
    """A stored fault map by its file, or by its name in the store. Raises Usage where there is none."""
    from brownout.explore.maps.faultmap import FaultMap

    path = found(name)
    try:
        return FaultMap.load(path)
    except (OSError, ValueError) as error:
        raise Usage(error) from error


def load_any(name: str | Path) -> FaultMap | PairMap:
    """A stored map of either kind, by its file or by its name in the store. Raises Usage where there is none."""
    from brownout.explore.maps.pairs_map import PairMap

    path = found(name)
    try:
        text = path.read_bytes()
        kind = json.loads(text)["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return load(path)
    try:
        return PairMap.from_json(text) if kind == PairMap.KIND else load(path)
    except ValueError as error:
        raise Usage(f"{path}: {error}") from error


def again(map_: FaultMap, cell: str) -> str:
    """Return the command that tries the cell again."""
    options = {
        "--config": map_.name if map_.name != "defaults" else "",
        "--workload": map_.workload if map_.workload != "task" else "",
    }
    words = map_.options or [word for name, value in options.items() if value for word in (name, value)]
    return shlex.join(["brownout", "map", cell, *words])


def warn(experiment: Experiment) -> None:
    """Say in one line when brownout shares the application's environment, and versions there are not as pinned."""
    from brownout.explore.experiment import STOCK
    from brownout.project.pins import changed

    if experiment.application.python or experiment.application == STOCK:
        return
    if line := changed(Path.cwd()):
        sys.stderr.write(f"brownout: {line}\n")
