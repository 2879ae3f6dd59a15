"""Environments of applications with old versions, made with pip and kept in the environment that runs these tests.

A version whose Python is not on this machine (on PATH, or among pyenv's) is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.small_project import ROOT


@dataclass(frozen=True)
class Row:
    """Versions that went together. `python` is the newest that this Celery supports, or an old one on purpose."""

    celery: str
    kombu: str
    redis: str
    python: str
    gevent: bool = False
    kit: bool = False  # the kit itself is installed there, with the oldest versions of what it needs

    def __str__(self) -> str:
        kit = "-kit" if self.kit else ""
        return f"celery-{self.celery}-kombu-{self.kombu}-redis-{self.redis}-python-{self.python}{kit}"


def lowest() -> list[str]:
    """The lowest versions that the kit allows, but for redis-py, whose version is the row's."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    bounds = [re.fullmatch(r"([\w-]+)>=([\d.]+).*", need) for need in needs]
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound and bound[1] != "redis"]


def interpreter(version: str) -> str:
    """A Python of this version. Skips the test where there is none."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in (shutil.which(f"python{version}"), *sorted(root.glob(f"versions/{version}.*/bin/python"))):
        if found and subprocess.run([found, "-c", "import ssl"], check=False, capture_output=True).returncode == 0:
            return str(found)
    pytest.skip(f"there is no Python {version} on PATH or among pyenv's")


def environment(row: Row) -> Path:
    """The environment of this row, made once."""
    place = Path(sys.prefix) / "others" / str(row)
    if not (place / "made").exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([interpreter(row.python), "-m", "venv", place], check=True)
        wanted = [f"{name}=={getattr(row, name)}" for name in ("celery", "kombu", "redis")]
        # kombu 5.7 imports packaging and does not require it.
        wanted += ["fastapi", "uvicorn", *(["gevent"] if row.gevent else [])]
        wanted += [str(ROOT), *lowest()] if row.kit else ["packaging"]
        subprocess.run([place / "bin" / "python", "-m", "pip", "install", "-q", *wanted], check=True)
        (place / "made").touch()
    return place
