"""`brownout show` prints a stored map or some of its cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

from brownout.cli.cells import CELLS, Filters
from brownout.cli.output import OutputOptions, judged, load
from brownout.cli.parser import Commands, Usage, command, option

EXAMPLES = """\
brownout show defaults-task --only-bad
brownout show docs/maps/late-task.json 'worker->broker/ZADD#1/before-cut'"""


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
    from brownout.explore.maps.faultmap import EXIT

    actions = options.action_names
    if options.cells and (options.points or actions):
        raise Usage("a CELL goes without --point and --actions")
    stored = load(options.file)
    accepted = options.accepted(stored.title)
    wanted = {action.name for action in chosen(actions)} & {result.cell.action for result in stored.cells}
    part = stored.filtered(options.points, wanted)
    if options.cells:
        part = replace(part, cells=tuple(part.result(name) for name in dict.fromkeys(options.cells)), part=True)
    names = [name for cell, short in stored.names.items() for name in (short, cell.full)]
    validity, remarks = judged(part, accepted, names)
    return options.present(part, EXIT[validity], validity, remarks)
