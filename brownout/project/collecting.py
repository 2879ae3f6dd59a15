"""Tries whether pytest can collect the project's scenarios, which a conftest.py of the project may prevent."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCENARIOS = Path("tests", "chaos")
WITHIN = 60.0  # The seconds within which pytest must have collected the scenarios.
_COLLECTED = (0, 5)  # pytest's exit codes: tests were collected, and no test was found.
_CONFTEST = re.compile(r"ImportError while loading conftest '(.+?)'")
_ERROR = re.compile(r"^E\s+(\S.*)$", re.MULTILINE)


def broken(root: Path) -> tuple[str, str]:
    """Why pytest cannot collect the scenarios in tests/chaos of the folder `root`, and what the user should type.

    Both texts are empty when pytest can collect them, and when there are none.
    """
    if not (root / SCENARIOS).is_dir():
        return "", ""
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(SCENARIOS)]
    try:
        done = subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=WITHIN, check=False)
    except subprocess.TimeoutExpired:
        return f"pytest has not collected {SCENARIOS} within {WITHIN:g} s", f"pytest --collect-only {SCENARIOS}"
    if done.returncode in _COLLECTED:
        return "", ""
    said = done.stdout + done.stderr
    errors, conftest = _ERROR.findall(said), _CONFTEST.search(said)
    error = errors[-1] if errors else (said.strip().splitlines() or ["no reason is known"])[-1]
    if conftest is None:
        return f"pytest cannot collect {SCENARIOS}: {error}", f"pytest --collect-only {SCENARIOS}"
    file = Path(conftest[1])
    inside = file.is_relative_to(root.resolve() / SCENARIOS)
    name = file.relative_to(root.resolve()) if file.is_relative_to(root.resolve()) else file
    # pytest loads no conftest.py above --confcutdir.
    further = f"--collect-only {SCENARIOS}" if inside else f"--confcutdir={SCENARIOS} {SCENARIOS}"
    return f"{name} cannot be imported, so pytest collects no scenario: {error}", f"pytest {further}"
