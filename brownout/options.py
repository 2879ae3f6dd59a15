"""What can be typed: the options of `brownout map`, each with its default."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

from brownout.explore.action import ACTIONS, Action
from brownout.explore.mission import CONFIGURATIONS, WORKLOADS, Configuration, Workload
from brownout.report.stored import STORE
from brownout.run.store import versions
from brownout.subject.redis_server import RungName

USAGE: Final = 64  # sysexits.h: EX_USAGE; argparse's own 2 would be taken for "unknown"
SIGNAL: Final = 128  # and the number of the signal
LISTS: Final[Mapping[str, Mapping[str, Action | Workload | Configuration]]] = {
    "points": {},  # they are looked for
    "actions": ACTIONS,
    "workloads": WORKLOADS,
    "configs": CONFIGURATIONS,
}
#: What Celery asks before its own settings (celery.app.utils.Settings).
CELERY_ENV: Final = {"CELERY_BROKER_URL": "{broker}", "CELERY_RESULT_BACKEND": "{backend}"}


class Usage(Exception):
    """The command asks for something that there is not."""


class Parser(argparse.ArgumentParser):
    """argparse, but for the exit code of a wrong command."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and how it would be right."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: error: {message}\n")


def parser(*others: Callable[[Any], None]) -> Parser:
    """The options; each help text says its default. `others` add further commands."""
    whole = Parser(prog="brownout", description="What does a Celery system do when a part of it fails?")
    version = f"brownout {versions('brownout').get('brownout', 'not installed')}"
    whole.add_argument("--version", action="version", version=version, help="print the version (default: no)")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add_command in others:
        add_command(commands)
    one = commands.add_parser(
        "map",
        help="break every Redis command of a task's life in every way (default: stock Celery, standard actions)",
        description="Draw a fault map: one trial for each command of a task's life on Redis and each way it can fail. "
        "With CELL, try that one alone, and say what proves it.",
        epilog="Exit codes: 0 valid, 1 invalid (something bad), 2 unknown, 64 wrong command, 130 after Ctrl-C.",
    )
    one.add_argument("cells", nargs="*", metavar="CELL",
        help="'worker->broker/ZADD#1/before-cut', before all options (default: the whole map)")  # fmt: skip
    many: dict[str, Any] = {"nargs": "+", "action": "extend"}
    add = one.add_argument_group("what is broken").add_argument
    add("--app", metavar="MODULE", help="an application of your own, as for `celery -A` (default: a stock one)")
    add("--task", metavar="NAME", help="the task of --app that is sent (default: the stock one)")
    add("--args", metavar="JSON", type=_json(list), help="its positional arguments (default: [])")
    add("--kwargs", metavar="JSON", type=_json(dict), help="its keyword arguments (default: {})")
    env = " ".join(f"{name}={value}" for name, value in CELERY_ENV.items())
    add("--env", metavar="NAME=VALUE", **many, default=[], help=f"environment of --app, {{files}} is a directory of the"
        f" trial (default: {env})")  # fmt: skip
    add("--queue", metavar="NAME", **many, help="queues that --app's workers read (default: its configuration's)")
    add("--workload", metavar="NAME", help="what is sent: --list workloads (default: task)")
    add("--mission", metavar="MODULE:NAME", help="a brownout.explore.mission.Mission instead of these (default: none)")
    add("--config", metavar="NAME", help="Celery's settings: --list configs (default: defaults, or --mission's)")
    add("--set", metavar="NAME=VALUE", **many, default=[], dest="settings",
        help="settings over --config, as task_acks_late=true or broker_transport_options.socket_timeout=2"
        " (default: none)")  # fmt: skip
    add = one.add_argument_group("which cells, and how").add_argument
    add("--point", metavar="GLOB", **many, default=[], dest="points",
        help="points of this name, edge or command, or a part of it (default: all)")  # fmt: skip
    add("--actions", metavar="NAME,…", **many,
        help="standard, all, or names of --list actions (default: standard, and with --show all)")  # fmt: skip
    add("--repeat", type=positive, default=1, metavar="N", help="trials of each cell (default: 1)")
    add(
        "--jobs",
        type=positive,
        default=0,
        metavar="N",
        help="trials at once (default: 8 for each core, fewer on a busy machine)",
    )
    add("--sample", type=positive, default=0, metavar="N", help="so many of the pairs (default: all)")
    add("--seed", type=int, default=0, metavar="N", help="which pairs the sample takes (default: 0)")
    add("--provider", choices=("auto", *get_args(RungName)), default="auto",
        help="where Redis comes from (default: auto, a local server first)")  # fmt: skip
    add = one.add_argument_group("what comes out").add_argument
    add("--only-bad", action="store_true", help="only what is not good, with its proof (default: all cells, a grid)")
    add("--json", metavar="FILE", help="write the result as JSON, - for standard output (default: text)")
    add("--save", metavar="FILE", type=Path,
        help=f"store the map there (default: {STORE}/CONFIG-WORKLOAD.json, when it is whole)")  # fmt: skip
    add("--markdown", metavar="FILE", type=Path, help="write the map as a table for a page (default: no)")
    add("--baseline", metavar="FILE", type=Path, help="judge by the cells that it accepts (default: by none)")
    add = one.add_argument_group("instead").add_mutually_exclusive_group().add_argument
    add("--pairs", action="store_true", help="two faults, the second in the recovery from the first (default: one)")
    add("--again", action="store_true", help="only the stored map's cells that are not good; it stays (default: no)")
    add("--show", metavar="FILE", help="show a stored map, by its file or name; run nothing (default: run)")
    add("--diff", metavar=("A", "B"), nargs=2,
        help="what is better and worse in stored map B; exit code 1 for worse (default: run)")  # fmt: skip
    add("--list", choices=LISTS, help="list what can be named (default: run)")
    return whole


def _json(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        with suppress(ValueError):
            if isinstance(value := json.loads(text), kind):
                return value
        raise argparse.ArgumentTypeError(f"a JSON {'array' if kind is list else 'object'} is wanted, not {text!r}")

    return read


def positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number from 1 is wanted, not {text!r}")
    return int(text)
