"""`brownout replay`: run a stored trial again, and say whether its anomaly comes again."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from brownout.cli.parser import MANY, QUIET, Commands, Usage, command, option, positive

if TYPE_CHECKING:
    from brownout.run.capsule import Answer, Capsule
    from brownout.run.result import Result
    from brownout.run.setting import Setting

EXIT: Final[dict[Answer, int]] = {"fixed": 0, "reproduced": 1, "unknown": 2}
EXAMPLES = """\
brownout replay store/defaults-task-worker--broker-ZADD-unacked_index-1-before-cut/latest
brownout replay store/defaults-task-worker--broker-ZADD-unacked_index-1-before-cut/latest/plan.json --tries 10"""
EXIT_CODES = """exit codes:
  0 fixed (the anomaly came in no trial), 1 reproduced (the same kind of anomaly of the same promise came),
  2 unknown, 64 wrong command, 130 after Ctrl-C (SIGINT), 143 after SIGTERM"""
NOT_STORED = """values that look like secrets and were not stored, such as password=VALUE (default: those of the test,
or of the environment)"""
_TRIES = "trials at most, until the anomaly comes; a race may need some (default: 3)"


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """The options of `brownout replay`: what is run again."""

    file: str = option("FILE", "a trial's plan.json in the store, or its folder")
    secret: tuple[str, ...] = option("--secret NAME=VALUE", NOT_STORED, **MANY)
    tries: int = option("--tries N", _TRIES, type=positive, default=3)
    quiet: bool = option("-q", QUIET, action="store_true")


def add(commands: Commands) -> None:
    """Add the command."""
    what = "run a stored trial again, with the same plan and seed: is its anomaly reproduced?"
    command(commands, "replay", what, EXAMPLES, ReplayOptions, run, EXIT_CODES)


def run(options: ReplayOptions) -> int:
    """Run the trial again, and print the answer. Returns the exit code; raises Usage for a file that is no capsule."""
    from brownout.capsules import NotAlone, Secrets, within
    from brownout.report.clean import clean
    from brownout.report.progress import to_stream
    from brownout.report.results import results
    from brownout.run import trial
    from brownout.run.capsule import answer, differences
    from brownout.run.events import Remark, Stream
    from brownout.subject.application import NotLaunched
    from brownout.subject.waiting import NeverHappened

    capsule, secrets = load(options.file), Secrets(given(options.secret), lambda line: sys.stderr.write(f"{line}\n"))
    tried: list[Result] = []

    def job(setting: Setting) -> tuple[Answer, str]:
        progress = to_stream(sys.stderr, quiet=options.quiet, expected=capsule.seconds)
        setting, doubt = replace(setting, emit=Stream(progress, results)), ""
        for n in range(options.tries):
            before = f"; the stored trial took {capsule.seconds:.3g} s" if capsule.seconds else ""
            progress(Remark(f"trial {n + 1} of at most {options.tries}{before}"))
            try:
                assert setting.plan
                tried.append(trial.run(setting.plan.validated(), setting))
            except (NotLaunched, NeverHappened, ValueError) as error:
                return "unknown", f"the trial could not be carried out: {error}"
            word, why = answer(tried[-1], capsule.broken, capsule.broken)
            if word == "reproduced":
                return word, why
            doubt = doubt or (why if word == "unknown" else "")
        return ("unknown", doubt) if doubt else ("fixed", why)

    try:
        word, why = within(capsule, job, secrets)
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


def given(words: tuple[str, ...]) -> dict[str, str]:
    """The values of `--secret`, by their names. Raises Usage."""
    if wrong := [word for word in words if not all(word.partition("="))]:
        raise Usage(f"--secret is NAME=VALUE: {wrong[0].partition('=')[0]!r}")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def load(path: str) -> Capsule:
    """Return the capsule. Raises Usage for a file that is no capsule, or a trial that found no anomaly."""
    from brownout.run.capsule import Capsule

    try:
        capsule = Capsule.load(Path(path))
    except ValueError as error:
        raise Usage(error) from error
    if not capsule.broken:
        again = f"; run it again: {shlex.join(['pytest', capsule.scenario])}" if "::" in capsule.scenario else ""
        raise Usage(f"the trial of {path} found no anomaly, so there is none to reproduce{again}")
    return capsule
