"""`brownout map`: a fault map, or some of its cells."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brownout.cli.application import CELLS, CampaignOptions
from brownout.cli.output import OutputOptions, accepted, again, judged, load, warn
from brownout.cli.parser import SIGNAL, Commands, Usage, command, option, positive
from brownout.plan.near import known

if TYPE_CHECKING:
    from brownout.explore.campaign import Campaign
    from brownout.explore.maps.cell import Cell

EXAMPLES = """\
brownout map --config late
brownout map --config late 'worker->broker/ZADD#1/before-cut' --repeat 10
brownout map --app shop.worker --task shop.send --args '[1]' --actions cut kill"""
SHOWN = 3  # trials whose report is shown in full, when the user names cells
_AGAIN = """the cells that are not good in a stored map, which stays as it is; without FILE it is the map that
the command would store (default: no)"""


@dataclass(frozen=True, kw_only=True)
class MapOptions(CampaignOptions, OutputOptions):
    """What is tried."""

    cells: tuple[str, ...] = CELLS
    again: str | None = option("--again FILE", _AGAIN, nargs="?", const="")
    repeat: int = option("--repeat N", "trials of each cell (default: 1)", type=positive, default=1)


def add(commands: Commands) -> None:
    """Add the command."""
    what = "break every Redis command of a task's life in every way, one trial each"
    command(commands, "map", what, EXAMPLES, MapOptions, run)


def run(options: MapOptions) -> int:
    """Make the fault map, store it and print it. Returns the exit code."""
    from brownout.explore.campaign import DISCOVERIES
    from brownout.explore.maps.diff import reproduced
    from brownout.explore.maps.faultmap import EXIT, FaultMap
    from brownout.explore.maps.selection import select
    from brownout.explore.options import COLD
    from brownout.explore.session import called, explore
    from brownout.report.github import append_map
    from brownout.report.stored import TRACES
    from brownout.run.store import Store, new_run

    actions = options.action_names
    anew = options.again is not None
    if options.cells and (options.points or actions or anew):
        raise Usage("a CELL goes without --point, --actions and --again")
    if anew and (options.points or actions):
        raise Usage("--again takes its cells from the stored map: no --point, no --actions")
    if options.shard and (options.cells or anew):
        raise Usage("--shard divides a map: no CELL, no --again")
    asked = options.experiment_of()
    warn(asked)
    place = options.place(asked)
    accepted_ = accepted(options.baseline, asked.title)
    wanted = tuple(dict.fromkeys(options.cells))
    stored: FaultMap | None = None
    if anew:
        stored = load(options.again or place)
        wanted = tuple(result.cell.full for result in stored.cells if result.verdict != "valid")
        if not wanted:
            sys.stdout.write(f"{options.again or place}: no cell of this map is bad\n")
            return EXIT[stored.validity]

    def plan(campaign: Campaign) -> Sequence[Cell]:
        assert campaign.discovery
        if not wanted:
            return select(campaign.possible(actions or ["standard"]), options.points)
        return tuple(_cell(name, called(campaign.discovery.points, campaign.possible())) for name in wanted)

    traces = Store(TRACES, new_run())
    campaign = options.options(
        asked,
        options.save if anew else place,
        most=max(DISCOVERIES, len(wanted) * options.repeat + 1) if wanted else 0,
        repeat=options.repeat,
        cold=0 if wanted else COLD,  # some cells are no map, and need no comparison with cold processes
        store=traces,
    )
    found = explore(asked, campaign, plan)
    if capsules := traces.trials():
        sys.stderr.write(f"trials with a broken promise, stored: {len(capsules)}; brownout replay {capsules[-1]}\n")
    names = [name for short, cell in found.possible.items() for name in (short, cell.full)]
    validity, remarks = judged(found.map, accepted_, names or None)
    if stored:
        remarks += reproduced(stored, found.map)
    if wanted and not anew:
        remarks += [line for folder in capsules[:SHOWN] for line in _failure(folder)]
    code, word = (SIGNAL + found.stopped, "interrupted") if found.stopped else (EXIT[validity], validity)
    append_map(found.map, word, remarks, again)
    return options.present(found.map, code, word, remarks, cells=bool(options.cells), full=anew)


def _failure(folder: Path) -> list[str]:
    """The report of a stored trial, as lines that begin with an empty one: as for a scenario."""
    from brownout.report.page.stored import stored
    from brownout.report.terminal import failure

    return ["", *failure(stored(folder), [f"brownout replay {folder}"], Path.cwd()).splitlines(), ""]


def _cell(name: str, there: Mapping[str, Cell]) -> Cell:
    """Return the cell with this short or full name. Raises UnknownName, which says whether the point or the action is
    unknown."""
    by_name = {**there, **{cell.full: cell for cell in there.values()}}
    if name not in by_name:
        point = known("point", name.rpartition("/")[0], {short.rpartition("/")[0] for short in there})
        known("cell", name, [short for short in there if short.rpartition("/")[0] == point])
    return by_name[name]
