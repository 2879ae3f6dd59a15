"""The commands that the README of an example shows, and the lines of output that it shows below each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ANY = "..."  # any text; alone in a line: any lines


@dataclass(frozen=True)
class Shown:
    """A command, and what it prints."""

    command: str
    output: tuple[str, ...]


def commands(file: Path) -> list[Shown]:
    """The commands of all blocks `console`, in their order."""
    found: list[Shown] = []
    for block in re.findall(r"^```console\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL):
        for told in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *output = told.splitlines()
            found.append(Shown(command, tuple(output)))
    return found


def absent(shown: Sequence[str], printed: str) -> str:
    """The first line that is shown and was not printed, after the lines before it; "" when all were printed.

    Spaces around a line, and the rules that pytest draws around its last line, do not count.
    """
    lines = iter(line.strip(" =") for line in printed.splitlines())
    for wanted in shown:
        pattern = ".*".join(map(re.escape, wanted.split(ANY)))
        if wanted != ANY and not any(re.fullmatch(pattern, line) for line in lines):
            return wanted
    return ""
