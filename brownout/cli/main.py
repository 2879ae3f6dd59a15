"""Carries out `brownout COMMAND`, and turns every error and signal into an exit code and a message."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Final

from brownout.cli import map, pairs, replay, shrink
from brownout.cli.parser import EXIT_CODES, SIGNAL, USAGE, Parser, Usage
from brownout.cli.project import doctor, init, lint
from brownout.cli.stored import diff, list, merge, pin, report, show
from brownout.explore.signals import Terminated, terminable
from brownout.plan.near import UnknownName

COMMANDS: Final = (map, pairs, merge, lint, doctor, init, replay, shrink, pin, show, diff, report, list)
UNKNOWN: Final = 2


class _Version(argparse.Action):
    """Prints the version like argparse's own action, but looks the version up only when the user asks for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from brownout.run.store import versions

        sys.stdout.write(f"brownout {versions('brownout').get('brownout', 'not installed')}\n")
        parser.exit()


def parser() -> Parser:
    """All commands, each with its own options."""
    whole = Parser(
        prog="brownout",
        description="What does a Celery system do when a part of it fails?",
        epilog=f"`brownout COMMAND --help` shows examples.\n\n{EXIT_CODES}",
    )
    whole.add_argument("--version", action=_Version, nargs=0, help="print the version (default: no)")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out the command line and return the exit code. Raises SystemExit for --help and for wrong options."""
    arguments = parser().parse_args(argv)
    command = f"brownout {arguments.command}"
    try:
        with terminable():
            code: int = arguments.run(arguments)
            sys.stdout.flush()
        return code
    except (Usage, UnknownName) as error:
        return _said(f"{command}: error: {error}", USAGE)
    except Terminated:
        return SIGNAL + signal.SIGTERM
    except KeyboardInterrupt:
        return SIGNAL + signal.SIGINT
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has read enough and closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNKNOWN
    except Exception as error:  # Python's own exit code for this error would be taken for "invalid"
        return _failed(command, error)
    except SystemExit:
        raise
    except BaseException as error:  # this may be pytest.fail.Exception, which a time limit raises
        from brownout.report.clean import clean

        return _said(f"{command}: unknown: it was cut off by {type(error).__name__}: {clean(error)}", UNKNOWN)


def _failed(command: str, error: Exception) -> int:
    # These modules are imported only when a command runs, so that --help is quick.
    from brownout.explore.options import NoMap
    from brownout.subject.application import Unusable
    from brownout.subject.processes.forks import NotForkable
    from brownout.subject.servers.ladder import NoRedis
    from brownout.subject.waiting import NeverHappened

    if isinstance(error, (Unusable, NotForkable)):
        return _said(f"{command}: error: {error}", UNKNOWN)
    if isinstance(error, (NoMap, NoRedis, NeverHappened)):
        nothing = "no map" if command in ("brownout map", "brownout pairs") else "unknown"
        return _said(f"{command}: {nothing}: {error}", UNKNOWN)
    traceback.print_exc()
    return _said(f"{command}: error: brownout itself failed, and proves nothing: {error!r}", UNKNOWN)


def _said(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code
