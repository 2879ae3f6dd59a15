"""`brownout show` prints a stored map or some of its cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from brownout.cli.application import CELLS, Filters
from brownout.cli.output import OutputOptions, accepted, judged, load_any, present_pairs
from brownout.cli.parser import Commands, Usage, command, option

if TYPE_CHECKING:
    from brownout.explore.maps.pairs_map import PairMap

EXAMPLES = """\
brownout show defaults-task --only-bad
brownout show docs/maps/late-task.json 'worker->broker/ZADD#1/before-cut'
brownout show docs/evidence/pairs-late-task.json --point ZADD"""


@dataclass(frozen=True, kw_only=True)
class ShowOptions(Filters, OutputOptions):
    """The map."""

    file: str = option("FILE", "a stored map, by its file or by its name in store/maps")
    cells: tuple[str, ...] = CELLS


def add(commands: Commands) -> None:
    """Add the command."""
    command(commands, "show", "show a stored map; run nothing", EXAMPLES, ShowOptions, run)


def run(options: ShowOptions) -> int:
    """Print the map, and return the exit code of its verdict."""
    from brownout.explore.maps.action import chosen
    from brownout.explore.maps.faultmap import EXIT, FaultMap

    actions = options.action_names
    if options.cells and (options.points or actions):
        raise Usage("a CELL goes without --point and --actions")
    stored = load_any(options.file)
    if not isinstance(stored, FaultMap):
        return _pairs(options, stored)
    accepted_ = accepted(options.baseline, stored.title)
    wanted = {action.name for action in chosen(actions)} & {result.cell.action for result in stored.cells}
    part = stored.filtered(options.points, wanted)
    if options.cells:
        part = replace(part, cells=tuple(part.result(name) for name in dict.fromkeys(options.cells)), part=True)
    names = [name for cell, short in stored.names.items() for name in (short, cell.full)]
    validity, remarks = judged(part, accepted_, names)
    return options.present(part, EXIT[validity], validity, remarks, cells=bool(options.cells))


def _pairs(options: ShowOptions, stored: PairMap) -> int:
    """Print a map of pairs. A CELL, --point and --actions choose first faults."""
    from brownout.explore.maps.faultmap import EXIT
    from brownout.report.maps.pairs import markdown

    if options.baseline:
        raise Usage(f"a baseline accepts cells of a fault map; {options.file} is a map of pairs")
    if options.html:
        raise Usage(f"--html draws a fault map; {options.file} is a map of pairs")
    part = stored.filtered(options.points, options.action_names, options.cells, only_bad=options.only_bad)
    if options.markdown:
        options.markdown.write_text(markdown(part))
    return present_pairs(options, part, EXIT[part.validity], part.validity)
