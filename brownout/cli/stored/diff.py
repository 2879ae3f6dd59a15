"""`brownout diff` shows which cells are better and worse in another map."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from brownout.cli.application import Filters
from brownout.cli.output import JsonOption, again, load
from brownout.cli.parser import Commands, command, option

EXAMPLES = """\
brownout diff defaults-task late-task
brownout diff docs/maps/late-task.json late-task --point ZADD --json -
brownout diff docs/maps/defaults-task.json docs/maps/late-task.json --html difference.html"""


@dataclass(frozen=True, kw_only=True)
class DiffOptions(Filters, JsonOption):
    """The maps."""

    a: str = option("A", "a stored map, by its file or by its name in store/maps")
    b: str = option("B", "the second map, which is compared with the first")
    html: Path | None = option("--html FILE", "write both side by side as a page (default: no)", type=Path)


def add(commands: Commands) -> None:
    """Add the command."""
    what = "what is better and worse in the stored map B than in A; exit code 1 for worse; run nothing"
    command(commands, "diff", what, EXAMPLES, DiffOptions, run)


def run(options: DiffOptions) -> int:
    """Print the difference between the two maps; return 1 when any cell of the second map is worse."""
    from brownout.explore.maps import diff
    from brownout.explore.maps.faultmap import EXIT

    actions = options.action_names
    a, b = (load(name).filtered(options.points, actions) for name in (options.a, options.b))
    found = diff.diff(a, b)
    if options.html:
        from brownout.report.page import maps
        from brownout.report.page.render import save

        save(options.html, maps.beside(a, b, again))
    if not options.as_json(found):
        sys.stdout.write(f"{diff.text(found)}\n")
    if found.worse or any(change.step > 0 for change in found.changed):
        return EXIT["invalid"]
    return EXIT["unknown" if found.unknown or found.warnings else "valid"]
