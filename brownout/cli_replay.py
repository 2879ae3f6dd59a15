"""`brownout replay`: run a stored trial again, and say whether its anomaly comes again."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from brownout.capsules import NotAlone, within
from brownout.options import Usage, positive
from brownout.report.clean import clean
from brownout.report.progress import to_stream
from brownout.report.results import results
from brownout.run.capsule import Answer, Capsule, answer, differences
from brownout.run.events import Stream
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.trial import run
from brownout.subject.subject import NotLaunched
from brownout.subject.waiting import NeverHappened

EXIT: Final[dict[Answer, int]] = {"fixed": 0, "reproduced": 1, "unknown": 2}


@dataclass(frozen=True)
class Options:
    """What was asked for: at most `tries` trials, until the anomaly comes."""

    file: Path
    tries: int


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "replay",
        help="run a stored trial again: is its anomaly reproduced?",
        description="Run a stored trial again with the same plan and seed. The answer is reproduced (the same kind of "
        "anomaly of the same promise came), fixed (it came in no trial) or unknown.",
        epilog="Example: brownout replay store/defaults-task-worker-broker-ZADD/latest. "
        "Exit codes: 0 fixed, 1 reproduced, 2 unknown, 64 wrong command, 130 after Ctrl-C.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a trial's plan.json in the store, or its folder")
    parser.add_argument("--tries", type=positive, default=3, metavar="N",
        help="trials at most, until the anomaly comes; a race may need some (default: 3)")  # fmt: skip
    parser.set_defaults(run=lambda given: replay(Options(given.file, given.tries)))


def replay(options: Options) -> int:
    """Run the trial again, and print the answer. Returns the exit code; raises Usage for a file that is no capsule."""
    capsule = load(options.file)
    tried: list[Result] = []

    def job(setting: Setting) -> tuple[Answer, str]:
        setting = replace(setting, emit=Stream(to_stream(sys.stderr), results))
        doubt = ""
        for _ in range(options.tries):
            try:
                tried.append(run(capsule.plan.validated(), setting))
            except (NotLaunched, NeverHappened, ValueError) as error:
                return "unknown", f"the trial could not be carried out: {error}"
            word, why = answer(tried[-1], capsule.broken, capsule.broken)
            if word == "reproduced":
                return word, why
            doubt = doubt or (why if word == "unknown" else "")
        return ("unknown", doubt) if doubt else ("fixed", why)

    try:
        word, why = within(capsule, job)
    except NotAlone as error:
        sys.stdout.write(f"unknown: {clean(str(error), 2_000)}\n")
        return EXIT["unknown"]
    lines = [f"{word}: {clean(why, 2_000)}"]
    if tried:
        lines[0] += f" (trial {len(tried)} of at most {options.tries})"
        lines += [f"  traces   {os.path.relpath(tried[-1].folder)}"]
        lines += [f"  differs  {line}" for line in differences(capsule.folder, tried[-1].folder)]
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT[word]


def load(path: Path) -> Capsule:
    """The capsule; Usage for a file that is none, or that holds no anomaly to look for."""
    try:
        capsule = Capsule.load(path)
    except ValueError as error:
        raise Usage(error) from error
    if not capsule.broken:
        again = f"; run it again: {shlex.join(['pytest', capsule.scenario])}" if "::" in capsule.scenario else ""
        raise Usage(f"the trial of {path} found no anomaly, so there is none to reproduce{again}")
    return capsule
