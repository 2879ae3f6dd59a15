"""Writes the tables of the documents from the registries of faults and promises, and from the parsers of the command
line: `python -m brownout.tables docs/*.md`.

In a document, a table is between the lines `<!-- table: NAME -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from brownout import extend as extending
from brownout.check import table as promises
from brownout.cli.main import parser
from brownout.cli.parser import EXIT_CODES, Parser
from brownout.faults import table as faults
from brownout.history.event import KINDS
from brownout.lint import table as rules
from brownout.plan.near import known

_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(\n<!-- end of \2 -->)", re.DOTALL)


def events() -> str:
    """Return a table with a row for each source of events and the kinds of event that the source records."""
    return "\n".join(["| source | kinds |", "|---|---|", *(f"| {name} | {', '.join(KINDS[name])} |" for name in KINDS)])


def extend() -> str:
    """Return a table with a row for each function and class with which a project extends brownout."""
    there = [(name, getattr(extending, name)) for name in extending.__all__]
    rows = [f"| `{name}` | {(inspect.getdoc(it) or '').splitlines()[0]} |" for name, it in there if callable(it)]
    return "\n".join(["| name | what it is |", "|---|---|", *rows])


def commands() -> str:
    """Return a section for each command of `brownout`, and one for each group of options that several commands have."""
    whole = parser()
    found = list(_parsers(whole))
    groups = Counter((title, *rows) for command in found for title, rows in _groups(command))
    shared = [group for group, times in groups.items() if times > 1 and len(group) > _FEW]
    sections = []
    for command in found:
        examples, _, codes = str(command.epilog).removeprefix("examples:\n").partition("\n\nexit codes:\n")
        what = str(command.description).partition(": ")[2]
        text = [
            f"## {command.prog.removeprefix(whole.prog).strip()}",
            what[:1].upper() + what[1:] + "." * (what[-1] != "?"),
        ]
        text.append("\n".join(["```", *(line.strip() for line in examples.splitlines()), "```"]))
        own = [row for title, rows in _groups(command) if (title, *rows) not in shared for row in rows]
        links = [_link(title) for title, rows in _groups(command) if (title, *rows) in shared]
        text += [_options(own)] if own else []
        text += [f"It {'also ' if own else ''}has the options of {', '.join(links)}."] if links else []
        text += [f"Exit codes: {' '.join(codes.split())}."] if codes not in EXIT_CODES else []
        sections.append("\n\n".join(text))
    sections += [f"## {title.capitalize()}\n\n{_options(rows)}" for title, *rows in shared]
    return "\n\n".join(sections)


_FEW: Final = 3  # a group of fewer options is repeated at each command


def _options(rows: Sequence[str]) -> str:
    return "\n".join(["| option | what it says |", "|---|---|", *rows])


def _link(title: str) -> str:
    return f"[{title}](#{title.replace(' ', '-')})"


def _parsers(whole: Parser) -> Iterator[Parser]:
    """The parsers of all commands, each before the commands below it."""
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield command
                yield from _parsers(command)


def _groups(command: Parser) -> Iterator[tuple[str, list[str]]]:
    """The title of each group of options, and a row of a table for each option."""
    for group in command._action_groups:
        actions = [one for one in group._group_actions if one.help and "--help" not in one.option_strings]
        if rows := [_row(one) for one in actions if not isinstance(one, argparse._SubParsersAction)]:
            yield str(group.title), rows


def _row(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else f" {action.metavar or (action.choices and 'WORD') or action.dest.upper()}"
    name = f"{', '.join(action.option_strings)}{value}".strip()
    says = " ".join((action.help or "").split()) % vars(action)
    if action.choices:
        says += f"; one of {', '.join(map(str, action.choices))}"
    return f"| `{name}` | {says.replace('|', chr(92) + '|')} |"


TABLES: dict[str, Callable[[], str]] = {
    "faults": faults.markdown,
    "promises": promises.markdown,
    "lint": rules.markdown,
    "events": events,
    "extend": extend,
    "commands": commands,
}


def filled(document: str) -> str:
    """Return the text of the document with its tables made anew from the registries. Raises UnknownName when the
    document names an unknown table."""
    return _TABLE.sub(lambda found: found[1] + TABLES[known("table", found[2], TABLES)]() + found[3], document)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(filled(path.read_text()))
