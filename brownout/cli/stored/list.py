"""`brownout list` prints the names that options of other commands accept."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brownout.cli.application import ApplicationOptions
from brownout.cli.parser import SIGNAL, Commands, command
from brownout.run.events import Stream

EXAMPLES = """\
brownout list actions
brownout list points --config late --workload chord"""
LISTS = {
    "actions": "what can go wrong at a point, and at which moments: for --actions",
    "workloads": "what can be sent: for --workload",
    "configs": "the named settings of Celery: for --config",
}


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """The options of `brownout list`, as the user typed them."""

    list: str


def add(commands: Commands) -> None:
    """Add the command `brownout list` to the parser, with one subcommand for each list."""
    whole = command(commands, "list", "list what can be named", EXAMPLES, ListOptions, list_names)
    lists = whole.add_subparsers(dest="list", required=True, metavar="WHAT")
    what = "the fault points of a task's life, from trials without a fault: for --point"
    command(lists, "points", what, EXAMPLES, ApplicationOptions, list_points)
    for name, what in LISTS.items():
        command(lists, name, what, f"brownout list {name}", ListOptions, list_names)


def list_points(options: ApplicationOptions) -> int:
    """Print the points of a task's life; returns the exit code."""
    from brownout.explore.campaign import DISCOVERIES
    from brownout.explore.options import Options
    from brownout.explore.session import explore
    from brownout.report.progress import to_stream

    emit = Stream(to_stream(sys.stderr))
    campaign = Options(most=DISCOVERIES, cold=0, provider=options.rung, emit=emit)
    found = explore(options.experiment_of(), campaign, lambda _: ())
    if found.stopped:
        return SIGNAL + found.stopped
    sys.stdout.writelines(f"{point.short:<32} {point.label}\n" for point in found.map.trace)
    return 0


def list_names(options: ListOptions) -> int:
    """Print a line for each name; returns 0."""
    from brownout.explore.experiment import CONFIGURATIONS, WORKLOADS
    from brownout.explore.maps.action import ACTIONS, Action

    lists: dict[str, Mapping[str, Any]] = {"actions": ACTIONS, "workloads": WORKLOADS, "configs": CONFIGURATIONS}
    for item in lists[options.list].values():
        moments = f"{', '.join(item.moments):<14}  " if isinstance(item, Action) else ""
        more = " (all)" if isinstance(item, Action) and item.everything else ""
        sys.stdout.write(f"{item.name:<14}  {moments}{item.summary}{more}\n")
    return 0
