"""Takes each mechanism of `system/` out, one at a time, and looks whether the command that stands beside it turns red.

    python -m benchmarks.power [--only NAME ...] [--list]

`tox -e power` does so with all that the commands need. The mechanisms are the table `benchmarks/mutants.toml`. Each is
taken out in a copy of the tree, in a folder of its own. When every row that was run is red with its words, the table is
written to `docs/power.md`. Exit code 1 when a row is not.
"""

# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MUTANTS = ROOT / "benchmarks" / "mutants.toml"
PAGE = ROOT / "docs" / "power.md"
NEEDED = ("system", "brownout", "tests", "examples", "conftest.py", "pyproject.toml")
RED = 1  # the exit code of pytest and of `brownout map` for what was tried and is bad
LONGEST = 240.0  # s for a command
SHOWN = 25  # lines of a command's output, when it is not red as it should be
HEAD = """# What goes red without each mechanism

Each row takes one mechanism of `system/` out by an edit of one place, and names the shortest command that turns red
then, and the words that it says. `tox -e power` tries all rows, which takes half an hour, and writes this page from
`benchmarks/mutants.toml`; `tox -e power -- --only late-acks poison` tries some, and `--list` names them. A command that
begins with `brownout map` tries one cell of a map.

"""


@dataclass(frozen=True)
class Mutant:
    """A mechanism, how it is taken out, and what shows that. `run` is a pytest id, or "map" and its arguments."""

    name: str
    mechanism: str
    file: str
    old: str
    new: str
    run: str
    shows: tuple[str, ...]

    @property
    def layer(self) -> str:
        """Where it is noticed: "map", or the folder of the test."""
        return "map" if self.run.startswith("map ") else Path(self.run.partition("::")[0]).parts[1]

    @property
    def command(self) -> str:
        """As a person types it."""
        return f"brownout {self.run}" if self.layer == "map" else f"pytest {shlex.quote(self.run)}"

    @property
    def argv(self) -> list[str]:
        """For this Python."""
        if self.layer == "map":
            return [sys.executable, "-m", "brownout.cli", *shlex.split(self.run)]
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", self.run]

    @property
    def edit(self) -> tuple[str, str]:
        """What goes and what comes instead, without what stays."""
        lines = list(difflib.ndiff(_code(self.old), _code(self.new)))
        gone, come = (" ".join(line[2:] for line in lines if line[0] == sign).replace("|", "\\|") for sign in "-+")
        return gone, come

    def apply(self, root: Path) -> None:
        """Take it out below this folder. ValueError when the text is not there once."""
        path = root / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: its text occurs {text.count(self.old)} times in {self.file}")
        path.write_text(text.replace(self.old, self.new))

    @property
    def row(self) -> str:
        """Its line of the page."""
        gone, come = self.edit
        how = f"`{gone}` becomes `{come}`" if gone and come else f"`{gone}` goes" if gone else f"`{come}` is added"
        shown = ", ".join(f"`{word}`" for word in self.shows)
        return f"| {self.mechanism} | `{self.file}` | {how} | `{self.command}` | {shown} |"


def _code(text: str) -> list[str]:
    return [line.partition("  # ")[0].strip() for line in text.splitlines() if not line.lstrip().startswith("#")]


def mutants() -> list[Mutant]:
    """All rows, in order."""
    table = tomllib.loads(MUTANTS.read_text())["mutant"]
    return [Mutant(**{**row, "shows": tuple(row["shows"])}) for row in table]


def page(rows: list[Mutant]) -> str:
    """The whole document."""
    whole = sum(row.layer != "unit" for row in rows)
    counts = f"{len(rows)} mechanisms; {whole} are noticed by a scenario, a cell of a map or an integration test.\n\n"
    columns = "| mechanism | file | taken out | what goes red | says |\n|---|---|---|---|---|\n"
    return HEAD + counts + columns + "".join(f"{row.row}\n" for row in rows)


def tried(mutant: Mutant) -> tuple[str, str]:
    """Run its command without it; returns what is wrong with that, empty for a row that is red, and the output."""
    with tempfile.TemporaryDirectory(prefix="power-") as name:
        folder = Path(name)
        for part in NEEDED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / part)
        mutant.apply(folder)
        environment = {**os.environ, "PYTHONPATH": name, "COLUMNS": "200"}
        code, output = _run(mutant.argv, folder, environment)
    if code != RED:
        return f"exit code {code}", output
    missing = [word for word in mutant.shows if word not in output]
    return (f"red, but it does not say {', '.join(missing)}" if missing else ""), output


def _run(argv: list[str], folder: Path, environment: dict[str, str]) -> tuple[int | None, str]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, cwd=folder, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return None, f"{output}\nnot over after {LONGEST:g} s"
        except BaseException:  # Ctrl-C reaches this process alone: the child has a session of its own
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output


def main() -> int:
    """Try what is asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rows = mutants()
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[row.name for row in rows], help="(default: all)")
    parser.add_argument("--list", action="store_true", help="print the names and run nothing (default: run)")
    chosen = parser.parse_args()
    if chosen.list:
        print(*(f"{row.name:32} {row.layer}" for row in rows), sep="\n")
        return 0
    green = 0
    for row in rows:
        if chosen.only and row.name not in chosen.only:
            continue
        begun = time.monotonic()
        wrong, output = tried(row)
        print(f"{row.name:32} {wrong or 'red'}  {time.monotonic() - begun:.0f} s", flush=True)
        if wrong:
            green += 1
            print(*output.splitlines()[-SHOWN:], sep="\n", flush=True)
    if not green:
        PAGE.write_text(page(rows))
    return min(green, 1)


if __name__ == "__main__":
    sys.exit(main())
