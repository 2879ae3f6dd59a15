"""argparse as every command uses it: errors are one line, and options are the fields of a frozen dataclass."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

from brownout.plan.near import UnknownName, known
from brownout.plan.shard import Shard

USAGE: Final = 64  # sysexits.h: EX_USAGE; argparse's own 2 would be taken for "unknown"
SIGNAL: Final = 128  # the exit code after a signal is this number plus the number of the signal
EXIT_CODES: Final = """exit codes:
  0 valid, 1 invalid (something is bad), 2 unknown (nothing is proved),
  64 wrong command, 130 after Ctrl-C (SIGINT), 143 after SIGTERM"""
#: Options that `brownout map` once had, and the commands that have replaced them.
MOVED: Final = {"--pairs": "pairs", "--show": "show FILE", "--diff": "diff A B", "--list": "list WHAT"}
MANY: Final[dict[str, Any]] = {"nargs": "+", "action": "extend", "default": []}
QUIET: Final = "show no progress (default: show it on standard error)"
Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
Options = TypeVar("Options")


class Usage(Exception):
    """The command can't be carried out as it was typed; the message says why."""


class Parser(argparse.ArgumentParser):
    """A parser of argparse that answers a wrong command with one line and accepts no abbreviated options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Print the error, and end the process with exit code 64."""
        self.exit(USAGE, f"{self.prog}: error: {message}\n")

    def parse_known_args(  # type: ignore[override]  # argparse also takes namespaces of other types
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, but let each subcommand's own parser refuse unknown arguments."""
        found, unknown = super().parse_known_args(args, namespace)
        words = sys.argv[1:] if args is None else args
        found.typed = {word.partition("=")[0] for word in words if word.startswith("--")}
        for name in (word.partition("=")[0] for word in unknown if word.startswith("-")):
            if name in MOVED:
                self.error(f"{name} is a command now: brownout {MOVED[name]}")
            self._known("option", name, self._option_string_actions)
        if unknown and "cells" in found:  # argparse accepts positional arguments only on one side of the options
            found.cells, unknown = [*found.cells, *unknown], []
        if unknown:
            self.error(f"too many arguments: {' '.join(unknown)}")
        return found, []

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None:
            self._known(action.dest, value, action.choices)

    def _known(self, what: str, name: str, names: Any) -> None:
        try:
            known(what, name, names)
        except UnknownName as error:
            self.error(str(error))


def option(name: str, what: str, **options: Any) -> Any:
    """Return a dataclass field that is an option of a command. `name` is "--flag METAVAR", or "METAVAR" for a
    positional argument.

    `what` is the help text of the option. `options` are keyword arguments of argparse's add_argument.
    """
    flag, _, metavar = name.partition(" ") if name.startswith("-") else ("", "", name)
    return field(metadata={"flag": flag, "help": what} | options | ({"metavar": metavar} if metavar else {}))


def command(
    commands: Commands,
    name: str,
    what: str,
    examples: str,
    kind: type[Options],
    run: Callable[[Options], int],
    exit_codes: str = EXIT_CODES,
) -> Parser:
    """Add a command. The command's options are the fields of the frozen dataclass `kind`; the command calls `run` with
    an instance of `kind`.

    In the help, the options of each base class form a group; the docstring of the class is the title of the group.
    Options whose values are lists get tuples. A field of type Path is a file to write: its folder is made before `run`
    is called. `what` is the help text of the option.
    """
    epilog = f"examples:\n{textwrap.indent(examples, '  ')}\n\n{exit_codes}"
    parser = commands.add_parser(name, help=what, description=f"{name}: {what}", epilog=epilog)
    for base in filter(is_dataclass, kind.__mro__):
        group = parser.add_argument_group(str(base.__doc__).partition(".")[0].lower())
        for key in base.__annotations__:
            if options := dict(base.__dataclass_fields__[key].metadata):
                flag = options.pop("flag")
                if flag in parser._option_string_actions:  # another base has it, too
                    continue
                group.add_argument(flag or key, **options | ({"dest": key} if flag else {}))

    # Fields without an option are set by the action of another one, as the body of a request by --json.
    unset = [attribute for attribute in fields(kind) if not attribute.metadata and attribute.default is None]  # type: ignore[arg-type]
    parser.set_defaults(**{attribute.name: None for attribute in unset})

    def made(arguments: argparse.Namespace) -> int:
        values = {attribute.name: getattr(arguments, attribute.name) for attribute in fields(kind)}  # type: ignore[arg-type]
        if fill := getattr(kind, "fill", None):  # by the project's file
            values = fill(values, frozenset(arguments.typed))
        try:
            for file in (value for value in values.values() if isinstance(value, Path)):
                # the folder is checked now, because the command may then work for minutes
                file.parent.mkdir(parents=True, exist_ok=True)
                if file.is_dir():
                    raise IsADirectoryError(f"{file} is a folder; a file is wanted")
        except OSError as error:
            raise Usage(error) from error
        many = {each.name for each in fields(kind) if each.metadata}  # type: ignore[arg-type]
        return run(kind(**{key: tuple(v) if key in many and isinstance(v, list) else v for key, v in values.items()}))

    parser.set_defaults(run=made)
    return parser


def json_of(kind: type) -> Callable[[str], Any]:
    """An argparse type: JSON text of a list or of a dict."""

    def read(text: str) -> Any:
        with suppress(ValueError):
            if isinstance(value := json.loads(text), kind):
                return value
        raise argparse.ArgumentTypeError(f"a JSON {'array' if kind is list else 'object'} is wanted, not {text!r}")

    return read


def duration(text: str) -> float:
    """An argparse type: a number of seconds above 0."""
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < float("inf"):
            return seconds
    raise argparse.ArgumentTypeError(f"a number of seconds above 0 is wanted, not {text!r}")


def positive(text: str) -> int:
    """An argparse type: a whole number that is at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number from 1 is wanted, not {text!r}")
    return int(text)


def shard(text: str) -> Shard:
    """An argparse type: one of several shards, such as 2/4."""
    try:
        found = Shard.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if len(found.numbers) > 1:
        raise argparse.ArgumentTypeError(f"one shard is wanted, such as 2/4, not {text!r}")
    return found
