"""A machine that has only Python: a new environment with the built wheel, and nothing else on PATH."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
#: Variables that would lead from a command to this checkout, or to this environment.
OURS = ("PYTEST", "PYTHON", "BROWNOUT", "TOX", "VIRTUAL_ENV", "COV")


@dataclass(frozen=True)
class Machine:
    """`scripts` is the folder of the environment's commands."""

    scripts: Path

    def run(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Type a command in a folder. Errors are in `stdout`, too."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        env = own | {"PATH": str(self.scripts), "COLUMNS": "120"}
        program, *words = shlex.split(command)
        argv = [str(self.scripts / program), *words]
        return subprocess.run(
            argv, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
        )  # fmt: skip


def made(shared: Path) -> Machine:
    """The machine in this folder; the first process that asks makes it, while the others wait.

    What is installed is what `examples/README.md` says, with the wheel of this checkout as brownout.
    """
    place = shared / "machine"
    with (shared / "machine.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "made").exists():
            _make(place)
            (place / "made").touch()
    return Machine(place / "bin")


def _make(place: Path) -> None:
    line = re.search("^pip install .*", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert line, "examples/README.md does not say what to install"
    wheels = place / "wheels"
    _do(sys.executable, "-m", "venv", place)
    _do(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, ROOT)
    (wheel,) = wheels.glob("*.whl")
    packages = [word.replace("brownout", str(wheel)) for word in shlex.split(line[0])[2:]]
    _do(place / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages)


def _do(*command: str | Path) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert not done.returncode, f"{command}\n{done.stdout}\n{done.stderr}"
