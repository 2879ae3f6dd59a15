"""The tables of the documents, from the registries: `python -m brownout.tables docs/faults.md docs/promises.md`.

A table stands between `<!-- table: NAME -->` and `<!-- end of NAME -->`.
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
from brownout.plan.near import known

_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(\n<!-- end of \2 -->)", re.DOTALL)


def events() -> str:
    """A row for each source of events, with the kinds of event that it sees."""
    return "\n".join(["| source | kinds |", "|---|---|", *(f"| {name} | {', '.join(KINDS[name])} |" for name in KINDS)])


def extend() -> str:
    """A row for each function and class that a project extends the kit with."""
    there = [(name, getattr(extending, name)) for name in extending.__all__]
    rows = [f"| `{name}` | {(inspect.getdoc(it) or '').splitlines()[0]} |" for name, it in there if callable(it)]
    return "\n".join(["| name | what it is |", "|---|---|", *rows])


TABLES: dict[str, Callable[[], str]] = {
    "faults": faults.markdown,
    "promises": promises.markdown,
    "events": events,
    "extend": extend,
}


def filled(document: str) -> str:
    """The document with its tables as the registries have them now. UnknownName for a table that nobody makes."""
    return _TABLE.sub(lambda found: found[1] + TABLES[known("table", found[2], TABLES)]() + found[3], document)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(filled(path.read_text()))
