"""`brownout doctor`: does each part of the application start, is it wired, does it take one task, does it end?"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from brownout.cli.application import ApplicationOptions
from brownout.cli.output import warn
from brownout.cli.parser import Commands, command

EXAMPLES = """\
brownout doctor --app shop.worker --task shop.send --args '[1]'
brownout doctor --app shop.worker --api shop.main:app --post /orders --json '{"item": 1}' --status '/orders/{id}'"""
DOCTOR_EXIT_CODES = """exit codes:
  0 everything works, 1 something does not, 2 unknown (no Redis),
  64 wrong command, 130 after Ctrl-C (SIGINT), 143 after SIGTERM"""


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(ApplicationOptions):
    """The application."""


def add(commands: Commands) -> None:
    """Add the command."""
    what = "try each part of the application once, without a fault"
    command(commands, "doctor", what, EXAMPLES, DoctorOptions, run, DOCTOR_EXIT_CODES)


def run(options: DoctorOptions) -> int:
    """Print each step as it is known; returns the exit code."""
    from brownout.project.doctor import examine
    from brownout.report.clean import clean
    from brownout.subject.servers import ladder

    experiment = options.experiment_of()
    warn(experiment)
    rung = ladder.choose("local", options.rung)
    wrong = 0
    for step in examine(experiment, rung):
        sys.stdout.write(f"{'✗' if step.why else '✓'} {step.part:<12} {step.what}\n")
        if step.why:
            wrong += 1
            sys.stdout.write(f"    {clean(step.why)}\n")
            sys.stdout.write(f"  Next  {step.type}\n" if step.type else "")
        sys.stdout.flush()
    return 1 if wrong else 0
