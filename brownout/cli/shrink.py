"""`brownout shrink`: make a stored trial smaller without losing its anomaly."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

from brownout.cli.parser import MANY, QUIET, Commands, command, option
from brownout.cli.replay import NOT_STORED, given, load

EXAMPLES = """\
brownout shrink store/defaults-task-worker--broker-ZADD-unacked_index-1-before-cut/latest
brownout shrink store/tests-chaos-test_points.py-test_x/latest --confirm 3/4 --anomaly lost"""
EXIT_CODES = """exit codes:
  0 shrunk, 2 the anomaly does not come again, 64 wrong command, 130 after Ctrl-C (SIGINT), 143 after SIGTERM;
  after a signal the smallest so far is printed and kept"""


def _confirm(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"N/M is wanted, such as 2/2 or 3/5, not {text!r}")
    return int(found[1]), int(found[2])


_CONFIRM = "accept a step when the anomaly comes in N of at most M trials (default: 2/2)"
_ANOMALY = "the anomaly to keep, such as lost (default: the first that the stored trial found)"


@dataclass(frozen=True, kw_only=True)
class ShrinkOptions:
    """The options that name the capsule to shrink."""

    file: str = option("FILE", "a trial's plan.json in the store, or its folder")
    confirm: tuple[int, int] = option("--confirm N/M", _CONFIRM, type=_confirm, default=(2, 2))
    anomaly: str = option("--anomaly KIND", _ANOMALY, default="")
    secret: tuple[str, ...] = option("--secret NAME=VALUE", NOT_STORED, **MANY)
    quiet: bool = option("-q", QUIET, action="store_true")


def add(commands: Commands) -> None:
    """Add the command."""
    what = "make a stored trial smaller, until nothing can go without losing its anomaly; print it as a test"
    command(commands, "shrink", what, EXAMPLES, ShrinkOptions, run, EXIT_CODES)


def run(options: ShrinkOptions) -> int:
    """Shrink the capsule, print the result and store it. Returns the exit code; raises Usage for a file that is no
    capsule, or whose trial did not find the anomaly."""
    from brownout.shrinking import shrink_capsule

    capsule, secrets = load(options.file), given(options.secret)
    return shrink_capsule(capsule, options.confirm, options.anomaly, secrets, quiet=options.quiet)
