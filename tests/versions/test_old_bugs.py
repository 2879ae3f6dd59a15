"""Old bugs of Celery and kombu come back: one command is red with the old version, and green with the fixed one.

The command is `pytest tests/versions/bugs/scenarios.py -k BUG --chaos-python ENVIRONMENT`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.small_project import ROOT
from tests.versions.environments import Row, environment

PYTHON = "3.10"
#: Each bug with the old versions, the fixed versions, and what the report says of the old ones.
BUGS = {
    "consumes": (Row("5.3.6", "5.3.7", "4.6.0", PYTHON), Row("5.3.6", "5.4.2", "4.6.0", PYTHON), "unrecovered ×"),
    "shutdown": (Row("5.3.1", "5.3.1", "4.6.0", PYTHON), Row("5.3.1", "5.3.2", "4.6.0", PYTHON), "lost ×1"),
    "idles": (Row("5.6.3", "5.6.2", "6.4.0", "3.13"), Row("5.7.0", "5.7.0", "8.1.0", "3.13"), "late-recovery ×"),
    "limit": (Row("5.6.3", "5.6.2", "6.4.0", "3.13"), Row("5.7.0", "5.7.0", "8.1.0", "3.13"), "unrecovered ×"),
}


def ran(bug: str, row: Row, store: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in an environment of these versions."""
    words = ["-k", bug, "--chaos-python", str(environment(row)), "--chaos-store", str(store), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "tests/versions/bugs/scenarios.py", *words]
    env = os.environ | {"COLUMNS": "160"}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=400)


@pytest.mark.parametrize("bug", BUGS)
def test_the_old_version_is_red(bug: str, tmp_path: Path) -> None:
    old, _, anomaly = BUGS[bug]
    found = ran(bug, old, tmp_path)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "invalid · " in found.stdout, found.stdout
    assert anomaly in found.stdout, found.stdout
    assert f"celery {old.celery}, kombu {old.kombu}, redis-py {old.redis}" in found.stdout, "the header names them"


@pytest.mark.parametrize("bug", BUGS)
def test_the_fixed_version_is_green(bug: str, tmp_path: Path) -> None:
    _, fixed, _ = BUGS[bug]
    found = ran(bug, fixed, tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 passed" in found.stdout
    assert f"celery {fixed.celery}, kombu {fixed.kombu}, redis-py {fixed.redis}" in found.stdout
