"""`brownout pin`: a stored failure as a test that stays in the suite."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from brownout.cli.parser import Commands, Usage, command, option
from brownout.cli.replay import load

if TYPE_CHECKING:
    from brownout.run.capsule import Capsule

EXAMPLES = """\
brownout pin store/tests-chaos-test_points.py-test_x/latest --save tests/chaos/test_pinned_x.py
brownout pin store/tests-chaos-test_points.py-test_x/latest/shrunk"""
EXIT_CODES = """exit codes:
  0 written, 2 unknown (no test can be written, for the reason that is shown), 64 wrong command,
  130 after Ctrl-C (SIGINT), 143 after SIGTERM"""
_SAVE = "write the test there; the file must be new (default: standard output)"
LONGEST: Final = 60  # characters of the name of a test


@dataclass(frozen=True, kw_only=True)
class PinOptions:
    """What is kept."""

    file: str = option("FILE", "a trial's plan.json in the store, or its folder")
    save: Path | None = option("--save FILE", _SAVE, type=Path)


def add(commands: Commands) -> None:
    """Add the command."""
    what = "write a stored failure as a test, which is red until its cause is mended"
    command(commands, "pin", what, EXAMPLES, PinOptions, run, EXIT_CODES)


def run(options: PinOptions) -> int:
    """Write the test. Returns the exit code; raises Usage for a file that is no capsule, and for one that is there."""
    from brownout.capsules import NotAlone
    from brownout.report.clean import clean
    from brownout.run.capsule import MISSING

    if options.save and options.save.exists():
        raise Usage(f"{options.save} is there already; name a new file")
    capsule = load(options.file)
    broken = [each for each in capsule.broken if each.kind == MISSING or not each.promise.startswith("must_show(")]
    if not broken:
        raise Usage(f"the trial of {options.file} broke no promise: its test expects all of its anomalies")
    try:
        test = (_of_cell if capsule.application else _of_scenario)(replace(capsule, broken=tuple(broken)))
    except NotAlone as error:
        sys.stdout.write(f"unknown: {clean(str(error), 2_000)}\n")
        return 2
    if options.save:
        options.save.write_text(test)
        sys.stderr.write(f"stored in {options.save}: pytest {options.save}\n")
    else:
        sys.stdout.write(test)
    return 0


def _of_scenario(capsule: Capsule) -> str:
    """The plan as a scenario with the promises that it broke. Raises NotAlone where the test cannot be asked."""
    from brownout.capsules import NotAlone, within
    from brownout.lab import Lab
    from brownout.report.scenario import scenario

    usual = within(capsule, lambda setting: Lab(setting, 0, lambda _: "").plan.topology)
    kinds = ", ".join(dict.fromkeys(broken.kind for broken in capsule.broken))
    note = f"Pinned: {kinds}. Fixtures, marks and services are those of {capsule.scenario}; seed {capsule.plan.seed}."
    promises = dict.fromkeys(broken.promise for broken in capsule.broken)
    test = scenario(capsule.plan, _name(capsule.scenario), usual, promises, note)
    if test is None:
        raise NotAlone("the lab has no verbs for this plan; `brownout replay` runs it again")
    return test


def _of_cell(capsule: Capsule) -> str:
    """A test of the cell of the stock application's map. Raises NotAlone for a trial of another application."""
    from brownout.capsules import NotAlone
    from brownout.explore.experiment import STOCK, WORKLOADS, Configuration, Experiment
    from brownout.explore.maps.cell import Cell
    from brownout.explore.session import configured

    title, _, name = capsule.scenario.partition(" ")
    config, _, workload = title.rpartition("/")
    try:
        cell = Cell.parse(name)
        stock = Experiment(STOCK, Path(), Configuration("", ""), WORKLOADS[workload], "")
        if len(capsule.plan.injections) != 1:
            raise ValueError(f"it has {len(capsule.plan.injections)} faults")
        if capsule.application != stock.application_name:
            raise ValueError("it is of another application")
        configured(config)
    except (ValueError, KeyError) as error:
        raise NotAlone(f"{capsule.scenario} is no cell of the stock application's map: {error}") from error
    named = f"config={config!r}, workload={workload!r}, points=[{cell.full!r}], actions=[{cell.action!r}]"
    kinds = ", ".join(dict.fromkeys(broken.kind for broken in capsule.broken))
    return f'''from brownout import MapCell, fault_map

pytest_generate_tests = fault_map(
    {named}
)


def {_name(cell.full)}(cell: MapCell) -> None:
    """Pinned: {kinds}."""
    cell.run().must_hold()
'''


def _name(scenario: str) -> str:
    """A name for the test, from that of a scenario or of a cell."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", scenario.rpartition("::")[2]).strip("_")
    return f"test_pinned_{words.removeprefix('test_')[:LONGEST].strip('_')}"
