"""Writes the tables of the documents from the registries of faults and promises: `python -m brownout.tables
docs/faults.md docs/promises.md`.

In a document, a table is between the lines `<!-- table: NAME -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

from brownout import extend as extending
from brownout.check import table as promises
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


TABLES: dict[str, Callable[[], str]] = {
    "faults": faults.markdown,
    "promises": promises.markdown,
    "lint": rules.markdown,
    "events": events,
    "extend": extend,
}


def filled(document: str) -> str:
    """Return the text of the document with its tables made anew from the registries. Raises UnknownName when the
    document names an unknown table."""
    return _TABLE.sub(lambda found: found[1] + TABLES[known("table", found[2], TABLES)]() + found[3], document)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(filled(path.read_text()))
