"""Types the commands of a page into a shell, as its reader does, and compares what they print with what the page shows.

A block `console` has commands, each after `$ `, and below a command what it writes to standard output; `...` stands for
what varies. A comment `<!-- file: NAME -->` above any other block makes it a file of the reader's.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from doctest import ELLIPSIS, REPORT_NDIFF, Example, OutputChecker
from pathlib import Path

import sybil
from sybil.parsers.markdown import CodeBlockParser

FILE = re.compile(r"<!-- file: (\S+) -->\n$")
FILES = ("python", "toml")  # languages of blocks that may be files
LIMIT = 300  # s for one command, on a machine that is busy


class Session:
    """A shell in an empty folder. Variables, the working directory and the last exit code are kept between commands."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env = folder, env
        (folder / ".state").write_text(f"cd {shlex.quote(str(folder))}\n(exit 0)\n")

    def output(self, command: str) -> str:
        """Run the command; return what it wrote to standard output. Standard error is kept in a file."""
        state = shlex.quote(str(self.folder / ".state"))
        keep = f'code=$?; {{ export -p; echo "cd ${{PWD@Q}}"; echo "(exit $code)"; }} >{state}'
        script = f"set -a\nsource {state}\n{command}\n{keep}"  # all variables are exported, and so kept
        with (self.folder / ".errors").open("w") as errors:
            running = subprocess.Popen(
                ["bash", "-c", script], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
            )  # fmt: skip
            try:
                return running.communicate(timeout=LIMIT)[0]
            except BaseException:
                os.killpg(running.pid, signal.SIGTERM)
                running.wait(30)
                raise

    @property
    def errors(self) -> str:
        """What the last command wrote to standard error."""
        return (self.folder / ".errors").read_text()


def commands(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with the output that is shown below it. Raises ValueError without a command."""
    before, *found = re.split(r"^\$ ", block, flags=re.MULTILINE)
    if before.strip() or not found:
        raise ValueError(f"a console block begins with `$ `, not with {block[:40]!r}")
    parts = [text.partition("\n") for text in found]
    return [(line, shown) for line, _, shown in parts]


class Page:
    """The steps of a page: its console blocks and its files, in order."""

    def __init__(self, path: Path) -> None:
        parsers = [CodeBlockParser("console", self.differs), *(CodeBlockParser(name, self.write) for name in FILES)]
        self.document = sybil.Document.parse(str(path), *parsers)
        self.commands = 0

    def run(self, session: Session) -> None:
        """Carry all steps out. Raises SybilFailure, with the line of the block, at the first that differs."""
        self.session = session
        for example in self.document.examples():
            example.evaluate()

    def write(self, example: sybil.Example) -> None:
        """Write the block to the file that the comment above it names; a block without a comment is only to be read."""
        if name := FILE.search(example.document.text[: example.start]):
            path = self.session.folder / name[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(example.parsed)

    def differs(self, example: sybil.Example) -> str | None:
        """Run the commands of a block; return how an output differs from the one that is shown."""
        for command, shown in commands(example.parsed):
            printed = self.session.output(command)
            self.commands += 1
            checker = OutputChecker()
            if not checker.check_output(shown, printed, ELLIPSIS):
                difference = checker.output_difference(Example("", shown), printed, ELLIPSIS | REPORT_NDIFF)
                return f"$ {command}\n{difference}\nOn standard error:\n{self.session.errors}"
        return None
